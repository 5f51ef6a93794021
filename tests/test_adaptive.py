"""Adaptive steps keep to their tolerance, and refuse what they cannot follow."""

import pytest
import torch

from fromnoise.adaptive import adaptive_sample
from fromnoise.gaussians import Gaussian
from fromnoise.oracles import denoiser
from fromnoise.samplers import sample, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified

F64 = torch.float64
MEAN, VAR = 0.7, 0.36
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[VAR]], dtype=F64))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def time(value):
    return torch.tensor(value, dtype=F64)


def start(schedule, t, z):
    """The point of the Gaussian's flow at time t that stays z standard deviations from the mean."""
    at = schedule(time(t))
    return at.alpha_t * MEAN + (at.alpha_t.square() * VAR + at.sigma_t.square()).sqrt() * z


@pytest.mark.parametrize("schedule", [Rectified(), VE(0.01, 5.0)], ids=repr)
def test_adaptive_steps_keep_to_their_tolerance(schedule):
    z = torch.linspace(-2, 2, 5, dtype=F64)[:, None]
    x_1, exact = start(schedule, 0.95, z), start(schedule, 0.05, z)
    calls = []

    def ask(x_t, t):
        calls.append(1)
        return denoiser(GAUSSIAN, schedule)(x_t, t)

    counts = []
    for tolerance in (1e-6, 1e-9):
        calls.clear()
        walk = adaptive_sample(ask, schedule, x_1, 0.95, 0.05, tolerance, tolerance)
        assert (walk.x - exact).abs().max() < 20 * tolerance
        assert walk.n_evals == len(calls)
        assert (walk.times.diff() < 0).all()
        assert walk.times[[0, -1]].tolist() == [0.95, 0.05]
        counts.append(walk.n_evals)
    # Order five: a thousandth of the error at 1000^(1/5) = 4.0 times the calls.
    assert counts[1] / counts[0] == pytest.approx(4.0, rel=0.25)
    heun = sample(denoiser(GAUSSIAN, schedule), schedule, x_1, uniform_times(40, 0.95, 0.05))
    assert (heun - exact).abs().max() > 1e-3


def test_adaptive_sampling_starts_from_pure_noise_and_keeps_dtype_and_shape():
    x_1 = torch.randn(3, 1, 2, 2, generator=seeded())
    before = x_1.clone()
    walk = adaptive_sample(lambda x, t: 0.5 * x, Cosine(), x_1, rtol=1e-3, atol=1e-3)
    assert walk.x.shape == x_1.shape
    assert walk.x.dtype == torch.float32
    assert torch.equal(x_1, before)
    assert adaptive_sample(lambda x, t: x, Cosine(), torch.zeros(0, 2)).n_evals == 0


X = torch.zeros(2, 1)


def still(x_t, t):
    return x_t


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adaptive_sample(still, Cosine(), X, t_min=0.0), "0 < t_min"),
        (lambda: adaptive_sample(still, Cosine(), X, t_max=1.5), "t_max 1.5"),
        (lambda: adaptive_sample(still, Cosine(), X, rtol=0.0), "rtol 0.0"),
        (lambda: adaptive_sample(lambda x, t: x / 0, Cosine(), X), "not finite at t = 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_times_must_fall_and_tolerances_be_positive():
    ask, x_1 = denoiser(GAUSSIAN, Cosine()), torch.ones(2, 1, dtype=F64)
    with pytest.raises(ValueError, match="t_min < t_max"):
        adaptive_sample(ask, Cosine(), x_1, t_max=0.5, t_min=0.5)
    for tolerances in ({"rtol": 1e-3, "atol": 0.0}, {"rtol": 0.0, "atol": 1e-3}):
        with pytest.raises(ValueError, match="tolerances must be positive"):
            adaptive_sample(ask, Cosine(), x_1, t_max=0.9, t_min=0.5, **tolerances)


def test_one_value_that_is_not_finite_is_refused():
    spoiled = torch.tensor([[1.0], [torch.nan]], dtype=F64)
    with pytest.raises(ValueError, match=r"not finite at t = 0\.9"):
        adaptive_sample(
            lambda x_t, t: spoiled, Cosine(), torch.ones(2, 1, dtype=F64), t_max=0.9, t_min=0.5
        )
