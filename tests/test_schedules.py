"""A schedule is right when its derivatives, its inverse and its ends are."""

import math

import pytest
import torch

from fromnoise.schedules import VE, Cosine, Rectified, Scales, VPLinear, beside, discrete_chain

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VPLinear(0.3, 0.3), VE(), VE(0.002, 80.0)]
VARIANCE_PRESERVING = [Cosine(), VPLinear(), VPLinear(0.3, 0.3)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64


def inner_times(n: int = 301) -> torch.Tensor:
    return torch.linspace(0.001, 0.999, n, dtype=F64)


@EVERY
def test_derivatives_match_autograd(schedule):
    t = inner_times().requires_grad_()
    at = schedule(t)
    for value, derivative in ((at.alpha_t, at.d_alpha_t), (at.sigma_t, at.d_sigma_t)):
        # Adding 0 t gives the constant alpha of VE a graph.
        (expected,) = torch.autograd.grad((value + 0 * t).sum(), t, retain_graph=True)
        torch.testing.assert_close(derivative, expected, rtol=1e-12, atol=1e-12)


@EVERY
def test_slope_of_the_log_snr_matches_autograd(schedule):
    t = inner_times().requires_grad_()
    (expected,) = torch.autograd.grad(schedule(t).log_snr_t.sum(), t)
    torch.testing.assert_close(schedule(t).d_log_snr_t, expected, rtol=1e-10, atol=1e-10)


@EVERY
def test_time_at_inverts_the_log_snr(schedule):
    t = inner_times()
    torch.testing.assert_close(schedule.time_at(schedule(t).log_snr_t), t, rtol=0, atol=1e-14)


@EVERY
def test_log_snr_falls_all_the_way(schedule):
    at = schedule(torch.linspace(0, 1, 1001, dtype=F64))
    assert (at.log_snr_t.diff() < 0).all()
    assert (at.alpha_t.diff() <= 0).all()
    torch.testing.assert_close(at.snr_t[1:-1].log(), at.log_snr_t[1:-1], rtol=1e-12, atol=1e-12)


@EVERY
def test_linear_sde_reproduces_the_marginals(schedule):
    """d alpha = f alpha dt and d sigma^2 = (2 f sigma^2 + g^2) dt: the moments of the SDE."""
    t = inner_times().requires_grad_()
    at = schedule(t)
    (d_variance,) = torch.autograd.grad(at.sigma_t.square().sum(), t, retain_graph=True)
    torch.testing.assert_close(at.drift_rate * at.alpha_t, at.d_alpha_t, rtol=1e-12, atol=1e-12)
    growth = 2 * at.drift_rate * at.sigma_t.square() + at.diffusion_rate.square()
    torch.testing.assert_close(growth, d_variance, rtol=1e-9, atol=1e-11)


def test_rates_of_vp_linear_are_its_betas():
    at, t = VPLinear(0.1, 20.0)(inner_times()), inner_times()
    beta = 0.1 + 19.9 * t
    torch.testing.assert_close(at.drift_rate, -beta / 2, rtol=1e-12, atol=0)
    torch.testing.assert_close(at.diffusion_rate.square(), beta, rtol=1e-9, atol=0)


@pytest.mark.parametrize("schedule", VARIANCE_PRESERVING, ids=repr)
def test_variance_is_preserved(schedule):
    at = schedule(torch.linspace(0, 1, 101, dtype=F64))
    total = at.alpha_t.square() + at.sigma_t.square()
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-15)


def test_values_known_in_closed_form():
    half = torch.tensor(0.5, dtype=F64)
    assert Rectified()(half).alpha_t == 0.5 == Rectified()(half).sigma_t
    assert Cosine()(half).alpha_t.item() == pytest.approx(math.sqrt(0.5), rel=1e-15)
    assert Cosine()(half / 3 * 2).sigma_t.item() == pytest.approx(0.5, rel=1e-15)
    assert VE(0.01, 4.0)(half).sigma_t.item() == pytest.approx(0.2, rel=1e-15)
    # Integral of beta over [0, 1/2]: 0.1 / 2 + 19.9 / 8.
    assert VPLinear()(half).alpha_t.item() == pytest.approx(math.exp(-(0.05 + 2.4875) / 2))


def test_ends_are_exact_where_the_data_or_the_noise_is_gone():
    ends = torch.tensor([0.0, 1.0])
    for schedule in (Rectified(), Cosine()):
        at = schedule(ends)
        assert at.alpha_t.tolist() == [1.0, 0.0]
        assert at.sigma_t.tolist() == [0.0, 1.0]
        assert at.log_snr_t.tolist() == [math.inf, -math.inf]


def test_terminal_snr_of_vp_linear_is_not_zero():
    at = VPLinear()(torch.tensor(1.0, dtype=F64))
    assert at.alpha_t.item() == pytest.approx(math.exp(-10.05 / 2), rel=1e-14)
    assert at.alpha_t.item() == pytest.approx(0.0066, abs=5e-5)  # as the docstring says


@EVERY
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_low_precision_times_are_computed_in_float64(schedule, dtype):
    t = torch.linspace(0.01, 1, 50).to(dtype)
    for low, exact in zip(schedule(t), schedule(t.double()), strict=True):
        assert low.dtype == dtype
        assert torch.equal(low, exact.to(dtype))


def test_noise_scale_keeps_its_digits_near_the_data():
    """1 - alpha^2 formed in float64 at t = 1e-12 has three digits left; expm1 keeps them all."""
    t = torch.tensor(1e-12, dtype=F64)
    assert VPLinear()(t).sigma_t.square().item() == pytest.approx(1e-13, rel=1e-9)


@EVERY
@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
def test_times_outside_the_unit_interval_are_refused(schedule, bad):
    with pytest.raises(ValueError, match=r"t must lie in \[0, 1\]"):
        schedule(torch.tensor([0.5, bad]))


def test_log_snr_that_never_occurs_is_refused():
    with pytest.raises(ValueError, match=r"log_snr must lie in \[-10.05, inf\], got -20"):
        VPLinear().time_at(torch.tensor([-20.0]))
    with pytest.raises(ValueError, match=r"log_snr must lie in"):
        VE().time_at(torch.tensor([30.0]))
    with pytest.raises(ValueError, match=r"log_snr must lie in"):
        Cosine().time_at(torch.tensor([math.nan]))


def test_log_snr_rounded_past_an_end_is_that_end():
    for schedule in (VPLinear(), VE()):
        end = schedule(torch.tensor(1.0)).log_snr_t
        assert 1 - schedule.time_at(end).item() < 1e-6
    assert Cosine().time_at(torch.tensor([math.inf, -math.inf])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("rates", [(0.0, 1.0), (2.0, 1.0), (0.1, math.inf), (math.nan, 1.0)])
def test_bad_rates_are_refused(rates):
    with pytest.raises(ValueError, match="beta_min"):
        VPLinear(*rates)


@pytest.mark.parametrize("noise", [(0.0, 1.0), (1.0, 1.0), (0.1, math.inf)])
def test_bad_noise_scales_are_refused(noise):
    with pytest.raises(ValueError, match="sigma_min"):
        VE(*noise)


@pytest.mark.parametrize("schedule", VARIANCE_PRESERVING, ids=repr)
def test_chain_is_the_schedule_at_equal_steps(schedule):
    chain = discrete_chain(schedule, 40)
    torch.testing.assert_close(chain.alpha_step.cumprod(0), chain.alpha_bar, rtol=1e-12, atol=1e-15)
    at = schedule(torch.arange(1, 41, dtype=F64) / 40)
    torch.testing.assert_close(chain.alpha_bar, at.alpha_t.square(), rtol=1e-14, atol=0)
    assert torch.equal(chain.beta, 1 - chain.alpha_step)


def test_chain_of_a_constant_rate_is_known():
    chain = discrete_chain(VPLinear(0.3, 0.3), 7)
    expected = torch.full((7,), 1 - math.exp(-0.3 / 7), dtype=F64)
    torch.testing.assert_close(chain.beta, expected, rtol=1e-13, atol=0)


def test_ddpm_betas_are_the_limit_of_many_steps():
    """beta_k -> beta(k / K) / K: the distance falls by four when K doubles (second order)."""

    def distance(n_steps: int) -> float:
        middles = (torch.arange(1, n_steps + 1, dtype=F64) - 0.5) / n_steps
        published = (0.1 + 19.9 * middles) / n_steps
        return (discrete_chain(VPLinear(), n_steps).beta - published).abs().max().item()

    assert math.log2(distance(2000) / distance(4000)) == pytest.approx(2, abs=0.05)


def test_chain_of_a_schedule_with_zero_terminal_snr_ends_in_pure_noise():
    assert discrete_chain(Cosine(), 10).beta[-1] == 1
    assert discrete_chain(VPLinear(), 10).beta[-1] < 1


def test_chain_refuses_what_it_cannot_be():
    with pytest.raises(ValueError, match="does not preserve variance"):
        discrete_chain(Rectified(), 10)
    with pytest.raises(ValueError, match="n_steps must be at least 1"):
        discrete_chain(Cosine(), 0)


def test_scales_stand_beside_data_and_never_broadcast_silently():
    x = torch.zeros(3, 1, 8, 8, dtype=torch.float32)
    assert beside(torch.ones(3, dtype=F64), x).shape == (3, 1, 1, 1)
    assert beside(torch.ones(3, dtype=F64), x).dtype == torch.float32
    assert beside(torch.ones((), dtype=F64), x).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"shape \(8,\) do not match"):
        beside(torch.ones(8), x)


def test_empty_times_give_empty_scales():
    assert isinstance(Cosine()(torch.zeros(0)), Scales)
    assert Cosine()(torch.zeros(0)).alpha_t.shape == (0,)


def test_a_log_snr_that_one_example_cannot_have_is_refused():
    with pytest.raises(ValueError, match=r"must lie in \[-7\.5"):
        VPLinear(beta_max=15.0).time_at(torch.tensor([0.0, -20.0], dtype=torch.float64))


def test_rounding_may_step_over_an_end_by_a_little_and_no_more():
    schedule = VE(0.01, 10.0)
    ends = schedule(torch.tensor([1.0, 0.0], dtype=torch.float64)).log_snr_t.float()
    found = schedule.time_at(ends)
    assert torch.equal(found.round(decimals=6), torch.tensor([1.0, 0.0]))
    assert 0 <= found.min() <= found.max() <= 1
    for beyond in (ends[0] - 1e-3, ends[1] + 1e-3):
        with pytest.raises(ValueError, match="log_snr must lie in"):
            schedule.time_at(beyond)


def test_a_chain_of_one_step_goes_all_the_way():
    chain = discrete_chain(Cosine(), 1)
    assert chain.beta.tolist() == [1.0]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        discrete_chain(Cosine(), 0)


def test_an_answer_is_a_time_even_where_rounding_stepped_over_the_end():
    schedule = VE(0.01, 10.0)
    last, first = schedule(torch.tensor([1.0, 0.0], dtype=torch.float64)).log_snr_t.float()
    step = 10 * (torch.nextafter(last, torch.tensor(-100.0)) - last)
    assert schedule.time_at(last + step).item() == 1.0
    assert schedule.time_at(first - step).item() == 0.0
