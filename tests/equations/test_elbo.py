"""The equations of "Latent variables and the evidence lower bound", each by two routes.

Expectations over the latent are trapezoid sums in the plane: exact to rounding for densities that
vanish at the edge. Log densities under the integrals are written out here, from `torch` alone.
"""

import itertools
import math

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from fromnoise.elbo import iwae_bound, rate, reparameterize, score_function_surrogate
from fromnoise.gaussians import Gaussian
from fromnoise.information import gaussian_kl_divergence
from fromnoise.linear_elbo import (
    elbo_gap,
    em_step,
    linear_elbo,
    linear_posterior,
    mean_field,
    mean_field_cost,
)
from fromnoise.linear_gaussian import LinearGaussian
from proof import Sides, proves

FLOAT = torch.float64
AXIS = torch.linspace(-13, 13, 521, dtype=FLOAT)
PLANE = torch.cartesian_prod(AXIS, AXIS)
AREA = (AXIS[1] - AXIS[0]) ** 2


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=FLOAT)


def covariance(dim: int, seed: int) -> Tensor:
    root = normal(dim, dim, seed=seed)
    return root @ root.T / dim + 0.2 * torch.eye(dim, dtype=FLOAT)


def model(seed: int = 0, dim: int = 4) -> LinearGaussian:
    return LinearGaussian(
        normal(dim, 2, seed=seed),
        normal(dim, seed=seed + 1),
        torch.tensor(0.8, dtype=FLOAT),
    )


def log_normal(x: Tensor, mean: Tensor, cov: Tensor) -> Tensor:
    """Log density through torch's own distribution, a route that shares nothing with ours."""
    return torch.distributions.MultivariateNormal(mean, cov).log_prob(x)


X = normal(4, seed=9)
Q = Gaussian(normal(2, seed=10), covariance(2, seed=11))


def parts(m: LinearGaussian, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x|z), log p(z), log q(z|x) at each latent."""
    eye = torch.eye(len(x), dtype=FLOAT)
    log_px_given_z = log_normal(x, m.mean + z @ m.loadings.T, m.noise_std**2 * eye)
    log_pz = log_normal(z, torch.zeros(2, dtype=FLOAT), torch.eye(2, dtype=FLOAT))
    return log_px_given_z, log_pz, log_normal(z, Q.mean, Q.covariance)


def integral(values: Tensor) -> Tensor:
    return values.sum() * AREA


@proves("elbo-marginal")
def test_the_marginal_is_an_integral_over_all_latents() -> Sides:
    """Left: the closed form of PPCA. Right: the integral."""
    log_px_given_z, log_pz, _ = parts(model(), X, PLANE)
    right = integral((log_px_given_z + log_pz).exp()).log()
    flat = (log_px_given_z.exp() / len(PLANE)).sum().log()
    return Sides(
        model().log_prob(X)[None],
        right[None],
        {
            "prior forgotten": flat[None],
            "prior squared": integral((log_px_given_z + 2 * log_pz).exp()).log()[None],
        },
    )


@proves("elbo-circle")
def test_one_latent_is_enough_if_its_posterior_is_known() -> Sides:
    """Left: the closed form. Right: the chain rule at four random latents."""
    z, m = normal(4, 2, seed=3), model()
    log_px_given_z, log_pz, log_qz = parts(m, X, z)
    mean, cov = m.posterior(X)
    log_posterior = log_normal(z, mean, cov)
    return Sides(
        m.log_prob(X).expand(4),
        log_px_given_z + log_pz - log_posterior,
        {
            "prior forgotten": log_px_given_z - log_posterior,
            "times the posterior": log_px_given_z + log_pz + log_posterior,
            "q for the posterior": log_px_given_z + log_pz - log_qz,
        },
    )


@proves("elbo-importance")
def test_any_q_gives_the_marginal_by_weights() -> Sides:
    """Left: the closed form. Right: the mean weight under a q that is not the posterior."""
    log_px_given_z, log_pz, log_qz = parts(model(), X, PLANE)
    log_w = log_px_given_z + log_pz - log_qz
    return Sides(
        model().log_prob(X)[None],
        integral((log_qz + log_w).exp()).log()[None],
        {
            "draws from the prior": integral((log_pz + log_w).exp()).log()[None],
            "q not divided out": integral((2 * log_qz + log_w).exp()).log()[None],
        },
    )


def bound_by_quadrature(m: LinearGaussian, x: Tensor) -> Tensor:
    log_px_given_z, log_pz, log_qz = parts(m, x, PLANE)
    return integral(log_qz.exp() * (log_px_given_z + log_pz - log_qz))


@proves("elbo-bound")
def test_the_log_of_a_mean_is_above_the_mean_of_logs() -> Sides:
    """How far the bound stands above log p(x), over five models: nowhere."""
    m = [model(seed) for seed in range(5)]
    excess = torch.stack([bound_by_quadrature(one, X) - one.log_prob(X) for one in m])
    return Sides(
        excess.clamp(min=0),
        torch.zeros(5, dtype=FLOAT),
        {"a bound from above": (-excess).clamp(min=0)},
    )


@proves("elbo-gap")
def test_the_gap_is_the_divergence_to_the_posterior() -> Sides:
    """Left: log p(x) in closed form. Right: bound by quadrature plus divergence in closed form."""
    m = model()
    bound = bound_by_quadrature(m, X)
    posterior = linear_posterior(m, X)
    reverse = gaussian_kl_divergence(posterior, Q)
    half = 0.5 * elbo_gap(m, X, Q)
    return Sides(
        m.log_prob(X)[None],
        (bound + elbo_gap(m, X, Q))[None],
        {
            "the other divergence": (bound + reverse)[None],
            "half of it": (bound + half)[None],
            "sign": (bound - elbo_gap(m, X, Q))[None],
        },
    )


@proves("elbo-rate-distortion")
def test_the_bound_is_what_is_kept_minus_what_is_paid() -> Sides:
    """Left: the integral of the log weight. Right: distortion by quadrature, rate closed."""
    m = model()
    log_px_given_z, _, log_qz = parts(m, X, PLANE)
    distortion = -integral(log_qz.exp() * log_px_given_z)
    prior = Gaussian(torch.zeros(2, dtype=FLOAT), torch.eye(2, dtype=FLOAT))
    cost = gaussian_kl_divergence(Q, prior)
    return Sides(
        bound_by_quadrature(m, X)[None],
        -(distortion + cost)[None],
        {
            "rate to the posterior": -(distortion + elbo_gap(m, X, Q))[None],
            "rate the other way": -(distortion + gaussian_kl_divergence(prior, Q))[None],
            "rate gained": (cost - distortion)[None],
        },
    )


@proves("elbo-rate")
def test_the_rate_of_a_diagonal_gaussian() -> Sides:
    """Left: the closed form. Right: Gauss-Hermite quadrature of log q - log p, per dimension."""
    mean, log_var = normal(5, 3, seed=0), normal(5, 3, seed=1)
    nodes, weights = (torch.tensor(a) for a in hermegauss(40))
    weights = weights / weights.sum()
    std = (0.5 * log_var).exp()
    z = mean[..., None] + std[..., None] * nodes
    log_q = -0.5 * (nodes.square() + log_var[..., None])
    right = (weights * (log_q + 0.5 * z.square())).sum((-2, -1))
    return Sides(
        rate(mean, log_var),
        right,
        {
            "std for variance": 0.5 * (mean.square() + std - 1 - log_var).sum(-1),
            "sign of the logarithm": 0.5 * (mean.square() + log_var.exp() - 1 + log_var).sum(-1),
            "one forgotten": 0.5 * (mean.square() + log_var.exp() - log_var).sum(-1),
        },
    )


@proves("elbo-ppca-marginal")
def test_ppca_is_a_gaussian() -> Sides:
    """Left: the matrix inversion lemma in the library. Right: torch's density of W W' + noise."""
    m, x = model(), normal(6, 4, seed=5)
    eye = torch.eye(4, dtype=FLOAT)
    outer = m.loadings @ m.loadings.T
    return Sides(
        m.log_prob(x),
        log_normal(x, m.mean, outer + m.noise_std**2 * eye),
        {
            "noise not squared": log_normal(x, m.mean, outer + m.noise_std * eye),
            "no loadings": log_normal(x, m.mean, m.noise_std**2 * eye),
        },
    )


@proves("elbo-ppca-posterior")
def test_the_posterior_of_ppca() -> Sides:
    """Left: mean and covariance in closed form. Right: moments of prior times likelihood."""
    m = model()
    log_px_given_z, log_pz, _ = parts(m, X, PLANE)
    weights = (log_px_given_z + log_pz).softmax(0)
    mean = weights @ PLANE
    second = torch.einsum("n,ni,nj->ij", weights, PLANE, PLANE) - torch.outer(mean, mean)
    found_mean, found_cov = m.posterior(X)
    precision = m.loadings.T @ m.loadings + m.noise_std**2 * torch.eye(2, dtype=FLOAT)
    no_noise = torch.linalg.solve(m.loadings.T @ m.loadings, m.loadings.T @ (X - m.mean))
    left = torch.cat([found_mean, found_cov.flatten()])
    return Sides(
        left,
        torch.cat([mean, second.flatten()]),
        {
            "least squares": torch.cat([no_noise, second.flatten()]),
            "noise not multiplied": torch.cat([mean, torch.linalg.inv(precision).flatten()]),
        },
    )


@proves("elbo-ppca-bound")
def test_the_bound_of_ppca_in_closed_form() -> Sides:
    """Left: the closed form. Right: the integral of the log weight."""
    m = model()
    left = linear_elbo(m, X, Q)
    blur = (m.loadings @ Q.covariance @ m.loadings.T).trace() / (2 * m.noise_std**2)
    return Sides(
        left[None],
        bound_by_quadrature(m, X)[None],
        {"no blur": (left + blur)[None], "blur not halved": (left - blur)[None]},
    )


@proves("elbo-em")
def test_what_em_gains() -> Sides:
    """Left: two likelihoods, summed over data. Right: bounds under the old posterior, divergences.

    Once for a round of EM, where the bound must not fall, and once for two models with no relation.
    """
    x = normal(30, 4, seed=6)
    old = LinearGaussian(model().loadings, x.mean(0), model().noise_std)
    other = LinearGaussian(model(2).loadings, model(0).mean, model(0).noise_std * 1.3)
    q = linear_posterior(old, x)
    gained, rises, gaps = [], [], []
    for new in (em_step(old, x), other):
        gained.append((new.log_prob(x) - old.log_prob(x)).sum())
        rises.append((linear_elbo(new, x, q) - linear_elbo(old, x, q)).sum())
        gaps.append(gaussian_kl_divergence(q, linear_posterior(new, x)).sum())
    rise, gap = torch.stack(rises), torch.stack(gaps)
    fall = (-rise[:1]).clamp(min=0)
    lost = (rise[:1]).clamp(min=0)
    return Sides(
        torch.cat([torch.stack(gained), torch.zeros(1, dtype=FLOAT)]),
        torch.cat([rise + gap, fall]),
        {
            "gap lost": torch.cat([rise, fall]),
            "gap paid": torch.cat([rise - gap, fall]),
            "the bound falls": torch.cat([rise + gap, lost]),
        },
    )


@proves("elbo-m-step")
def test_the_m_step_is_a_regression_on_the_latent() -> Sides:
    """Left: the formula. Right: least squares on points that stand for q, with its moments.

    Each Gaussian over two latents is replaced by four points at its mean plus and minus a root of
    its covariance: same mean, same second moment, so the same regression.
    """
    x = normal(30, 4, seed=6)
    old = LinearGaussian(model().loadings, x.mean(0), model().noise_std)
    new = em_step(old, x)
    mean, cov = old.posterior(x)
    root = math.sqrt(2) * torch.linalg.cholesky(cov).T
    points = torch.cat([mean + s * r for s, r in itertools.product((1, -1), root)])
    targets = (x - x.mean(0)).repeat(4, 1)
    loadings = torch.linalg.lstsq(points, targets).solution.T
    variance = (targets - points @ loadings.T).square().mean()
    plain = torch.linalg.lstsq(mean, x - x.mean(0)).solution.T
    plain_variance = (x - x.mean(0) - mean @ plain.T).square().mean()

    def flat(w: Tensor, v: Tensor) -> Tensor:
        return torch.cat([w.flatten(), v[None]])

    return Sides(
        flat(new.loadings, new.noise_std**2),
        flat(loadings, variance),
        {
            "regression on the means alone": flat(plain, plain_variance),
            "noise of the means alone": flat(loadings, plain_variance),
            "cross term twice": flat(
                loadings,
                2 * variance - (x - x.mean(0)).square().mean(),
            ),
            "per image, not per pixel": flat(loadings, 4 * variance),
        },
    )


def exact_iwae(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    """Mean of the bound over all K-tuples of a discrete latent."""
    log_w = log_joint - log_q
    tuples = torch.tensor(list(itertools.product(range(len(log_w)), repeat=k)))
    return (log_q[tuples].sum(1).exp() * iwae_bound(log_w[tuples].mT)).sum()


def discrete(seed: int) -> tuple[Tensor, Tensor]:
    joint = 0.1 * torch.rand(4, generator=rng(seed), dtype=FLOAT) + 1e-3
    return joint.log(), normal(4, seed=seed + 1).log_softmax(0)


@proves("elbo-iwae-order")
def test_more_weights_never_loosen_the_bound() -> Sides:
    """Any fall between neighbors of L_1, ..., L_6, log p(x), for five discrete models: none."""
    chains = []
    for seed in range(5):
        log_joint, log_q = discrete(seed)
        rungs = [exact_iwae(log_joint, log_q, k) for k in range(1, 7)]
        chains.append(torch.stack([*rungs, log_joint.logsumexp(0)]).diff())
    steps = torch.stack(chains)
    return Sides(
        (-steps).clamp(min=0),
        torch.zeros_like(steps),
        {"a falling chain": steps.clamp(min=0)},
    )


@proves("elbo-iwae-gap")
def test_the_gap_closes_as_one_over_k() -> Sides:
    """Left: K times the exact gap. Right: half the relative variance of the weights.

    With two codes the mean over K draws is a binomial sum, so K may be large.
    """
    k = 20_000
    left, right, unhalved = [], [], []
    for seed in range(3):
        joint = 0.1 * torch.rand(2, generator=rng(seed), dtype=FLOAT) + 0.02
        q = normal(2, seed=seed + 7).softmax(0)
        w, px = joint / q, joint.sum()
        n = torch.arange(k + 1, dtype=FLOAT)
        log_binomial = (
            torch.lgamma(torch.tensor(k + 1.0, dtype=FLOAT))
            - torch.lgamma(n + 1)
            - torch.lgamma(k - n + 1)
            + n * q[0].log()
            + (k - n) * q[1].log()
        )
        bound = (log_binomial.exp() * ((n * w[0] + (k - n) * w[1]) / k).log()).sum()
        variance = (q * w.square()).sum() - px**2
        left.append(k * (px.log() - bound))
        right.append(variance / (2 * px**2))
        unhalved.append(variance / px**2)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"not halved": torch.stack(unhalved), "over sqrt K": torch.stack(right) / math.sqrt(k)},
        tolerance=1e-3,
        reason="the next term of the series is of order 1/K, with K = 20000",
    )


def means_by_quadrature() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    nodes, weights = (torch.tensor(a) for a in hermegauss(60))
    mean = torch.tensor([0.4], dtype=FLOAT, requires_grad=True)
    log_var = torch.tensor([-0.6], dtype=FLOAT, requires_grad=True)
    return nodes, weights / weights.sum(), mean, log_var


def test_function(z: Tensor) -> Tensor:
    return torch.sin(z) + 0.3 * z.square()


test_function.__test__ = False


def gradient_by_differences() -> Tensor:
    """Of E f with respect to mean and log variance, by central differences of the quadrature."""
    nodes, weights, mean, log_var = means_by_quadrature()

    def expectation(m: float, v: float) -> float:
        return float((weights * test_function(m + math.exp(v / 2) * nodes)).sum())

    m, v, h = mean.item(), log_var.item(), 1e-3
    stencil = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))
    return torch.tensor(
        [
            sum(c * expectation(m + i * h, v) for i, c in stencil) / (12 * h),
            sum(c * expectation(m, v + i * h) for i, c in stencil) / (12 * h),
        ],
        dtype=FLOAT,
    )


@proves("elbo-path-gradient")
def test_the_gradient_goes_through_the_sample() -> Sides:
    """Left: autograd through z = mean + std eps. Right: finite differences of the expectation."""
    nodes, weights, mean, log_var = means_by_quadrature()
    z = reparameterize(mean, log_var, nodes[:, None])[:, 0]
    gradients = torch.autograd.grad((weights * test_function(z)).sum(), (mean, log_var))
    left = torch.cat(gradients)
    return Sides(
        left,
        gradient_by_differences(),
        {
            "log variance taken for log std": left * torch.tensor([1.0, 2.0], dtype=FLOAT),
            "noise scaled twice": left * torch.tensor([1.0, math.exp(-0.3)], dtype=FLOAT),
        },
        tolerance=1e-9,
        reason="central differences of fourth order with h = 1e-3 keep about ten digits",
    )


@proves("elbo-score-gradient")
def test_the_gradient_through_the_score_of_q() -> Sides:
    """Left: the surrogate's gradient under quadrature. Right: finite differences."""
    nodes, weights, mean, log_var = means_by_quadrature()
    z = (mean + (0.5 * log_var).exp() * nodes).detach()
    log_q = -0.5 * ((z - mean).square() * (-log_var).exp() + log_var)
    # The surrogate averages over equal draws; quadrature weights stand in for their frequencies.
    f = test_function(z) * weights * len(weights)
    left = torch.cat(
        torch.autograd.grad(score_function_surrogate(f, log_q), (mean, log_var), retain_graph=True)
    )
    shifted = f + 2 * weights * len(weights)
    with_baseline = torch.cat(
        torch.autograd.grad(score_function_surrogate(shifted, log_q), (mean, log_var))
    )
    return Sides(
        torch.cat([left, with_baseline]),
        gradient_by_differences().repeat(2),
        {"sign": torch.cat([left, -left]), "halved": torch.cat([left, left / 2])},
        tolerance=1e-9,
        reason="central differences of fourth order with h = 1e-3 keep about ten digits",
    )


@proves("elbo-mean-field")
def test_the_best_factorized_q() -> Sides:
    """Left: the formulas. Right: Newton's method on the divergence, started at random."""
    p = Gaussian(normal(3, seed=0), covariance(3, seed=1))
    best = mean_field(p)
    theta = torch.cat([normal(3, seed=2), 0.1 * normal(3, seed=3)])

    def divergence(theta: Tensor) -> Tensor:
        precision = torch.linalg.inv(p.covariance)
        offset, variance = theta[:3] - p.mean, theta[3:].exp()
        quadratic = (precision.diagonal() * variance).sum() + offset @ precision @ offset
        return 0.5 * (quadratic - 3 - theta[3:].sum() + torch.logdet(p.covariance))

    for _ in range(60):
        gradient = torch.autograd.functional.jacobian(divergence, theta)
        hessian = torch.autograd.functional.hessian(divergence, theta)
        theta = theta - torch.linalg.solve(hessian, gradient)
    formula = torch.cat([best.mean, best.covariance.diagonal(), mean_field_cost(p)[None]])

    def flat(variance: Tensor, cost: Tensor) -> Tensor:
        return torch.cat([theta[:3], variance, cost[None]])

    found = flat(theta[3:].exp(), divergence(theta))
    return Sides(
        formula,
        found,
        {
            "variances of the marginals": flat(p.covariance.diagonal(), divergence(theta)),
            "cost not halved": flat(theta[3:].exp(), 2 * divergence(theta)),
        },
    )


@proves("elbo-correlation-cost")
def test_what_a_correlation_costs() -> Sides:
    """Left: the formula. Right: quadrature of the divergence at the best factorized q."""
    rhos = torch.tensor([0.0, 0.3, -0.7, 0.9], dtype=FLOAT)
    found = []
    for rho in rhos:
        cov = torch.stack([torch.stack([torch.ones(()), rho]), torch.stack([rho, torch.ones(())])])
        cov = cov.to(FLOAT)
        log_q = log_normal(
            PLANE, torch.zeros(2, dtype=FLOAT), (1 - rho**2) * torch.eye(2, dtype=FLOAT)
        )
        log_p = log_normal(PLANE, torch.zeros(2, dtype=FLOAT), cov)
        found.append(integral(log_q.exp() * (log_q - log_p)))
    return Sides(
        -0.5 * torch.log1p(-rhos.square()),
        torch.stack(found),
        {
            "not halved": -torch.log1p(-rhos.square()),
            "correlation not squared": -0.5 * torch.log1p(-rhos.abs()),
        },
    )


@proves("elbo-moved")
def test_the_best_factorized_bound_is_the_likelihood_less_a_cost() -> Sides:
    """Left: the bound at the best factorized q, by the library. Right: written out for PPCA."""
    m, x = model(), normal(6, 4, seed=5)
    left = linear_elbo(m, x, mean_field(linear_posterior(m, x)))
    gram = m.loadings.T @ m.loadings + m.noise_std**2 * torch.eye(2, dtype=FLOAT)
    cost = 0.5 * (gram.diagonal().log().sum() - torch.logdet(gram))
    return Sides(
        left,
        m.log_prob(x) - cost,
        {
            "no cost": m.log_prob(x),
            "cost gained": m.log_prob(x) + cost,
            "twice": m.log_prob(x) - 2 * cost,
        },
    )
