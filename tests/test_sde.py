"""Continuous-time diffusion: exact laws on Gaussians, equivalences with the samplers, and edges."""

import inspect
import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, euler_step, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.score import denoiser_score
from fromnoise.sde import (
    Dynamics,
    SubVP,
    euler_maruyama_step,
    forward_sde,
    probability_flow_ode,
    reverse_sde,
    simulate,
)

F64 = torch.float64
SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0), SubVP()]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
VAR = 0.36
GAUSSIAN = Gaussian(torch.zeros(1, dtype=F64), torch.tensor([[VAR]], dtype=F64))
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


def test_vp_and_ve_have_the_rates_of_the_literature():
    t = time([0.05, 0.5, 1.0])
    at = VPLinear(0.1, 20.0)(t)
    beta = 0.1 + 19.9 * t
    torch.testing.assert_close(at.drift_rate, -beta / 2, rtol=1e-12, atol=0)
    torch.testing.assert_close(at.diffusion_rate, beta.sqrt(), rtol=1e-12, atol=0)
    at = VE(0.05, 4.0)(t)
    assert (at.drift_rate == 0).all()
    expected = 0.05 * 80**t * math.sqrt(2 * math.log(80))
    torch.testing.assert_close(at.diffusion_rate, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("preserving", [VPLinear(), VPLinear(0.5, 5.0), Cosine()], ids=repr)
def test_sub_vp_has_less_noise_than_vp_and_inverts(preserving):
    schedule, t = SubVP(preserving), torch.linspace(0.001, 0.999, 50, dtype=F64)
    at, vp = schedule(t), preserving(t)
    assert torch.equal(at.alpha_t, vp.alpha_t)
    torch.testing.assert_close(at.sigma_t, 1 - vp.alpha_t**2, rtol=1e-9, atol=0)
    assert (at.diffusion_rate < vp.diffusion_rate).all()
    torch.testing.assert_close(schedule.time_at(at.log_snr_t), t, rtol=1e-9, atol=0)
    assert schedule(time(0.0)).sigma_t == 0
    assert schedule(time(0.0)).alpha_t == 1


def test_sub_vp_needs_a_schedule_that_preserves_variance():
    with pytest.raises(ValueError, match=r"alpha\^2 \+ sigma\^2 = 1"):
        SubVP(Rectified())


def law(dynamics, times, var):
    """Mean of one and variance after the steps, each affine, read off three points a step."""
    mean = time(1.0)
    for t, s in pairwise(times):
        x, z = time([[0.0], [1.0], [0.0]]), time([[0.0], [0.0], [1.0]])
        offset, moved, shaken = euler_maruyama_step(dynamics, x, t, s, z)[:, 0]
        slope, gain = moved - offset, shaken - offset
        mean, var = offset + slope * mean, slope**2 * var + gain**2
    return mean, var


@EVERY
def test_small_steps_forward_have_the_law_of_the_schedule(schedule):
    """Error halves with the step, and extrapolated to none it is gone to second order."""
    first, last = schedule(time(0.1)), schedule(time(0.8))
    var = VAR * first.alpha_t**2 + first.sigma_t**2
    exact = VAR * last.alpha_t**2 + last.sigma_t**2
    errors = [law(forward_sde(schedule), rising(0.1, 0.8, n), var)[1] - exact for n in (80, 160)]
    assert (errors[0] / errors[1]).log2().item() == pytest.approx(1, abs=0.05)
    assert abs(2 * errors[1] - errors[0]) < 0.05 * abs(errors[1])


@EVERY
def test_without_noise_it_is_the_eulers_step(schedule):
    x_t, t, s = normal(7, 2), time(0.8), time(0.7)
    x_0_hat = denoiser(MIXTURE, schedule)
    flow = probability_flow_ode(denoiser_score(x_0_hat, schedule), schedule)
    found = euler_maruyama_step(flow, x_t, t, s)
    expected = euler_step(x_0_hat, schedule, x_t, t, s)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@EVERY
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_a_small_ddim_step_is_a_step_of_the_family(schedule, eta):
    """Slope and noise variance differ by the square of the step: halve it, a quarter is left."""
    x_0_hat, t = denoiser(GAUSSIAN, schedule), time(0.6)
    dynamics = reverse_sde(denoiser_score(x_0_hat, schedule), schedule, eta)
    zero, one = torch.zeros(1, 1, dtype=F64), torch.ones(1, 1, dtype=F64)

    def gap(h):
        ddim = partial(ddim_step, x_0_hat, schedule, t=t, s=t - h, eta=eta)
        still = ddim(x_t=zero, generator=seeded())
        slope, gain = ddim(x_t=one, generator=seeded()) - still, still / normal(1, 1)
        euler = partial(euler_maruyama_step, dynamics, t=t, s=t - h)
        shaken = euler(zero, z=one)
        return torch.stack([slope - euler(one, z=zero), gain**2 - shaken**2])

    coarse, fine = gap(2e-3), gap(1e-3)
    if eta == 0:
        # No noise on either side; and on straight lines Euler's step is DDIM, to all orders.
        assert coarse[1] == fine[1] == 0
        coarse, fine = coarse[:1], fine[:1]
        if isinstance(schedule, Rectified):
            assert coarse.abs() < 1e-13
            return
    torch.testing.assert_close(coarse / fine, torch.full_like(fine, 4.0), rtol=0.05, atol=0)


@pytest.mark.parametrize("dynamics", ["forward", "reverse"])
def test_a_simulation_is_its_steps_with_the_generators_noise(dynamics):
    schedule, x = VPLinear(), normal(6, 2)
    before, generator = x.clone(), seeded(3)
    if dynamics == "forward":
        motion, times = forward_sde(schedule), rising(0.1, 0.5, 4)
    else:
        motion, times = reverse_sde(score_of(MIXTURE, schedule), schedule), uniform_times(4)
    path = [x]
    for t, s in pairwise(times):
        z = torch.randn(6, 2, generator=generator, dtype=F64)
        path.append(euler_maruyama_step(motion, path[-1], t, s, z))
    found = simulate(motion, x, times, seeded(3), return_path=True)
    assert torch.equal(found, torch.stack(path))
    assert torch.equal(simulate(motion, x, times, seeded(3)), path[-1])
    assert torch.equal(x, before)


def test_a_simulation_keeps_the_dtype_builds_no_graph_and_takes_an_empty_batch():
    weight = torch.ones(1, requires_grad=True)
    way_back = reverse_sde(lambda x, t: -weight * x, VPLinear())
    found = simulate(way_back, torch.ones(3, 1, 2, 2), uniform_times(3), seeded())
    assert found.dtype == torch.float32
    assert found.shape == (3, 1, 2, 2)
    assert not found.requires_grad
    assert simulate(way_back, torch.ones(0, 2), uniform_times(3), seeded()).shape == (0, 2)


def test_the_score_is_told_one_time_per_example_in_the_datas_dtype():
    seen = []

    def score(x, t):
        seen.append(t)
        return -x

    simulate(probability_flow_ode(score, VPLinear()), torch.ones(3, 2), time([1.0, 0.5, 0.0]))
    assert [t.tolist() for t in seen] == [[1.0] * 3, [0.5] * 3]
    assert seen[0].dtype == torch.float32


@EVERY
def test_the_flow_runs_both_ways(schedule):
    """Down and up again: what is left is the steps' error, first order like the steps."""
    flow, x = probability_flow_ode(score_of(MIXTURE, schedule), schedule), normal(5, 2)
    gaps = []
    for n in (40, 80):
        down = simulate(flow, x, rising(0.4, 0.8, n).flip(0))
        gaps.append((simulate(flow, down, rising(0.4, 0.8, n)) - x).abs().max().item())
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(1, abs=0.15)


X = torch.zeros(2, 3, dtype=F64)
STILL = Dynamics(lambda x, t: 0 * x, lambda t: t)


def plain_step(z):
    """The step as users meet it, without the shape checks that only the tests switch on."""
    return inspect.unwrap(euler_maruyama_step)(STILL, X, time(0.5), time(0.4), z)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reverse_sde(lambda x, t: x, Cosine(), eta=-0.1), "eta must be .* got -0.1"),
        (lambda: reverse_sde(lambda x, t: x, Cosine(), eta=math.nan), "got nan"),
        (lambda: plain_step(None), r"noise z of shape \(2, 3\), got none"),
        (lambda: plain_step(X[:, :1]), r"got \(2, 1\)"),
        (lambda: simulate(STILL, X, time([1.0, 0.5])), "got none"),
        (lambda: simulate(STILL, X, time([1.0])), "two or more"),
        (lambda: simulate(STILL, X, time([0.5, 0.5])), "all rising or falling"),
        (lambda: simulate(STILL, X, time([0.5, 0.6, 0.4])), "all rising or falling"),
        (lambda: simulate(STILL, X, time([0.5, math.nan])), "all rising or falling"),
        (lambda: simulate(STILL, X, time([1.1, 0.5])), r"lie in \[0, 1\]"),
        (lambda: simulate(STILL, X, time([-0.1, 0.5])), r"lie in \[0, 1\]"),
        (lambda: simulate(forward_sde(VPLinear()), X, time([0.0, 0.5]), seeded()), "g = nan"),
        (lambda: simulate(back(Cosine()), X, time([1.0, 0.5]), seeded()), "at t = 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def back(schedule):
    return reverse_sde(lambda x, t: -x, schedule)


def test_churn_without_end_is_refused():
    with pytest.raises(ValueError, match="eta must be finite"):
        reverse_sde(score_of(MIXTURE, Cosine()), Cosine(), math.inf)
