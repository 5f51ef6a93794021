"""The forward process, its posterior and the bounds, where the answers are known."""

import inspect
from functools import partial

import pytest
import torch

from fromnoise.diffusion import (
    elbo_weight,
    perturb,
    posterior,
    prior_kl,
    simple_loss,
    step_kl,
    transition,
)
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear, discrete_chain
from fromnoise.targets import PredictEps, PredictV

F64 = torch.float64
SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE()]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def at(schedule, *times):
    return schedule(torch.tensor(times, dtype=F64))


def test_perturb_is_the_definition_and_leaves_its_input():
    x_0, eps = torch.ones(2, 3, dtype=F64), torch.full((2, 3), 2.0, dtype=F64)
    x_t = perturb(x_0, eps, at(Rectified(), 0.25, 0.75))
    assert x_t.tolist() == [[0.75 + 0.5] * 3, [0.25 + 1.5] * 3]
    assert (x_0 == 1).all()
    with pytest.raises(ValueError, match="eps has"):
        # Under the tests the annotations refuse it first: ask the function itself.
        inspect.unwrap(perturb)(x_0, eps[:, :2], at(Rectified(), 0.1, 0.2))


def test_ddpm_posterior_variance_is_the_published_one():
    """beta-tilde of Ho et al., from the chain's own letters."""
    chain, n = discrete_chain(VPLinear(), 50), 50
    k = torch.arange(2, n + 1, dtype=F64) / n
    zero = torch.zeros(n - 1, 1, dtype=F64)
    _, var = posterior(zero, zero, VPLinear()(k), VPLinear()(k - 1 / n))
    bar = chain.alpha_bar
    published = (1 - bar[:-1]) / (1 - bar[1:]) * chain.beta[1:]
    torch.testing.assert_close(var, published, rtol=1e-10, atol=0)


@EVERY
def test_posterior_of_no_step_is_where_we_are(schedule):
    x_t, x_0 = torch.randn(2, 4, 3, generator=seeded(), dtype=F64)
    here = at(schedule, 0.2, 0.4, 0.6, 0.8)
    mean, var = posterior(x_t, x_0, here, here)
    torch.testing.assert_close(mean, x_t, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(var, torch.zeros(4, dtype=F64), rtol=0, atol=1e-12)


def test_posterior_of_the_last_step_is_the_data():
    x_t, x_0 = torch.randn(2, 4, 3, generator=seeded(), dtype=F64)
    mean, var = posterior(x_t, x_0, at(Cosine(), *[0.3] * 4), at(Cosine(), *[0.0] * 4))
    torch.testing.assert_close(mean, x_0, rtol=1e-13, atol=1e-13)
    assert (var == 0).all()


def test_steps_in_the_wrong_direction_are_refused():
    with pytest.raises(ValueError, match="cleaner time"):
        transition(at(Cosine(), 0.3), at(Cosine(), 0.6))
    with pytest.raises(ValueError, match="alpha_s > 0"):
        transition(at(Cosine(), 1.0), at(Cosine(), 1.0))


def test_step_to_clean_data_is_not_a_kl():
    x = torch.zeros(1, 2, dtype=F64)
    with pytest.raises(ValueError, match="sigma_s > 0"):
        step_kl(x, x, at(Cosine(), 0.5), at(Cosine(), 0.0))
    with pytest.raises(ValueError, match="sigma_1 > 0"):
        prior_kl(x, at(Cosine(), 0.0))


def test_nothing_is_left_at_zero_terminal_snr():
    x_0 = torch.randn(5, 1, 8, 8, generator=seeded())
    assert (prior_kl(x_0, Cosine()(torch.ones(5))) == 0).all()
    assert (prior_kl(x_0, VPLinear()(torch.ones(5))) > 0).all()


def test_elbo_weight_is_half_the_fall_of_the_snr():
    t = torch.linspace(0.1, 0.9, 9, dtype=F64).requires_grad_()
    for schedule in SCHEDULES:
        (slope,) = torch.autograd.grad(schedule(t).snr_t.sum(), t)
        torch.testing.assert_close(elbo_weight(schedule(t)), -slope / 2, rtol=1e-9, atol=1e-9)


def test_simple_loss_is_a_mean_over_dimensions_of_the_targets_error():
    x_0 = torch.randn(4, 1, 2, 2, generator=seeded(), dtype=F64)
    eps = torch.randn(x_0.shape, generator=seeded(1), dtype=F64)
    t = torch.linspace(0.2, 0.8, 4, dtype=F64)
    loss = partial(simple_loss, schedule=Cosine(), x_0=x_0, t=t, eps=eps)
    assert (loss(lambda x, t: eps, PredictEps()) == 0).all()
    torch.testing.assert_close(
        loss(lambda x, t: torch.zeros_like(x), PredictEps()), eps.square().mean((1, 2, 3))
    )
    scales = Cosine()(t)
    alpha, sigma = (scale.reshape(4, 1, 1, 1) for scale in scales[:2])
    v = alpha * eps - sigma * x_0
    torch.testing.assert_close(
        loss(lambda x, t: v + 2, PredictV()), torch.full((4,), 4.0, dtype=F64)
    )


def scales_at(*times: float):
    return Rectified()(torch.tensor(times, dtype=torch.float64))


def test_one_bad_example_in_a_batch_is_refused():
    x_0 = torch.zeros(2, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="alpha_s > 0"):
        transition(scales_at(1.0, 1.0), scales_at(0.5, 1.0))
    with pytest.raises(ValueError, match="cleaner time"):
        transition(scales_at(0.5, 0.5), scales_at(0.4, 0.6))
    with pytest.raises(ValueError, match="sigma_s > 0"):
        step_kl(x_0, x_0, scales_at(0.5, 0.5), scales_at(0.4, 0.0))
    with pytest.raises(ValueError, match="sigma_1 > 0"):
        prior_kl(x_0, scales_at(0.5, 0.0))


def test_a_step_of_two_batches_names_their_shapes():
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        transition(scales_at(0.5, 0.6), scales_at(0.1, 0.2, 0.3))


def test_the_weight_of_the_bound_is_zero_where_nothing_is_left_of_the_data():
    assert elbo_weight(scales_at(1.0)).tolist() == [0.0]


def test_an_empty_batch_costs_nothing_at_the_end():
    assert prior_kl(torch.zeros(0, 3, dtype=torch.float64), scales_at()).shape == (0,)


@pytest.mark.parametrize("schedule", [Rectified(), Cosine(), VPLinear()], ids=repr)
def test_the_cost_of_a_step_is_the_kl_of_the_two_posteriors(schedule):
    generator = torch.Generator().manual_seed(5)
    x_0, x_0_hat, x_t = torch.randn((3, 4, 5), generator=generator, dtype=torch.float64)
    times = torch.tensor([[0.9, 0.6, 0.4, 0.2], [0.7, 0.5, 0.1, 0.19]], dtype=torch.float64)
    at_t, at_s = schedule(times[0]), schedule(times[1])
    mean, var = posterior(x_t, x_0, at_t, at_s)
    guess, _ = posterior(x_t, x_0_hat, at_t, at_s)
    std = var.sqrt().reshape(-1, 1).expand_as(mean)
    true, guessed = torch.distributions.Normal(mean, std), torch.distributions.Normal(guess, std)
    kl = torch.distributions.kl_divergence(true, guessed).sum(1)
    assert torch.allclose(step_kl(x_0, x_0_hat, at_t, at_s), kl, rtol=1e-10, atol=0)


@pytest.mark.parametrize("n", [1, 4])
def test_the_cost_of_the_end_is_the_kl_to_the_standard_normal(n):
    generator = torch.Generator().manual_seed(6)
    x_0 = torch.randn((n, 2, 3), generator=generator, dtype=torch.float64)
    at = VPLinear()(torch.linspace(0.5, 1, n, dtype=torch.float64))
    # A signal that the schedule does not leave shows the square.
    at = at._replace(alpha_t=at.alpha_t + 0.3)
    scale = [each.reshape(-1, 1, 1) for each in (at.alpha_t, at.sigma_t)]
    end = torch.distributions.Normal(scale[0] * x_0, scale[1].expand_as(x_0))
    standard = torch.distributions.Normal(torch.zeros_like(x_0), 1.0)
    kl = torch.distributions.kl_divergence(end, standard).flatten(1).sum(1)
    assert torch.allclose(prior_kl(x_0, at), kl, rtol=1e-10, atol=1e-14)


def test_noised_data_are_scaled_data_plus_scaled_noise():
    x_0, eps = torch.tensor([[2.0]]), torch.tensor([[3.0]])
    at = Rectified()(torch.tensor([0.25]))
    assert perturb(x_0, eps, at).item() == 0.75 * 2 + 0.25 * 3
