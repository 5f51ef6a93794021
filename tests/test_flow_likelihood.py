"""Likelihood of the probability flow: its order, independent pixels, and what is refused."""

from functools import partial

import pytest
import torch

from fromnoise.flow_likelihood import hutchinson, log_likelihood, noise_log_prob
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.score import jacobian_trace
from fromnoise.sde import SubVP

F64 = torch.float64
SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0), SubVP()]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
VAR = 0.36
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def time(value):
    return torch.tensor(value, dtype=F64)


def rising(start, stop, n_steps):
    return torch.linspace(start, stop, n_steps + 1, dtype=F64)


def score_of(distribution, schedule):
    return lambda x, t: distribution.noised(schedule(t)).score(x)


@EVERY
def test_the_likelihood_has_order_four(schedule):
    x, end = normal(4, 2), MIXTURE.noised(schedule(time(0.9)))
    exact = MIXTURE.noised(schedule(time(0.5))).log_prob(x)
    go = partial(log_likelihood, score_of(MIXTURE, schedule), schedule, x)
    errors = [(go(rising(0.5, 0.9, n), end.log_prob) - exact).abs().max() for n in (20, 40)]
    assert (errors[0] / errors[1]).log2().item() == pytest.approx(4, abs=0.15)
    assert errors[1] < 1e-4


def test_the_likelihood_of_an_image_sums_over_its_pixels():
    """Independent pixels: the sum of what each pixel gives alone, and float32 stays float32."""
    schedule, x = Rectified(), torch.linspace(-1, 1, 8).reshape(2, 1, 2, 2)
    end = noise_log_prob(schedule, time(0.9))

    def score(x, t):
        at = schedule(t)
        var = (VAR * at.alpha_t**2 + at.sigma_t**2).reshape(-1, *[1] * (x.ndim - 1))
        return -x / var

    whole = log_likelihood(score, schedule, x, rising(0, 0.9, 10), end)
    parts = log_likelihood(score, schedule, x.reshape(8, 1), rising(0, 0.9, 10), end)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(whole, parts.reshape(2, 4).sum(1))


def test_the_likelihood_of_a_linear_flow_is_exact_for_any_sign_vector_on_diagonal_data():
    """If the Jacobian is a multiple of the identity, every sign vector sees its whole trace."""
    schedule, x, times = Cosine(), normal(5, 3), rising(0.0, 0.9, 6)
    unit = Gaussian(torch.zeros(3, dtype=F64), VAR * torch.eye(3, dtype=F64))
    end = unit.noised(schedule(times[-1])).log_prob
    v = 2 * torch.randint(2, (5, 3), generator=seeded(1)).double() - 1
    found = [
        log_likelihood(score_of(unit, schedule), schedule, x, times, end, divergence)
        for divergence in (jacobian_trace, hutchinson(v))
    ]
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


def test_noise_has_the_density_of_a_gaussian():
    schedule, x = VE(0.05, 4.0), normal(5, 3)
    var = schedule(time(1.0)).sigma_t.square()
    expected = Gaussian(torch.zeros(3, dtype=F64), var * torch.eye(3, dtype=F64)).log_prob(x)
    found = noise_log_prob(schedule, time(1.0))(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


X = torch.zeros(2, 3, dtype=F64)


def likelihood(times):
    return log_likelihood(lambda x, t: -x, Rectified(), X, time(times), lambda x: x.sum(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: likelihood([0.5, 0.2]), "times must rise"),
        (lambda: likelihood([0.5, 1.0]), "at t = 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
