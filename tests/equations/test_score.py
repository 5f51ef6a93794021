"""The equations of scores and Langevin dynamics, by quadrature, enumeration and recursion."""

import itertools
import math

import numpy as np
import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor
from torch.distributions import Normal

from fromnoise.langevin import langevin_step, log_acceptance
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Cosine, Rectified, Scales
from fromnoise.score import (
    denoiser_score,
    denoising_score_matching,
    explicit_score_matching,
    implicit_score_matching,
    jacobian_trace,
    sliced_score_matching,
)
from proof import Sides, proves

FLOAT = torch.float64
POINTS = torch.tensor([[-1.0, 0.2], [0.4, 1.0], [1.1, -0.6]], dtype=FLOAT)
SHARES = torch.tensor([0.5, 0.2, 0.3], dtype=FLOAT)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def plane(reach: float, n: int) -> tuple[Tensor, float]:
    """A grid on which the trapezoid rule is exact to rounding for smooth vanishing densities."""
    axis = torch.linspace(-reach, reach, n, dtype=FLOAT)
    return torch.cartesian_prod(axis, axis), (2 * reach / (n - 1)) ** 2


def cubic(seed: int):
    """A field of the plane that is no gradient: a polynomial, so that Gauss's rule is exact."""
    a, b, c = normal(2, 2, seed=seed), normal(2, 2, seed=seed + 1), normal(2, 2, seed=seed + 2)
    return lambda x: 0.3 + x @ a.T + 0.3 * x.square() @ b.T + 0.1 * x.pow(3) @ c.T


FIELDS = [cubic(seed) for seed in (0, 10, 20)]


@proves("score-implicit")
def test_explicit_and_implicit_differ_by_a_constant() -> Sides:
    """A mixture in the plane: both means by quadrature, for three fields and one constant."""
    mixture = GaussianMixture.isotropic(POINTS, 0.5, SHARES)
    x, cell = plane(7.0, 301)
    mass = mixture.log_prob(x).exp() * cell

    def mean(value: Tensor) -> Tensor:
        return (mass * value).sum()

    constant = mean(mixture.score(x).square().sum(1)) / 2
    left, right, minus, whole = [], [], [], []
    for field in FIELDS:
        left.append(mean(explicit_score_matching(field, mixture.score, x)))
        right.append(mean(implicit_score_matching(field, x)) + constant)
        value, trace = jacobian_trace(field, x)
        square = mean(value.square().sum(1))
        minus.append(square / 2 - mean(trace) + constant)
        whole.append(square + mean(trace) + constant)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "sign of the trace": torch.stack(minus),
            "half forgotten": torch.stack(whole),
            "constant forgotten": torch.stack(right) - constant,
        },
    )


@proves("score-sliced")
def test_slices_average_to_the_whole() -> Sides:
    """Left: all 2^d sign vectors, one by one. Right: the implicit objective at each point."""
    w_1, w_2 = normal(5, 3, seed=0), normal(3, 5, seed=1)

    def field(x: Tensor) -> Tensor:
        return torch.tanh(x @ w_1.T) @ w_2.T

    x = normal(6, 3, seed=2)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=FLOAT)

    def average(directions: Tensor) -> Tensor:
        values = [sliced_score_matching(field, x, v.expand_as(x)) for v in directions]
        return torch.stack(values).mean(0)

    value, trace = jacobian_trace(field, x)
    return Sides(
        average(signs),
        implicit_score_matching(field, x),
        {
            "half forgotten": value.square().sum(1) + trace,
            "directions of length one": average(signs / math.sqrt(3)),
            "one direction for all": average(signs[:1]),
            "axes as directions": average(torch.eye(3, dtype=FLOAT)),
        },
    )


@proves("score-denoising")
def test_denoising_and_explicit_differ_by_a_constant() -> Sides:
    """Left: over data and noise, by Gauss's rule. Right: over x_t with its exact score."""
    scales = Rectified()(torch.tensor(0.4, dtype=FLOAT))
    alpha, sigma = scales.alpha_t, scales.sigma_t
    nodes, weights = hermegauss(12)
    weights = torch.tensor(weights / weights.sum())
    eps = torch.cartesian_prod(torch.tensor(nodes), torch.tensor(nodes))
    of_eps = torch.outer(weights, weights).flatten()
    x_0 = POINTS.repeat_interleave(len(eps), 0)
    mass = torch.outer(SHARES, of_eps).flatten()

    noisy = GaussianMixture.isotropic(alpha * POINTS, sigma.item(), SHARES)
    x_t, cell = plane(6.5, 321)
    density = noisy.log_prob(x_t).exp() * cell
    fisher = (density * noisy.score(x_t).square().sum(1)).sum()
    noise = 2 / sigma.square()
    left, right = [], []
    for field in FIELDS:
        denoising = denoising_score_matching(field, x_0, eps.repeat(3, 1), scales)
        left.append((mass * denoising).sum())
        explicit = explicit_score_matching(field, noisy.score, x_t)
        right.append((density * explicit).sum() + (noise - fisher) / 2)
    right = torch.stack(right)
    return Sides(
        torch.stack(left),
        right,
        {
            "constant forgotten": right - (noise - fisher) / 2,
            "half forgotten": right + (noise - fisher) / 2,
            "only the noise": right + fisher / 2,
            "sigma not squared": right + (2 / sigma - noise) / 2,
        },
    )


@proves("score-tweedie")
def test_a_denoiser_knows_the_score() -> Sides:
    """Left: autograd of the log of a sum. Right: the mean of the data by Bayes' rule."""
    t = torch.tensor([0.1, 0.5, 0.97], dtype=FLOAT)
    scales = Cosine()(t)
    x_t = normal(3, 2, seed=3).requires_grad_()

    def log_joint(x: Tensor, scales: Scales) -> Tensor:
        gap = x[:, None] - scales.alpha_t[:, None, None] * POINTS
        squares = gap.square().sum(-1) / scales.sigma_t[:, None].square()
        return SHARES.log() - squares / 2

    total = log_joint(x_t, scales).logsumexp(1).sum()
    (left,) = torch.autograd.grad(total, x_t)
    x_t = x_t.detach()

    def denoiser(x: Tensor, t: Tensor) -> Tensor:
        return log_joint(x, Cosine()(t)).softmax(1) @ POINTS

    x_0_hat = denoiser(x_t, t)
    alpha, sigma = scales.alpha_t[:, None], scales.sigma_t[:, None]
    return Sides(
        left,
        denoiser_score(denoiser, Cosine())(x_t, t),
        {
            "sign": (x_t - alpha * x_0_hat) / sigma.square(),
            "sigma not squared": (alpha * x_0_hat - x_t) / sigma,
            "signal scale forgotten": (x_0_hat - x_t) / sigma.square(),
        },
    )


@proves("score-langevin")
def test_the_density_is_at_rest_under_langevin_dynamics() -> Sides:
    """Left: what the drift of a tiny step carries away. Right: what its noise spreads back."""
    mixture, h = GaussianMixture.isotropic(POINTS, 0.6, SHARES), 1e-3
    x, zero, one = normal(20, 2, seed=4), torch.zeros(20, 2).double(), torch.ones(20, 2).double()

    def density(x: Tensor) -> Tensor:
        return mixture.log_prob(x).exp()

    def flux(x: Tensor) -> Tensor:
        drift = (langevin_step(mixture.score, x, h, zero) - x) / h
        return drift * density(x)[:, None]

    def slope(x: Tensor) -> Tensor:
        return torch.func.grad(lambda y: density(y).sum())(x)

    gain = langevin_step(mixture.score, x, h, one) - langevin_step(mixture.score, x, h, zero)
    rate = gain[0, 0].square() / h
    laplacian = jacobian_trace(slope, x)[1]
    return Sides(
        jacobian_trace(flux, x)[1],
        rate / 2 * laplacian,
        {
            "noise of variance h": laplacian / 2,
            "half forgotten": rate * laplacian,
            "sign": -laplacian,
        },
    )


@proves("score-langevin-bias")
def test_a_finite_step_settles_at_the_wrong_variance() -> Sides:
    """Left: the variance that the code's own step leaves as it is. Right: the closed form."""
    variance = torch.tensor([0.3, 1.0, 4.0], dtype=FLOAT).repeat_interleave(3)
    step = variance * torch.tensor([1e-3, 0.6, 1.9], dtype=FLOAT).repeat(3)
    settled = []
    zero, one = torch.zeros(1, 1, dtype=FLOAT), torch.ones(1, 1, dtype=FLOAT)
    for lam, h in zip(variance.tolist(), step.tolist(), strict=True):
        slope = langevin_step(lambda x, lam=lam: -x / lam, one, h, zero)
        gain = langevin_step(lambda x, lam=lam: -x / lam, zero, h, one)
        # The variance V' = slope^2 V + gain^2, many times over: squaring the map doubles the time.
        factor, spread = slope.square().squeeze(), gain.square().squeeze()
        for _ in range(40):
            factor, spread = factor.square(), spread + factor * spread
        settled.append(spread)
    return Sides(
        torch.stack(settled),
        variance / (1 - step / (2 * variance)),
        {
            "no bias": variance,
            "half forgotten": variance / (1 - step / variance),
            "sign": variance / (1 + step / (2 * variance)),
            "variance forgotten": variance / (1 - step / 2),
        },
    )


@proves("score-detailed-balance")
def test_corrected_steps_flow_both_ways_alike() -> Sides:
    """Rates of going there and back, with proposal densities from a library of distributions."""
    mixture, h = GaussianMixture.isotropic(POINTS, 0.5, SHARES), 0.3
    x, y = normal(50, 2, seed=5), normal(50, 2, seed=6)

    def unnormalized(x: Tensor) -> Tensor:
        return mixture.log_prob(x) + 1.7

    def score(x: Tensor) -> Tensor:
        # Not quite the score: the correction must hold for any proposal.
        return mixture.score(x) + 0.2 * x.flip(-1)

    def log_proposal(y: Tensor, x: Tensor) -> Tensor:
        return Normal(x + h * score(x), math.sqrt(2 * h)).log_prob(y).sum(-1)

    def log_flow(x: Tensor, y: Tensor) -> Tensor:
        return mixture.log_prob(x) + log_proposal(y, x)

    back = log_flow(y, x)
    plain = (unnormalized(x) - unnormalized(y)).clamp(max=0)
    inverse = (back - log_flow(x, y)).clamp(max=0)
    return Sides(
        (log_flow(x, y) + log_acceptance(unnormalized, score, x, y, h)).exp(),
        (back + log_acceptance(unnormalized, score, y, x, h)).exp(),
        {
            "proposal taken as symmetric": (back + plain).exp(),
            "always accepted": back.exp(),
            "ratio upside down": (back + inverse).exp(),
        },
    )


@proves("score-metropolis")
def test_the_correction_removes_the_bias() -> Sides:
    """Moments of a mixture, before and after one large step: the step's law on a fine grid."""
    means = torch.tensor([[-1.0], [1.2]], dtype=FLOAT)
    mixture = GaussianMixture.isotropic(means, 0.6, torch.tensor([0.3, 0.7], dtype=FLOAT))
    grid = torch.linspace(-7, 7, 561, dtype=FLOAT)[:, None]
    dx, n, h = 14 / 560, len(grid), 0.25
    mass = mixture.log_prob(grid).exp() * dx
    x, y = grid.repeat_interleave(n, 0), grid.repeat(n, 1)
    spread = Normal(grid + h * mixture.score(grid), math.sqrt(2 * h))
    proposal = spread.log_prob(grid.T).exp() * dx
    accepted = log_acceptance(mixture.log_prob, mixture.score, x, y, h).exp().reshape(n, n)
    powers = torch.stack([grid[:, 0] ** k for k in (1, 2, 3, 4)])

    def after(acceptance: Tensor) -> Tensor:
        """Moments after a step: those that move, and those that stay."""
        moves = proposal * acceptance
        return powers @ (mass @ moves + mass * (1 - moves.sum(1)))

    ratio = (mixture.log_prob(y) - mixture.log_prob(x)).clamp(max=0).exp().reshape(n, n)
    return Sides(
        powers @ mass,
        after(accepted),
        {
            "uncorrected": after(torch.ones_like(accepted)),
            "proposal taken as symmetric": after(ratio),
            "refusals lost": powers @ (mass @ (proposal * accepted)),
        },
    )


def tilted() -> GaussianMixture:
    """Three components of different shapes."""
    roots = normal(3, 2, 2, seed=7)
    covariances = roots @ roots.mT + 0.3 * torch.eye(2, dtype=FLOAT)
    return GaussianMixture(SHARES, POINTS, covariances)


@proves("score-mixture")
def test_the_score_of_a_mixture_is_a_vote() -> Sides:
    """Left: autograd of the log of a density from a library. Right: each component's pull."""
    mixture = tilted()
    means, covariances = mixture.components.mean, mixture.components.covariance
    x = normal(30, 2, seed=8).requires_grad_()
    parts = torch.distributions.MultivariateNormal(means, covariances)
    density = (SHARES * parts.log_prob(x[:, None]).exp()).sum(-1)
    (left,) = torch.autograd.grad(density.log().sum(), x)
    x = x.detach()
    pull = torch.linalg.solve(covariances, (means - x[:, None])[..., None])[..., 0]
    joint = SHARES * parts.log_prob(x[:, None]).exp()
    votes = joint / joint.sum(-1, keepdim=True)
    return Sides(
        left,
        (votes[..., None] * pull).sum(1),
        {
            "weights in place of responsibilities": (SHARES[:, None] * pull).sum(1),
            "sign": -(votes[..., None] * pull).sum(1),
            "covariance not inverted": (votes[..., None] * (means - x[:, None])).sum(1),
        },
    )


@proves("score-climb")
def test_a_climb_ends_at_the_mode() -> Sides:
    """Left: repeated steps of the code without noise. Right: the power of the shrinkage."""
    mean, c, h, n = torch.tensor([[0.7]], dtype=FLOAT), 0.8, 0.3, 9
    start, zero = normal(5, 1, seed=9), torch.zeros(5, 1, dtype=FLOAT)
    x = start
    for _ in range(n):
        x = langevin_step(lambda y: (mean - y) / c, x, h, zero)
    return Sides(
        x - mean,
        (1 - h / c) ** n * (start - mean),
        {
            "variance forgotten": (1 - h) ** n * (start - mean),
            "one step too few": (1 - h / c) ** (n - 1) * (start - mean),
            "mean forgotten": (1 - h / c) ** n * start,
        },
    )


@proves("score-expand")
def test_the_square_has_three_parts() -> Sides:
    """Left: the explicit objective by quadrature. Right: its three parts, each by quadrature."""
    mixture = GaussianMixture.isotropic(POINTS, 0.5, SHARES)
    x, cell = plane(7.0, 301)
    mass = mixture.log_prob(x).exp() * cell
    exact = mixture.score(x)

    def mean(value: Tensor) -> Tensor:
        return (mass * value).sum()

    left, right, half, plus = [], [], [], []
    for field in FIELDS:
        value = field(x)
        square, cross = mean(value.square().sum(1)), mean((value * exact).sum(1))
        constant = mean(exact.square().sum(1))
        left.append(mean(explicit_score_matching(field, mixture.score, x)))
        right.append(square / 2 - cross + constant / 2)
        half.append(square / 2 - cross / 2 + constant / 2)
        plus.append(square / 2 + cross + constant / 2)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"cross term halved": torch.stack(half), "sign": torch.stack(plus)},
    )


@proves("score-parts")
def test_integration_by_parts_leaves_the_ends() -> Sides:
    """On an interval that cuts the density, by Gauss's rule, so that the ends count."""
    a, b = -0.8, 1.3
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x = torch.tensor((b - a) / 2 * nodes + (a + b) / 2, dtype=FLOAT)
    weight = torch.tensor((b - a) / 2 * weights, dtype=FLOAT)

    def density(x: Tensor) -> Tensor:
        return torch.exp(-x.square() / 2 - torch.sin(2 * x))

    def field(x: Tensor) -> Tensor:
        return torch.cos(x) + 0.5 * x

    slope = (-x - 2 * torch.cos(2 * x)) * density(x)
    inner = (weight * (0.5 - torch.sin(x)) * density(x)).sum()
    ends = torch.tensor([a, b], dtype=FLOAT)
    at_ends = field(ends) * density(ends)
    boundary = at_ends[1] - at_ends[0]
    return Sides(
        (weight * field(x) * slope).sum(),
        boundary - inner,
        {"ends forgotten": -inner, "sign": boundary + inner, "ends added": at_ends.sum() - inner},
    )


@proves("score-by-parts")
def test_the_density_leaves_the_cross_term() -> Sides:
    """A mixture in the plane and three fields: the score's product against the divergence."""
    mixture = GaussianMixture.isotropic(POINTS, 0.5, SHARES)
    x, cell = plane(7.0, 301)
    mass = mixture.log_prob(x).exp() * cell
    left, right = [], []
    for field in FIELDS:
        value, trace = jacobian_trace(field, x)
        left.append((mass * (value * mixture.score(x)).sum(1)).sum())
        right.append(-(mass * trace).sum())
    right = torch.stack(right)
    return Sides(torch.stack(left), right, {"sign": -right, "half": right / 2})


@proves("score-hutchinson")
def test_random_signs_know_the_trace() -> Sides:
    """All sixteen sign vectors of four dimensions, one by one."""
    matrix = normal(4, 4, seed=11)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)), dtype=FLOAT)
    forms = torch.einsum("ni,ij,nj->n", signs, matrix, signs)
    return Sides(
        forms.mean(),
        matrix.trace(),
        {
            "sum of all entries": matrix.sum(),
            "determinant": torch.linalg.det(matrix),
            "mean of the diagonal": matrix.trace() / 4,
        },
    )


@proves("score-conditional-mean")
def test_the_score_is_a_mean_of_simple_scores() -> Sides:
    """Left: autograd of the noisy density. Right: the arrows to each point, weighed by Bayes."""
    alpha, sigma = 0.6, 0.8
    x_t = normal(12, 2, seed=12).requires_grad_()
    gap = x_t[:, None] - alpha * POINTS
    density = (SHARES * torch.exp(-gap.square().sum(-1) / (2 * sigma**2))).sum(1)
    (left,) = torch.autograd.grad(density.log().sum(), x_t)
    gap = gap.detach()
    likelihood = Normal(alpha * POINTS, sigma).log_prob(x_t.detach()[:, None]).sum(-1).exp()
    posterior = SHARES * likelihood / (SHARES * likelihood).sum(1, keepdim=True)
    arrows = -gap / sigma**2
    return Sides(
        left,
        (posterior[..., None] * arrows).sum(1),
        {
            "prior in place of posterior": (SHARES[:, None] * arrows).sum(1),
            "sigma not squared": (posterior[..., None] * arrows).sum(1) * sigma,
            "sign": -(posterior[..., None] * arrows).sum(1),
        },
    )


@proves("score-noise-floor")
def test_noise_bounds_the_score() -> Sides:
    """Left: mean square of the score, by quadrature. Right: from the posterior covariance."""
    alpha, sigma = 0.9, 0.7
    scales = Scales(*(torch.tensor(v, dtype=FLOAT) for v in (alpha, sigma, 0.0, 0.0)))
    mixture = tilted()
    noisy = mixture.noised(scales)
    x_t, cell = plane(16.0, 401)
    mass = noisy.log_prob(x_t).exp() * cell
    left = (mass * noisy.score(x_t).square().sum(1)).sum()
    spread = mixture.posterior_covariance(x_t, scales).diagonal(dim1=-2, dim2=-1).sum(-1)
    unknown = (mass * spread).sum()
    right = 2 / sigma**2 - alpha**2 / sigma**4 * unknown
    return Sides(
        left,
        right,
        {
            "only the noise": right + alpha**2 / sigma**4 * unknown,
            "signal scale not squared": 2 / sigma**2 - alpha / sigma**4 * unknown,
            "sigma squared": 2 / sigma**2 - alpha**2 / sigma**2 * unknown,
        },
    )


@proves("score-small-step")
def test_a_small_step_moves_means_by_drift_and_spread() -> Sides:
    """Left: slope in h of the mean after the code's step, by extrapolation. Right: the formula."""
    mixture = GaussianMixture.isotropic(POINTS, 0.6, SHARES)
    x = normal(1, 2, seed=13)
    nodes, weights = hermegauss(20)
    z = torch.cartesian_prod(torch.tensor(nodes), torch.tensor(nodes))
    weights = torch.tensor(weights / weights.sum())
    mass = torch.outer(weights, weights).flatten()
    matrix, cubic = normal(2, 2, seed=14), normal(2, seed=15)

    def f(x: Tensor) -> Tensor:
        return ((x @ matrix) * x).sum(-1) + x.pow(3) @ cubic

    def slope(h: float) -> Tensor:
        y = langevin_step(mixture.score, x.expand_as(z), h, z)
        return ((mass * f(y)).sum() - f(x)[0]) / h

    # The mean is a polynomial in h of third degree, so that two halvings give its slope exactly.
    h = 0.1
    first, second, third = slope(h), slope(h / 2), slope(h / 4)
    a, b = 2 * second - first, 2 * third - second
    left = (4 * b - a) / 3
    gradient = x @ (matrix + matrix.T) + 3 * x.square() * cubic
    drift = (gradient * mixture.score(x)).sum()
    laplacian = 2 * matrix.trace() + 6 * (x * cubic).sum()
    return Sides(
        left,
        drift + laplacian,
        {
            "spread forgotten": drift,
            "half the spread": drift + laplacian / 2,
            "sign of the drift": laplacian - drift,
        },
    )


@proves("score-rest")
def test_no_mean_moves_at_rest() -> Sides:
    """Means over a mixture of drift and of spread, by quadrature, for three functions."""
    mixture = GaussianMixture.isotropic(POINTS, 0.5, SHARES)
    x, cell = plane(7.0, 301)
    mass = mixture.log_prob(x).exp() * cell
    drift, spread = [], []
    for seed in (0, 1, 2):
        matrix, vector = normal(2, 2, seed=seed), normal(2, seed=seed + 30)
        gradient = x @ (matrix + matrix.T) - torch.sin(x @ vector)[:, None] * vector
        laplacian = 2 * matrix.trace() - torch.cos(x @ vector) * vector.square().sum()
        drift.append((mass * (gradient * mixture.score(x)).sum(1)).sum())
        spread.append((mass * laplacian).sum())
    drift, spread = torch.stack(drift), torch.stack(spread)
    return Sides(
        drift + spread,
        torch.zeros_like(drift),
        {"noise of variance h": -spread / 2, "no noise": -spread},
    )


@proves("score-variance-step")
def test_a_step_maps_variances() -> Sides:
    """Left: the mean square after the code's step, by Gauss's rule. Right: the formula."""
    c, h = 0.7, 0.4
    nodes, weights = hermegauss(10)
    nodes, weights = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    before = torch.tensor([0.1, 0.7, 3.0], dtype=FLOAT)
    mass = torch.outer(weights, weights).flatten()
    x, z = torch.cartesian_prod(nodes, nodes).unbind(1)
    left = []
    for variance in before:
        start = (variance.sqrt() * x)[:, None]
        after = langevin_step(lambda y: -y / c, start, h, z[:, None])
        left.append((mass * after[:, 0].square()).sum())
    return Sides(
        torch.stack(left),
        (1 - h / c) ** 2 * before + 2 * h,
        {
            "factor not squared": (1 - h / c) * before + 2 * h,
            "noise of variance h": (1 - h / c) ** 2 * before + h,
        },
    )


@proves("score-odds")
def test_weights_shift_the_odds_by_a_constant() -> Sides:
    """Left: log odds from the mixture's responsibilities. Right: a constant and a slope."""
    means, std = POINTS[:2], 0.9
    weights = torch.tensor([0.15, 0.85], dtype=FLOAT)
    mixture = GaussianMixture.isotropic(means, std, weights)
    x = normal(20, 2, seed=16)
    votes = mixture.responsibilities(x)
    middle = means.mean(0)
    slope = ((x - middle) @ (means[0] - means[1])) / std**2
    odds = (weights[0] / weights[1]).log()
    return Sides(
        (votes[:, 0] / votes[:, 1]).log(),
        odds + slope,
        {
            "weights forgotten": slope,
            "middle forgotten": odds + (x @ (means[0] - means[1])) / std**2,
            "variance forgotten": odds + slope * std**2,
        },
    )
