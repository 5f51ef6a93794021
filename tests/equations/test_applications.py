"""Proofs of the displayed equations of the chapter on what models are for."""

import math

import numpy as np
import torch
from scipy import integrate, optimize, special, stats

from fromnoise.mixtures import GaussianMixture
from fromnoise.progressive_coding import gaussian_rate
from fromnoise.schedules import Cosine, Rectified
from proof import Sides, proves

F64 = torch.float64


def tensor(value) -> torch.Tensor:
    return torch.tensor(value, dtype=F64)


def hermite(n=40):
    """Nodes and weights of E[f(eps)], eps standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))


@proves("applications-linear-norm", "applications-shell")
def test_lengths_of_noise_and_of_a_mix() -> Sides:
    """Gauss-Hermite quadrature over both noises, entry by entry, against the closed forms."""
    e, w = hermite()
    # A share of 0 is the plain noise of the shell.
    shares, dims = [0.0, 0.1, 0.5, 0.8], [1, 7, 64]
    a, b, weight = e[:, None], e[None, :], w[:, None] * w[None, :]
    left = [d * (weight * ((1 - m) * a + m * b).square()).sum() for m in shares for d in dims]
    # Independent entries: the variances of their squares add up.
    left += [d * (w * (e.square() - (w * e.square()).sum()).square()).sum() for d in dims]
    right = [d * ((1 - m) ** 2 + m**2) for m in shares for d in dims] + [2.0 * d for d in dims]
    cross = [d * (1 - m + m) ** 2 for m in shares for d in dims] + [2.0 * d for d in dims]
    single = [d * ((1 - m) ** 2 + m**2) for m in shares for d in dims] + [1.0 * d for d in dims]
    root = [d**0.5 if m == 0 else d * ((1 - m) ** 2 + m**2) for m in shares for d in dims]
    root += [2.0 * d for d in dims]
    return Sides(
        left=torch.stack(left),
        right=tensor(right),
        wrong={
            "scales added, not variances": tensor(cross),
            "variance d": tensor(single),
            "the length for its square": tensor(root),
        },
    )


@proves("applications-preserving")
def test_a_divided_mix_has_the_covariance_of_noise() -> Sides:
    """The covariance of a linear map of two noises, by matrices, against the identity."""
    dim, left, without = 3, [], []
    eye = torch.eye(dim, dtype=F64)
    for m in (0.0, 0.3, 0.5, 0.9):
        scale = math.sqrt((1 - m) ** 2 + m**2)
        plain = torch.cat([(1 - m) * eye, m * eye], 1)
        left.append((plain / scale) @ (plain / scale).T)
        without.append(plain @ plain.T)
    return Sides(
        left=torch.stack(left),
        right=eye.expand(4, dim, dim).clone(),
        wrong={"not divided": 2 * eye.expand(4, dim, dim) - torch.stack(without)},
    )


@proves("applications-gaussian-code")
def test_the_flow_of_a_gaussian_standardizes() -> Sides:
    """An adaptive solver of the flow from clean data to noise, against the formula."""
    schedule, mean, c = Cosine(), 0.7, 0.3
    x_0 = np.array([-1.0, 0.2, 2.5])

    def velocity(t, x):
        at = schedule(tensor(min(max(t, 0.0), 1.0)))
        alpha, sigma = float(at.alpha_t), float(at.sigma_t)
        var = alpha**2 * c + sigma**2
        rate = float(at.d_alpha_t) * alpha * c + float(at.d_sigma_t) * sigma
        return float(at.d_alpha_t) * mean + rate / var * (x - alpha * mean)

    times = [0.25, 0.6, 1.0]
    solved = integrate.solve_ivp(
        velocity, (0, 1), x_0, t_eval=times, rtol=1e-12, atol=1e-13, method="DOP853"
    )
    at = schedule(tensor(times))
    c_t = at.alpha_t.square() * c + at.sigma_t.square()
    start = torch.from_numpy(x_0)[:, None]
    right = at.alpha_t * mean + (c_t / c).sqrt() * (start - mean)
    return Sides(
        left=torch.from_numpy(solved.y),
        right=right,
        wrong={
            "no root": at.alpha_t * mean + c_t / c * (start - mean),
            "the mean stays": mean + (c_t / c).sqrt() * (start - mean),
        },
        tolerance=1e-9,
        reason="the solver is asked for a relative error of 1e-12 per step",
    )


def bells(std=0.4):
    return GaussianMixture.isotropic(tensor([[-1.0], [1.3]]), std, tensor([0.3, 0.7]))


@proves("applications-way")
def test_the_way_is_twice_the_error_of_the_denoiser() -> Sides:
    """Both ends on a grid, from Bayes' rule on points, against the closed posterior variance."""
    data, schedule = bells(), Rectified()
    x = torch.linspace(-4.6, 4.9, 1501, dtype=F64)[:, None]
    dx = float(x[1] - x[0])
    prior = data.log_prob(x).exp() * dx
    left, right = [], []
    for t in (0.3, 0.6, 0.85):
        at = schedule(tensor(t))
        x_t = torch.linspace(-7, 7, 1401, dtype=F64)[:, None]
        step = float(x_t[1] - x_t[0])
        gap = (x_t - at.alpha_t * x[:, 0]) / at.sigma_t
        likelihood = torch.exp(-gap.square() / 2) / (at.sigma_t * math.sqrt(2 * math.pi))
        joint = likelihood * prior
        evidence = joint.sum(1, keepdim=True)
        posterior = joint / evidence
        # E (a - b)^2 of two independent draws a, b from each posterior, over all pairs.
        first, second = posterior @ x, posterior @ x.square()
        pairs = second + second - 2 * first * first
        left.append((evidence * pairs).sum() * step)
        error = data.posterior_covariance(x_t, at)[:, 0, 0]
        right.append((data.noised(at).log_prob(x_t).exp() * error).sum() * step)
    right = torch.stack(right)
    return Sides(
        left=torch.stack(left),
        right=2 * right,
        wrong={"once": right, "the square root of two": math.sqrt(2) * right},
    )


def separations():
    """Rates of two bells of one width at several times."""
    std, found = 0.3, []
    for t in (0.2, 0.5, 0.8):
        at = Rectified()(tensor(t))
        alpha, sigma = float(at.alpha_t), float(at.sigma_t)
        found.append((alpha, math.sqrt(alpha**2 * std**2 + sigma**2)))
    return found


@proves("applications-stay-ancestral")
def test_an_ancestral_walk_stays_by_the_posterior() -> Sides:
    """Adaptive quadrature over the overlap of two densities, against a mean of sigmoids."""
    left, right, certain, half = [], [], [], []
    for alpha, width in separations():
        here, there = stats.norm(alpha, width), stats.norm(-alpha, width)

        def overlap(x, here=here, there=there):
            return here.pdf(x) ** 2 / (here.pdf(x) + there.pdf(x))

        left.append(integrate.quad(overlap, -8, 8, epsabs=1e-13, limit=400)[0])
        m = alpha / width

        def weighed(z, m=m):
            return stats.norm.pdf(z) * special.expit(2 * m * (m + z))

        right.append(integrate.quad(weighed, -12, 12, epsabs=1e-13, limit=400)[0])
        certain.append(stats.norm.cdf(m))
        half.append(
            integrate.quad(lambda z, m=m: stats.norm.pdf(z) * special.expit(m * (m + z)), -12, 12)[
                0
            ]
        )
    return Sides(
        left=tensor(left),
        right=tensor(right),
        wrong={"the share of the flow": tensor(certain), "half the log-odds": tensor(half)},
        tolerance=1e-9,
        reason="two adaptive quadratures",
    )


@proves("applications-stay-flow")
def test_the_flow_stays_on_its_side() -> Sides:
    """Points noised to t are followed back by an adaptive solver; their side is counted."""
    std, n = 0.3, 4001
    data = GaussianMixture.isotropic(tensor([[-1.0], [1.0]]), std)
    schedule, left, right, wrong = Rectified(), [], [], []
    quantiles = (np.arange(n) + 0.5) / n
    for t, (alpha, width) in zip((0.2, 0.5, 0.8), separations(), strict=True):
        start = stats.norm(alpha, width).ppf(quantiles)

        def velocity(time, x):
            at = schedule(tensor(time))
            points = torch.from_numpy(np.atleast_1d(x).reshape(-1, 1))
            x_0_hat = data.posterior_mean(points, at)
            return ((points - x_0_hat) / at.sigma_t).numpy()[:, 0]

        end = integrate.solve_ivp(velocity, (t, 1e-3), start, rtol=1e-6).y[:, -1]
        left.append(float((end > 0).mean()))
        right.append(stats.norm.cdf(alpha / width))
        wrong.append(stats.norm.cdf(alpha / width**2))
    return Sides(
        left=tensor(left),
        right=tensor(right),
        wrong={"variance for width": tensor(wrong)},
        tolerance=5e-4,
        reason="4001 points: one of them on the wrong side is 2.5e-4",
    )


@proves("applications-units")
def test_other_units_are_another_noise_level() -> Sides:
    """The denoiser of enlarged data, against that of the plain data at the shifted log-SNR."""
    plain, schedule, factor = bells(), Rectified(), 5.0
    large = GaussianMixture.isotropic(factor * tensor([[-1.0], [1.3]]), factor * 0.4,
                                      tensor([0.3, 0.7]))  # fmt: skip
    left, right, same, half = [], [], [], []
    for t in (0.3, 0.7, 0.9):
        at = schedule(tensor(t))
        x_t = torch.linspace(-4, 5, 9, dtype=F64)[:, None]
        left.append(large.posterior_mean(x_t, at) / factor)

        def shifted(by, at=at, x_t=x_t):
            there = schedule(schedule.time_at(at.log_snr_t + by))
            return plain.posterior_mean(there.sigma_t / at.sigma_t * x_t, there)

        right.append(shifted(2 * math.log(factor)))
        same.append(shifted(0.0))
        half.append(shifted(math.log(factor)))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"no shift": torch.stack(same), "once the logarithm": torch.stack(half)},
    )


@proves("applications-mode")
def test_the_mode_is_likelier_than_what_is_drawn() -> Sides:
    """Entropy by one-dimensional quadrature, times d, against d / 2 below the peak."""
    dims = [1, 64, 784]

    def surprise(x):
        return -stats.norm.pdf(x) * stats.norm.logpdf(x)

    entropy = integrate.quad(surprise, -12, 12, epsabs=1e-14)[0]
    peak = stats.norm.logpdf(0.0)
    return Sides(
        left=tensor([d * (peak + entropy) for d in dims]),
        right=tensor([d / 2 for d in dims]),
        wrong={
            "d": tensor([float(d) for d in dims]),
            "half a logarithm": tensor([math.log(2 * math.pi) / 2 * d for d in dims]),
        },
    )


@proves("applications-shrunk-auc")
def test_shrunk_noise_is_told_apart_by_an_f_distribution() -> Sides:
    """Quadrature over both lengths, against the distribution of a ratio of variances."""
    left, right, upside, unsquared = [], [], [], []
    for d in (2, 16, 64):
        for s in (0.5, 0.8, 1.2):
            # P(s^2 u > v) = E over v of the upper tail of u at v / s^2.
            def inner(v, d=d, s=s):
                return stats.chi2.pdf(v, d) * stats.chi2.sf(v / s**2, d)

            high = d + 40 * math.sqrt(2 * d)
            left.append(integrate.quad(inner, 0, high, epsabs=1e-13, limit=500, points=[d])[0])
            right.append(stats.f.sf(1 / s**2, d, d))
            upside.append(stats.f.sf(s**2, d, d))
            unsquared.append(stats.f.sf(1 / s, d, d))
    return Sides(
        left=tensor(left),
        right=tensor(right),
        wrong={"upside down": tensor(upside), "s for its square": tensor(unsquared)},
        tolerance=1e-9,
        reason="an adaptive quadrature",
    )


@proves("applications-gaussian-progress")
def test_the_code_of_a_round_gaussian_is_shannons() -> Sides:
    """The integral of the steps by quadrature, and its inverse against the law of Shannon."""
    left, right, half, noisy = [], [], [], []
    for c in (0.2, 1.0, 5.0):
        for log_snr in (-2.0, 0.0, 3.0):

            def cost(level, c=c):
                return math.exp(level) / 2 * c / (1 + c * math.exp(level))

            rate = integrate.quad(cost, -40, log_snr, epsabs=1e-13, limit=400)[0]
            distortion = c / (1 + c * math.exp(log_snr))
            left.append(rate)
            right.append(math.log(c / distortion) / 2)
            half.append(math.log(c / distortion))
            noisy.append(math.log(c * math.exp(log_snr)) / 2)
    return Sides(
        left=tensor(left),
        right=tensor(right),
        wrong={"without the half": tensor(half), "the noise as distortion": tensor(noisy)},
    )


@proves("applications-water")
def test_no_division_of_the_error_is_cheaper_than_water_filling() -> Sides:
    """A general minimizer over the error of every axis, against the water level."""
    left, right, even = [], [], []
    for c, total in (([3.0, 1.0, 0.2], 1.0), ([3.0, 1.0, 0.2], 0.3), ([2.0, 0.5], 1.2)):
        variances = np.array(c)
        share = variances / variances.sum() * total
        found = optimize.minimize(
            lambda d, v=variances: 0.5 * np.log(v / d).sum(),
            share,
            jac=lambda d: -0.5 / d,
            bounds=[(1e-9, v) for v in c],
            constraints={"type": "eq", "fun": lambda d, t=total: d.sum() - t,
                         "jac": lambda d: np.ones_like(d)},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )  # fmt: skip
        left.append(found.fun)
        right.append(gaussian_rate(tensor(c), total))
        # What one gets by cutting every axis in proportion.
        even.append(0.5 * float(np.log(variances / share).sum()))
    return Sides(
        left=tensor(left),
        right=tensor(right),
        wrong={"errors in proportion": tensor(even)},
        tolerance=1e-7,
        reason="the minimizer stops near the square root of the machine's precision",
    )


@proves("applications-diffusion-axes")
def test_every_axis_is_sent_at_the_same_noise_level() -> Sides:
    """The integral of the summed errors, against a logarithm for each axis."""
    c = np.array([2.0, 0.5, 0.05])
    left, right, pooled = [], [], []
    for log_snr in (-3.0, 0.0, 4.0):
        rate = integrate.quad(
            lambda level: math.exp(level) / 2 * (c / (1 + c * math.exp(level))).sum(),
            -40, log_snr, epsabs=1e-13, limit=400,
        )[0]  # fmt: skip
        left.append(rate)
        right.append(0.5 * np.log1p(c * math.exp(log_snr)).sum())
        pooled.append(0.5 * math.log1p(c.sum() * math.exp(log_snr)))
    return Sides(
        left=tensor(left),
        right=tensor(right),
        wrong={"one logarithm of the sum": tensor(pooled)},
    )
