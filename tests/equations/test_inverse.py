"""Proofs of the displayed equations of the chapter on inverse problems."""

import math

import numpy as np
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.inverse import linear_posterior, measurement_guided, replacement_moments
from fromnoise.linear_operators import Dense
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import uniform_times
from fromnoise.schedules import Cosine
from proof import Sides, proves

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def spread(dim, seed):
    root = normal(dim, dim, seed=seed)
    return root @ root.mT + 0.2 * torch.eye(dim, dtype=F64)


def grid(n=4001, reach=12.0):
    x = torch.linspace(-reach, reach, n, dtype=F64)
    return x, x[1] - x[0]


def bell(x, mean, var):
    return (
        torch.exp(-((x - mean) ** 2) / (2 * var))
        / torch.as_tensor(2 * math.pi * var, dtype=F64).sqrt()
    )


MEAN, COV = normal(4, seed=1), spread(4, 2)
MATRIX, Y, NOISE = normal(2, 4, seed=3), normal(2, seed=4), 0.4
EYE = torch.eye(4, dtype=F64)


@proves("inverse-split")
def test_an_answer_splits_into_what_is_seen_and_what_is_not() -> Sides:
    """The rows of A by the singular value decomposition, against the pseudoinverse."""
    x = normal(5, 4, seed=6)
    _, _, rows = torch.linalg.svd(MATRIX, full_matrices=True)
    seen, unseen = rows[:2], rows[2:]
    left = torch.cat(
        [x @ seen.mT @ seen, x @ unseen.mT @ unseen, x @ unseen.mT @ unseen @ MATRIX.mT], 1
    )
    project = torch.linalg.pinv(MATRIX) @ MATRIX
    zero = torch.zeros(5, 2, dtype=F64)
    right = torch.cat([x @ project.mT, x - x @ project.mT, zero], 1)
    back = MATRIX.mT @ MATRIX
    wrong = torch.cat([x @ back, x - x @ back, zero], 1)
    return Sides(left=left, right=right, wrong={"the adjoint is no inverse": wrong})


@proves("inverse-amplified")
def test_inverting_divides_the_noise_by_the_singular_values() -> Sides:
    """The trace of the covariance of the pseudoinverse's answer against the singular values."""
    back = torch.linalg.pinv(MATRIX)
    values = torch.linalg.svdvals(MATRIX)
    left = NOISE**2 * (back @ back.mT).trace()
    return Sides(
        left=left,
        right=NOISE**2 * values.pow(-2).sum(),
        wrong={
            "not squared": NOISE**2 * values.pow(-1).sum(),
            "multiplied": NOISE**2 * values.square().sum(),
        },
    )


def completed(mean, cov, matrix, y, noise):
    precision = torch.linalg.inv(cov) + matrix.mT @ matrix / noise**2
    new = torch.linalg.inv(precision)
    return new @ (torch.linalg.solve(cov, mean) + matrix.mT @ y / noise**2), new


@proves("inverse-square", "inverse-precision")
def test_completing_the_square() -> Sides:
    """The sum of both squares at many points against one square about the new mean."""
    x = normal(30, 4, seed=7)
    mean, cov = completed(MEAN, COV, MATRIX, Y, NOISE)

    def square(point, center, inverse):
        return torch.einsum("ni,ij,nj->n", point - center, inverse, point - center)

    both = square(x, MEAN, torch.linalg.inv(COV)) + (Y - x @ MATRIX.mT).square().sum(1) / NOISE**2
    found = square(x, mean, torch.linalg.inv(cov))
    origin = torch.linalg.inv(cov) @ mean
    unscaled = torch.linalg.inv(COV) + MATRIX.mT @ MATRIX
    return Sides(
        left=both - both[0],
        right=found - found[0],
        wrong={
            "noise forgotten": square(x, mean, unscaled) - square(x, mean, unscaled)[0],
            "mean not divided": square(x, origin, torch.linalg.inv(cov))
            - square(x, origin, torch.linalg.inv(cov))[0],
        },
    )


@proves("inverse-gain-times-precision")
def test_the_gain_times_the_precision_by_terms() -> Sides:
    """The product as it stands on the left, and the sum of its terms: both are the identity."""
    gain = (
        COV
        @ MATRIX.mT
        @ torch.linalg.inv(MATRIX @ COV @ MATRIX.mT + NOISE**2 * torch.eye(2, dtype=F64))
    )
    precision = torch.linalg.inv(COV) + MATRIX.mT @ MATRIX / NOISE**2
    seen = MATRIX @ COV @ MATRIX.mT / NOISE**2
    one, add = torch.eye(2, dtype=F64), COV @ MATRIX.mT @ MATRIX / NOISE**2

    def terms(bracket):
        return EYE + add - gain @ bracket @ MATRIX

    middle = (EYE - gain @ MATRIX) @ (EYE + add)
    return Sides(
        left=torch.stack([(EYE - gain @ MATRIX) @ COV @ precision] * 2 + [EYE]),
        right=torch.stack([middle, terms(one + seen), terms(one + seen)]),
        wrong={
            "identity left out of the bracket": torch.stack([middle] + [terms(seen)] * 2),
            "noise left out of the bracket": torch.stack(
                [middle] + [terms(one + NOISE**2 * seen)] * 2
            ),
            "sign of the last term": torch.stack([middle] + [terms(-one - seen)] * 2),
        },
    )


@proves("inverse-gain", "inverse-posterior")
def test_the_gain_form_is_the_completed_square() -> Sides:
    """Moments of the library's posterior, by the gain, against those by precisions."""
    found = linear_posterior(Gaussian(MEAN, COV), MATRIX, Y, NOISE)
    mean, cov = completed(MEAN, COV, MATRIX, Y, NOISE)
    precision = torch.linalg.inv(COV) + MATRIX.mT @ MATRIX / NOISE**2
    product = found.covariance @ precision
    gain = COV @ MATRIX.mT @ torch.linalg.inv(MATRIX @ COV @ MATRIX.mT)
    sure = MEAN + gain @ (Y - MATRIX @ MEAN)
    return Sides(
        left=torch.cat([found.mean, found.covariance.flatten(), product.flatten()]),
        right=torch.cat([mean, cov.flatten(), EYE.flatten()]),
        wrong={
            "noise left out of C_y": torch.cat(
                [sure, (COV - gain @ MATRIX @ COV).flatten(), EYE.flatten()]
            ),
            "covariance not reduced": torch.cat([mean, COV.flatten(), (COV @ precision).flatten()]),
        },
    )


@proves("inverse-mixture")
def test_a_mixture_is_weighted_anew() -> Sides:
    """Quadrature of prior times likelihood on a line against the library's mixture."""
    weights = torch.tensor([0.3, 0.5, 0.2], dtype=F64)
    means = torch.tensor([[-1.5], [0.3], [2.0]], dtype=F64)
    variances = torch.tensor([0.2, 0.05, 0.6], dtype=F64)
    prior = GaussianMixture(weights, means, variances[:, None, None])
    a, y, noise = 0.7, 0.6, 0.5
    x, dx = grid(20001)
    joint = prior.log_prob(x[:, None]).exp() * bell(torch.tensor(y, dtype=F64), a * x, noise**2)
    joint = joint / (joint.sum() * dx)
    matrix, at = torch.tensor([[a]], dtype=F64), torch.tensor([y], dtype=F64)
    answer = linear_posterior(prior, matrix, at, noise)
    points = slice(7000, 13000, 500)

    def kept(weight):
        parts = answer.components
        return GaussianMixture(weight, parts.mean, parts.covariance)

    return Sides(
        left=joint[points],
        right=answer.log_prob(x[points, None]).exp(),
        wrong={"old weights": kept(weights).log_prob(x[points, None]).exp()},
    )


PARTS = GaussianMixture(
    torch.tensor([0.4, 0.6], dtype=F64),
    torch.tensor([[-1.0], [1.2]], dtype=F64),
    torch.tensor([[[0.1]], [[0.3]]], dtype=F64),
)


def at(t):
    return Cosine()(torch.tensor([t], dtype=F64))


@proves("inverse-integral")
def test_the_likelihood_of_a_noisy_point_is_a_mean_over_clean_ones() -> Sides:
    """p(y, x_t) over p(x_t), by a joint grid of x_0, against the posterior's own noised density."""
    y, noise, t = torch.tensor(0.7, dtype=F64), 0.3, 0.45
    scales = at(t)
    x_t = torch.linspace(-1.5, 1.5, 9, dtype=F64)
    x, _dx = grid(40001)
    prior = PARTS.log_prob(x[:, None]).exp()
    noisy = bell(x_t[:, None], scales.alpha_t * x, scales.sigma_t**2)
    weight = noisy * prior
    left = (weight * bell(y, x, noise**2)).sum(1) / weight.sum(1)
    # Bayes on the other side: p(y | x_t) = p(x_t | y) p(y) / p(x_t), all of it closed form.
    answer = linear_posterior(PARTS, torch.eye(1, dtype=F64), y[None], noise)
    evidence = (
        PARTS.weights
        * bell(y, PARTS.components.mean[:, 0], PARTS.components.covariance[:, 0, 0] + noise**2)
    ).sum()
    points = x_t[:, None]
    ratio = (answer.noised(scales).log_prob(points) - PARTS.noised(scales).log_prob(points)).exp()
    estimate = PARTS.posterior_mean(points, scales)[:, 0]
    return Sides(
        left=left,
        right=evidence * ratio,
        wrong={
            "at the estimate": bell(y, estimate, noise**2),
            "as if x_t said nothing": evidence.expand(9),
        },
    )


@proves("inverse-score", "inverse-guided")
def test_bayes_adds_a_gradient_to_the_denoiser() -> Sides:
    """Denoiser and score of the posterior in closed form against the prior's plus a gradient."""
    y, noise = torch.tensor(0.7, dtype=F64), 0.3
    answer = linear_posterior(PARTS, torch.eye(1, dtype=F64), y[None], noise)
    left, right, backward, unscaled = [], [], [], []

    def score(of):
        place = x_t.detach().requires_grad_()
        return torch.autograd.grad(of.noised(scales).log_prob(place).sum(), place)[0]

    for t in (0.2, 0.5, 0.8):
        scales = at(t)
        x_t = torch.linspace(-1.5, 1.5, 7, dtype=F64)[:, None].requires_grad_()
        column = type(scales)(*(part[..., None] for part in scales))
        means = PARTS.components.posterior_mean(x_t[:, None], column)[..., 0]
        var = PARTS.components.posterior_covariance(x_t[:, None], column)[..., 0, 0]
        share = PARTS.noised(scales).responsibilities(x_t)
        likelihood = (share * bell(y, means, var + noise**2)).sum(-1).log()
        (slope,) = torch.autograd.grad(likelihood.sum(), x_t)
        estimate = PARTS.posterior_mean(x_t.detach(), scales)
        reach = scales.sigma_t**2 / scales.alpha_t
        prior = score(PARTS)
        left.append(torch.cat([answer.posterior_mean(x_t.detach(), scales), score(answer)]))
        right.append(torch.cat([estimate + reach * slope, prior + slope]))
        backward.append(torch.cat([estimate - reach * slope, prior - slope]))
        unscaled.append(torch.cat([estimate + slope, prior + reach * slope]))
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"sign": torch.cat(backward), "without its scale": torch.cat(unscaled)},
    )


@proves("inverse-gaussian-likelihood")
def test_on_gaussians_the_integral_adds_one_covariance() -> Sides:
    """Quadrature over x_0 given x_t against the normal with both covariances."""
    c, mean, a, noise, t = 0.8, 0.3, 1.7, 0.25, 0.55
    prior = Gaussian(torch.tensor([mean], dtype=F64), torch.tensor([[c]], dtype=F64))
    scales, y = at(t), torch.tensor(0.9, dtype=F64)
    x_t = torch.linspace(-1.5, 1.5, 9, dtype=F64)
    x, _dx = grid(40001)
    weight = bell(x_t[:, None], scales.alpha_t * x, scales.sigma_t**2) * bell(x, mean, c)
    left = (weight * bell(y, a * x, noise**2)).sum(1) / weight.sum(1)
    estimate = prior.posterior_mean(x_t[:, None], scales)[:, 0]
    var = prior.posterior_covariance(x_t[:1, None], scales)[0, 0, 0]
    return Sides(
        left=left,
        right=bell(y, a * estimate, a**2 * var + noise**2),
        wrong={
            "as DPS has it": bell(y, a * estimate, noise**2),
            "A only once": bell(y, a * estimate, a * var + noise**2),
        },
    )


@proves("inverse-too-steep")
def test_how_much_too_steep_the_gradient_at_the_estimate_is() -> Sides:
    """The two gradients by autograd against the ratio of their variances."""
    c, noise = 0.8, 0.25
    prior = Gaussian(torch.zeros(1, dtype=F64), torch.tensor([[c]], dtype=F64))
    y, left, right, variances = torch.tensor(0.9, dtype=F64), [], [], []
    for t in (0.2, 0.5, 0.9):
        scales = at(t)
        x_t = torch.linspace(-1.5, 1.4, 5, dtype=F64)[:, None].requires_grad_()
        var = prior.posterior_covariance(x_t[:1].detach(), scales)[0, 0, 0]
        misfit = (y - prior.posterior_mean(x_t, scales)).square().sum()
        (sure,) = torch.autograd.grad(-misfit / (2 * noise**2), x_t, retain_graph=True)
        (exact,) = torch.autograd.grad(-misfit / (2 * (noise**2 + var)), x_t)
        left.append((sure / exact)[:, 0])
        signal = scales.alpha_t**2 * c + scales.sigma_t**2
        right.append((1 + c * scales.sigma_t**2 / signal / noise**2).expand(5))
        variances.append((1 + c / noise**2) * torch.ones(5, dtype=F64))
    return Sides(
        left=torch.cat(left),
        right=torch.cat(right),
        wrong={"the prior's variance": torch.cat(variances)},
    )


@proves("inverse-second-tweedie")
def test_the_slope_of_the_denoiser_is_a_covariance() -> Sides:
    """Autograd of a mixture's denoiser in three dimensions against its posterior covariance."""
    means = normal(3, 3, seed=11)
    prior = GaussianMixture(
        torch.tensor([0.2, 0.5, 0.3], dtype=F64),
        means,
        torch.stack([spread(3, 12), spread(3, 13), spread(3, 14)]),
    )
    scales, points = at(0.6), normal(4, 3, seed=15)
    slopes = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x: prior.posterior_mean(x, scales), p[None])[
                0, :, 0
            ]
            for p in points
        ]
    )
    cov = prior.posterior_covariance(points, scales)
    return Sides(
        left=scales.sigma_t**2 / scales.alpha_t * slopes,
        right=cov,
        wrong={"unscaled": slopes, "alpha forgotten": scales.sigma_t**2 * slopes},
    )


@proves("inverse-pair")
def test_the_denoiser_of_a_pair_by_hand() -> Sides:
    """Slopes of the library's denoiser of two entries against the two fractions."""
    left, right, unsquared, halved, swapped = [], [], [], [], []
    for rho in (-0.4, 0.8):
        cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=F64)
        prior = Gaussian(torch.zeros(2, dtype=F64), cov)
        for t in (0.2, 0.5, 0.9):
            scales = at(t)
            # The denoiser is linear: what it makes of each unit vector is its matrix.
            known, hidden = prior.posterior_mean(torch.eye(2, dtype=F64), scales)[:, 1]
            left.append(torch.stack([hidden, known]))
            alpha, var = scales.alpha_t[0], scales.sigma_t[0] ** 2
            rest = 1 - alpha**4 * rho**2
            own, other = alpha * (1 - alpha**2 * rho**2) / rest, alpha * rho * var / rest
            right.append(torch.stack([own, other]))
            lost = 1 - alpha**2 * rho**2
            unsquared.append(torch.stack([own * rest / lost, other * rest / lost]))
            halved.append(torch.stack([own, other / var.sqrt()]))
            swapped.append(torch.stack([other, own]))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={
            "square of alpha for its fourth power": torch.stack(unsquared),
            "sigma for its square": torch.stack(halved),
            "own and other swapped": torch.stack(swapped),
        },
    )


@proves("inverse-replacement-forgets")
def test_replacement_of_a_pair_by_hand() -> Sides:
    """The library's moments against a scalar recursion that was derived for two entries."""
    rho, y, n = 0.8, 1.5, 12
    cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=F64)
    prior = Gaussian(torch.zeros(2, dtype=F64), cov)
    times = uniform_times(n)
    mask, known = torch.tensor([True, False]), torch.tensor([y, 0.0], dtype=F64)
    mean, found = replacement_moments(denoiser(prior, Cosine()), Cosine(), times, mask, known)

    def by_hand(pulled: bool):
        m, v = 0.0, 1.0
        for t, s in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            a, b = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
            a_s, b_s = math.cos(math.pi * s / 2), math.sin(math.pi * s / 2)
            # Unit variances and alpha^2 + sigma^2 = 1: a C (a^2 C + b^2 I)^-1 by hand.
            det = 1 - (a * a * rho) ** 2
            own, other = a * (1 - a * a * rho * rho) / det, a * rho * (1 - a * a) / det
            step = a / a_s
            var = b * b - (step * b_s) ** 2
            keep, pull = step * b_s**2 / b**2, a_s * var / b**2
            first_mean, first_var = a * y, b * b
            if t == 1.0:
                first_mean, first_var = 0.0, 1.0
            m = keep * m + pull * (own * m + (other * first_mean if pulled else 0.0))
            v = (keep + pull * own) ** 2 * v + (pull * other) ** 2 * first_var
            v += b_s**2 * var / b**2
        return torch.tensor([m, v], dtype=F64)

    exact = torch.tensor([rho * y, 1 - rho**2], dtype=F64)
    return Sides(
        left=torch.stack([mean[1], found[1, 1]]),
        right=by_hand(True),
        wrong={"the posterior": exact, "not told": by_hand(False)},
    )


@proves("inverse-two-errors")
def test_a_draw_errs_twice_as_much_as_the_mean() -> Sides:
    """Moments of truth and draw, independent given y, by a joint Gaussian, against the trace."""
    cov = linear_posterior(Gaussian(MEAN, COV), MATRIX, Y, NOISE).covariance
    joint = torch.block_diag(cov, cov)
    difference = torch.cat([EYE, -EYE], 1)
    left = torch.stack([(difference @ joint @ difference.mT).trace(), cov.trace()])
    eigenvalues = torch.linalg.eigvalsh(cov)
    return Sides(
        left=left,
        right=torch.stack([2 * eigenvalues.sum(), eigenvalues.sum()]),
        wrong={"no more than the mean": torch.stack([eigenvalues.sum()] * 2)},
    )


@proves("inverse-measurement-guided")
def test_guidance_with_the_true_covariance_is_exact_on_gaussians() -> Sides:
    """The guided denoiser of the library against the posterior's own, at three noise levels."""
    schedule = Cosine()
    t = torch.tensor([0.15, 0.5, 0.9], dtype=F64)
    x_t = normal(3, 4, seed=21)
    prior = Gaussian(MEAN, COV)
    pieces = (denoiser(prior, schedule), schedule, Dense(MATRIX), Y.expand(3, 2), NOISE)
    exact = denoiser(linear_posterior(prior, MATRIX, Y, NOISE), schedule)(x_t, t)
    return Sides(
        left=measurement_guided(*pieces, prior.posterior_covariance)(x_t, t),
        right=exact,
        wrong={
            "V = 0": measurement_guided(*pieces)(x_t, t),
            "V = I": measurement_guided(*pieces, lambda x, s: torch.eye(4, dtype=F64))(x_t, t),
        },
    )


@proves("inverse-coverage")
def test_the_rank_of_the_truth_among_equals_is_even() -> Sides:
    """Integral over the truth's own level of the chance of each rank, against one share."""
    m = 9
    nodes, weights = np.polynomial.legendre.leggauss(40)
    u, w = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
    ranks = [math.comb(m, j) * (w * u**j * (1 - u) ** (m - j)).sum() for j in range(m + 1)]
    share = torch.full((m + 1,), 1 / (m + 1), dtype=F64)
    return Sides(
        left=torch.stack(ranks),
        right=share,
        wrong={"one place short": torch.full((m + 1,), 1 / m, dtype=F64)},
    )
