"""Flow matching: velocities and losses against closed forms, and what is refused."""

import inspect
import math

import pytest
import torch

from fromnoise.flow_matching import (
    change_schedule,
    conditional_flow_matching,
    conditional_velocity,
    marginal_flow_matching,
    marginal_velocity,
    velocity_denoiser,
)
from fromnoise.mixtures import GaussianMixture
from fromnoise.multistep import UniPC
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, sample, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.solvers import dpm_solver_3_step
from fromnoise.targets import velocity_from_x_0

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def time(value):
    return torch.tensor(value, dtype=F64)


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
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("there, here", [(Cosine(), Rectified()), (Rectified(), Cosine())])
def test_another_schedule_asks_at_the_scaled_point(there, here):
    """At equal log-SNR the two inputs differ by the ratio of their signals."""
    asked = []

    def denoiser(x_t, t):
        asked.append((x_t, t))
        return x_t

    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    x_t = torch.ones(2, 1, dtype=torch.float64)
    change_schedule(denoiser, there, here)(x_t, t)
    at_here, at_there = here(t), there(asked[0][1])
    assert (at_here.log_snr_t - at_there.log_snr_t).abs().max() < 1e-12
    assert (asked[0][0][:, 0] - at_there.alpha_t / at_here.alpha_t).abs().max() < 1e-12


def test_the_velocity_of_a_data_set_works_on_images():
    data = torch.randn(5, 1, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    x_t = data[:2] * 0.5 + 0.1
    scales = Rectified()(torch.tensor(0.4, dtype=torch.float64))
    flat = marginal_velocity(x_t.flatten(1), data.flatten(1), scales)
    assert (marginal_velocity(x_t, data, scales).flatten(1) - flat).abs().max() < 1e-14
    weights = [
        torch.exp(-(x - scales.alpha_t * data).square().sum((1, 2, 3)) / (2 * scales.sigma_t**2))
        for x in x_t
    ]
    x_0_hat = torch.stack([torch.einsum("i,i...->...", w / w.sum(), data) for w in weights])
    # On the straight line the velocity is the noise less the data.
    eps_hat = (x_t - scales.alpha_t * x_0_hat) / scales.sigma_t
    assert (marginal_velocity(x_t, data, scales) - (eps_hat - x_0_hat)).abs().max() < 1e-12
