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
