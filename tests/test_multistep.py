"""Every solver at its order; those that remember, against their published form."""

import math
from functools import cache, partial
from itertools import pairwise

import pytest
import torch

from fromnoise.adaptive import adaptive_sample
from fromnoise.exponential import midpoint_weights
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.multistep import DPMSolverMultistep, UniPC
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, sample, uniform_log_snr_times, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.solvers import dpm_solver_1_step, dpm_solver_2_step, dpm_solver_3_step

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.01, 5.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64
MEAN, VAR = 0.7, 0.36
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[VAR]], dtype=F64))
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)
# Each entry makes a fresh solver: those that remember must not share their memories.
SOLVERS = {
    "1S": (lambda: dpm_solver_1_step, 1),
    "2S": (lambda: dpm_solver_2_step, 2),
    "3S": (lambda: dpm_solver_3_step, 3),
    "1M": (lambda: DPMSolverMultistep(1), 1),
    "2M": (lambda: DPMSolverMultistep(2), 2),
    "3M": (lambda: DPMSolverMultistep(3), 3),
    "UniPC": (UniPC, 3),
}
SOLVER = pytest.mark.parametrize("name", SOLVERS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def time(value):
    return torch.tensor(value, dtype=F64)


def start(schedule, t, z):
    """The point of the Gaussian's flow at time t that stays z standard deviations from the mean."""
    at = schedule(time(t))
    return at.alpha_t * MEAN + (at.alpha_t.square() * VAR + at.sigma_t.square()).sqrt() * z


def gaussian_order(schedule, make, n_steps):
    z = torch.linspace(-2, 2, 5, dtype=F64)[:, None]
    x_1, exact = start(schedule, 0.9, z), start(schedule, 0.1, z)
    go = partial(sample, denoiser(GAUSSIAN, schedule), schedule, x_1)
    errors = [
        (go(uniform_times(n, 0.9, 0.1), make()) - exact).abs().max() for n in (n_steps, 2 * n_steps)
    ]
    return (errors[0] / errors[1]).log2().item()


@SOLVER
@pytest.mark.parametrize(("schedule", "n_steps"), [(Rectified(), 160), (VE(0.01, 5.0), 100)])
def test_a_solver_has_its_order_on_a_gaussian(schedule, n_steps, name):
    """Steps equal in time are unequal in log-SNR, so the memories lie at uneven nodes."""
    make, order = SOLVERS[name]
    assert gaussian_order(schedule, make, n_steps) == pytest.approx(order, abs=0.05)


@cache
def mixture_flow(schedule):
    """A start, and where the flow of the mixture carries it: by the adaptive rule of order five."""
    x_1 = 2 * normal(10, 2)
    ask = denoiser(MIXTURE, schedule)
    return x_1, adaptive_sample(ask, schedule, x_1, 0.9, 0.1, rtol=1e-10, atol=1e-10).x


@SOLVER
def test_a_solver_has_its_order_on_a_mixture(name):
    schedule, (make, order) = Cosine(), SOLVERS[name]
    x_1, exact = mixture_flow(schedule)
    go = partial(sample, denoiser(MIXTURE, schedule), schedule, x_1)
    errors = [
        (go(uniform_times(n, 0.9, 0.1), make()) - exact).abs().mean().item() for n in (50, 100)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def by_hand(weights, nodes_wanted, start_step=dpm_solver_1_step):
    """A multistep solver from a table of weights, to plant faults in."""
    past = []

    def step(denoise, schedule, x_t, t, s, generator=None):
        at_t, at_s = schedule(t), schedule(s)
        h = (at_s.log_snr_t - at_t.log_snr_t) / 2
        past.insert(0, (at_t.log_snr_t, denoise(x_t, t.expand(len(x_t)))))
        del past[nodes_wanted:]
        if len(past) == 1:
            return start_step(denoise, schedule, x_t, t, s)
        nodes = [((log_snr - past[0][0]) / (2 * h)).item() for log_snr, _ in past]
        x_s = at_s.sigma_t / at_t.sigma_t * x_t
        for weight, (_, x_0_hat) in zip(weights(h, nodes), past, strict=True):
            x_s = x_s + at_s.alpha_t * weight * x_0_hat
        return x_s

    return step


def parabola(bend, h, nodes):
    """Weights of three estimates, written out; common programs have half of the bend."""
    if len(nodes) == 2:
        return midpoint_weights(h, nodes[1])
    _, a, b = nodes
    ones = -torch.expm1(-h)
    slopes = 1 - ones / h
    squares = 1 - 2 * slopes / h
    second = time([1 / (a * b), 1 / (a * (a - b)), 1 / (b * (b - a))])
    first = time([-1 / a, 1 / a, 0.0]) - a * second
    return ones * time([1.0, 0.0, 0.0]) + slopes * first + bend * squares * second


def test_multistep_of_order_three_is_its_table():
    args = (denoiser(MIXTURE, Cosine()), Cosine(), normal(4, 2), uniform_times(9, 0.95, 0.05))
    expected = sample(*args, by_hand(partial(parabola, 1.0), 3, dpm_solver_2_step))
    torch.testing.assert_close(
        sample(*args, DPMSolverMultistep(3)), expected, rtol=1e-12, atol=1e-12
    )


@EVERY
@pytest.mark.parametrize(("t", "s"), [(1.0, 0.6), (0.7, 0.2), (0.3, 0.0), (1.0, 0.0)])
def test_the_first_order_is_ddim(schedule, t, s):
    args = (denoiser(MIXTURE, schedule), schedule, normal(6, 2), time(t), time(s))
    expected = ddim_step(*args)
    for step in (dpm_solver_1_step, DPMSolverMultistep(1)):
        torch.testing.assert_close(step(*args), expected, rtol=1e-13, atol=1e-13)


def test_2m_is_its_published_form():
    """D = (1 + 1/2r) D_now - (1/2r) D_before, over uneven steps."""
    schedule, x = Cosine(), normal(5, 2)
    times = time([0.9, 0.7, 0.6, 0.25])
    ask, before, gain = denoiser(MIXTURE, schedule), None, None
    expected = x
    for t, s in pairwise(times):
        at_t, at_s = schedule(t), schedule(s)
        h = (at_s.alpha_t / at_s.sigma_t).log() - (at_t.alpha_t / at_t.sigma_t).log()
        now = ask(expected, t.expand(5))
        r = None if gain is None else gain / h
        mixed = now if r is None else (1 + 1 / (2 * r)) * now - before / (2 * r)
        expected = at_s.sigma_t / at_t.sigma_t * expected - at_s.alpha_t * torch.expm1(-h) * mixed
        before, gain = now, h
    found = sample(ask, schedule, x, times, DPMSolverMultistep(2))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_unipc_is_its_published_form():
    """The corrector's coefficients from the 2 x 2 system of the paper, with B = e^{-h} - 1."""
    schedule, x = Cosine(), normal(5, 2)
    times = time([0.9, 0.7, 0.6, 0.25])
    ask, before, gain = denoiser(MIXTURE, schedule), None, None
    now = ask(x, times[0].expand(5))
    for t, s in pairwise(times):
        at_t, at_s = schedule(t), schedule(s)
        h = (at_s.alpha_t / at_s.sigma_t).log() - (at_t.alpha_t / at_t.sigma_t).log()
        b = torch.expm1(-h)
        base = at_s.sigma_t / at_t.sigma_t * x - at_s.alpha_t * b * now
        if before is None:
            there = ask(base, s.expand(5))
            x = base - at_s.alpha_t * b * (there - now) / 2
        else:
            r = -gain / h
            slope = (before - now) / r
            there = ask(base - at_s.alpha_t * b * slope / 2, s.expand(5))
            phi_2 = -b / h - 1
            phi_3 = -phi_2 / h - 1 / 2
            system = torch.stack([time([1.0, 1.0]), torch.stack([r, time(1.0)])])
            rho = torch.linalg.solve(system, torch.stack([phi_2, 2 * phi_3]) / b)
            x = base - at_s.alpha_t * b * (rho[0] * slope + rho[1] * (there - now))
        before, now, gain = now, there, h
    found = sample(ask, schedule, normal(5, 2), times, UniPC())
    torch.testing.assert_close(found, x, rtol=1e-12, atol=1e-12)


@SOLVER
def test_a_solver_does_not_see_the_shape_of_the_schedule(name):
    """The same log-SNR grid and the same noise give the same data on every schedule."""
    log_snr, ends = torch.linspace(-4, 8, 13, dtype=F64), []
    for schedule in (Rectified(), Cosine(), VPLinear(), VE(0.01, 50.0)):
        times = schedule.time_at(log_snr)
        x = schedule(times[0]).alpha_t * torch.linspace(-8, 8, 20, dtype=F64).reshape(10, 2)
        x_s = sample(denoiser(MIXTURE, schedule), schedule, x, times, SOLVERS[name][0]())
        ends.append(x_s / schedule(times[-1]).alpha_t)
    for other in ends[1:]:
        torch.testing.assert_close(other, ends[0], rtol=1e-9, atol=1e-9)


@SOLVER
@EVERY
def test_a_denoiser_that_knows_the_answer_is_followed_to_it(schedule, name):
    x_0, eps = normal(6, 2), normal(6, 2, seed=1)
    first, last = schedule(time(0.9)), schedule(time(0.2))
    x_t = first.alpha_t * x_0 + first.sigma_t * eps
    found = sample(lambda x, t: x_0, schedule, x_t, uniform_times(3, 0.9, 0.2), SOLVERS[name][0]())
    expected = last.alpha_t * x_0 + last.sigma_t * eps
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@SOLVER
def test_pure_noise_and_clean_data_are_reached_by_the_first_order(name):
    """No polynomial in log-SNR reaches an infinite one: those two steps are those of DDIM."""
    schedule, x, make = Rectified(), normal(5, 2), SOLVERS[name][0]
    ask = denoiser(MIXTURE, schedule)
    path = sample(ask, schedule, x, uniform_times(6), make(), return_path=True)
    assert path.isfinite().all()
    for k, (t, s) in ((0, (1.0, 5 / 6)), (5, (1 / 6, 0.0))):
        if (name, k) == ("UniPC", 5):
            continue  # its last estimate was made at the prediction, not at the corrected point
        expected = ddim_step(ask, schedule, path[k], time(t), time(s))
        torch.testing.assert_close(path[k + 1], expected, rtol=1e-12, atol=1e-12)


@SOLVER
def test_calls_of_the_denoiser(name):
    """8 finite steps, then one to clean data; and every example is told its time."""
    seen = []

    def ask(x_t, t):
        seen.append(t)
        return 0.9 * x_t

    times = uniform_log_snr_times(9, Cosine())
    x_0 = sample(ask, Cosine(), torch.ones(3, 1, 2, 2), times, SOLVERS[name][0]())
    wanted = {"1S": 9, "2S": 17, "3S": 25, "1M": 9, "2M": 9, "3M": 10, "UniPC": 9}
    assert len(seen) == wanted[name]
    assert all(t.shape == (3,) and t.dtype == torch.float32 for t in seen)
    assert x_0.dtype == torch.float32
    assert x_0.shape == (3, 1, 2, 2)


@pytest.mark.parametrize("name", ["2M", "3M", "UniPC"])
def test_one_solver_serves_walk_after_walk(name):
    schedule, make = Cosine(), SOLVERS[name][0]
    go = partial(sample, denoiser(MIXTURE, schedule), schedule)
    solver = make()
    times = uniform_times(5, 0.9, 0.1)
    first, second = normal(4, 2, seed=1), normal(4, 2, seed=2)
    expected = go(second, times, make())
    go(first, times, solver)
    assert torch.equal(go(second, times, solver), expected)
    # A walk left in the middle, and another one taken up at the same time.
    half = go(first, times[:3], solver)
    assert torch.equal(go(second, times[2:], solver), go(second, times[2:], make()))
    assert not torch.equal(go(half, times[2:], make()), go(first, times, make()))
    # The same tensor at another time is not where it left off.
    half = go(first, times[:3], solver)
    assert torch.equal(go(half, times[3:], solver), go(half, times[3:], make()))
    # The very tensor it gave last is the same walk.
    half = go(first, times[:3], solver)
    assert torch.equal(go(half, times[2:], solver), go(first, times, make()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DPMSolverMultistep(4), "order must be 1, 2 or 3, got 4"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
