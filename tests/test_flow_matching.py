"""Flow matching: the pieces against enumeration and closed forms, and what is refused."""

import inspect
import itertools
import math
from functools import partial

import pytest
import torch

from fromnoise.flow_matching import (
    change_schedule,
    conditional_flow_matching,
    conditional_velocity,
    marginal_flow_matching,
    marginal_velocity,
    mean_flow_loss,
    mean_flow_step,
    mean_flow_target,
    optimal_coupling,
    reflow_pairs,
    straightness,
    velocity_denoiser,
)
from fromnoise.gaussians import Gaussian, GaussianMixture, denoiser
from fromnoise.samplers import ancestral_step, ddim_step, heun_step, sample, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.solvers import UniPC, dpm_solver_3_step
from fromnoise.targets import velocity_from_x_0

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64
MEAN, STD = 0.7, 0.6
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[STD**2]], dtype=F64))
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def time(value):
    return torch.tensor(value, dtype=F64)


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
def test_the_marginal_velocity_is_the_mean_over_the_data(schedule):
    data, x, t = normal(4, 1, 2, 2), normal(5, 1, 2, 2, seed=1), time([0.2, 0.4, 0.5, 0.7, 0.9])
    at = schedule(t)
    found = marginal_velocity(x, data, at)
    for i in range(5):
        alpha, sigma = at.alpha_t[i], at.sigma_t[i]
        weights = [math.exp(-((x[i] - alpha * x_0) / sigma).square().sum() / 2) for x_0 in data]
        lines = [
            at.d_alpha_t[i] * x_0 + at.d_sigma_t[i] / sigma * (x[i] - alpha * x_0) for x_0 in data
        ]
        expected = sum(w * line for w, line in zip(weights, lines, strict=True)) / sum(weights)
        torch.testing.assert_close(found[i], expected, rtol=1e-9, atol=1e-9)


def test_the_flow_of_a_data_set_ends_in_its_data():
    data, schedule = normal(6, 2), Rectified()
    velocity = lambda x, t: marginal_velocity(x, data, schedule(t))  # noqa: E731
    ends = sample(
        velocity_denoiser(velocity, schedule), schedule, normal(20, 2, seed=1), uniform_times(40)
    )
    assert torch.cdist(ends, data).min(1).values.max() < 1e-6


@EVERY
def test_a_velocity_and_its_denoiser_give_the_same_data(schedule):
    ask = denoiser(MIXTURE, schedule)
    again = velocity_denoiser(lambda x, t: velocity_from_x_0(ask(x, t), x, schedule(t)), schedule)
    x, t = normal(7, 2), torch.linspace(0.1, 0.9, 7, dtype=F64)
    torch.testing.assert_close(again(x, t), ask(x, t), rtol=1e-10, atol=1e-10)


@EVERY
def test_a_model_that_knows_each_line_has_no_loss(schedule):
    x_0, eps, t = normal(5, 3, 2), normal(5, 3, 2, seed=1), torch.linspace(0.1, 0.9, 5, dtype=F64)

    def line(x, t):
        return conditional_velocity(x, x_0, schedule(t))

    found = conditional_flow_matching(line, x_0, eps, t, schedule)
    assert found.shape == (5,)
    assert found.max() < 1e-20
    off = conditional_flow_matching(lambda x, t: line(x, t) + 1, x_0, eps, t, schedule)
    torch.testing.assert_close(off, torch.full((5,), 6.0, dtype=F64))  # summed, not averaged


def test_the_lines_of_rectified_flow_are_noise_less_data():
    """The convention of the book: data at 0, so the velocity points from data to noise."""
    x_0, eps, t = normal(5, 2), normal(5, 2, seed=1), torch.linspace(0.0, 1.0, 5, dtype=F64)
    found = conditional_flow_matching(lambda x, t: 0 * x, x_0, eps, t, Rectified())
    torch.testing.assert_close(found, (eps - x_0).square().sum(1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_coupling_is_the_best_of_all(n):
    x_0, eps = normal(n, 1, 2, 2), normal(n, 1, 2, 2, seed=1)
    before = x_0.clone(), eps.clone()
    pairs = optimal_coupling(x_0, eps)
    costs = {
        order: (x_0 - eps[list(order)]).square().sum().item()
        for order in itertools.permutations(range(n))
    }
    assert tuple(pairs.tolist()) == min(costs, key=costs.get)
    assert torch.equal(x_0, before[0])
    assert torch.equal(eps, before[1])


def test_the_coupling_on_a_line_keeps_the_order():
    x_0, eps = normal(300, 1), normal(300, 1, seed=1)
    pairs = optimal_coupling(x_0, eps)
    assert sorted(pairs.tolist()) == list(range(300))
    assert torch.equal(eps[pairs][:, 0].argsort(), x_0[:, 0].argsort())
    assert optimal_coupling(torch.zeros(0, 2), torch.zeros(0, 2)).shape == (0,)


@EVERY
def test_the_pairs_of_a_flow_are_noise_and_what_becomes_of_it(schedule):
    eps = torch.linspace(-2, 2, 7, dtype=F64)[:, None]
    times = uniform_times(60, 0.95, 0.02)
    pairs = reflow_pairs(denoiser(GAUSSIAN, schedule), schedule, eps, times)
    start = schedule(times[0]).sigma_t * eps
    expected = gaussian_flow(schedule, start, times[-1].expand(7), times[0].expand(7))
    assert pairs.eps is eps
    with pytest.raises(ValueError, match="this step draws noise"):
        reflow_pairs(denoiser(GAUSSIAN, schedule), schedule, eps, times, ancestral_step)
    assert (pairs.x_0 - expected).abs().max() < 5e-3


def test_pairs_of_a_flow_are_straight_and_independent_ones_are_not():
    """The flow of a Gaussian maps eps to m + s eps; on those pairs the lines never cross."""
    schedule, t = Rectified(), uniform_times(400)
    eps = torch.tensor([[-1.0], [1.0]], dtype=F64)  # their mean square is 1, that of the noise
    at = schedule(t)

    def path(covariance):
        var = (at.alpha_t * STD).square() + 2 * at.alpha_t * at.sigma_t * covariance
        width = (var + at.sigma_t.square()).sqrt()
        return at.alpha_t[:, None, None] * MEAN + width[:, None, None] * eps

    assert straightness(path(STD), t).max() < 1e-20
    found = straightness(path(0.0), t).mean().item()
    assert found == pytest.approx((2 - math.pi / 2) * STD, rel=1e-4)
    # The path that a sampler takes is this one.
    walked = sample(denoiser(GAUSSIAN, schedule), schedule, eps, t, heun_step, return_path=True)
    assert straightness(walked, t).mean().item() == pytest.approx(found, rel=1e-3)


def test_straightness_converges_to_second_order_and_forgets_the_direction_of_time():
    def gap(n):
        t = uniform_times(n)
        width = ((1 - t).square() * STD**2 + t.square()).sqrt()
        return abs(straightness(width[:, None, None], t).item() - (2 - math.pi / 2) * STD)

    assert math.log2(gap(100) / gap(200)) == pytest.approx(2, abs=0.05)
    path, t = normal(6, 3, 1, 2), time([0.0, 0.1, 0.4, 0.5, 0.9, 1.0])
    backwards = straightness(path.flip(0), t.flip(0))
    torch.testing.assert_close(backwards, straightness(path, t), rtol=1e-12, atol=0)
    # Its unit is a squared speed: half the time makes four times as much.
    torch.testing.assert_close(straightness(path, t / 2), 4 * straightness(path, t))


def test_straightness_on_an_uneven_grid_written_out():
    """Speed 4 for a quarter of the time, then none: chord 1. Twice that in the second dimension."""
    t = time([0.0, 0.25, 1.0])
    path = torch.tensor([[[0.0, 0.0]], [[1.0, 2.0]], [[1.0, 2.0]]], dtype=F64)
    expected = 0.25 * (3**2 + 6**2) + 0.75 * (1**2 + 2**2)
    assert straightness(path, t).item() == pytest.approx(expected, rel=1e-12)


def test_straightness_sees_a_change_of_speed_on_a_straight_line():
    t = uniform_times(50)
    x = t.square()[:, None, None]
    assert straightness(x, t).item() == pytest.approx(1 / 3, rel=1e-3)  # of (2t - 1)^2


@pytest.mark.parametrize("made_for", [Cosine(), VPLinear(), VE(0.01, 50.0)], ids=repr)
@pytest.mark.parametrize("make", [lambda: ddim_step, lambda: dpm_solver_3_step, UniPC])
def test_every_solver_in_log_snr_agrees_after_a_change_of_schedule(made_for, make):
    ask, flow = denoiser(MIXTURE, made_for), Rectified()
    times, x_1 = uniform_times(6, 0.9, 0.1), normal(5, 2)
    at = flow(times)
    mapped = made_for.time_at(at.log_snr_t)
    factor = made_for(mapped).sigma_t / at.sigma_t
    found = sample(change_schedule(ask, made_for, flow), flow, x_1, times, make())
    there = sample(ask, made_for, factor[0] * x_1, mapped, make())
    torch.testing.assert_close(found, there / factor[-1], rtol=1e-10, atol=1e-10)


def test_a_change_of_schedule_reaches_both_ends_and_says_where_it_cannot():
    changed = change_schedule(denoiser(MIXTURE, Cosine()), Cosine(), Rectified())
    x, t = normal(2, 2), time([1.0, 1e-9])
    expected = denoiser(MIXTURE, Rectified())(x, t)
    torch.testing.assert_close(changed(x, t), expected, rtol=1e-9, atol=1e-9)
    changed = change_schedule(denoiser(MIXTURE, VPLinear()), VPLinear(), Rectified())
    with pytest.raises(ValueError, match="log_snr must lie in"):
        changed(x, time([1.0, 0.5]))
    single = change_schedule(lambda x, t: x * t[:, None], Cosine(), Rectified())
    assert single(torch.ones(2, 2), torch.tensor([0.5, 0.2])).dtype == torch.float32


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


def same(x, t):
    return x


def narrow(x, t):
    return x[:, :1]


def plain(function):
    """The function as users meet it, without the shape checks that only the tests switch on."""
    return inspect.unwrap(function)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plain(conditional_velocity)(X, X[:, :1], Rectified()(T)), r"x_0 must .* \(3, 1\)"),
        (lambda: conditional_velocity(X, X, Rectified()(0 * T)), "sigma_t > 0"),
        (lambda: marginal_velocity(X, torch.zeros(0, 2), Rectified()(T)), r"got \(0, 2\)"),
        (lambda: plain(marginal_velocity)(X, torch.zeros(4, 3), Rectified()(T)), r"got \(4, 3\)"),
        (lambda: marginal_flow_matching(narrow, same, X, T), "the velocity must"),
        (
            lambda: marginal_flow_matching(same, lambda x, t: x[:, :1], X, T),
            "the true velocity must",
        ),
        (lambda: conditional_flow_matching(same, X, X, 0 * T, VPLinear()), "finite slopes"),
        (lambda: plain(optimal_coupling)(X, X[:2]), r"eps must have shape \(3, 2\), got \(2, 2\)"),
        (lambda: optimal_coupling(X, X * math.nan), "must be finite"),
        (lambda: plain(straightness)(torch.zeros(3, 1, 1), uniform_times(3)), "3 states"),
        (lambda: straightness(torch.zeros(1, 1, 1), time([0.5])), "two or more times"),
        (
            lambda: straightness(torch.zeros(3, 1, 1), time([0.0, 0.5, 0.5])),
            "all rising or falling",
        ),
        (lambda: mean_flow_step(lambda x, s, t: x[:, :1], X, 0 * T, T), "the mean velocity must"),
        (lambda: mean_flow_target(lambda x, s, t: x[:, :1], X, X, T, T), "the mean velocity must"),
        (lambda: mean_flow_loss(lambda x, s, t: x, X, X, T, 0.5 * T, Rectified()), "need s <= t"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
