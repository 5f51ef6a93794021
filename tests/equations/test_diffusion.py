"""The displayed equations of the chapter on diffusion, each against an independent computation."""

import math
from itertools import pairwise

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from fromnoise.diffusion import (
    elbo_weight,
    perturb,
    posterior,
    prior_kl,
    simple_loss,
    step_kl,
    transition,
)
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, sample, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear, discrete_chain
from fromnoise.targets import PredictEps, PredictScore, PredictV
from proof import Sides, proves

F64 = torch.float64
SCHEDULES = (Rectified(), Cosine(), VPLinear(), VE(0.01, 5.0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def times(n, seed=0, low=0.05, high=0.95):
    return low + (high - low) * torch.rand(n, generator=seeded(seed), dtype=F64)


def ordered_times(n, n_columns, seed=0):
    """Rows of rising times."""
    return times((n, n_columns), seed).sort(dim=1).values.T


def on_every_schedule(compute):
    """Stack a function of a schedule over all schedules."""
    return torch.stack([compute(schedule) for schedule in SCHEDULES])


def gauss_hermite(mean, std, n=80):
    """Nodes and weights that integrate against N(mean, std^2)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    weights = torch.tensor(weights / math.sqrt(2 * math.pi), dtype=F64)
    return mean[..., None] + std[..., None] * torch.tensor(nodes, dtype=F64), weights


def gauss_legendre(low, high, n=400):
    """Nodes and weights that integrate over [low, high]."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    half = (high - low) / 2
    return low + half * (torch.tensor(nodes, dtype=F64) + 1), half * torch.tensor(weights)


@proves("diffusion-composition")
def test_two_noising_steps_are_one() -> Sides:
    """Push a variable through two steps, moment by moment, against one step over both."""
    s, m, t = ordered_times(20, 3)

    def moments(schedule, power=2):
        a_ms, v_ms = transition(schedule(m), schedule(s))
        a_tm, v_tm = transition(schedule(t), schedule(m))
        # x_t = a_tm (a_ms x_s + n_1) + n_2 with variances v_ms and v_tm.
        return torch.stack([a_tm * a_ms, a_tm**power * v_ms + v_tm])

    one = on_every_schedule(lambda q: torch.stack(transition(q(t), q(s))))
    return Sides(
        left=one,
        right=on_every_schedule(moments),
        wrong={
            "first noise not scaled down": on_every_schedule(lambda q: moments(q, 0)),
            "scale not squared": on_every_schedule(lambda q: moments(q, 1)),
        },
    )


@proves("diffusion-transition-scales")
def test_step_between_marginals() -> Sides:
    """Noise at s, then by the step: the moments must be those of the schedule at t."""
    s, t = ordered_times(20, 2)

    def marginal(schedule, scale_noise=True, inverted=False):
        at_s, at_t = schedule(s), schedule(t)
        alpha_ts = at_t.alpha_t / at_s.alpha_t
        alpha_ts = 1 / alpha_ts if inverted else alpha_ts
        factor = alpha_ts**2 if scale_noise else 1.0
        var_ts = at_t.sigma_t**2 - factor * at_s.sigma_t**2
        return torch.stack([alpha_ts * at_s.alpha_t, alpha_ts**2 * at_s.sigma_t**2 + var_ts])

    exact = on_every_schedule(lambda q: torch.stack([q(t).alpha_t, q(t).sigma_t ** 2]))
    return Sides(
        left=exact,
        right=on_every_schedule(marginal),
        wrong={
            "variance not scaled": on_every_schedule(lambda q: marginal(q, scale_noise=False)),
            "ratio upside down": on_every_schedule(lambda q: marginal(q, inverted=True)),
        },
    )


@proves("diffusion-marginal")
def test_chain_of_steps_gives_the_marginal() -> Sides:
    """Forty steps, moment by moment from a point x_0, against the schedule read once."""
    x_0 = draws(3)
    grid = torch.linspace(0, 0.97, 41, dtype=F64)

    def walk(schedule):
        first = schedule(grid[0])
        mean, var = first.alpha_t * x_0, first.sigma_t**2
        for s, t in pairwise(grid):
            alpha_ts, var_ts = transition(schedule(t), schedule(s))
            mean, var = alpha_ts * mean, alpha_ts**2 * var + var_ts
        return torch.cat([mean, var[None]])

    def direct(schedule, power=2):
        at = schedule(grid[-1])
        return torch.cat([at.alpha_t * x_0, (at.sigma_t**power)[None]])

    return Sides(
        left=on_every_schedule(walk),
        right=on_every_schedule(direct),
        wrong={"standard deviation for variance": on_every_schedule(lambda q: direct(q, 1))},
    )


@proves("diffusion-ddpm-letters")
def test_alpha_bar_is_alpha_squared() -> Sides:
    """Multiply the kept variances of a chain, against the schedule at k / K."""
    chains = torch.stack([discrete_chain(q, 25).beta for q in (Cosine(), VPLinear())])
    k_over_n = torch.arange(1, 26, dtype=F64) / 25
    alpha = torch.stack([q(k_over_n).alpha_t for q in (Cosine(), VPLinear())])
    return Sides(
        left=(1 - chains).cumprod(1),
        right=alpha**2,
        wrong={"alpha itself": alpha, "beta for 1 - beta": chains.cumprod(1)},
    )


def posterior_on_a_grid(schedule, s, t, x_0, x_t):
    """Mean and variance of q(x_s | x_t, x_0), by normalizing Bayes' product on a fine grid."""
    at_s, (alpha_ts, var_ts) = schedule(s), transition(schedule(t), schedule(s))
    x_s = torch.linspace(-60, 60, 240_001, dtype=F64)
    log_prior = Normal(at_s.alpha_t * x_0, at_s.sigma_t).log_prob(x_s)
    log_step = Normal(alpha_ts * x_s, var_ts.sqrt()).log_prob(x_t)
    weight = (log_prior + log_step).softmax(0)
    mean = (weight * x_s).sum()
    return torch.stack([mean, (weight * (x_s - mean) ** 2).sum()])


@proves("diffusion-posterior")
def test_posterior_is_bayes_product() -> Sides:
    """The two bells multiplied and normalized numerically, against the closed form."""
    s, t = torch.tensor(0.35, dtype=F64), torch.tensor(0.7, dtype=F64)
    x_0, x_t = torch.tensor([0.8], dtype=F64), torch.tensor([-0.6], dtype=F64)

    def closed(schedule):
        mean, var = posterior(x_t, x_0, schedule(t), schedule(s))
        return torch.cat([mean, var[None]])

    def swapped(schedule):
        mean, var = posterior(x_0, x_t, schedule(t), schedule(s))
        return torch.cat([mean, var[None]])

    def forward_variance(schedule):
        _, var_ts = transition(schedule(t), schedule(s))
        return torch.cat([closed(schedule)[:1], var_ts[None]])

    return Sides(
        left=on_every_schedule(lambda q: posterior_on_a_grid(q, s, t, x_0, x_t)),
        right=on_every_schedule(closed),
        wrong={
            "x_0 and x_t swapped": on_every_schedule(swapped),
            "variance of the forward step": on_every_schedule(forward_variance),
        },
    )


@proves("diffusion-bayes-flip")
def test_step_backward_by_bayes() -> Sides:
    """All four densities evaluated at random points."""
    s, t = ordered_times(30, 2)
    x_0, x_s, x_t = draws(3, 30)
    left, right, wrong = [], [], []
    for schedule in SCHEDULES:
        at_s, at_t = schedule(s), schedule(t)
        alpha_ts, var_ts = transition(at_t, at_s)
        mean, var = posterior(x_t, x_0, at_t, at_s)
        from_x_0_to_s = Normal(at_s.alpha_t * x_0, at_s.sigma_t).log_prob(x_s)
        from_x_0_to_t = Normal(at_t.alpha_t * x_0, at_t.sigma_t).log_prob(x_t)
        step = Normal(alpha_ts * x_s, var_ts.sqrt()).log_prob(x_t)
        left.append(Normal(mean, var.sqrt()).log_prob(x_s))
        right.append(step + from_x_0_to_s - from_x_0_to_t)
        wrong.append(step + from_x_0_to_s)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"not normalized": torch.stack(wrong)},
    )


@proves("diffusion-square")
def test_exponent_as_a_square_in_x_s() -> Sides:
    """The exponent of Bayes' product, differentiated twice in x_s by autograd."""
    s, t = ordered_times(20, 2)
    x_0, x_t, x_s = draws(3, 20)
    x_s.requires_grad_()
    left, right, wrong, unscaled = [], [], [], []
    for schedule in SCHEDULES:
        at_s = schedule(s)
        alpha_ts, var_ts = transition(schedule(t), at_s)
        exponent = (x_t - alpha_ts * x_s) ** 2 / var_ts
        exponent = exponent + (x_s - at_s.alpha_t * x_0) ** 2 / at_s.sigma_t**2
        (slope,) = torch.autograd.grad(exponent.sum(), x_s, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), x_s)
        quadratic = alpha_ts**2 / var_ts + 1 / at_s.sigma_t**2
        linear = alpha_ts * x_t / var_ts + at_s.alpha_t * x_0 / at_s.sigma_t**2
        left.append(torch.stack([curvature / 2, (curvature * x_s - slope).detach() / 2]))
        right.append(torch.stack([quadratic, linear]))
        forgotten = alpha_ts / var_ts + 1 / at_s.sigma_t**2
        wrong.append(torch.stack([forgotten, linear]))
        unscaled.append(torch.stack([quadratic, linear + (1 - alpha_ts) * x_t / var_ts]))
    scale = torch.stack(right).abs()  # entries reach 1e4: compare relative to each
    return Sides(
        left=torch.stack(left) / scale,
        right=torch.stack(right) / scale,
        wrong={
            "alpha not squared": torch.stack(wrong) / scale,
            "x_t not scaled": torch.stack(unscaled) / scale,
        },
    )


@proves("diffusion-precision")
def test_precision_of_the_posterior() -> Sides:
    """Sum of two precisions, against each form that follows; all are over the sum."""
    s, t = ordered_times(20, 2)

    def forms(schedule):
        at_s, at_t = schedule(s), schedule(t)
        alpha_ts, var_ts = transition(at_t, at_s)
        var_s, var_t = at_s.sigma_t**2, at_t.sigma_t**2
        summed = alpha_ts**2 / var_ts + 1 / var_s
        one_denominator = (alpha_ts**2 * var_s + var_ts) / (var_ts * var_s)
        product = var_t / (var_s * var_ts)
        swapped = var_s / (var_t * var_ts)
        unscaled = (var_s + var_ts) / (var_ts * var_s)
        return torch.stack([one_denominator, product, swapped, unscaled]) / summed

    found = on_every_schedule(forms)
    return Sides(
        left=torch.ones_like(found[:, :2]),
        right=found[:, :2],
        wrong={
            "sigma_s and sigma_t swapped": found[:, 2:3].expand(-1, 2, -1),
            "alpha forgotten in the sum": found[:, 3:].expand(-1, 2, -1),
        },
    )


class Chain:
    """A model of two steps on one number, p(x_2) p(x_1 | x_2) p(x_0 | x_1), with a crude denoiser.

    Everything is normal and linear, so the evidence and the posterior are matrices.
    """

    schedule = Cosine()
    time_1, time_2 = torch.tensor(0.3, dtype=F64), torch.tensor(0.8, dtype=F64)
    slope, offset = 0.55, 0.1  # x_0_hat = slope * x_2 + offset; wrong on purpose

    def __init__(self, x_0):
        self.x_0 = torch.tensor([x_0], dtype=F64)
        self.at_1, self.at_2 = self.schedule(self.time_1), self.schedule(self.time_2)

    def q_1(self):
        return self.at_1.alpha_t * self.x_0, self.at_1.sigma_t**2

    def q_2(self):
        return self.at_2.alpha_t * self.x_0, self.at_2.sigma_t**2

    def p_1_given_2(self, x_2):
        return posterior(x_2, self.slope * x_2 + self.offset, self.at_2, self.at_1)

    def p_0_given_1(self, x_1):
        return x_1 / self.at_1.alpha_t, (self.at_1.sigma_t / self.at_1.alpha_t) ** 2

    def log_p_joint(self, x_1, x_2):
        mean_1, var_1 = self.p_1_given_2(x_2)
        mean_0, var_0 = self.p_0_given_1(x_1)
        return (
            log_normal(x_2, torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64))
            + log_normal(x_1, mean_1, var_1)
            + log_normal(self.x_0, mean_0, var_0)
        )

    def log_q_joint(self, x_1, x_2):
        alpha, var = transition(self.at_2, self.at_1)
        return log_normal(x_1, *self.q_1()) + log_normal(x_2, alpha * x_1, var)

    def expect(self, function):
        """E_q over (x_1, x_2) by nested quadrature, exact for the quadratics met here."""
        mean, var = self.q_1()
        x_1, w_1 = gauss_hermite(mean[0], var.sqrt(), 20)
        alpha, var_21 = transition(self.at_2, self.at_1)
        x_2, w_2 = gauss_hermite(alpha * x_1, var_21.sqrt().expand(20), 20)
        values = function(x_1[:, None].expand(20, 20).reshape(-1), x_2.reshape(-1))
        return (w_1[:, None] * w_2 * values.reshape(20, 20)).sum()

    def p_moments(self):
        """Mean and covariance of (x_0, x_1, x_2) under the model."""
        zero, one = torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64)
        offset_1, var_1 = self.p_1_given_2(zero)
        slope_1 = self.p_1_given_2(one)[0] - offset_1
        slope_0, var_0 = 1 / self.at_1.alpha_t, self.p_0_given_1(zero)[1]
        # Rows: x_2 = n_2; x_1 = offset + slope n_2 + n_1; x_0 = slope_0 x_1 + n_0.
        lift = torch.tensor(
            [
                [slope_0 * slope_1.item(), slope_0, 1.0],
                [slope_1.item(), 1.0, 0.0],
                [1.0, 0.0, 0.0],
            ],
            dtype=F64,
        )
        noise = torch.diag(torch.tensor([1.0, var_1.item(), var_0.item()], dtype=F64))
        mean = torch.cat([slope_0 * offset_1, offset_1, zero])
        return mean, lift @ noise @ lift.T

    def log_evidence(self):
        mean, cov = self.p_moments()
        return log_normal(self.x_0, mean[:1], cov[0, :1])[0]


def log_normal(x, mean, var):
    return -((x - mean) ** 2 / var + torch.log(2 * math.pi * var)) / 2


VALUES = (-1.3, 0.0, 0.4, 2.0)


@proves("diffusion-chain-gap")
def test_gap_of_the_chain_is_a_kl() -> Sides:
    """Evidence from the joint covariance, KL of two Gaussians by matrices, bound by quadrature."""
    left, right, half, reverse = [], [], [], []
    for value in VALUES:
        chain = Chain(value)
        bound = chain.expect(lambda a, b, c=chain: c.log_p_joint(a, b) - c.log_q_joint(a, b))
        left.append(chain.log_evidence() - bound)
        mean, cov = chain.p_moments()
        gain = cov[1:, 0] / cov[0, 0]
        p = (mean[1:] + gain * (chain.x_0 - mean[0]), cov[1:, 1:] - torch.outer(gain, cov[0, 1:]))
        alpha, var = transition(chain.at_2, chain.at_1)
        (m_1, v_1), (m_2, v_2) = chain.q_1(), chain.q_2()
        q_cov = torch.stack(
            [torch.stack([v_1, alpha * v_1]), torch.stack([alpha * v_1, alpha**2 * v_1 + var])]
        )
        torch.testing.assert_close(q_cov[1, 1], v_2)
        q = (torch.cat([m_1, m_2]), q_cov)
        right.append(gaussian_kl(*q, *p))
        half.append(gaussian_kl(*q, *p) / 2)
        reverse.append(gaussian_kl(*p, *q))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"half": torch.stack(half), "arguments swapped": torch.stack(reverse)},
    )


def gaussian_kl(mean_q, cov_q, mean_p, cov_p):
    inverse = torch.linalg.inv(cov_p)
    offset = mean_p - mean_q
    log_ratio = torch.logdet(cov_p) - torch.logdet(cov_q)
    return ((inverse @ cov_q).trace() + offset @ inverse @ offset - len(offset) + log_ratio) / 2


@proves("diffusion-telescope")
def test_forward_chain_read_backward() -> Sides:
    """Three forward steps against their rewriting by Bayes, at random points."""
    rows = ordered_times(25, 3)
    x_0, *xs = draws(4, 25)
    left, right, wrong = [], [], []
    for schedule in SCHEDULES:
        at = [schedule(t) for t in rows]
        forward = Normal(at[0].alpha_t * x_0, at[0].sigma_t).log_prob(xs[0])
        backward = Normal(at[2].alpha_t * x_0, at[2].sigma_t).log_prob(xs[2])
        uncond = backward.clone()
        for k in (1, 2):
            alpha, var = transition(at[k], at[k - 1])
            forward = forward + Normal(alpha * xs[k - 1], var.sqrt()).log_prob(xs[k])
            mean, post_var = posterior(xs[k], x_0, at[k], at[k - 1])
            backward = backward + Normal(mean, post_var.sqrt()).log_prob(xs[k - 1])
            uncond = uncond + Normal(mean, var.sqrt()).log_prob(xs[k - 1])
        left.append(forward)
        right.append(backward)
        wrong.append(uncond)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"forward variance in place of the posterior's": torch.stack(wrong)},
    )


@proves("diffusion-chain-bound")
def test_bound_of_the_chain_is_never_below_the_truth() -> Sides:
    """How far the expected log ratio, by quadrature, falls below the exact cost: nowhere."""
    chains = [Chain(value) for value in VALUES]
    excess = torch.stack(
        [
            c.expect(lambda a, b, c=c: c.log_q_joint(a, b) - c.log_p_joint(a, b)) + c.log_evidence()
            for c in chains
        ]
    )
    return Sides(
        left=torch.zeros_like(excess),
        right=(-excess).clamp(min=0),
        wrong={"a bound from the other side": excess.clamp(min=0)},
    )


@proves("diffusion-three-terms")
def test_three_terms_are_the_bound() -> Sides:
    """The expected log ratio of the joints by quadrature, against three closed forms."""
    left, right, no_prior, sign = [], [], [], []
    for value in VALUES:
        chain = Chain(value)
        left.append(chain.expect(lambda a, b, c=chain: c.log_q_joint(a, b) - c.log_p_joint(a, b)))
        prior = prior_kl(chain.x_0[None], chain.at_2)[0]
        # E||x_0 - x_0_hat||^2 under q(x_2 | x_0): bias squared plus slope^2 var.
        mean_2, var_2 = chain.q_2()
        bias = chain.x_0 - chain.slope * mean_2 - chain.offset
        miss = (bias**2 + chain.slope**2 * var_2)[0]
        step = (chain.at_1.snr_t - chain.at_2.snr_t) / 2 * miss
        reconstruction = (torch.log(2 * math.pi / chain.at_1.snr_t) + 1) / 2
        right.append(prior + step + reconstruction)
        no_prior.append(step + reconstruction)
        sign.append(prior - step + reconstruction)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"no prior term": torch.stack(no_prior), "sign of the steps": torch.stack(sign)},
    )


@proves("diffusion-prior-kl")
def test_prior_term() -> Sides:
    """KL to the standard normal from torch's own formula, summed over pixels."""
    x_0, t = draws(6, 5), times(6, low=0.3, high=1.0)
    left, right, wrong, unsquared = [], [], [], []
    for schedule in (Cosine(), VPLinear(), Rectified()):
        at = schedule(t)
        q = Normal(at.alpha_t[:, None] * x_0, at.sigma_t[:, None].expand(6, 5))
        left.append(kl_divergence(q, Normal(torch.zeros(5, dtype=F64), 1.0)).sum(1))
        right.append(prior_kl(x_0, at))
        once = (at.alpha_t**2 * (x_0**2).sum(1) + at.sigma_t**2 - 1 - 2 * at.sigma_t.log()) / 2
        wrong.append(once)
        unsquared.append(prior_kl(x_0, at) + 5 * at.sigma_t.log() / 2)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={
            "dimensions counted once": torch.stack(wrong),
            "log of sigma, not of its square": torch.stack(unsquared),
        },
    )


@proves("diffusion-equal-variance-kl")
def test_kl_of_two_bells_of_one_width() -> Sides:
    """Quadrature of the log ratio under the first bell."""
    mean_q, mean_p, std = draws(8), draws(8, seed=1), 0.3 + times(8)
    x, weights = gauss_hermite(mean_q, std)
    ratio = Normal(mean_q[:, None], std[:, None]).log_prob(x)
    ratio = ratio - Normal(mean_p[:, None], std[:, None]).log_prob(x)
    distance = (mean_q - mean_p) ** 2
    return Sides(
        left=(weights * ratio).sum(1),
        right=distance / (2 * std**2),
        wrong={"no half": distance / std**2, "std for variance": distance / (2 * std)},
    )


@proves("diffusion-step-kl")
def test_step_kl_is_a_difference_of_snr() -> Sides:
    """KL of the two normals built from the posterior's mean and variance."""
    s, t = ordered_times(20, 2)
    x_0, x_0_hat, x_t = draws(3, 20, 6)

    def by_means(schedule):
        mean, var = posterior(x_t, x_0, schedule(t), schedule(s))
        guess, _ = posterior(x_t, x_0_hat, schedule(t), schedule(s))
        std = var.sqrt()[:, None]
        return kl_divergence(Normal(mean, std), Normal(guess, std)).sum(1)

    right = on_every_schedule(lambda q: step_kl(x_0, x_0_hat, q(t), q(s)))

    def in_log_snr(schedule):
        change = schedule(s).log_snr_t - schedule(t).log_snr_t
        return change / 2 * ((x_0 - x_0_hat) ** 2).sum(1)

    return Sides(
        left=on_every_schedule(by_means) / right,
        right=right / right,
        wrong={
            "no half": 2 * right / right,
            "difference of log-SNR": on_every_schedule(in_log_snr) / right,
        },
    )


@proves("diffusion-cancellation")
def test_cancellation_line_by_line() -> Sides:
    """The four lines evaluated one by one, all over the first."""
    s, t = ordered_times(20, 2)
    left, right, wrong = [], [], []
    for schedule in SCHEDULES:
        at_s, at_t = schedule(s), schedule(t)
        _, step = transition(at_t, at_s)
        alpha_s, var_s, var_t = at_s.alpha_t**2, at_s.sigma_t**2, at_t.sigma_t**2
        alpha_t = at_t.alpha_t**2
        lines = torch.stack(
            [
                alpha_s * step**2 / var_t**2 * var_t / (var_s * step) / 2,
                alpha_s * step / (var_t * var_s) / 2,
                (alpha_s * var_t - alpha_t * var_s) / (var_t * var_s) / 2,
                (alpha_s / var_s - alpha_t / var_t) / 2,
            ]
        )
        left.append(lines[:1].expand(4, -1) / lines[0])
        right.append(lines / lines[0])
        wrong.append((alpha_s * var_s - alpha_t * var_t) / (var_t * var_s) / 2 / lines[:1])
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"variances swapped": torch.stack(wrong).expand(-1, 4, -1)},
    )


@proves("diffusion-four-errors")
def test_one_error_in_four_languages() -> Sides:
    """Errors of each target, from its definition, times the displayed factor."""
    t = times(20)
    x_0, x_0_hat, eps = draws(3, 20, 6)
    left, right, inverted, unsquared = [], [], [], []
    for schedule in (Cosine(), VPLinear()):
        at = schedule(t)
        x_t = perturb(x_0, eps, at)
        alpha, sigma = at.alpha_t[:, None], at.sigma_t[:, None]
        eps_hat = (x_t - alpha * x_0_hat) / sigma
        error = ((x_0 - x_0_hat) ** 2).sum(1)
        factors = {
            PredictEps(): at.sigma_t**2 / at.alpha_t**2,
            PredictScore(): at.sigma_t**4 / at.alpha_t**2,
            PredictV(): at.sigma_t**2,
        }
        for target, factor in factors.items():
            miss = target.true(x_0, eps, at) - target.true(x_0_hat, eps_hat, at)
            squared = (miss**2).sum(1)
            left.append(torch.ones_like(error))
            right.append(factor * squared / error)
            inverted.append(squared / factor / error)
            unsquared.append(factor.sqrt() * squared / error)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={
            "divided, not multiplied": torch.stack(inverted),
            "factors not squared": torch.stack(unsquared),
        },
    )


@proves("diffusion-tweedie")
def test_score_is_minus_the_mean_noise() -> Sides:
    """Score of a mixture's noisy marginal by autograd; mean noise by Bayes on a grid of x_0."""
    means, std = torch.tensor([[-1.0], [0.8]], dtype=F64), 0.4
    mixture = GaussianMixture.isotropic(means, std)
    x_t = torch.linspace(-2, 2, 9, dtype=F64)[:, None].requires_grad_()
    x_0 = torch.linspace(-8, 8, 20_001, dtype=F64)
    log_prior = mixture.log_prob(x_0[:, None])
    left, right, wrong = [], [], []
    for schedule in SCHEDULES:
        at = schedule(torch.tensor(0.6, dtype=F64))
        density = mixture.noised(at).log_prob(x_t).sum()
        (score,) = torch.autograd.grad(density, x_t)
        log_joint = log_prior + Normal(at.alpha_t * x_0, at.sigma_t).log_prob(x_t.detach())
        weight = log_joint.softmax(1)
        mean_noise = (weight * (x_t.detach() - at.alpha_t * x_0) / at.sigma_t).sum(1)
        left.append(score[:, 0])
        right.append(-mean_noise / at.sigma_t)
        wrong.append(-mean_noise)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"not divided by sigma": torch.stack(wrong), "sign": -torch.stack(right)},
    )


def squared_error(snr, variance):
    """Mean squared error of the exact denoiser of N(0, variance), per dimension."""
    return variance / (1 + variance * snr)


@proves("diffusion-continuous-bound")
def test_sum_of_steps_becomes_an_integral() -> Sides:
    """Steps on finer and finer grids, extrapolated to none, against quadrature in time."""
    variance, low, high = 0.5, 0.2, 0.9

    def total(schedule, n):
        at = schedule(torch.linspace(high, low, n + 1, dtype=F64))
        return (at.snr_t.diff() / 2 * squared_error(at.snr_t[:-1], variance)).sum()

    def extrapolated(schedule):
        # The error is a series in 1/n: Romberg's table removes its first terms.
        table = [total(schedule, 64 * 2**i) for i in range(7)]
        for power in range(1, 7):
            table = [(2**power * b - a) / (2**power - 1) for a, b in pairwise(table)]
        return table[0]

    def integral(schedule, factor=1.0):
        t, weights = gauss_legendre(low, high)
        at = schedule(t)
        return factor * (weights * elbo_weight(at) * squared_error(at.snr_t, variance)).sum()

    return Sides(
        left=on_every_schedule(extrapolated),
        right=on_every_schedule(integral),
        wrong={
            "no half": on_every_schedule(lambda q: integral(q, 2.0)),
            "sign": on_every_schedule(lambda q: integral(q, -1.0)),
        },
    )


@proves("diffusion-snr-bound")
def test_only_the_ends_of_the_schedule_matter() -> Sides:
    """Each schedule integrated over its own time range, against one integral over the SNR."""
    variance, ends = 0.5, torch.tensor([6.0, -2.0], dtype=F64)

    def in_time(schedule):
        low, high = schedule.time_at(ends)
        t, weights = gauss_legendre(low, high)
        at = schedule(t)
        return (weights * elbo_weight(at) * squared_error(at.snr_t, variance)).sum()

    def unweighted(schedule):
        low, high = schedule.time_at(ends)
        t, weights = gauss_legendre(low, high)
        return (weights * squared_error(schedule(t).snr_t, variance)).sum()

    # Substituting log SNR keeps the nodes where the function changes: d SNR = SNR d log SNR.
    log_snr, weights = gauss_legendre(ends[1], ends[0])
    error = squared_error(log_snr.exp(), variance)
    once = (weights * log_snr.exp() * error).sum() / 2
    return Sides(
        left=on_every_schedule(in_time),
        right=once.expand(4),
        wrong={
            "without the weight": on_every_schedule(unweighted),
            "integrated over log-SNR": ((weights * error).sum() / 2).expand(4),
            "no half": 2 * once.expand(4),
        },
    )


@proves("diffusion-eps-bound")
def test_weight_of_the_noise_error_is_the_slope_of_log_snr() -> Sides:
    """The slope of log-SNR by autograd, times the noise error, against the weighted data error."""
    t = times(20).requires_grad_()
    x_0, x_0_hat, eps = draws(3, 20, 6)
    left, right = [], []
    for schedule in SCHEDULES:
        at = schedule(t)
        (slope,) = torch.autograd.grad(at.log_snr_t.sum(), t)
        at = schedule(t.detach())
        x_t = perturb(x_0, eps, at)
        eps_hat = (x_t - at.alpha_t[:, None] * x_0_hat) / at.sigma_t[:, None]
        reference = elbo_weight(at) * ((x_0 - x_0_hat) ** 2).sum(1)
        left.append(torch.ones_like(reference))
        right.append(-slope / 2 * ((eps - eps_hat) ** 2).sum(1) / reference)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"no half": 2 * torch.stack(right), "sign": -torch.stack(right)},
    )


@proves("diffusion-simple-weight")
def test_simple_loss_is_the_bound_reweighted() -> Sides:
    """The loss as trained, against the bound's integrand over its weight on the noise error."""
    t = times(20)
    x_0, eps = draws(2, 20, 6)

    def network(x, t):
        return 0.3 * x + t[:, None]

    left, right, wrong = [], [], []
    for schedule in SCHEDULES:
        at = schedule(t)
        x_t = perturb(x_0, eps, at)
        x_0_hat = (x_t - at.sigma_t[:, None] * network(x_t, t)) / at.alpha_t[:, None]
        integrand = elbo_weight(at) * ((x_0 - x_0_hat) ** 2).sum(1)
        left.append(simple_loss(network, PredictEps(), schedule, x_0, t, eps) * 6)
        right.append(integrand * -2 / at.d_log_snr_t)
        wrong.append(integrand * -1 / at.d_log_snr_t)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"half forgotten": torch.stack(wrong), "sign": -torch.stack(right)},
    )


@proves("diffusion-gaussian-error")
def test_error_of_the_exact_denoiser() -> Sides:
    """Variance of x_0 given x_t, from the covariance of the pair."""
    variance, t = 0.2 + times(20, seed=3), times(20)

    def conditional(schedule):
        at = schedule(t)
        cross = at.alpha_t * variance
        return variance - cross**2 / (at.alpha_t**2 * variance + at.sigma_t**2)

    def closed(schedule, power=1):
        return variance / (1 + variance * schedule(t).snr_t ** power)

    return Sides(
        left=on_every_schedule(conditional),
        right=on_every_schedule(closed),
        wrong={"root of the SNR": on_every_schedule(lambda q: closed(q, 0.5))},
    )


@proves("diffusion-true-reverse")
def test_variance_of_the_true_way_back() -> Sides:
    """Variance of x_s given x_t alone, from their joint covariance."""
    variance, (s, t) = 0.5, ordered_times(20, 2)

    def conditional(schedule):
        at_s, at_t = schedule(s), schedule(t)
        alpha_ts, _ = transition(at_t, at_s)
        var_s = at_s.alpha_t**2 * variance + at_s.sigma_t**2
        var_t = at_t.alpha_t**2 * variance + at_t.sigma_t**2
        return var_s - (alpha_ts * var_s) ** 2 / var_t

    def summed(schedule, with_data=1.0, power=2):
        at_s, at_t = schedule(s), schedule(t)
        _, var_ts = transition(at_t, at_s)
        zero = torch.zeros(20, dtype=F64)
        _, post = posterior(zero, zero, at_t, at_s)
        pull = at_s.alpha_t * var_ts / at_t.sigma_t**2
        return post + with_data * pull**power * squared_error(at_t.snr_t, variance)

    return Sides(
        left=on_every_schedule(conditional),
        right=on_every_schedule(summed),
        wrong={
            "data taken as known": on_every_schedule(lambda q: summed(q, 0.0)),
            "factor not squared": on_every_schedule(lambda q: summed(q, power=1)),
        },
    )


@proves("diffusion-gaussian-gap")
def test_gap_on_gaussian_data_is_paid_step_by_step() -> Sides:
    """Expected bound minus entropy, against one KL for each step of the chain."""
    schedule, variance = Cosine(), 0.5
    at = schedule(torch.linspace(1, 0.1, 6, dtype=F64))
    snr = at.snr_t
    steps = snr.diff() / 2 * squared_error(snr[:-1], variance)
    reconstruction = (torch.log(2 * math.pi / snr[-1]) + 1) / 2
    entropy = math.log(2 * math.pi * math.e * variance) / 2
    left = steps.sum() + reconstruction - entropy  # the prior term is zero: alpha_1 = 0

    paid, bells = [], []
    for k in range(5):
        at_t, at_s = (type(at)(*(scale[i] for scale in at)) for i in (k, k + 1))
        zero = torch.zeros(1, dtype=F64)
        _, var = posterior(zero, zero, at_t, at_s)
        _, var_ts = transition(at_t, at_s)
        pull = at_s.alpha_t * var_ts / at_t.sigma_t**2
        true_var = var + pull**2 * squared_error(at_t.snr_t, variance)
        # Both have the mean E[x_s | x_t]: only the widths differ.
        bells.append((Normal(0.0, true_var.sqrt()), Normal(0.0, var.sqrt())))
        ratio = true_var / var
        paid.append((ratio - 1 - ratio.log()) / 2)
    # The last step: q(x_0 | x_s) is narrower than the decoder and pulled to the mean.
    true_mean_slope = (
        at.alpha_t[-1] * variance / (at.alpha_t[-1] ** 2 * variance + at.sigma_t[-1] ** 2)
    )
    true_var = squared_error(snr[-1], variance)
    reverse = torch.stack([kl_divergence(p, q) for q, p in bells])
    var_s = at.alpha_t[-1] ** 2 * variance + at.sigma_t[-1] ** 2
    offset = (true_mean_slope - 1 / at.alpha_t[-1]) ** 2 * var_s
    last = ((true_var + offset) * snr[-1] - 1 - torch.log(true_var * snr[-1])) / 2
    right = torch.stack(paid).sum() + last
    return Sides(
        left=left[None],
        right=right[None],
        wrong={
            "last step forgotten": torch.stack(paid).sum()[None],
            "divergences reversed": (reverse.sum() + last)[None],
        },
    )


@proves("diffusion-gaussian-limit")
def test_steps_without_number_cost_a_logarithm() -> Sides:
    """Quadrature of the squared error over log-SNR, against the closed form."""
    variance = 0.1 + times(6)
    low, high = -9.0, 9.0
    u, weights = gauss_legendre(torch.tensor(low), torch.tensor(high), 300)
    area = (weights * u.exp() * squared_error(u.exp(), variance[:, None])).sum(1) / 2
    top, bottom = 1 + variance * math.exp(high), 1 + variance * math.exp(low)
    return Sides(
        left=area,
        right=torch.log(top / bottom) / 2,
        wrong={"no half": torch.log(top / bottom), "high end only": torch.log(top) / 2},
    )


@proves("diffusion-mean-only")
def test_means_of_means_forget_the_start() -> Sides:
    """Run the broken sampler on Gaussian data, any number of steps, against the closed form."""
    mean, variance, x_1 = 0.7, 0.36, draws(5, 1)
    gaussian = Gaussian(torch.tensor([mean], dtype=F64), torch.tensor([[variance]], dtype=F64))

    def mean_only(denoise, schedule, x_t, t, s, generator=None):
        x_0_hat = denoise(x_t, t.expand(len(x_t)))
        return posterior(x_t, x_0_hat, schedule(t), schedule(s))[0]

    left, right, wrong = [], [], []
    for schedule in (Cosine(), Rectified(), VPLinear(0.1, 3.0)):
        for n_steps in (1, 3, 20):
            grid = uniform_times(n_steps)
            found = sample(denoiser(gaussian, schedule), schedule, x_1, grid, mean_only)
            at = schedule(grid[0])
            var_1 = at.alpha_t**2 * variance + at.sigma_t**2
            left.append(found)
            right.append(mean + at.alpha_t * variance / var_1 * (x_1 - at.alpha_t * mean))
            wrong.append(mean + (variance / var_1).sqrt() * (x_1 - at.alpha_t * mean))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"spread kept, as by the full step": torch.stack(wrong)},
    )


@proves("diffusion-brightness-snr")
def test_the_mean_of_many_pixels_has_more_signal() -> Sides:
    """Variances of the mean pixel from the full covariance of n pixels, against n times the SNR."""
    n, variance = 64, 0.25
    ones = torch.ones(n, dtype=F64) / n
    left, right, wrong = [], [], []
    for schedule in SCHEDULES:
        for value in (0.2, 0.5, 0.9):
            at = schedule(torch.tensor(value, dtype=F64))
            signal = at.alpha_t**2 * variance * torch.ones(n, n, dtype=F64)
            noise = at.sigma_t**2 * torch.eye(n, dtype=F64)
            left.append((ones @ signal @ ones) / (ones @ noise @ ones) / at.snr_t)
            right.append(torch.tensor(n * variance, dtype=F64))
            wrong.append(torch.tensor(math.sqrt(n) * variance, dtype=F64))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"root of n": torch.stack(wrong)},
    )


@proves("diffusion-brightness-shrink")
def test_brightness_starts_and_stays_too_narrow() -> Sides:
    """Run DDIM on images that differ in brightness alone, on a fine grid of log-SNR."""
    n, spread, schedule = 16, 0.5, Cosine()
    # A little noise in every pixel keeps the covariance regular; along the mean it adds spread^2.
    covariance = spread**2 * torch.ones(n, n, dtype=F64) + 1e-9 * torch.eye(n, dtype=F64)
    gaussian = Gaussian(torch.zeros(n, dtype=F64), covariance)
    left, right, wrong = [], [], []
    for alpha_1 in (0.1, 0.4):
        t_max = 2 / math.pi * math.acos(alpha_1)
        start = schedule(torch.tensor(t_max, dtype=F64))
        x_1 = torch.ones(1, n, dtype=F64) / math.sqrt(n)  # one deviation of the mean of pure noise
        ends = (start.log_snr_t.item(), 12.0)
        grid = schedule.time_at(torch.linspace(*ends, 1001, dtype=F64))
        grid[0] = t_max
        found = sample(denoiser(gaussian, schedule), schedule, x_1, grid, ddim_step)
        left.append(found.mean() / spread)
        true_var = start.alpha_t**2 * spread**2 + start.sigma_t**2 / n
        right.append(((1 / n) / true_var).sqrt())
        wrong.append((1 / n) / true_var)
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={"variances, not deviations": torch.stack(wrong)},
        tolerance=8e-3,
        reason="DDIM is of first order: 1000 steps leave an error of some thousandths",
    )
