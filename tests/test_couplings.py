"""Couplings: assignment against enumeration, straightness in closed form, what is refused."""

import inspect
import itertools
import math

import pytest
import torch

from fromnoise.couplings import optimal_coupling, reflow_pairs, straightness
from fromnoise.gaussians import Gaussian
from fromnoise.oracles import denoiser
from fromnoise.samplers import ancestral_step, heun_step, sample, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64
MEAN, STD = 0.7, 0.6
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[STD**2]], dtype=F64))


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
    with pytest.raises(ValueError, match="no times"):
        reflow_pairs(denoiser(GAUSSIAN, schedule), schedule, eps, times[:0])


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


X, T = torch.zeros(3, 2), torch.full((3,), 0.5)


def plain(function):
    """The function as users meet it, without the shape checks that only the tests switch on."""
    return inspect.unwrap(function)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plain(optimal_coupling)(X, X[:2]), r"eps must have shape \(3, 2\), got \(2, 2\)"),
        (lambda: optimal_coupling(X, X * math.nan), "must be finite"),
        (lambda: plain(straightness)(torch.zeros(3, 1, 1), uniform_times(3)), "3 states"),
        (lambda: straightness(torch.zeros(1, 1, 1), time([0.5])), "two or more times"),
        (
            lambda: straightness(torch.zeros(3, 1, 1), time([0.0, 0.5, 0.5])),
            "all rising or falling",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_times_are_enough_and_they_may_not_turn_or_stand_still():
    path = torch.tensor([[[0.0]], [[1.0]], [[3.0]]])
    assert straightness(path[:2], torch.tensor([1.0, 0.0])) == 0
    for times in ([1.0, 0.5, 0.5], [1.0, 0.5, 0.6], [0.5, 0.5, 0.4]):
        with pytest.raises(ValueError, match="all rising or falling"):
            straightness(path, torch.tensor(times))
