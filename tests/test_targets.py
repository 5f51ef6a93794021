"""Five targets, one piece of knowledge: every conversion gives back the truth."""

import math

import pytest
import torch

from fromnoise import targets
from fromnoise.diffusion import perturb
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE()]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
NAMES = ["x_0", "eps", "v", "velocity", "score"]
PAIRS = [(wanted, given) for wanted in NAMES for given in NAMES if wanted != given]
TARGETS = [
    targets.PredictX0(),
    targets.PredictEps(),
    targets.PredictV(),
    targets.PredictVelocity(),
    targets.PredictScore(),
]
F64 = torch.float64


def convert(wanted, given):
    return getattr(targets, f"{wanted}_from_{given}")


def truth(schedule, t):
    """All five values and x_t, from the definitions alone."""
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(2, len(t), 2, 3, generator=generator, dtype=F64)
    at = schedule(t)
    alpha, sigma, d_alpha, d_sigma = (scale[:, None, None] for scale in at)
    values = {
        "x_0": x_0,
        "eps": eps,
        "v": alpha * eps - sigma * x_0,
        "velocity": d_alpha * x_0 + d_sigma * eps,
        "score": -eps / sigma,
    }
    return values, alpha * x_0 + sigma * eps, at


@EVERY
@pytest.mark.parametrize(("wanted", "given"), PAIRS)
def test_every_conversion_gives_the_truth(schedule, wanted, given):
    values, x_t, at = truth(schedule, torch.linspace(0.02, 0.98, 25, dtype=F64))
    found = convert(wanted, given)(values[given], x_t, at)
    torch.testing.assert_close(found, values[wanted], rtol=1e-10, atol=1e-10)


@EVERY
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: type(t).__name__)
def test_a_perfect_output_stands_for_the_clean_data(schedule, target):
    values, x_t, at = truth(schedule, torch.linspace(0.02, 0.98, 25, dtype=F64))
    output = target.true(values["x_0"], values["eps"], at)
    torch.testing.assert_close(output, values[NAMES[TARGETS.index(target)]], rtol=1e-13, atol=1e-13)
    x_0_hat = target.x_0_hat(output, x_t, at)
    torch.testing.assert_close(x_0_hat, values["x_0"], rtol=1e-10, atol=1e-10)


@EVERY
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: type(t).__name__)
def test_magnification_is_the_ratio_of_squared_errors(schedule, target):
    values, x_t, at = truth(schedule, torch.linspace(0.02, 0.98, 25, dtype=F64))
    output = target.true(values["x_0"], values["eps"], at)
    error = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    error_in_x_0 = target.x_0_hat(output + error, x_t, at) - values["x_0"]
    ratio = error.square().sum((1, 2)) / error_in_x_0.square().sum((1, 2))
    torch.testing.assert_close(target.magnification(at), ratio, rtol=1e-9, atol=0)


def test_v_angle_is_the_velocity_of_the_cosine_path_up_to_a_constant():
    values, _, _ = truth(Cosine(), torch.linspace(0.1, 0.9, 5, dtype=F64))
    torch.testing.assert_close(values["velocity"], math.pi / 2 * values["v"], rtol=1e-13, atol=0)


@EVERY
def test_probability_flow_velocity_is_drift_minus_half_the_score(schedule):
    values, x_t, at = truth(schedule, torch.linspace(0.1, 0.9, 5, dtype=F64))
    drift = at.drift_rate[:, None, None] * x_t
    expected = drift - at.diffusion_rate.square()[:, None, None] * values["score"] / 2
    found = targets.velocity_from_score(values["score"], x_t, at)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@EVERY
def test_tweedie_on_a_mixture_agrees_with_the_gradient_of_the_density(schedule):
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64)
    mixture = GaussianMixture.isotropic(means, 0.3)
    x_t = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    x_t.requires_grad_()
    at = schedule(torch.full((50,), 0.4, dtype=F64))
    (score,) = torch.autograd.grad(mixture.noised(at).log_prob(x_t).sum(), x_t)
    found = targets.x_0_from_score(score, x_t, at)
    torch.testing.assert_close(found, mixture.posterior_mean(x_t, at), rtol=1e-9, atol=1e-9)


# What cannot be known at an end: without signal, and without noise.
LOST_WITHOUT_SIGNAL = {(w, g) for w, g in PAIRS if g in {"eps", "score"}} - {
    ("score", "eps"),
    ("eps", "score"),
}
LOST_WITHOUT_NOISE = {(w, g) for w, g in PAIRS if g == "x_0"} | {
    (w, g) for w, g in PAIRS if w == "score"
}


@pytest.mark.parametrize("schedule", [Rectified(), Cosine()], ids=repr)
@pytest.mark.parametrize(("wanted", "given"), PAIRS)
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_conversions_at_the_ends_are_right_or_refused_by_name(schedule, wanted, given, end):
    t = torch.full((2,), end, dtype=F64)
    values, x_t, at = truth(schedule, t)
    lost = LOST_WITHOUT_NOISE if end == 0 else LOST_WITHOUT_SIGNAL
    if (wanted, given) in lost:
        name = "sigma_t > 0" if end == 0 else "alpha_t > 0"
        with pytest.raises(ValueError, match=name):
            convert(wanted, given)(values[given], x_t, at)
    elif not (given == "score" and end == 0):  # there the score itself is infinite
        found = convert(wanted, given)(values[given], x_t, at)
        torch.testing.assert_close(found, values[wanted], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("wanted", "given"), [p for p in PAIRS if "velocity" in p])
def test_infinite_slopes_are_refused_by_name(wanted, given):
    at = VPLinear()(torch.zeros(1, dtype=F64))
    x = torch.ones(1, 2, dtype=F64)
    with pytest.raises(ValueError, match=r"finite slopes|sigma_t > 0"):
        convert(wanted, given)(x, x, at)


def test_eps_prediction_from_zero_terminal_snr_is_refused_by_name():
    at = Cosine()(torch.ones(1))
    with pytest.raises(ValueError, match="zero signal-to-noise ratio"):
        targets.PredictEps().x_0_hat(torch.zeros(1, 2), torch.zeros(1, 2), at)


def test_low_precision_stays_low_and_shapes_must_match():
    at = Cosine()(torch.full((4,), 0.5, dtype=F64))
    x = torch.zeros(4, 1, 8, 8, dtype=torch.float16)
    assert targets.x_0_from_v(x, x, at).dtype == torch.float16
    with pytest.raises(ValueError, match="do not match"):
        targets.x_0_from_v(x[:3], x[:3], at)


def test_perturb_accepts_one_scale_for_all():
    at = Cosine()(torch.tensor(0.5, dtype=F64))
    x = torch.ones(4, 2, dtype=F64)
    torch.testing.assert_close(perturb(x, x, at), x * math.sqrt(2))


def test_one_example_without_signal_or_noise_is_refused():
    x = torch.zeros(2, 1, dtype=torch.float64)
    at = Rectified()(torch.tensor([0.5, 1.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="alpha_t > 0"):
        targets.x_0_from_eps(x, x, at)
    at = Rectified()(torch.tensor([0.5, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="sigma_t > 0"):
        targets.eps_from_x_0(x, x, at)


def test_one_example_with_an_infinite_slope_is_refused():
    x = torch.zeros(2, 1, dtype=torch.float64)
    at = VPLinear()(torch.tensor([0.5, 0.0], dtype=torch.float64))
    assert not torch.isfinite(at.d_sigma_t).all()
    with pytest.raises(ValueError, match="finite slopes"):
        targets.PredictVelocity().true(x, x, at)
