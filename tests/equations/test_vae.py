"""Proofs of the displayed equations of the chapter on variational autoencoders."""

import math

import numpy as np
import torch
from scipy import integrate, optimize

from fromnoise.decoders import DiscretizedLogistic, Gaussian
from fromnoise.gaussian_kl import kl_diagonal, kl_full
from fromnoise.vae import VAE
from proof import Sides, proves

F64 = torch.float64


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def log_normal(z, mean, var):
    return -0.5 * ((z - mean) ** 2 / var + torch.log(2 * math.pi * var))


def hermite(n=60):
    """Nodes and weights of E[f(eps)], eps standard normal: exact for polynomials up to 2n - 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))


def line(extent=14.0, n=200_001):
    """Points and the step of an integral over the real line; the trapezoid is spectral here."""
    z = torch.linspace(-extent, extent, n, dtype=F64)
    return z, (z[1] - z[0]).item()


@proves("vae-bound")
def test_evidence_is_the_bound_plus_the_distance_to_the_true_posterior() -> Sides:
    """A bent one-dimensional model: adaptive quadrature of the evidence, a grid for the parts."""
    z, dz = line()
    x, mean, var, noise = 0.8, torch.tensor(0.4, dtype=F64), torch.tensor(0.3, dtype=F64), 0.5
    log_pz = log_normal(z, 0.0, torch.ones((), dtype=F64))
    log_px_z = log_normal(
        torch.tensor(x, dtype=F64), torch.sin(2 * z), torch.tensor(noise**2, dtype=F64)
    )

    def joint(z):
        exponent = ((x - math.sin(2 * z)) / noise) ** 2 + z**2
        return math.exp(-0.5 * exponent) / (2 * math.pi * noise)

    evidence, _ = integrate.quad(joint, -12, 12, epsabs=1e-14, epsrel=1e-13, limit=500)
    q = log_normal(z, mean, var)
    distortion = -(q.exp() * log_px_z).sum() * dz
    rate = kl_diagonal(mean[None], var.log()[None]).sum()
    # The posterior is made to integrate to one on the grid; it does not see the left side.
    log_joint = log_px_z + log_pz
    log_posterior = log_joint - log_joint.logsumexp(0) - math.log(dz)
    gap = (q.exp() * (q - log_posterior)).sum() * dz
    reverse = (log_posterior.exp() * (log_posterior - q)).sum() * dz
    return Sides(
        left=torch.tensor(evidence, dtype=F64).log(),
        right=-distortion - rate + gap,
        wrong={
            "the gap forgotten": -distortion - rate,
            "the rate added": -distortion + rate + gap,
            "the divergence turned round": -distortion - rate + reverse,
        },
    )


def bent(z):
    """A smooth function with no symmetry to hide a mistake."""
    return torch.sin(1.3 * z) + 0.2 * z**2 * torch.exp(-0.1 * z**2)


def gradient_by_the_density(mean, log_sigma):
    """Derivative of the integral of f times the density, by autograd through the density."""
    z, dz = line()
    phi = torch.stack([mean, log_sigma]).requires_grad_()
    q = log_normal(z, phi[0], torch.exp(2 * phi[1])).exp()
    (gradient,) = torch.autograd.grad((bent(z) * q).sum() * dz, phi)
    return gradient


@proves("pathwise-gradient")
def test_the_gradient_goes_through_the_sample() -> Sides:
    """By the density on a grid against the chain rule at the nodes of Gauss and Hermite."""
    mean, log_sigma = torch.tensor(0.7, dtype=F64), torch.tensor(-0.3, dtype=F64)
    eps, weight = hermite(120)
    sigma = log_sigma.exp()
    z = (mean + sigma * eps).requires_grad_()
    (slope,) = torch.autograd.grad(bent(z).sum(), z)
    by_mean, by_log_sigma = (weight * slope).sum(), (weight * slope * sigma * eps).sum()
    return Sides(
        left=gradient_by_the_density(mean, log_sigma),
        right=torch.stack([by_mean, by_log_sigma]),
        wrong={
            "the noise left out of the chain": torch.stack([by_mean, by_mean * sigma]),
            "variance in place of deviation": torch.stack([by_mean, by_log_sigma * sigma]),
        },
    )


@proves("score-gradient")
def test_the_gradient_needs_only_values() -> Sides:
    """The same left side; the right uses values of f and the derivative of log q."""
    mean, log_sigma = torch.tensor(0.7, dtype=F64), torch.tensor(-0.3, dtype=F64)
    eps, weight = hermite(120)
    sigma = log_sigma.exp()
    value = weight * bent(mean + sigma * eps)
    by_mean, by_log_sigma = (value * eps / sigma).sum(), (value * (eps**2 - 1)).sum()
    no_baseline = (value * eps**2).sum()
    return Sides(
        left=gradient_by_the_density(mean, log_sigma),
        right=torch.stack([by_mean, by_log_sigma]),
        wrong={
            "the normalizer of q forgotten": torch.stack([by_mean, no_baseline]),
            "variance in place of deviation": torch.stack([by_mean / sigma, by_log_sigma]),
        },
    )


@proves("toy-variances")
def test_the_variances_for_a_square_are_these() -> Sides:
    """Moments of polynomials are exact at the nodes of Gauss and Hermite."""
    eps, weight = hermite(20)
    mean, sigma = randn(7, 1), 0.3 + rand(7, 1, seed=1)

    def variance(estimate):
        return (weight * estimate**2).sum(-1) - (weight * estimate).sum(-1) ** 2

    z = mean + sigma * eps
    left = torch.stack([variance(2 * z), variance(z**2 * eps / sigma)])
    m, s = mean[:, 0], sigma[:, 0]
    score = m**4 / s**2 + 14 * m**2 + 15 * s**2
    return Sides(
        left=left,
        right=torch.stack([4 * s**2, score]),
        wrong={
            "the square of the mean not taken off": torch.stack([4 * s**2, score + 4 * m**2]),
            "deviation in place of variance": torch.stack([4 * s, score]),
            "fourth moment taken for one": torch.stack([4 * s**2, score - 12 * m**2]),
            "sixth moment taken for nine": torch.stack([4 * s**2, score - 6 * s**2]),
        },
    )


@proves("log-ratio")
def test_the_log_ratio_of_two_gaussians() -> Sides:
    """Another library's densities, at random points."""
    z, mean_q, mean_p = randn(20), randn(20, seed=1), randn(20, seed=2)
    sigma_q, sigma_p = 0.2 + rand(20, seed=3), 0.2 + rand(20, seed=4)
    normal = torch.distributions.Normal
    left = normal(mean_q, sigma_q).log_prob(z) - normal(mean_p, sigma_p).log_prob(z)
    logs = sigma_p.log() - sigma_q.log()
    q, p = (z - mean_q) ** 2 / (2 * sigma_q**2), (z - mean_p) ** 2 / (2 * sigma_p**2)
    return Sides(
        left=left,
        right=logs - q + p,
        wrong={
            "signs of the squares": logs + q - p,
            "signs of the logarithms": -logs - q + p,
            "logarithms of variances": 2 * logs - q + p,
        },
    )


@proves("shifted-square")
def test_the_mean_square_about_another_point() -> Sides:
    """By quadrature over the density."""
    eps, weight = hermite(10)
    mean_q, mean_p, sigma_q = randn(6), randn(6, seed=1), 0.2 + rand(6, seed=2)
    z = mean_q[:, None] + sigma_q[:, None] * eps
    shift = mean_q - mean_p
    return Sides(
        left=(weight * (z - mean_p[:, None]) ** 2).sum(-1),
        right=sigma_q**2 + shift**2,
        wrong={
            "the shift forgotten": sigma_q**2,
            "the cross term kept": sigma_q**2 + shift**2 + 2 * mean_q * shift,
            "deviation in place of variance": sigma_q + shift**2,
        },
    )


@proves("kl-scalar")
def test_the_divergence_of_two_gaussians_on_the_line() -> Sides:
    """The definition, as an integral on a fine grid."""
    z, dz = line(30.0)
    mean_q, mean_p = randn(5, 1), randn(5, 1, seed=1)
    var_q, var_p = 0.2 + rand(5, 1, seed=2), 0.5 + rand(5, 1, seed=3)
    log_q, log_p = log_normal(z, mean_q, var_q), log_normal(z, mean_p, var_p)
    left = (log_q.exp() * (log_q - log_p)).sum(-1) * dz
    m2, vq, vp = ((mean_q - mean_p) ** 2)[:, 0], var_q[:, 0], var_p[:, 0]

    def closed(log_sign=1.0, half=0.5, one=1.0):
        return half * (vq / vp + m2 / vp - one - log_sign * torch.log(vq / vp))

    return Sides(
        left=left,
        right=closed(),
        wrong={
            "sign of the logarithm": closed(log_sign=-1.0),
            "no half": closed(half=1.0),
            "no minus one": closed(one=0.0),
            "roles exchanged": 0.5 * (vp / vq + m2 / vq - 1 + torch.log(vq / vp)),
        },
    )


@proves("vae-kl")
def test_the_rate_of_a_diagonal_posterior() -> Sides:
    """The integral over a plane and the library's function, both against the displayed sum."""
    side = torch.linspace(-11, 11, 1101, dtype=F64)
    z = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1)
    cell = (side[1] - side[0]) ** 2
    mean, log_var = randn(4, 2), randn(4, 2, seed=1) - 0.5
    integrals = []
    for m, v in zip(mean, log_var, strict=True):
        log_q = log_normal(z, m, v.exp()).sum(-1)
        log_p = log_normal(z, torch.zeros(2, dtype=F64), torch.ones(2, dtype=F64)).sum(-1)
        integrals.append((log_q.exp() * (log_q - log_p)).sum() * cell)

    def twice(mean, var, one=1.0, log_sign=1.0):
        entries = 0.5 * (mean**2 + var - one - log_sign * torch.log(var))
        return entries.sum(-1).repeat(2)

    return Sides(
        left=torch.cat([torch.stack(integrals), kl_diagonal(mean, log_var).sum(-1)]),
        right=twice(mean, log_var.exp()),
        wrong={
            "deviation in place of variance": twice(mean, torch.exp(log_var / 2)),
            "mean over the code": twice(mean, log_var.exp()) / 2,
            "sign of the logarithm": twice(mean, log_var.exp(), log_sign=-1.0),
            "one for the whole code": twice(mean, log_var.exp(), one=0.5),
        },
    )


def factors(batch, dim, seed):
    a = randn(batch, dim, dim, seed=seed)
    return torch.linalg.cholesky(a @ a.mT + 0.5 * torch.eye(dim, dtype=F64))


def cube(dim, n=6):
    """Nodes and weights of the expectation over a standard normal vector."""
    nodes, weights = hermite(n)
    grid = torch.cartesian_prod(*[nodes] * dim)
    weight = torch.cartesian_prod(*[weights] * dim).prod(-1)
    return grid, weight


@proves("trace-trick")
def test_the_mean_of_a_centered_quadratic_form_is_a_trace() -> Sides:
    """By Gauss-Hermite nodes in three dimensions, for a matrix without symmetry."""
    eps, weight = cube(3)
    l_q, a = factors(1, 3, 2)[0], randn(3, 3, seed=3)
    u = eps @ l_q.T
    return Sides(
        left=(weight * torch.einsum("ni,ij,nj->n", u, a, u)).sum()[None],
        right=torch.trace(a @ l_q @ l_q.T)[None],
        wrong={
            "sum of all entries": (a @ l_q @ l_q.T).sum()[None],
            "product of traces": (torch.trace(a) * torch.trace(l_q @ l_q.T))[None],
            "the factor alone": torch.trace(a @ l_q)[None],
        },
    )


@proves("mean-quadratic")
def test_the_mean_of_a_quadratic_form() -> Sides:
    """By Gauss-Hermite nodes in three dimensions, exact for a quadratic."""
    eps, weight = cube(3)
    mean_q, mean_p = randn(3), randn(3, seed=1)
    l_q, c_p = factors(1, 3, 2)[0], factors(1, 3, 3)[0]
    c_p = c_p @ c_p.T
    inverse = torch.linalg.inv(c_p)
    apart = mean_q + eps @ l_q.T - mean_p
    left = (weight * torch.einsum("ni,ij,nj->n", apart, inverse, apart)).sum()
    m = mean_q - mean_p
    trace = torch.trace(inverse @ l_q @ l_q.T)
    return Sides(
        left=left,
        right=trace + m @ inverse @ m,
        wrong={
            "inverse forgotten": torch.trace(c_p @ l_q @ l_q.T) + m @ inverse @ m,
            "trace of the factor": torch.trace(inverse @ l_q) + m @ inverse @ m,
            "the shift forgotten": trace,
        },
    )


@proves("kl-full")
def test_the_divergence_of_two_full_gaussians() -> Sides:
    """The mean of log q - log p at the nodes, against traces and determinants."""
    eps, weight = cube(3)
    left, right, one, turned = [], [], [], []
    for seed in range(5):
        mean_q, mean_p = randn(3, seed=seed), randn(3, seed=10 + seed)
        l_q, l_p = factors(1, 3, 20 + seed)[0], factors(1, 3, 30 + seed)[0]
        normal = torch.distributions.MultivariateNormal
        q, p = normal(mean_q, scale_tril=l_q), normal(mean_p, scale_tril=l_p)
        z = mean_q + eps @ l_q.T
        left.append((weight * (q.log_prob(z) - p.log_prob(z))).sum())
        c_q, c_p, m = l_q @ l_q.T, l_p @ l_p.T, mean_q - mean_p
        trace = torch.trace(torch.linalg.inv(c_p) @ c_q)
        squared = m @ torch.linalg.inv(c_p) @ m
        logs = torch.logdet(c_p) - torch.logdet(c_q)
        right.append(0.5 * (trace + squared - 3 + logs))
        one.append(0.5 * (trace + squared - 1 + logs))
        turned.append(0.5 * (trace + squared - 3 - logs))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={
            "one in place of the dimension": torch.stack(one),
            "sign of the log determinants": torch.stack(turned),
        },
    )


@proves("kl-cholesky")
def test_triangles_give_the_same_divergence() -> Sides:
    """Inverses and determinants, and the library's function, against sums over triangles."""
    mean_q, mean_p = randn(5, 4), randn(5, 4, seed=1)
    l_q, l_p = factors(5, 4, 2), factors(5, 4, 3)
    c_q, c_p, m = l_q @ l_q.mT, l_p @ l_p.mT, (mean_q - mean_p)[..., None]
    inverse = torch.linalg.inv(c_p)
    trace = torch.diagonal(inverse @ c_q, dim1=-2, dim2=-1).sum(-1)
    squared = (m.mT @ inverse @ m)[:, 0, 0]
    left = 0.5 * (trace + squared - 4 + torch.logdet(c_p) - torch.logdet(c_q))
    ratio, shift = torch.linalg.inv(l_p) @ l_q, torch.linalg.inv(l_p) @ m
    squares = ratio.square().sum((-2, -1)) + shift.square().sum((-2, -1)) - 4
    logs = ratio.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    exchanged = torch.linalg.inv(l_q) @ l_p
    exchanged_squares = squares - ratio.square().sum((-2, -1)) + exchanged.square().sum((-2, -1))
    return Sides(
        left=torch.cat([left, kl_full(mean_q, l_q, mean_p, l_p)]),
        right=(0.5 * squares - logs).repeat(2),
        wrong={
            "half of the logarithms": (0.5 * (squares - logs)).repeat(2),
            "factors exchanged": (0.5 * exchanged_squares + logs).repeat(2),
            "the whole square": (squares - logs).repeat(2),
        },
    )


def tiny_model(sigma):
    """A small VAE in float64 with fixed noise, and its parameters except sigma."""
    model = VAE(Gaussian(sigma, learned=False), n_latents=2, n_dims=5, width=6, seed=3).double()
    with torch.no_grad():
        model.likelihood.log_sigma.fill_(math.log(sigma))  # to all digits of float64
    weights = [p for name, p in model.named_parameters() if "log_sigma" not in name]
    return model, weights, randn(9, 5), randn(9, 2, seed=1)


def flat_gradient(loss, weights):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])


@proves("hidden-weight")
def test_a_squared_error_hides_a_weight_on_the_rate() -> Sides:
    """Gradients by all weights: the constant drops out, everything else must agree."""
    sigma = 0.37
    model, weights, x, eps = tiny_model(sigma)
    terms = model(x, eps)
    left = flat_gradient(2 * sigma**2 * (terms.rate.sum() + terms.distortion.sum()), weights)

    def right(weight, reduce):
        z_mean, z_log_var = model.encode(x)
        z = z_mean + torch.exp(z_log_var / 2) * eps
        error = reduce((x - model.decode(z)[..., 0]) ** 2)
        return flat_gradient(error + weight * kl_diagonal(z_mean, z_log_var).sum(), weights)

    return Sides(
        left=left,
        right=right(2 * sigma**2, torch.sum),
        wrong={
            "no two": right(sigma**2, torch.sum),
            "weight one": right(1.0, torch.sum),
            "mean over pixels": right(2 * sigma**2, lambda e: e.sum() / 5),
        },
    )


@proves("beta-is-a-variance")
def test_a_weight_on_the_rate_is_a_variance_of_the_decoder() -> Sides:
    """Gradients by all weights of a model with sigma, and of one with sqrt(beta) sigma."""
    sigma, beta = 0.4, 3.5

    def gradient(sigma, on_rate, overall):
        model, weights, x, eps = tiny_model(sigma)
        terms = model(x, eps)
        return flat_gradient(
            overall * (on_rate * terms.rate.sum() + terms.distortion.sum()), weights
        )

    return Sides(
        left=gradient(sigma, beta, 1.0),
        right=gradient(math.sqrt(beta) * sigma, 1.0, beta),
        wrong={
            "sigma times beta": gradient(beta * sigma, 1.0, beta),
            "sigma divided": gradient(sigma / math.sqrt(beta), 1.0, beta),
            "no factor in front": gradient(math.sqrt(beta) * sigma, 1.0, 1.0),
        },
    )


@proves("best-sigma")
def test_the_best_sigma_is_the_root_mean_square_error() -> Sides:
    """The zero of the slope of the library's likelihood, found by bisection."""
    mean, x = randn(12, 7, 1), randn(12, 7, seed=1)

    def slope(sigma):
        likelihood = Gaussian(1.0).double()
        with torch.no_grad():
            likelihood.log_sigma.fill_(math.log(sigma))
        value = likelihood.log_prob(mean, x).sum()
        return torch.autograd.grad(value, likelihood.log_sigma)[0].item()

    found = optimize.brentq(slope, 0.1, 10.0, xtol=1e-14, rtol=1e-14)
    squares = (x - mean[..., 0]) ** 2
    return Sides(
        left=torch.tensor([found**2], dtype=F64),
        right=squares.mean()[None],
        wrong={
            "sum over pixels": squares.sum(-1).mean()[None],
            "unbiased variance": (squares.sum() / (squares.numel() - 1))[None],
            "absolute error": squares.sqrt().mean()[None] ** 2,
        },
    )


@proves("stable-bin")
def test_a_bin_without_a_difference_of_near_equals() -> Sides:
    """The plain difference, where it keeps its digits, and the library, against the product."""
    parameters = torch.cat([randn(40, 1, 1) / 2, randn(40, 1, 1, seed=1) / 2 - 1], -1)
    x = torch.randint(1, 16, (40, 1), generator=torch.Generator().manual_seed(2)).double() / 8 - 1
    mean, scale = parameters[..., 0], parameters[..., 1].exp()
    a, b = (x + 1 / 16 - mean) / scale, (x - 1 / 16 - mean) / scale
    upper, lower = torch.sigmoid(a), torch.sigmoid(-b)
    difference = (torch.sigmoid(a) - torch.sigmoid(b))[:, 0]

    def twice(product):
        return product[:, 0].repeat(2)

    return Sides(
        left=torch.cat([difference, DiscretizedLogistic().log_prob(parameters, x).exp()]),
        right=twice(upper * lower * (1 - torch.exp(b - a))),
        wrong={
            "exponent turned round": twice(upper * lower * (torch.exp(a - b) - 1)),
            "last factor forgotten": twice(upper * lower),
            "sign of b": twice(upper * torch.sigmoid(b) * (1 - torch.exp(b - a))),
        },
    )


def line_vae(weight, slope, log_v, variance, sigma):
    """Rate and distortion of the linear VAE on a line: x ~ N(0, variance), z = slope x + noise."""
    v = torch.exp(log_v)
    rate = 0.5 * (slope**2 * variance + v - 1 - log_v)
    error = (1 - weight * slope) ** 2 * variance + weight**2 * v
    return rate, error / (2 * sigma**2) + 0.5 * math.log(2 * math.pi * sigma**2)


def best_line_vae(variance, sigma, beta):
    """Minimum of D + beta R over weight, slope and log v: descent, then Newton's method."""

    def loss(parameters):
        rate, distortion = line_vae(*parameters, variance, sigma)
        return distortion + beta * rate

    def value_and_gradient(array):
        point = torch.tensor(array, dtype=F64, requires_grad=True)
        value = loss(point)
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient.numpy()

    start = optimize.minimize(value_and_gradient, [0.7, 0.4, -0.5], jac=True, tol=1e-12).x
    point = torch.tensor(start, dtype=F64)
    if abs(point[0]) > 1e-2:  # at a collapsed optimum the minimum is flat to second order
        for _ in range(5):
            gradient = torch.autograd.functional.jacobian(loss, point)
            hessian = torch.autograd.functional.hessian(loss, point)
            point = point - torch.linalg.solve(hessian, gradient)
    return point


@proves("slope")
def test_the_curve_falls_by_beta_nats_of_distortion_per_nat_of_rate() -> Sides:
    """Minima found numerically at neighboring weights, and the slope between them."""
    variance, sigma, h = 2.0, 0.5, 1e-4
    betas = torch.tensor([0.3, 1.0, 2.5, 5.0], dtype=F64)
    slopes = []
    for beta in betas.tolist():
        ends = [
            torch.stack(line_vae(*best_line_vae(variance, sigma, b), variance, sigma))
            for b in (beta - h, beta + h)
        ]
        d_rate, d_distortion = ends[1] - ends[0]
        slopes.append(d_distortion / d_rate)
    return Sides(
        left=torch.stack(slopes),
        right=-betas,
        wrong={"sign": betas, "inverse": -1 / betas, "always one": -torch.ones_like(betas)},
        tolerance=1e-6,
        reason="central difference over 2e-4: the third derivative leaves about 1e-8",
    )


@proves("collapse-loss")
def test_with_the_best_encoder_the_loss_is_the_likelihood() -> Sides:
    """The loss minimized over the encoder alone, at fixed weights of the decoder."""
    sigma, variance = 0.6, 1.7
    weights = torch.tensor([0.0, 0.4, 1.1, 2.5], dtype=F64)
    found = []
    for weight in weights:

        def loss(parameters, weight=weight):
            rate, distortion = line_vae(weight, *parameters, variance, sigma)
            return rate + distortion

        point = torch.tensor([0.0, 0.0], dtype=F64)
        for _ in range(60):  # Newton's method: the loss is convex in slope and log v
            gradient = torch.autograd.functional.jacobian(loss, point)
            hessian = torch.autograd.functional.hessian(loss, point)
            point = point - torch.linalg.solve(hessian, gradient)
        found.append(loss(point))
    total = weights**2 + sigma**2

    def closed(total, half=0.5):
        return half * torch.log(2 * math.pi * total) + variance / (2 * total)

    return Sides(
        left=torch.stack(found),
        right=closed(total),
        wrong={
            "the decoder's noise forgotten": closed(weights**2 + 1e-3),
            "whole logarithm": closed(total, half=1.0),
            "weight not squared": closed(weights + sigma**2),
        },
    )


@proves("collapse-threshold")
def test_a_direction_is_used_when_its_variance_exceeds_beta_sigma_squared() -> Sides:
    """Numerical minima of the bound itself, on both sides of the threshold."""
    sigma, beta = 0.6, 2.0
    variances = [0.1, 0.5, 0.9, 1.5, 4.0]
    found = [best_line_vae(v, sigma, beta)[0] ** 2 for v in variances]
    v = torch.tensor(variances, dtype=F64)
    return Sides(
        left=torch.stack(found),
        right=(v - beta * sigma**2).clamp(min=0),
        wrong={
            "no beta": (v - sigma**2).clamp(min=0),
            "never collapsed": v - beta * sigma**2,
            "deviation in place of variance": (v - beta * sigma).clamp(min=0),
        },
        tolerance=1e-5,
        reason="a collapsed minimum is flat: descent stops within 1e-3 of weight 0",
    )


@proves("rate-split")
def test_the_mean_rate_is_information_plus_misfit() -> Sides:
    """Three integrals on a grid; the left side is the closed form."""
    z, dz = line(20.0, 40_001)
    mean, log_var = 2 * randn(9, 1), randn(9, 1, seed=1) - 1
    log_each = log_normal(z, mean, log_var.exp())
    log_q = log_each.logsumexp(0) - math.log(9)
    log_p = log_normal(z, 0.0, torch.ones((), dtype=F64))
    information = (log_each.exp() * (log_each - log_q)).sum(-1).mean() * dz
    misfit = (log_q.exp() * (log_q - log_p)).sum() * dz
    turned = (log_p.exp() * (log_p - log_q)).sum() * dz
    return Sides(
        left=kl_diagonal(mean, log_var).sum(-1).mean(),
        right=information + misfit,
        wrong={
            "information alone": information,
            "misfit alone": misfit,
            "divergence turned round": information + turned,
        },
    )


@proves("markov-bound")
def test_the_bound_of_a_chain_falls_short_by_both_posteriors() -> Sides:
    """Gaussian chain: the terms at Gauss-Hermite nodes, the rest from joint covariances."""
    a, b, noise, x = 0.7, 1.3, 0.6, 0.9
    slope_1, var_1, slope_2, var_2 = 0.4, 0.35, 0.5, 0.8

    def normal(z, mean, var):
        return log_normal(z, mean, torch.tensor(var, dtype=F64))

    eps, weight = cube(2, 10)
    z_1 = slope_1 * x + math.sqrt(var_1) * eps[:, 0]
    z_2 = slope_2 * z_1 + math.sqrt(var_2) * eps[:, 1]
    likelihood = normal(torch.tensor(x, dtype=F64), b * z_1, noise**2)
    lower = normal(z_1, slope_1 * x, var_1) - normal(z_1, a * z_2, 1 - a**2)
    upper = normal(z_2, slope_2 * z_1, var_2) - normal(z_2, 0.0, 1.0)
    independent = normal(z_1, slope_1 * x, var_1) - normal(z_1, 0.0, 1.0)

    def mean(value):
        return (weight * value).sum()

    # The left side: log p(x) less the divergence of the joint posteriors, by linear algebra.
    log_px = normal(torch.tensor(x, dtype=F64), 0.0, b**2 + noise**2)
    prior = torch.tensor([[1.0, a], [a, 1.0]], dtype=F64)
    read = torch.tensor([b, 0.0], dtype=F64)
    gain = prior @ read / (read @ prior @ read + noise**2)
    p_mean, p_cov = gain * x, prior - torch.outer(gain, read @ prior)
    q_mean = torch.tensor([slope_1 * x, slope_2 * slope_1 * x], dtype=F64)
    cross = slope_2 * var_1
    q_cov = torch.tensor([[var_1, cross], [cross, slope_2**2 * var_1 + var_2]], dtype=F64)
    gap = kl_full(q_mean, torch.linalg.cholesky(q_cov), p_mean, torch.linalg.cholesky(p_cov))
    return Sides(
        left=log_px - gap,
        right=mean(likelihood - lower - upper),
        wrong={
            "the upper level forgotten": mean(likelihood - lower),
            "the levels made independent": mean(likelihood - independent - upper),
            "the upper rate added": mean(likelihood - lower + upper),
        },
    )
