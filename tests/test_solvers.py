"""Solvers of higher order: each at its order, each against its published form written out."""

import math
from functools import cache, partial
from itertools import pairwise

import pytest
import torch
from numpy.polynomial.legendre import leggauss

from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, heun_step, sample, uniform_log_snr_times, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.solvers import (
    DPMSolverMultistep,
    UniPC,
    adaptive_sample,
    churn_step,
    dpm_solver_1_step,
    dpm_solver_2_step,
    dpm_solver_3_step,
    exponential_weights,
    midpoint_weights,
)

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


@pytest.mark.parametrize(
    ("bend", "begin", "order"),
    [
        (1.0, dpm_solver_2_step, 3),
        (1.0, dpm_solver_1_step, 2),
        (0.5, dpm_solver_2_step, 2),
    ],
    ids=["as here", "start of order one", "half the bend"],
)
def test_order_three_needs_its_start_and_its_bend(bend, begin, order):
    """The two faults of common programs, planted: either makes the third order a second."""
    found = gaussian_order(VE(0.01, 5.0), lambda: by_hand(partial(parabola, bend), 3, begin), 80)
    assert found == pytest.approx(order, abs=0.1)


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


@pytest.mark.parametrize("h", [1e-7, 0.01, 0.7, 5.0, 30.0])
@pytest.mark.parametrize("nodes", [[0.0], [0.0, -0.8], [0.0, 2 / 3], [0.0, 1.0, -1.3]])
def test_weights_integrate_every_power_that_they_can(h, nodes):
    """Against Gauss-Legendre quadrature on 60 nodes; powers that are too high must be missed."""
    point, mass = (torch.from_numpy(side) for side in leggauss(60))
    tau, mass = (point + 1) / 2, mass / 2
    weights = exponential_weights(time(h), nodes)
    for power in range(len(nodes) + 1):
        expected = (mass * h * torch.exp(-h * (1 - tau)) * tau**power).sum()
        found = sum(w * c**power for w, c in zip(weights, nodes, strict=True))
        gap = abs(found - expected) / h
        if power < len(nodes):
            assert gap < 1e-13
        elif nodes != [0.0, 2 / 3]:  # whose two nodes reach one power further as h goes to 0
            assert gap > 1e-3


def test_weights_sum_to_what_the_step_replaces():
    for h in (1e-9, 0.3, 40.0):
        for weights in (
            exponential_weights(time(h), [0.0, -0.4, 1.0]),
            midpoint_weights(time(h), -2.0),
        ):
            torch.testing.assert_close(weights.sum(), -torch.expm1(-time(h)), rtol=1e-12, atol=0)


def test_the_midpoint_rule_agrees_to_the_order_of_two_estimates():
    """On a line of slope one the two rules differ by h^2 / 12: below the order by one h."""
    for h in (1e-2, 1e-3):
        exact, rule = exponential_weights(time(h), [0.0, -0.7]), midpoint_weights(time(h), -0.7)
        gap = -0.7 * (exact[1] - rule[1])
        assert (gap / h**2).item() == pytest.approx(1 / 12, rel=h)


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
        (lambda: DPMSolverMultistep(4), "order must be 1, 2 or 3, got 4"),
        (lambda: exponential_weights(time(math.inf), [0.0]), "finite h"),
        (lambda: exponential_weights(time(1.0), [0.0, 0.0]), "distinct nodes"),
        (lambda: exponential_weights(time(1.0), []), "distinct nodes"),
        (lambda: dpm_solver_1_step(still, Cosine(), X, time(0.0), time(0.0)), "none at t = 0"),
        (lambda: churn_step(still, Cosine(), X, time(0.5), time(0.2), churn=-0.1), "churn -0.1"),
        (
            lambda: churn_step(
                still, Cosine(), X, time(0.5), time(0.2), churn=0.1, noise_scale=math.nan
            ),
            "noise_scale nan",
        ),
        (lambda: churn_step(still, Cosine(), X, time(0.5), time(0.2), churn=0.1), "pass generator"),
        (lambda: adaptive_sample(still, Cosine(), X, t_min=0.0), "0 < t_min"),
        (lambda: adaptive_sample(still, Cosine(), X, t_max=1.5), "t_max 1.5"),
        (lambda: adaptive_sample(still, Cosine(), X, rtol=0.0), "rtol 0.0"),
        (lambda: adaptive_sample(lambda x, t: x / 0, Cosine(), X), "not finite at t = 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
