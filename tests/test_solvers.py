"""Solvers of higher order: single steps against their published form, and churn."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, heun_step, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.solvers import (
    churn_step,
    dpm_solver_1_step,
    dpm_solver_2_step,
    dpm_solver_3_step,
)

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.01, 5.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64
MEAN, VAR = 0.7, 0.36
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[VAR]], dtype=F64))
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def time(value):
    return torch.tensor(value, dtype=F64)


def test_2s_is_its_published_form():
    """x_m = (sigma_m / sigma_t) x - alpha_m (e^{-h/2} - 1) D(x, t), then the same with D(x_m)."""
    schedule, x, t, s = VPLinear(), normal(5, 2), time(0.8), time(0.4)
    ask = denoiser(MIXTURE, schedule)
    half = [(schedule(u).alpha_t / schedule(u).sigma_t).log() for u in (t, s)]
    m = schedule.time_at(half[0] + half[1])
    at_t, at_m, at_s, h = schedule(t), schedule(m), schedule(s), half[1] - half[0]
    shrink = torch.exp(-h / 2) - 1
    x_m = at_m.sigma_t / at_t.sigma_t * x - at_m.alpha_t * shrink * ask(x, t.expand(5))
    expected = at_s.sigma_t / at_t.sigma_t * x
    expected = expected - at_s.alpha_t * (torch.exp(-h) - 1) * ask(x_m, m.expand(5))
    found = dpm_solver_2_step(ask, schedule, x, t, s)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def moments_of(step, schedule, times):
    """Variance at the end on a Gaussian: each step is affine in x and z, so none is sampled."""
    var = schedule(times[0]).alpha_t.square() * VAR + schedule(times[0]).sigma_t.square()
    ask = denoiser(GAUSSIAN, schedule)
    z = normal(2, 1, seed=7)[0]
    for t, s in pairwise(times):
        x = time([[0.0], [1.0]])
        offset, moved = step(ask, schedule, x, t, s, seeded(7), noise_scale=0.0)
        shaken = step(ask, schedule, x, t, s, seeded(7))[0]
        var = (moved - offset) ** 2 * var + ((shaken - offset) / z) ** 2
    return var


@pytest.mark.parametrize("schedule", [Cosine(), VPLinear()], ids=repr)
def test_churn_keeps_the_order_of_the_step_in_the_moments(schedule):
    at = schedule(time(0.1))
    exact = at.alpha_t.square() * VAR + at.sigma_t.square()
    gaps = []
    for n in (40, 80):
        step = partial(churn_step, churn=4.0 / n)
        gaps.append(abs(moments_of(step, schedule, uniform_times(n, 0.9, 0.1)) - exact).item())
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(2, abs=0.1)
    assert gaps[1] < 1e-3


@EVERY
def test_churn_goes_up_to_the_law_of_the_noisier_time(schedule):
    """With a step that stays where it is put, only the noise is seen."""
    seen = []

    def stay(ask, schedule, x_t, t, s, generator=None):
        seen.append(t)
        return x_t

    t, z = time(0.4), normal(2, 1, seed=3)
    x = time([[0.0], [1.0]])
    ask = denoiser(GAUSSIAN, schedule)
    found = churn_step(ask, schedule, x, t, time(0.3), seeded(3), churn=0.3, step=stay)
    at, up = schedule(t), schedule(seen[0])
    assert (up.sigma_t / up.alpha_t).item() == pytest.approx(
        1.3 * (at.sigma_t / at.alpha_t).item(), rel=1e-12
    )
    kept = up.alpha_t / at.alpha_t
    fresh = (found - kept * x) / z
    var = up.sigma_t**2 - kept**2 * at.sigma_t**2
    torch.testing.assert_close(fresh, var.sqrt().expand(2, 1), rtol=1e-9, atol=0)


def test_churn_that_does_nothing_is_the_step():
    schedule, x = VE(0.01, 5.0), normal(4, 2)
    args = (denoiser(MIXTURE, schedule), schedule, x, time(0.8), time(0.5))
    expected = heun_step(*args)
    assert torch.equal(churn_step(*args, churn=0.0), expected)
    for out_of_range in ((10.0, 20.0), (0.0, 0.1)):
        assert torch.equal(churn_step(*args, churn=0.3, between=out_of_range), expected)
    assert not torch.equal(churn_step(*args, seeded(), churn=0.3, between=(0.1, 10.0)), expected)
    first_order = churn_step(*args, churn=0.0, step=ddim_step)
    assert torch.equal(first_order, ddim_step(*args))
    # Pure noise cannot be stirred, and no generator is asked for.
    at_noise = (denoiser(MIXTURE, Cosine()), Cosine(), x, time(1.0), time(0.5))
    assert torch.equal(churn_step(*at_noise, churn=0.3), heun_step(*at_noise))


def test_churn_ends_where_the_schedule_does():
    seen = []
    schedule, x = VE(0.01, 5.0), normal(4, 2)

    def ask(x_t, t):
        seen.append(t[0].item())
        return x_t

    churn_step(ask, schedule, x, time(0.99), time(0.5), seeded(), churn=0.4)
    assert seen[0] == 1.0


X = torch.zeros(2, 1)


def still(x_t, t):
    return x_t


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dpm_solver_1_step(still, Cosine(), X, time(0.0), time(0.0)), "none at t = 0"),
        (lambda: churn_step(still, Cosine(), X, time(0.5), time(0.2), churn=-0.1), "churn -0.1"),
        (
            lambda: churn_step(
                still, Cosine(), X, time(0.5), time(0.2), churn=0.1, noise_scale=math.nan
            ),
            "noise_scale nan",
        ),
        (lambda: churn_step(still, Cosine(), X, time(0.5), time(0.2), churn=0.1), "pass generator"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_churn_happens_at_both_ends_of_its_range_and_not_without_end():
    schedule, x = Rectified(), normal(3, 1)
    ratio = float(schedule(time(0.5)).sigma_t / schedule(time(0.5)).alpha_t)
    step = (denoiser(GAUSSIAN, schedule), schedule, x, time(0.5), time(0.4))
    plain = heun_step(*step)
    for between in ((ratio, 9.0), (0.0, ratio)):
        assert not torch.equal(churn_step(*step, seeded(), churn=0.3, between=between), plain)
    assert torch.equal(churn_step(*step, seeded(), churn=0.3, between=(0.0, ratio / 2)), plain)
    for endless in ({"churn": math.inf}, {"churn": 0.1, "noise_scale": math.inf}):
        with pytest.raises(ValueError, match="finite and at least 0"):
            churn_step(*step, seeded(), **endless)


def test_the_third_order_step_is_its_three_stages():
    """At a third and two thirds of the step in log-SNR; each stage a line through two estimates."""
    schedule, x, t, s = VPLinear(), normal(4, 2), time(0.8), time(0.5)
    told = denoiser(MIXTURE, schedule)
    at_t, at_s = schedule(t), schedule(s)
    h = (at_s.log_snr_t - at_t.log_snr_t) / 2

    def ask(x_t, at_time):
        return told(x_t, at_time.expand(len(x_t)))

    def stage(share, first, second, node):
        """The linear interpolant of the estimates at 0 and at the node, integrated exactly."""
        at = schedule(schedule.time_at(at_t.log_snr_t + 2 * share * h))
        step = share * h
        whole = -torch.expm1(-step)
        slope = (step - whole) / step / node
        return at.sigma_t / at_t.sigma_t * x + at.alpha_t * (
            whole * first + slope * (second - first)
        )

    first = ask(x, t)
    x_third = stage(1 / 3, first, first, 1.0)
    third = ask(x_third, schedule.time_at(at_t.log_snr_t + 2 / 3 * h))
    x_two_thirds = stage(2 / 3, first, third, 1 / 2)
    two_thirds = ask(x_two_thirds, schedule.time_at(at_t.log_snr_t + 4 / 3 * h))
    expected = stage(1.0, first, two_thirds, 2 / 3)
    found = dpm_solver_3_step(told, schedule, x, t, s)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
