"""Mean flow: the step against the exact flow, the target written out, what is refused."""

from functools import partial

import pytest
import torch

from fromnoise.flow_matching import conditional_flow_matching
from fromnoise.gaussians import Gaussian
from fromnoise.mean_flow import mean_flow_loss, mean_flow_step, mean_flow_target
from fromnoise.oracles import denoiser
from fromnoise.samplers import sample, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.solvers import dpm_solver_3_step

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64
MEAN, STD = 0.7, 0.6
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[STD**2]], dtype=F64))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def gaussian_flow(schedule, x_t, s, t):
    """The flow keeps the number of standard deviations from the mean."""
    at_t, at_s = schedule(t), schedule(s)
    width_t, width_s = (
        (at.alpha_t.square() * STD**2 + at.sigma_t.square()).sqrt() for at in (at_t, at_s)
    )
    z = (x_t - at_t.alpha_t[:, None] * MEAN) / width_t[:, None]
    return at_s.alpha_t[:, None] * MEAN + width_s[:, None] * z


def mean_of_gaussian(schedule, x_t, s, t):
    return (x_t - gaussian_flow(schedule, x_t, s, t)) / (t - s)[:, None]


@EVERY
def test_the_true_mean_velocity_makes_data_in_one_step(schedule):
    x_t, s, t = normal(6, 1), torch.full((6,), 0.02, dtype=F64), torch.full((6,), 0.97, dtype=F64)
    found = mean_flow_step(partial(mean_of_gaussian, schedule), x_t, s, t)
    torch.testing.assert_close(found, gaussian_flow(schedule, x_t, s, t), rtol=1e-12, atol=1e-12)
    fine = uniform_times(100, 0.97, 0.02)
    walked = sample(denoiser(GAUSSIAN, schedule), schedule, x_t, fine, dpm_solver_3_step)
    assert (found - walked).abs().max() < 1e-4
    at_once = sample(denoiser(GAUSSIAN, schedule), schedule, x_t, fine[[0, -1]])
    assert (found - at_once).abs().max() > 0.05


def test_mean_flow_training_without_a_step_is_flow_matching():
    schedule, t = Cosine(), torch.linspace(0.1, 0.9, 5, dtype=F64)
    x_0, eps = normal(5, 1, 2, 2), normal(5, 1, 2, 2, seed=1)
    found = mean_flow_loss(lambda x, s, t: torch.sin(x), x_0, eps, t, t, schedule)
    expected = conditional_flow_matching(lambda x, t: torch.sin(x), x_0, eps, t, schedule)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_no_gradient_passes_through_the_target():
    weight = torch.tensor(0.3, dtype=F64, requires_grad=True)
    x_0, eps, schedule = normal(5, 2), normal(5, 2, seed=1), Rectified()
    s, t = torch.full((5,), 0.2, dtype=F64), torch.full((5,), 0.8, dtype=F64)

    def model(x, s, t):
        return weight * x * t[:, None]

    loss = mean_flow_loss(model, x_0, eps, s, t, schedule).sum()
    (found,) = torch.autograd.grad(loss, weight)
    x_t, line = 0.2 * x_0 + 0.8 * eps, eps - x_0
    # Written out: d/dt of w x t along the line is w (u t + x).
    target = line - 0.6 * 0.3 * (0.8 * line + x_t)
    expected = (2 * (0.3 * 0.8 * x_t - target) * 0.8 * x_t).sum()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    value, right = mean_flow_target(model, line, x_t, s, t)
    torch.testing.assert_close(value, 0.24 * x_t, rtol=1e-12, atol=0)
    torch.testing.assert_close(right, target, rtol=1e-12, atol=0)


X, T = torch.zeros(3, 2), torch.full((3,), 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_flow_step(lambda x, s, t: x[:, :1], X, 0 * T, T), "the mean velocity must"),
        (lambda: mean_flow_target(lambda x, s, t: x[:, :1], X, X, T, T), "the mean velocity must"),
        (lambda: mean_flow_loss(lambda x, s, t: x, X, X, T, 0.5 * T, Rectified()), "need s <= t"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_bad_time_among_good_ones_is_refused_and_the_ends_are_allowed():
    still = lambda x, s, t: x  # noqa: E731
    x = torch.ones(2, 1, dtype=F64)
    time = partial(torch.tensor, dtype=F64)
    with pytest.raises(ValueError, match="need s <= t"):
        mean_flow_loss(still, x, x, time([0.1, 0.9]), time([0.5, 0.5]), Rectified())
    for s, t in (([0.1, -0.1], [0.5, 0.5]), ([0.1, 0.1], [0.5, 1.1])):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            mean_flow_target(still, x, x, time(s), time(t))
    value, _ = mean_flow_target(still, x, x, time([0.0, 0.0]), time([1.0, 1.0]))
    assert torch.equal(value, x)
