"""Contrastive gradients, exactly on a grid; the constant, by closed form; and what is learned."""

import dataclasses
import math

import pytest
import torch
from torch.func import jacrev

from chance import mean_gap
from fromnoise.families.energy import (
    SETTINGS,
    EnergyModel,
    Settings,
    contrastive_loss,
    energy_score,
    fit,
)
from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import Model
from fromnoise.langevin import langevin

F64 = torch.float64
PLACES = torch.cartesian_prod(*[torch.linspace(-1.5, 1.5, 4, dtype=F64)] * 2)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def energy_of(theta):
    """A small family of energies that is not linear in its parameters."""
    return lambda x: torch.tanh(x @ theta[:, :2].T) @ theta[:, 2] + 0.3 * (theta[:, 2] ** 2).sum()


THETA = normal(3, 3, seed=1)
DATA = normal(16, seed=2).softmax(0)


def log_p(theta):
    """The model on the 16 places, its constant a sum."""
    return (-energy_of(theta)(PLACES)).log_softmax(0)


def kl(q, log_p):
    return (q * (q.log() - log_p)).sum()


def mean_gradient(q, p):
    """Gradient of the library's loss, averaged over all pairs of a data place and a negative."""

    def loss(theta):
        pairs = [
            q[i] * p[j] * contrastive_loss(energy_of(theta), PLACES[i : i + 1], PLACES[j : j + 1])
            for i in range(16)
            for j in range(16)
        ]
        return torch.stack(pairs).sum()

    return jacrev(loss)(THETA)


def chain():
    """A Markov chain on the places that leaves the model alone: Metropolis, any place proposed."""
    p = log_p(THETA).exp()
    moves = torch.minimum(torch.ones(16, 16, dtype=F64), p[None, :] / p[:, None]) / 16
    moves = moves - torch.diag(moves.diagonal())
    moves = moves + torch.diag(1 - moves.sum(1))
    torch.testing.assert_close(p @ moves, p, rtol=0, atol=1e-14)
    return moves


def test_with_negatives_from_the_model_the_gradient_is_that_of_the_likelihood():
    p = log_p(THETA).exp()
    expected = jacrev(lambda theta: -(DATA * log_p(theta)).sum())(THETA)
    torch.testing.assert_close(mean_gradient(DATA, p), expected, rtol=0, atol=1e-12)
    uniform = torch.full((16,), 1 / 16, dtype=F64)
    for wrong in (mean_gradient(p, DATA), mean_gradient(DATA, uniform)):
        assert (wrong - expected).abs().max() > 1e-3


def test_with_a_short_chain_it_is_that_of_a_difference_of_divergences():
    """The chain's end held still: its own dependence on the weights is what the method drops."""
    q_1 = DATA @ chain()
    found = mean_gradient(DATA, q_1)
    held = jacrev(lambda theta: kl(DATA, log_p(theta)) - kl(q_1, log_p(theta)))(THETA)
    torch.testing.assert_close(found, held, rtol=0, atol=1e-12)
    likelihood = jacrev(lambda theta: kl(DATA, log_p(theta)))(THETA)
    assert (found - likelihood).abs().max() > 1e-3
    long = DATA @ torch.linalg.matrix_power(chain(), 400)
    torch.testing.assert_close(mean_gradient(DATA, long), likelihood, rtol=0, atol=1e-10)
    assert mean_gradient(DATA, DATA).abs().max() < 1e-14


def test_no_gradient_flows_into_the_negatives():
    negatives = normal(4, 2).requires_grad_()
    weight = torch.ones((), dtype=F64, requires_grad=True)
    contrastive_loss(
        lambda x: weight * x.square().sum(1), normal(3, 2, seed=1), negatives
    ).backward()
    assert negatives.grad is None
    expected = normal(3, 2, seed=1).square().sum(1).mean() - normal(4, 2).square().sum(1).mean()
    torch.testing.assert_close(weight.grad, expected, rtol=1e-12, atol=0)


def random_model(n_dims=2):
    model = EnergyModel(n_dims, width=8).double().requires_grad_(False)
    generator = rng(3)
    for p in model.parameters():
        p.copy_(0.5 * torch.randn(p.shape, generator=generator, dtype=F64))
    model.center.copy_(torch.linspace(0.5, -0.5, n_dims))
    model.bowl_width.fill_(1.4)
    return model


@pytest.mark.parametrize("n_dims", [1, 2])
def test_the_density_integrates_to_one_on_a_grid_of_another_make(n_dims):
    model = random_model(n_dims)
    axis = torch.linspace(-13, 12, 431, dtype=F64)
    x = torch.cartesian_prod(*[axis] * n_dims).view(-1, n_dims)
    total = model.log_prob(x).exp().sum() * (25 / 430) ** n_dims
    assert abs(total.item() - 1) < 1e-10


@pytest.mark.parametrize("n_dims", [1, 2])
def test_an_empty_bowl_is_a_gaussian(n_dims):
    """And the score and the chains' start are the Gaussian's; another width would be seen."""
    model = random_model(n_dims)
    for p in model.parameters():
        p.zero_()
    bell = Gaussian(model.center, 1.4**2 * torch.eye(n_dims, dtype=F64))
    x = normal(9, n_dims)
    torch.testing.assert_close(model.log_prob(x), bell.log_prob(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.score(x), bell.score(x), rtol=0, atol=1e-12)
    assert (model.log_prob(x) + model.energy(x)).abs().min() > 0.1
    z = torch.randn(9, n_dims, generator=rng(4), dtype=F64)
    torch.testing.assert_close(model.start(9, rng(4)), bell.mean + 1.4 * z, rtol=0, atol=1e-12)


def test_the_score_is_the_slope_of_the_log_density():
    model = random_model()
    x = normal(6, 2)
    expected = torch.stack([jacrev(lambda one: model.log_prob(one[None])[0])(row) for row in x])
    torch.testing.assert_close(energy_score(model.energy, x), expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(model.score(x), energy_score(model.energy, x))


def test_samples_are_corrected_langevin_chains_from_the_bowl():
    model, generator = random_model(), rng(5)
    x = model.start(6, generator)
    x = langevin(model.score, x, 4, 0.3, generator, lambda x: -model.energy(x))
    assert torch.equal(model.sample(6, rng(5), n_steps=4, step=0.3), x)


def test_chains_meet_the_moments_of_the_density():
    """Means of x and x^2 against quadrature; half the energy is refused."""
    model = random_model()
    axis = torch.linspace(-13, 12, 431, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    mass = model.log_prob(grid).exp() * (25 / 430) ** 2
    expected = torch.cat([mass @ grid, mass @ grid.square()])
    x = model.sample(2000, rng(6), n_steps=150, step=0.3)

    def gap(x):
        return mean_gap(torch.cat([x, x.square()], 1), expected)

    assert gap(x) < 1
    start = model.start(2000, rng(6))
    hot = langevin(lambda x: model.score(x) / 2, start, 150, 0.3, rng(7))
    assert gap(hot) > 1


def test_it_learns_the_ring(ring, ring_data, held_out):
    """Held-out log likelihood within 0.4 nats of the truth; a Gaussian stays 1 nat behind."""
    model = fit(ring_data, settings=dataclasses.replace(SETTINGS, n_steps=300))
    assert isinstance(model, Model)
    gap = (ring.log_prob(held_out) - model.log_prob(held_out)).mean().item()
    assert -0.02 < gap < 0.4
    x = model.sample(1000, rng(2), n_steps=200)
    assert x.dtype == ring_data.dtype
    nearest = (x[:, None] - ring.components.mean).norm(dim=-1).argmin(1)
    assert torch.bincount(nearest, minlength=8).min() > 60


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: EnergyModel(0), "sizes must be at least 1, got 0"),
        (lambda: EnergyModel(3).log_prob(torch.zeros(1, 3)), "1 or 2 dimensions, got 3"),
        (lambda: EnergyModel(2).log_partition(reach=0.0), "got 0.0, 241"),
        (lambda: contrastive_loss(torch.sum, torch.zeros(0, 2), torch.zeros(1, 2)), "got 0 and 1"),
        (lambda: Settings(n_chains=0), r"at least 1, got \(600, 256, 0, 10\)"),
        (lambda: Settings(chain_step=math.nan), "got 0.005, nan"),
        (lambda: Settings(restart=1.5), "got 1.5, 0.99"),
        (lambda: fit(torch.ones(5, 2)), "do not vary"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_training_moves_the_chains_then_the_weights_at_a_falling_rate():
    """Three rounds by hand, with starts anew, the cosine of the rate and the kept average."""
    data = normal(9, 2, seed=4) * torch.tensor([0.5, 2.0], dtype=F64) + 1
    settings = Settings(
        n_steps=3,
        batch_size=4,
        learning_rate=0.01,
        n_chains=6,
        n_chain_steps=2,
        restart=0.3,
        seed=5,
    )
    found = fit(data, width=4, settings=settings)
    model = EnergyModel(2, 4, seed=5).double()
    model.center.copy_(data.mean(0))
    model.bowl_width.copy_(data.std(0, correction=0)[1])
    kept = [weight.detach().clone() for weight in model.parameters()]
    generator = torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.99))
    chains = model.start(6, generator)
    for step, share in ((1, 1.0), (2, 0.75), (3, 0.25)):
        optimizer.param_groups[0]["lr"] = 0.01 * share
        anew = torch.rand(6, generator=generator) < 0.3
        chains = torch.where(anew[:, None], model.start(6, generator), chains)
        chains = langevin(model.score, chains, 2, settings.chain_step, generator)
        rows = data[torch.randint(9, (4,), generator=generator)]
        optimizer.zero_grad()
        (model.energy(rows).mean() - model.energy(chains).mean()).backward()
        optimizer.step()
        weight = (1 - settings.ema_decay) / (1 - settings.ema_decay**step)
        for average, new in zip(kept, model.parameters(), strict=True):
            average.lerp_(new.detach(), weight)
    for weight, right in zip(found.parameters(), kept, strict=True):
        torch.testing.assert_close(weight, right, rtol=1e-9, atol=1e-9)
        assert not weight.requires_grad


def test_the_least_settings_are_allowed_and_none_below():
    model = EnergyModel(1, 1)
    assert model.energy(torch.zeros(3, 1)).shape == (3,)
    assert model.log_partition(0.5, 2).isfinite()
    for grid in ((0.0, 5), (1.0, 1)):
        with pytest.raises(ValueError, match="need reach > 0"):
            model.log_partition(*grid)
    Settings(n_steps=1, batch_size=1, n_chains=1, n_chain_steps=1, restart=0.0, ema_decay=0.0)
    Settings(restart=1.0)
    for bad in (
        {"n_steps": 0},
        {"batch_size": 0},
        {"n_chains": 0},
        {"n_chain_steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"chain_step": 0.0},
        {"chain_step": math.inf},
        {"restart": -0.1},
        {"restart": 1.1},
        {"ema_decay": -0.1},
        {"ema_decay": 1.0},
    ):
        with pytest.raises(ValueError, match=r"must (be|lie)"):
            Settings(**bad)


def test_data_that_vary_along_one_axis_only_still_have_a_width():
    settings = dataclasses.replace(SETTINGS, n_steps=1, batch_size=2, n_chains=2, n_chain_steps=1)
    fitted = fit(torch.tensor([[0.0, 1.0], [0.02, 1.0]]), width=2, settings=settings)
    assert fitted.bowl_width == pytest.approx(0.01)
    with pytest.raises(ValueError, match="do not vary"):
        fit(torch.ones(3, 2), width=2, settings=settings)


def test_no_chains_are_an_empty_batch():
    assert EnergyModel(2).start(0).shape == (0, 2)
