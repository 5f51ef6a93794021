"""Each coefficient is the answer to a question of variance; each weight is a named loss."""

import pytest
import torch

from fromnoise.diffusion import elbo_weight, perturb
from fromnoise.gaussians import Gaussian
from fromnoise.oracles import denoiser
from fromnoise.preconditioning import (
    PredictResidual,
    edm_coefficients,
    edm_weight,
    for_target,
    min_snr_weight,
    preconditioned,
    simple_weight,
)
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear
from fromnoise.targets import PredictEps, PredictV, PredictX0

F64 = torch.float64
T = torch.linspace(0.02, 0.98, 25, dtype=F64)
EVERY = pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VPLinear(), VE(0.002, 80.0)])
STD = 0.37


def assert_told_apart(found, right, *wrong, tolerance=1e-12):
    assert ((found - right).abs() <= tolerance * (1 + right.abs())).all()
    for other in wrong:
        assert (found - other).abs().max() > 1e4 * tolerance


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@EVERY
def test_input_and_target_have_unit_variance(schedule):
    """Variances from the two coefficients of the linear map (x_0, eps), not from samples."""
    at, c = schedule(T), edm_coefficients(schedule(T), STD)
    of_data, of_noise = at.alpha_t * STD, at.sigma_t
    one = torch.ones_like(T)
    assert_told_apart(c.c_in**2 * (of_data**2 + of_noise**2), one)
    residual_data = STD * (1 - c.c_skip * at.alpha_t)
    variance = (residual_data**2 + (c.c_skip * at.sigma_t) ** 2) / c.c_out**2
    no_skip = STD**2 / c.c_out**2
    assert_told_apart(variance, one, no_skip)


@EVERY
def test_no_other_skip_asks_less_of_the_network(schedule):
    """c_out^2 is a parabola in c_skip; its slope by autograd is zero at the bottom."""
    at, c = schedule(T), edm_coefficients(schedule(T), STD)

    def c_out_squared(c_skip):
        return STD**2 * (1 - c_skip * at.alpha_t) ** 2 + (c_skip * at.sigma_t) ** 2

    c_skip = c.c_skip.clone().requires_grad_()
    (slope,) = torch.autograd.grad(c_out_squared(c_skip).sum(), c_skip)
    scale = at.alpha_t * STD**2
    assert_told_apart(slope / scale, torch.zeros_like(T))
    assert_told_apart(c.c_out**2 / STD**2, c_out_squared(c.c_skip) / STD**2)
    for other in (c.c_skip + 0.1, c.c_skip - 0.1, torch.ones_like(T), torch.zeros_like(T)):
        assert (c_out_squared(other) > c.c_out**2).all()


def test_published_values_of_edm():
    """The four formulas as printed for sigma, at sigma_data 1/2."""
    schedule = VE(0.01, 50.0)
    sigma, c = schedule(T).sigma_t, edm_coefficients(schedule(T))
    total = sigma**2 + 0.5**2
    assert_told_apart(c.c_skip, 0.5**2 / total)
    assert_told_apart(c.c_out, sigma * 0.5 / total.sqrt())
    assert_told_apart(c.c_in, 1 / total.sqrt())
    assert_told_apart(c.c_noise, sigma.log() / 4, sigma.log() / 2)
    assert PredictResidual().data_std == 0.5
    half = preconditioned(lambda x, c_noise: x, schedule)(normal(25, 3), T)
    given = preconditioned(lambda x, c_noise: x, schedule, 0.5)(normal(25, 3), T)
    assert torch.equal(half, given)
    assert_told_apart(edm_weight(schedule(T)), total / (sigma * 0.5) ** 2)


@EVERY
def test_the_target_is_what_the_skip_leaves_and_leads_back(schedule):
    x_0, eps = STD * normal(25, 3), normal(25, 3, seed=1)
    at, target = schedule(T), PredictResidual(STD)
    c = edm_coefficients(at, STD)
    x_t, true = perturb(x_0, eps, at), target.true(x_0, eps, at)
    left_over = (x_0 - c.c_skip[:, None] * x_t) / c.c_out[:, None]
    # At little noise the difference of two near numbers keeps fewer digits than `true`.
    assert_told_apart(true, left_over, -left_over, tolerance=1e-9)
    assert_told_apart(target.x_0_hat(true, x_t, at), x_0)
    error = target.x_0_hat(true + 0.1, x_t, at) - x_0
    assert_told_apart(0.1**2 / error[:, 0] ** 2 * c.c_out**2, torch.ones_like(T), tolerance=1e-9)
    assert_told_apart(target.magnification(at) * c.c_out**2, torch.ones_like(T))


def test_it_is_minus_v_for_unit_data_that_keeps_its_variance():
    x_0, eps = normal(25, 3), normal(25, 3, seed=1)
    residual = PredictResidual(1.0).true(x_0, eps, Cosine()(T))
    v_angle = PredictV().true(x_0, eps, Cosine()(T))
    assert_told_apart(residual, -v_angle, v_angle)
    # Of another standard deviation it is not.
    assert (PredictResidual(STD).true(x_0, eps, Cosine()(T)) + v_angle).abs().max() > 0.1


def test_both_ends_of_the_target_are_defined():
    x_0, eps = STD * normal(2, 3), normal(2, 3, seed=1)
    ends = Cosine()(torch.tensor([0.0, 1.0], dtype=F64))
    found = PredictResidual(STD).true(x_0, eps, ends)
    assert_told_apart(found, torch.stack([-eps[0], x_0[1] / STD]))


@EVERY
def test_a_perfect_network_answers_zero_for_round_gaussian_data(schedule):
    """The skip alone is then the optimal denoiser."""
    data = Gaussian(torch.zeros(3, dtype=F64), STD**2 * torch.eye(3, dtype=F64))
    x_t = normal(25, 3)
    found = preconditioned(lambda x, c: torch.zeros_like(x), schedule, STD)(x_t, T)
    wrong = preconditioned(lambda x, c: torch.zeros_like(x), schedule, 2 * STD)(x_t, T)
    assert_told_apart(found, denoiser(data, schedule)(x_t, T), wrong)


def test_the_network_is_given_the_scaled_input_and_the_noise_level():
    seen = []

    def network(x, c_noise):
        seen.append((x, c_noise))
        return torch.ones_like(x)

    x_t, c = normal(25, 3).float(), edm_coefficients(Cosine()(T), STD)
    found = preconditioned(network, Cosine(), STD)(x_t, T.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(seen[0][0], c.c_in[:, None].float() * x_t, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(seen[0][1], c.c_noise.float(), rtol=1e-5, atol=1e-6)
    expected = c.c_skip[:, None] * x_t + c.c_out[:, None]
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-6)


@EVERY
def test_weights_have_the_names_of_their_losses(schedule):
    at, one = schedule(T), torch.ones_like(T)
    assert_told_apart(for_target(simple_weight, PredictEps())(at), one)
    residual = for_target(lambda s: edm_weight(s, STD), PredictResidual(STD))
    assert_told_apart(residual(at), one)
    expected = torch.minimum(at.snr_t, torch.tensor(5.0, dtype=F64))
    assert_told_apart(min_snr_weight(at), expected, at.snr_t)
    assert_told_apart(min_snr_weight(at, 0.5), at.snr_t.clamp(max=0.5), expected)
    assert_told_apart(for_target(min_snr_weight, PredictX0())(at), expected)
    # The bound over the simple loss is half the speed of the log-SNR.
    ratio = elbo_weight(at) / simple_weight(at)
    t = T.clone().requires_grad_()
    (slope,) = torch.autograd.grad(schedule(t).log_snr_t.sum(), t)
    assert_told_apart(ratio, -slope / 2, slope / 2, -slope, tolerance=1e-10)


def test_v_has_weight_one_more_than_the_snr():
    """Unit data on a schedule that keeps its variance: the loss of EDM is the loss of v."""
    at = Cosine()(T)
    assert_told_apart(edm_weight(at, 1.0), PredictV().magnification(at), simple_weight(at))


def test_bad_input_is_refused():
    ends, inner = Cosine()(torch.tensor([0.0, 1.0], dtype=F64)), Cosine()(T)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        for call in (
            lambda bad=bad: edm_weight(inner, bad),
            lambda bad=bad: edm_coefficients(inner, bad),
            lambda bad=bad: PredictResidual(bad),
            lambda bad=bad: preconditioned(lambda x, c: x, Cosine(), bad),
        ):
            with pytest.raises(ValueError, match="data_std must be positive"):
                call()
    with pytest.raises(ValueError, match="snr_max must be positive"):
        min_snr_weight(inner, 0.0)
    with pytest.raises(ValueError, match="no finite weight for PredictEps"):
        for_target(simple_weight, PredictEps())(ends)
    for t in (0.0, 1.0):
        with pytest.raises(ValueError, match="c_noise is infinite"):
            preconditioned(lambda x, c: x, Cosine())(normal(1, 3), torch.tensor([t], dtype=F64))


def test_one_time_at_an_end_among_good_ones_is_refused():
    asks = preconditioned(lambda x, c: x, Cosine(), 0.5)
    with pytest.raises(ValueError, match="stay off the ends"):
        asks(torch.ones(2, 2), torch.tensor([0.5, 0.0]))


def test_one_time_without_a_finite_weight_among_good_ones_is_refused():
    """At t = 1 of the cosine schedule v says nothing that the weight of the noise could divide."""
    weight = for_target(lambda scales: torch.ones_like(scales.alpha_t), PredictX0())
    assert weight(Cosine()(torch.tensor([0.5, 0.7]))).isfinite().all()
    infinite = for_target(lambda scales: 1 / scales.alpha_t, PredictX0())
    with pytest.raises(ValueError, match="no finite weight"):
        infinite(Cosine()(torch.tensor([0.5, 1.0], dtype=torch.float64)))
