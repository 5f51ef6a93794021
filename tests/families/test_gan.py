"""The players at their best, by quadrature, and the penalty that brings them to rest."""

import dataclasses
import math

import pytest
import torch
from torch.func import grad, jacrev

from fromnoise.families.gan import (
    GAN,
    SETTINGS,
    Settings,
    fake_loss,
    fit,
    gradient_penalty,
    non_saturating_loss,
    optimal_logit,
    real_loss,
    saturating_loss,
)
from fromnoise.information import jensen_shannon, kl_divergence
from fromnoise.mixtures import GaussianMixture

F64 = torch.float64
AXIS = torch.linspace(-9, 9, 181, dtype=F64)
X = torch.cartesian_prod(AXIS, AXIS)
CELL = 0.1**2
DATA = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.3], [1.2, 0.0]], dtype=F64), 0.5)
MODEL = GaussianMixture.isotropic(torch.tensor([[0.2, -0.5], [0.4, 1.5]], dtype=F64), 0.8)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def value(logit):
    """The game's value, its two expectations by the trapezoid rule on smooth densities."""
    q, p = DATA.log_prob(X).exp(), MODEL.log_prob(X).exp()
    return -CELL * (q * real_loss(logit) + p * fake_loss(logit)).sum()


def test_the_best_discriminator_is_the_share_of_the_data():
    log_q, log_p = DATA.log_prob(X), MODEL.log_prob(X)
    share = log_q.exp() / (log_q.exp() + log_p.exp())
    best = optimal_logit(log_q, log_p)
    torch.testing.assert_close(best.sigmoid(), share, rtol=1e-12, atol=0)
    # The value's slope is zero there and nowhere near; every other discriminator does worse.
    assert grad(value)(best).abs().max() < 1e-15
    assert grad(value)(-best).abs().max() > 1e-6
    for seed in range(3):
        other = best + 0.1 * torch.randn(best.shape, generator=rng(seed), dtype=F64)
        assert value(other) < value(best) - 1e-5


def test_the_best_value_is_the_divergence_of_jensen_and_shannon():
    """The masses of the cells sum to 1 within rounding, so the two sums agree to rounding."""
    q, p = DATA.log_prob(X).exp() * CELL, MODEL.log_prob(X).exp() * CELL
    expected = 2 * jensen_shannon(q, p) - 2 * math.log(2)
    found = value(optimal_logit(DATA.log_prob(X), MODEL.log_prob(X)))
    assert abs(found - expected) < 1e-10
    assert abs(found - (jensen_shannon(q, p) - 2 * math.log(2))) > 1e-2
    assert abs(found - (2 * jensen_shannon(q, p) - math.log(2))) > 1e-2
    same = value(torch.zeros(len(X), dtype=F64))
    assert abs(same + 2 * math.log(2)) < 1e-10


def slopes():
    """Gradients in the generator's logits on 12 places, by the losses and by the divergences."""
    theta = torch.randn(12, generator=rng(1), dtype=F64)
    q = torch.randn(12, generator=rng(2), dtype=F64).softmax(0)
    logit = optimal_logit(q.log(), theta.log_softmax(0))  # held still, as in training

    def expected(loss):
        return grad(lambda theta: (theta.softmax(0) * loss(logit)).sum())(theta)

    js = grad(lambda theta: jensen_shannon(q, theta.softmax(0)))(theta)
    kl = grad(lambda theta: kl_divergence(theta.softmax(0), q))(theta)
    return expected, js, kl


def test_the_saturating_loss_follows_the_divergence_of_jensen_and_shannon():
    expected, js, kl = slopes()
    torch.testing.assert_close(expected(saturating_loss), 2 * js, rtol=0, atol=1e-13)
    for wrong in (js, -2 * js, kl):
        assert (expected(saturating_loss) - wrong).abs().max() > 1e-3


def test_the_non_saturating_loss_follows_the_reverse_divergence_less_twice_the_other():
    expected, js, kl = slopes()
    torch.testing.assert_close(expected(non_saturating_loss), kl - 2 * js, rtol=0, atol=1e-13)
    for wrong in (kl, kl - js, kl + 2 * js, 2 * js):
        assert (expected(non_saturating_loss) - wrong).abs().max() > 1e-3


def test_one_loss_is_flat_where_the_forgery_is_plain_and_the_other_steep():
    sure = torch.tensor([-20.0, 0.0], dtype=F64)
    flat, steep = (
        grad(lambda logit, loss=loss: loss(logit).sum())(sure)
        for loss in (saturating_loss, non_saturating_loss)
    )
    torch.testing.assert_close(flat, -sure.sigmoid(), rtol=1e-12, atol=0)
    torch.testing.assert_close(steep, -(-sure).sigmoid(), rtol=1e-12, atol=0)
    assert flat[0] > -1e-8
    assert steep[0] < -1 + 1e-8
    logits = torch.tensor([-800.0, 800.0], dtype=F64)
    for loss in (real_loss, fake_loss, saturating_loss, non_saturating_loss):
        assert bool(loss(logits).isfinite().all())


def test_the_penalty_is_half_the_squared_slope():
    a, b = torch.tensor([0.3, -0.7], dtype=F64), torch.tensor([[1.0, 0.2], [0.2, -0.5]], dtype=F64)
    x = torch.randn(6, 2, generator=rng(), dtype=F64)
    found = gradient_penalty(lambda x: x @ a + 0.5 * ((x @ b) * x).sum(1), x)
    torch.testing.assert_close(found, 0.5 * (a + x @ b).square().sum(1), rtol=1e-12, atol=0)


def test_the_penalty_reaches_the_weights_of_the_discriminator():
    model = GAN(2).double()
    x = torch.randn(6, 2, generator=rng(), dtype=F64)
    gradient_penalty(model.logit, x).sum().backward()
    first = model.discriminator[0].weight
    assert first.grad is not None
    assert first.grad.abs().max() > 1e-6


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_without_the_penalty_the_players_circle_and_with_it_they_come_to_rest(penalty):
    """Data at 0, the generator a point g, the logit w x: the game near its rest, in closed form.

    The flow's Jacobian has the eigenvalues -c/2 +- sqrt(c^2/4 - 1/4), c the penalty's weight.
    """

    def flow(state):
        g, w = state

        def inspection(w):
            real = torch.zeros(1, 1, dtype=F64)
            loss = real_loss(w * real[:, 0]) + fake_loss(w * g[None])
            return (loss + penalty * gradient_penalty(lambda x: w * x[:, 0], real)).sum()

        return -torch.stack([grad(lambda g: non_saturating_loss(w * g))(g), grad(inspection)(w)])

    rates = torch.linalg.eigvals(jacrev(flow)(torch.zeros(2, dtype=F64)))
    assert rates.real == pytest.approx([-penalty / 2] * 2, abs=1e-12)
    turn = math.sqrt(0.25 - penalty**2 / 4)
    assert sorted(rates.imag.tolist()) == pytest.approx([-turn, turn], abs=1e-12)


def test_training_uses_its_penalty_its_loss_and_its_seed(ring_data):
    """A heavy penalty leaves a much flatter discriminator; equal choices give equal weights."""
    few = dataclasses.replace(SETTINGS, n_steps=60, penalty=0.0)
    heavy = dataclasses.replace(few, penalty=10.0)

    def slope(model):
        return gradient_penalty(model.logit, ring_data).mean().item()

    def weights(model):
        return torch.cat([p.flatten() for p in model.parameters()])

    free = fit(ring_data, settings=few)
    assert slope(fit(ring_data, settings=heavy)) < 0.2 * slope(free)
    assert torch.equal(weights(fit(ring_data, settings=few)), weights(free))
    for other in (
        fit(ring_data, saturating_loss, settings=few),
        fit(ring_data, settings=dataclasses.replace(few, seed=1)),
    ):
        assert not torch.allclose(weights(other), weights(free))


def test_it_learns_the_ring(ring, ring_data):
    """Every bell is met, and most points lie within three deviations of one."""
    model = fit(ring_data, settings=dataclasses.replace(SETTINGS, n_steps=600))
    x = model.sample(2000, rng(2))
    assert x.dtype == ring_data.dtype
    assert torch.equal(x, model.sample(2000, rng(2)))
    distance, nearest = (x[:, None] - ring.components.mean).norm(dim=-1).min(1)
    assert torch.bincount(nearest, minlength=8).min() > 100
    assert (distance < 0.9).float().mean() > 0.9


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: GAN(0), "sizes must be at least 1, got 0"),
        (lambda: Settings(n_steps=0), "got 0, 256"),
        (lambda: Settings(penalty=-1.0), "got 0.002, -1.0"),
        (lambda: Settings(learning_rate=math.nan), "got nan"),
        (lambda: Settings(ema_decay=1.0), r"\[0, 1\), got 1.0"),
        (lambda: fit(torch.zeros(0, 2)), "no data"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_training_is_the_two_players_steps_in_turn(penalty):
    """Two rounds by hand: the mean losses, the penalty's weight, and the average that is kept."""
    data = torch.randn(9, 2, generator=rng(1), dtype=F64)
    settings = Settings(n_steps=2, batch_size=5, learning_rate=0.01, penalty=penalty, seed=3)
    found = fit(data, n_latents=2, width=4, settings=settings)
    model = GAN(2, 2, 4, seed=3).double()
    kept = [weight.detach().clone() for weight in model.generator.parameters()]
    generator = torch.Generator().manual_seed(3)
    players = [
        torch.optim.Adam(part.parameters(), lr=0.01, betas=(0.0, 0.99))
        for part in (model.discriminator, model.generator)
    ]
    for step in (1, 2):
        real = data[torch.randint(9, (5,), generator=generator)]
        z = torch.randn(5, 2, generator=generator, dtype=F64)
        logit = model.discriminator
        cost = -torch.log(torch.sigmoid(logit(real))).mean()
        cost = cost - torch.log(1 - torch.sigmoid(logit(model.generator(z)))).mean()
        leaf = real.clone().requires_grad_()
        (slope,) = torch.autograd.grad(logit(leaf).sum(), leaf, create_graph=True)
        cost = cost + penalty / 2 * slope.square().sum() / 5
        players[0].zero_grad()
        cost.backward()
        players[0].step()
        players[1].zero_grad()
        (-torch.log(torch.sigmoid(logit(model.generator(z)))).mean()).backward()
        players[1].step()
        # The mean of both, the older one with the weight of the decay.
        share = (1 - settings.ema_decay) / (1 - settings.ema_decay**step)
        for average, weight in zip(kept, model.generator.parameters(), strict=True):
            average.lerp_(weight.detach(), share)
    for own, expected in (
        (found.discriminator, list(model.discriminator.parameters())),
        (found.generator, kept),
    ):
        for weight, right in zip(own.parameters(), expected, strict=True):
            torch.testing.assert_close(weight, right.detach(), rtol=1e-9, atol=1e-9)
            assert not weight.requires_grad


def test_the_least_settings_are_allowed_and_none_below():
    assert GAN(1, 1, 1).sample(3, rng()).shape == (3, 1)
    assert GAN(1, 1, 1).logit(torch.zeros(3, 1)).shape == (3,)
    Settings(n_steps=1, batch_size=1, penalty=0.0, ema_decay=0.0)
    for bad in (
        {"n_steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"penalty": -0.1},
        {"penalty": math.inf},
        {"ema_decay": -0.1},
        {"ema_decay": 1.0},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Settings(**bad)


def test_no_samples_are_an_empty_batch():
    model = GAN(2)
    assert model.noise(0).shape == (0, model.n_latents)
    assert model.sample(0).shape == (0, 2)
