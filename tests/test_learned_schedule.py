"""A learned schedule keeps the rules of every schedule, and the bound does not see its shape."""

import math

import numpy as np
import pytest
import torch

from fromnoise.diffusion import elbo_weight
from fromnoise.gaussians import Gaussian
from fromnoise.learned_schedule import LearnedSchedule, MonotoneLogSNR, VELinear
from fromnoise.oracles import denoiser
from fromnoise.preconditioning import simple_weight
from fromnoise.samplers import euler_step

F64 = torch.float64


def bent(seed: int, spread: float = 1.5, **ends: float) -> LearnedSchedule:
    shape = MonotoneLogSNR(**ends)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in shape.parameters():
            weight += spread * torch.randn(weight.shape, generator=generator, dtype=F64)
    return LearnedSchedule(shape)


SCHEDULES = [VELinear(), VELinear(0.5), LearnedSchedule(MonotoneLogSNR()), bent(1), bent(2, 3.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=["edm", "ve", "flat", "bent", "very"])
LEARNED = pytest.mark.parametrize("schedule", SCHEDULES[2:], ids=["flat", "bent", "very"])


def inner_times(n: int = 201) -> torch.Tensor:
    return torch.linspace(0.001, 0.999, n, dtype=F64)


@EVERY
def test_derivatives_match_autograd(schedule):
    t = inner_times().requires_grad_()
    at = schedule(t)
    for value, derivative in ((at.alpha_t, at.d_alpha_t), (at.sigma_t, at.d_sigma_t)):
        # Adding 0 t gives the constant alpha of VELinear a graph.
        (expected,) = torch.autograd.grad((value + 0 * t).sum(), t, retain_graph=True)
        torch.testing.assert_close(derivative, expected, rtol=1e-10, atol=1e-12)
    assert (at.d_sigma_t + at.d_alpha_t).abs().max() > 1e-3  # a wrong sign would be seen
    (slope,) = torch.autograd.grad(at.log_snr_t.sum(), t)
    torch.testing.assert_close(at.d_log_snr_t, slope, rtol=1e-9, atol=1e-10)


@EVERY
def test_time_at_inverts_the_log_snr(schedule):
    """As near as the log-SNR itself tells times apart, and never worse than 1e-10."""
    t = inner_times()
    found = schedule.time_at(schedule(t).log_snr_t.detach())
    torch.testing.assert_close(found, t, rtol=0, atol=1e-10)


@EVERY
def test_log_snr_falls_all_the_way(schedule):
    at = schedule(torch.linspace(0, 1, 1001, dtype=F64))
    assert (at.log_snr_t.diff() < 0).all()
    assert (at.alpha_t.diff() <= 0).all()
    assert (at.sigma_t.diff() >= 0).all()


@LEARNED
def test_ends_are_held_and_variance_is_kept(schedule):
    at = schedule(torch.linspace(0, 1, 11, dtype=F64))
    torch.testing.assert_close(
        at.log_snr_t[[0, -1]], torch.tensor([13.3, -5.0], dtype=F64), rtol=1e-11, atol=0
    )
    total = at.alpha_t.square() + at.sigma_t.square()
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-14, atol=0)


@LEARNED
def test_log_snr_beyond_the_ends_is_refused_and_rounding_is_not(schedule):
    for bad in (13.4, -5.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="log_snr must lie in"):
            schedule.time_at(torch.tensor([bad], dtype=F64))
    found = schedule.time_at(torch.tensor([13.3, -5.0]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0]), rtol=0, atol=1e-5)


@EVERY
def test_times_may_have_any_shape(schedule):
    t = inner_times(6)
    flat = schedule(t)
    for shaped, pick in ((t.reshape(2, 3), slice(None)), (t[4], 4)):
        for scale, expected in zip(schedule(shaped), flat, strict=True):
            assert torch.equal(scale, expected[pick].reshape(shaped.shape))


def test_it_starts_near_a_straight_line():
    t = torch.linspace(0, 1, 101, dtype=F64)
    away = SCHEDULES[2](t).log_snr_t - (13.3 - 18.3 * t)
    assert 0 < away.abs().max() < 0.5
    assert (SCHEDULES[3](t).log_snr_t - (13.3 - 18.3 * t)).abs().max() > 0.5


def test_float32_times_give_float32_scales():
    assert all(scale.dtype == torch.float32 for scale in SCHEDULES[3](torch.tensor([0.3])))


def test_bad_choices_are_refused():
    for bad in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="sigma_max must be positive"):
            VELinear(bad)
    for ends in ((1.0, 1.0), (-1.0, 2.0), (float("nan"), 0.0), (float("inf"), 0.0)):
        with pytest.raises(ValueError, match="log_snr_1 < log_snr_0"):
            MonotoneLogSNR(*ends)
    with pytest.raises(ValueError, match="n_bends must be at least 1"):
        MonotoneLogSNR(n_bends=0)


def test_one_euler_step_of_edm_lands_on_the_estimate():
    data = Gaussian(torch.tensor([0.4], dtype=F64), torch.tensor([[0.3]], dtype=F64))
    estimate, x_t = denoiser(data, VELinear()), torch.tensor([[2.0], [-7.0]], dtype=F64)
    for t in (0.01, 0.4, 1.0):
        t, zero = torch.tensor(t, dtype=F64), torch.tensor(0.0, dtype=F64)
        found = euler_step(estimate, VELinear(), x_t, t, zero)
        torch.testing.assert_close(found, estimate(x_t, t.expand(2)), rtol=1e-12, atol=1e-12)
        assert (found - x_t).abs().min() > 1e-3


def weighted_error(schedule, weight):
    """Gauss-Legendre nodes on panels: weighted error of the exact denoiser of N(0, 0.6^2)."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(20))
    left = torch.arange(200, dtype=F64)[:, None] / 200
    t, w = (left + (nodes + 1) / 400).flatten(), (weights / 400).repeat(200)
    at = schedule(t)
    error = 0.36 * at.sigma_t.square() / (0.36 * at.alpha_t.square() + at.sigma_t.square())
    return (w * weight(at) * error), w


def test_the_bound_sees_only_the_ends():
    """For a Gaussian the integral is known: half the log of the ratio of 1 + 0.36 SNR."""
    snr = torch.tensor([13.3, -5.0], dtype=F64).exp()
    exact = torch.log((1 + 0.36 * snr[0]) / (1 + 0.36 * snr[1])) / 2
    for schedule in SCHEDULES[2:4]:
        terms, _ = weighted_error(schedule, elbo_weight)
        torch.testing.assert_close(terms.sum(), exact, rtol=1e-10, atol=0)
        gradients = torch.autograd.grad(terms.sum(), list(schedule.log_snr.parameters()))
        assert max(g.abs().max() for g in gradients) < 1e-8
        # The simple loss does see the shape.
        terms, _ = weighted_error(schedule, simple_weight)
        gradients = torch.autograd.grad(terms.sum(), list(schedule.log_snr.parameters()))
        assert max(g.abs().max() for g in gradients) > 1e-3


def test_learning_lowers_the_variance_of_the_bound_and_not_the_bound():
    """The variance is that of one uniform draw of the time, by quadrature."""
    schedule = LearnedSchedule(MonotoneLogSNR())
    optimizer = torch.optim.Adam(schedule.log_snr.parameters(), lr=0.1)
    totals, second_moments = [], []
    for _ in range(60):
        terms, w = weighted_error(schedule, elbo_weight)
        second_moment = (terms.square() / w).sum()
        optimizer.zero_grad()
        second_moment.backward()
        optimizer.step()
        totals.append(terms.sum().item())
        second_moments.append(second_moment.item())
    variances = [m - total**2 for m, total in zip(second_moments, totals, strict=True)]
    assert variances[-1] < 0.2 * variances[0]
    assert max(totals) - min(totals) < 1e-7 * totals[0]


def test_the_shape_starts_with_even_bends_near_a_straight_line():
    shape = MonotoneLogSNR(4.0, -2.0, n_bends=4)
    assert shape.centers.tolist() == [0.125, 0.375, 0.625, 0.875]
    t = inner_times()
    straight = 4.0 - 6.0 * t
    assert (shape(t)[0] - straight).abs().max() < 0.05 * 6
    slopes = shape(t)[1]
    assert slopes.max() / slopes.min() > 0.8  # both are negative
    assert MonotoneLogSNR(n_bends=1)(t)[0].isfinite().all()


def test_ends_must_fall_and_be_finite_and_scales_positive():
    for ends in ((1.0, 1.0), (1.0, -math.inf), (math.inf, 1.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="need finite log_snr_1 < log_snr_0"):
            MonotoneLogSNR(*ends)
    with pytest.raises(ValueError, match="n_bends must be at least 1, got 0"):
        MonotoneLogSNR(n_bends=0)
    assert VELinear(0.5).scales(torch.tensor([0.5], dtype=F64)).d_sigma_t.item() == 0.5


@LEARNED
def test_the_inverse_knows_the_ends_and_goes_on_along_the_tangents(schedule):
    ends, slopes = schedule.log_snr(torch.tensor([0.0, 1.0], dtype=F64))
    outside = torch.stack([ends[0] + 0.3, ends[1] - 0.2, ends[0], ends[1]])
    exact = torch.stack(
        [0.3 / slopes[0], 1 - 0.2 / slopes[1], torch.tensor(0.0), torch.tensor(1.0)]
    )
    assert (schedule.time(outside) - exact).abs().max() < 1e-12
