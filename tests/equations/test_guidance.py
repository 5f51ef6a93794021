"""The chapter on guidance: Bayes' rule for scores, what guidance samples, and what sums miss."""

import math

import numpy as np
import torch
from scipy.integrate import solve_ivp

from fromnoise.gaussians import Gaussian
from fromnoise.inverse import linear_posterior
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.schedules import Cosine, Scales
from fromnoise.steering import classifier_guided
from fromnoise.targets import eps_from_x_0, score_from_x_0
from fromnoise.tilting import guided_score, tilted_gaussian
from proof import Sides, proves

F64 = torch.float64
MIX = GaussianMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=F64),
    torch.tensor([[-1.0, 0.2], [0.8, 1.1], [0.9, -0.7]], dtype=F64),
    torch.stack(
        [torch.diag(torch.tensor(v, dtype=F64)) for v in ([0.3, 0.5], [0.2, 0.4], [0.6, 0.1])]
    ),
)
CLASS = 1
LINE = torch.linspace(-12, 12, 24001, dtype=F64)
CELL = 24 / 24000


def points(n: int = 20, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=F64)


def at(t: float) -> Scales:
    return Cosine()(torch.tensor(t, dtype=F64))


def log_class(x: torch.Tensor, scales: Scales) -> torch.Tensor:
    """Log probability of the class given a noisy point, by Bayes' rule on the components."""
    return MIX.noised(scales).responsibilities(x)[..., CLASS].log()


def slope(function, x: torch.Tensor) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return found


@proves("guidance-bayes")
def test_the_score_given_a_class_is_the_score_plus_the_classifiers_slope() -> Sides:
    """The component's own score against the mixture's and autograd through the responsibilities."""
    scales, x = at(0.4), points()
    conditional = MIX.component(CLASS).noised(scales).score(x)
    plain = MIX.noised(scales).score(x)
    steer = slope(lambda y: log_class(y, scales), x)
    return Sides(
        left=conditional,
        right=plain + steer,
        wrong={"without the classifier": plain, "pushed away": plain - steer},
    )


@proves("guidance-classifier")
def test_a_classifier_moves_the_estimate_by_the_noise_over_the_signal() -> Sides:
    """The library's guided estimate against the conditional mean, by quadrature-free Gaussians."""
    schedule, x, t = Cosine(), points(seed=1), torch.full((20,), 0.4, dtype=F64)
    scales = schedule(t)
    exact = MIX.component(CLASS).posterior_mean(x, scales)

    def log_likelihood(y: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return log_class(y, at(0.4))

    guided = classifier_guided(denoiser(MIX, schedule), log_likelihood, schedule)(x, t)
    steer = slope(lambda y: log_class(y, at(0.4)), x)
    plain = MIX.posterior_mean(x, scales)
    reach = (scales.sigma_t.square() / scales.alpha_t)[:, None]
    assert (guided - plain - reach * steer).abs().max() < 1e-12
    return Sides(
        left=exact,
        right=plain + reach * steer,
        wrong={
            "without the signal": plain + reach * scales.alpha_t[:, None] * steer,
            "noise not squared": plain + reach / scales.sigma_t[:, None] * steer,
        },
    )


@proves("guidance-free")
def test_two_scores_hold_a_classifier() -> Sides:
    """The combination of scores against the plain score and 1 + w times the classifier's slope."""
    scales, x, w = at(0.3), points(seed=2), 2.5
    left = guided_score(MIX.component(CLASS), MIX, x, scales, w)
    steer = slope(lambda y: log_class(y, scales), x)
    plain = MIX.noised(scales).score(x)
    return Sides(
        left=left,
        right=plain + (1 + w) * steer,
        wrong={"the other convention": plain + w * steer},
    )


@proves("guidance-targets")
def test_the_weights_may_stand_on_any_target() -> Sides:
    """Guiding the noise and the score, turned back into estimates, against guiding estimates."""
    scales, x, w = at(0.45), points(seed=3), 1.7
    many = Scales(*(part.expand(20) for part in scales))
    with_class = MIX.component(CLASS).posterior_mean(x, scales)
    without = MIX.posterior_mean(x, scales)
    guided = (1 + w) * with_class - w * without
    eps = [eps_from_x_0(x_0, x, many) for x_0 in (with_class, without)]
    score = [score_from_x_0(x_0, x, many) for x_0 in (with_class, without)]
    alpha, sigma = scales.alpha_t, scales.sigma_t
    by_eps = (x - sigma * ((1 + w) * eps[0] - w * eps[1])) / alpha
    by_score = (x + sigma**2 * ((1 + w) * score[0] - w * score[1])) / alpha
    one_less = (x - sigma * (w * eps[0] - w * eps[1])) / alpha
    return Sides(
        left=torch.stack([guided, guided]),
        right=torch.stack([by_eps, by_score]),
        wrong={"weights that do not sum to one": torch.stack([one_less, one_less])},
    )


@proves("guidance-tilted-gaussian")
def test_the_tilt_of_two_gaussians() -> Sides:
    """Mean and variance of the normalized product on a grid, against the formula."""
    c, u, mean_c, mean, w = 0.4, 1.5, 0.9, -0.2, 1.3
    one = torch.ones(1, dtype=F64)
    conditional = Gaussian(mean_c * one, c * one[None])
    unconditional = Gaussian(mean * one, u * one[None])
    x = LINE[:, None]
    log_p = (1 + w) * conditional.log_prob(x) - w * unconditional.log_prob(x)
    mass = (log_p - log_p.logsumexp(0)).exp()
    middle = (mass * LINE).sum()
    spread = (mass * (LINE - middle).square()).sum()
    precision = (1 + w) / c - w / u
    pull = (1 + w) * mean_c / c - w * mean / u
    tilted = tilted_gaussian(conditional, unconditional, w)
    assert abs(tilted.covariance[0, 0] - spread) < 1e-10
    return Sides(
        left=torch.stack([middle, spread]),
        right=torch.tensor([pull / precision, 1 / precision], dtype=F64),
        wrong={
            "weights on variances": torch.tensor(
                [pull / precision, (1 + w) * c - w * u], dtype=F64
            ),
            "without what is taken away": torch.tensor([mean_c, c / (1 + w)], dtype=F64),
        },
    )


@proves("guidance-ode")
def test_the_flow_of_two_centered_gaussians() -> Sides:
    """The library's guided score of two Gaussians, times minus the noise, against the line."""
    c, u, w = 0.4, 1.5, 1.3
    zero, one = torch.zeros(1, dtype=F64), torch.ones(1, 1, dtype=F64)
    sigma, x = torch.linspace(0.1, 9, 12, dtype=F64), points(12, seed=7)[:, :1]
    ones = torch.ones_like(sigma)
    scales = Scales(ones, sigma, torch.zeros_like(sigma), ones)
    score = guided_score(Gaussian(zero, c * one), Gaussian(zero, u * one), x, scales, w)
    noise = sigma[:, None]
    speed = noise * ((1 + w) / (c + noise**2) - w / (u + noise**2)) * x
    return Sides(
        left=-noise * score,
        right=speed,
        wrong={"toward the noise": -speed, "without the noise": speed / noise},
    )


@proves("guidance-flow")
def test_the_guided_flow_ends_with_a_geometric_mean() -> Sides:
    """The flow from noise of a large scale, solved by steps, against the closed form at its end."""
    c, u, w, far = 0.4, 1.5, 1.3, 1e4

    def speed(sigma: float, x: np.ndarray) -> np.ndarray:
        return sigma * ((1 + w) / (c + sigma**2) - w / (u + sigma**2)) * x

    # Each start is noise of variance far squared; the flow multiplies it by one number.
    walk = solve_ivp(speed, (far, 0.0), [far], method="DOP853", rtol=1e-12, atol=1e-12)
    found = torch.tensor([walk.y[0, -1] ** 2], dtype=F64)
    geometric = c ** (1 + w) * u**-w
    harmonic = 1 / ((1 + w) / c - w / u)
    return Sides(
        left=found,
        right=torch.tensor([geometric], dtype=F64),
        wrong={
            "the tilt's variance": torch.tensor([harmonic], dtype=F64),
            "the variance given the condition": torch.tensor([c], dtype=F64),
            "weights exchanged": torch.tensor([u ** (1 + w) * c**-w], dtype=F64),
        },
        tolerance=1e-7,
        reason="a start at a large but finite noise: relative error of the order of 1 / far^2",
    )


def on_a_line() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A mixture on the line: log density, and two conditions with smooth probabilities."""
    parts = [math.log(w) - 0.5 * ((LINE - m) / s) ** 2 - math.log(s) for w, m, s in PARTS]
    log_p = torch.stack(parts).logsumexp(0) - 0.5 * math.log(2 * math.pi)
    return log_p, torch.sigmoid(2 * LINE - 0.5), torch.sigmoid(0.3 - LINE)


PARTS = ((0.4, -1.2, 0.4), (0.6, 0.9, 0.7))


def mean_given(noisy: torch.Tensor, value: torch.Tensor, scales: Scales) -> torch.Tensor:
    """E[value(x_0) | x_t] on the line, by the trapezoid rule."""
    log_p, _, _ = on_a_line()
    gaps = noisy[:, None] - scales.alpha_t * LINE
    joint = log_p - 0.5 * gaps.square() / scales.sigma_t.square()
    return joint.softmax(-1) @ value


def noised_log_density(noisy: torch.Tensor, weight: torch.Tensor, scales: Scales) -> torch.Tensor:
    """Log density of x_t, up to a constant, when x_0 has density p times the weight."""
    log_p, _, _ = on_a_line()
    gaps = noisy[:, None] - scales.alpha_t * LINE
    joint = log_p + weight.log() - 0.5 * gaps.square() / scales.sigma_t.square()
    return joint.logsumexp(-1)


@proves("guidance-noised-tilt")
def test_noising_the_tilt_takes_the_mean_of_a_power() -> Sides:
    """The score of the noised tilt by quadrature, against the mean of the power at each point."""
    scales, w = at(0.5), 2.0
    _, p_c, _ = on_a_line()
    x = torch.linspace(-2, 2, 9, dtype=F64)

    def score_of(function) -> torch.Tensor:
        return slope(function, x)

    none = torch.ones_like(LINE)
    left = score_of(lambda y: noised_log_density(y, p_c ** (1 + w), scales))
    plain = score_of(lambda y: noised_log_density(y, none, scales))
    of_power = score_of(lambda y: mean_given(y, p_c ** (1 + w), scales).log())
    power_of = score_of(lambda y: (1 + w) * mean_given(y, p_c, scales).log())
    return Sides(
        left=left,
        right=plain + of_power,
        wrong={"the power of the mean, as guidance has it": plain + power_of},
    )


@proves("guidance-product")
def test_independent_conditions_multiply() -> Sides:
    """Two measurements at once against the product of each alone over the prior."""
    axes = torch.eye(2, dtype=F64)
    y = torch.tensor([0.4, -0.3], dtype=F64)
    x = points(seed=4)
    both = linear_posterior(MIX, axes, y, 0.6).log_prob(x)
    one, two = (
        linear_posterior(MIX, axes[i : i + 1], y[i : i + 1], 0.6).log_prob(x) for i in (0, 1)
    )
    prior = MIX.log_prob(x)

    def shape(log_density: torch.Tensor) -> torch.Tensor:
        return log_density - log_density[0]  # the constant is not claimed

    return Sides(
        left=shape(both)[1:],
        right=shape(one + two - prior)[1:],
        wrong={"prior counted twice": shape(one + two)[1:]},
    )


@proves("guidance-covariance")
def test_noise_ties_the_conditions_by_a_covariance() -> Sides:
    """Mean of a product against the product of means and the covariance, by quadrature."""
    scales = at(0.5)
    _, p_1, p_2 = on_a_line()
    x = torch.linspace(-2, 2, 9, dtype=F64)
    one, two = mean_given(x, p_1, scales), mean_given(x, p_2, scales)
    gaps = x[:, None] - scales.alpha_t * LINE
    weights = (on_a_line()[0] - 0.5 * gaps.square() / scales.sigma_t.square()).softmax(-1)
    covariance = (weights * (p_1 - one[:, None]) * (p_2 - two[:, None])).sum(-1)
    return Sides(
        left=mean_given(x, p_1 * p_2, scales),
        right=one * two + covariance,
        wrong={"as if nothing tied them": one * two},
    )


@proves("guidance-rescale")
def test_a_rescaled_estimate_has_the_contrast_in_between() -> Sides:
    """The contrast of the rescaled estimate against the two contrasts it is mixed from."""
    from fromnoise.steering import rescaled

    guided, plain, share = 2.5 * points(6, seed=5), points(6, seed=6), 0.7
    found = rescaled(lambda x, t: guided, lambda x, t: plain, share)(guided, torch.zeros(6))
    std = [part.std(1, correction=0) for part in (found, guided, plain)]
    return Sides(
        left=std[0],
        right=share * std[2] + (1 - share) * std[1],
        wrong={"shares exchanged": share * std[1] + (1 - share) * std[2]},
    )


@proves("guidance-avoided")
def test_to_avoid_a_measurement_is_to_ask_for_one_on_the_other_side() -> Sides:
    """The power of two posteriors against the posterior of the measurement moved away."""
    row, x, w = torch.eye(2, dtype=F64)[:1], points(seed=7), 1.5
    y, avoided = torch.tensor([0.3], dtype=F64), torch.tensor([-0.5], dtype=F64)

    def given(measured: torch.Tensor) -> torch.Tensor:
        return linear_posterior(MIX, row, measured, 0.8).log_prob(x)

    def shape(log_density: torch.Tensor) -> torch.Tensor:
        return (log_density - log_density[0])[1:]  # the constant is not claimed

    return Sides(
        left=shape((1 + w) * given(y) - w * given(avoided)),
        right=shape(given(y + w * (y - avoided))),
        wrong={"moved towards it": shape(given(y - w * (y - avoided)))},
    )
