"""Exponential weights against quadrature, and the orders they promise."""

import math
from functools import partial

import pytest
import torch
from numpy.polynomial.legendre import leggauss

from fromnoise.exponential import combine, exponential_weights, midpoint_weights
from fromnoise.gaussians import Gaussian
from fromnoise.oracles import denoiser
from fromnoise.samplers import sample, uniform_times
from fromnoise.schedules import VE, Cosine
from fromnoise.solvers import dpm_solver_1_step, dpm_solver_2_step

F64 = torch.float64
MEAN, VAR = 0.7, 0.36
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[VAR]], dtype=F64))


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exponential_weights(time(math.inf), [0.0]), "finite h"),
        (lambda: exponential_weights(time(1.0), [0.0, 0.0]), "distinct nodes"),
        (lambda: exponential_weights(time(1.0), []), "distinct nodes"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_each_estimate_needs_its_weight():
    at_t, at_s = Cosine()(torch.tensor(0.5).double()), Cosine()(torch.tensor(0.4).double())
    x = torch.ones(1, 2).double()
    with pytest.raises(ValueError, match="zip"):
        combine(x, at_t, at_s, [x], torch.ones(2).double())
