"""Is it a bug or is it the same? Both ways of writing it, and what a reader might take for them."""

import math
from itertools import pairwise

import torch
from numpy.polynomial.legendre import leggauss
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from fromnoise.diffusion import elbo_weight, perturb, posterior, step_kl, transition
from fromnoise.exponential import exponential_weights
from fromnoise.flow_matching import change_schedule
from fromnoise.guidance import classifier_free
from fromnoise.learned_schedule import VELinear
from fromnoise.masked_bounds import Table, any_order_bound, diffusion_bound
from fromnoise.masked_diffusion import CosineMask, LinearMask
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.preconditioning import PredictResidual, edm_coefficients, min_snr_weight
from fromnoise.samplers import ddim_step, euler_step, sample, uniform_times
from fromnoise.schedules import (
    VE,
    Cosine,
    Rectified,
    Scales,
    Schedule,
    VPLinear,
    beside,
    discrete_chain,
)
from fromnoise.sde import reverse_sde
from fromnoise.steering import composed
from fromnoise.targets import (
    eps_from_x_0,
    score_from_x_0,
    v_from_x_0,
    velocity_from_x_0,
)
from proof import Sides, proves

FLOAT = torch.float64
PRESERVING = [Cosine(), VPLinear()]
SCHEDULES = [Rectified(), *PRESERVING, VE(0.05, 4.0)]
MEANS = torch.tensor([[-1.0, 0.4], [0.9, 0.3], [0.2, -1.1]], dtype=FLOAT)
SHARES = torch.tensor([0.3, 0.5, 0.2], dtype=FLOAT)
MIXTURE = GaussianMixture.isotropic(MEANS, 0.3, SHARES)
TIMES = torch.tensor([0.05, 0.3, 0.5, 0.8, 0.97], dtype=FLOAT)
CLEANER = torch.tensor([0.02, 0.1, 0.49, 0.6, 0.96], dtype=FLOAT)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=FLOAT)


def on_all(compute, schedules: list[Schedule] = SCHEDULES) -> Tensor:
    return torch.stack([compute(schedule) for schedule in schedules])


def slope_in_time(function, t: Tensor) -> Tensor:
    """Derivative of a function of single times, at each of them."""
    times = t.clone().requires_grad_()
    return torch.autograd.grad((function(times) + 0 * times).sum(), times)[0]


def line(n_nodes: int = 400, reach: float = 12.0) -> tuple[Tensor, Tensor]:
    """Points and weights of Gauss-Legendre's rule on a stretch of the line."""
    nodes, weights = leggauss(n_nodes)
    return reach * torch.from_numpy(nodes), reach * torch.from_numpy(weights)


def estimates(schedule: Schedule, seed: int = 0) -> tuple[Tensor, Tensor, Scales]:
    """Noisy points, any estimate of the data from them, and the scales at their times."""
    return normal(len(TIMES), 3, seed=seed), normal(len(TIMES), 3, seed=seed + 1), schedule(TIMES)


# What a network is asked for.


@proves("same-targets")
def test_five_targets_are_one() -> Sides:
    """Left: posterior means, points enumerated by Bayes. Right: conversions of the data's alone."""
    x_t = normal(len(TIMES), 2, seed=0)

    def by_bayes(schedule: Schedule) -> Tensor:
        at = schedule(TIMES)
        alpha, sigma = at.alpha_t[:, None, None], at.sigma_t[:, None, None]
        eps = (x_t[:, None] - alpha * MEANS) / sigma
        share = (SHARES.log() - eps.square().sum(-1) / 2).softmax(-1)[..., None]
        d_alpha, d_sigma = at.d_alpha_t[:, None, None], at.d_sigma_t[:, None, None]
        targets = eps, alpha * eps - sigma * MEANS, d_alpha * MEANS + d_sigma * eps, -eps / sigma
        return torch.stack([(share * target).sum(1) for target in targets])

    def converted(schedule: Schedule, sign: float = 1.0, power: int = 1) -> Tensor:
        at = schedule(TIMES)
        alpha, sigma = at.alpha_t[:, None, None], at.sigma_t[:, None, None]
        gaps = (x_t[:, None] - alpha * MEANS).square().sum(-1)
        share = (SHARES.log() - gaps / (2 * sigma[..., 0].square())).softmax(-1)
        x_0_hat = share @ MEANS
        return torch.stack(
            [
                eps_from_x_0(x_0_hat, x_t, at),
                sign * v_from_x_0(x_0_hat, x_t, at),
                sign * velocity_from_x_0(x_0_hat, x_t, at),
                score_from_x_0(x_0_hat, x_t, at) * sigma[..., 0] ** (power - 1),
            ]
        )

    return Sides(
        on_all(by_bayes),
        on_all(converted),
        {
            "sign of v and of the velocity": on_all(lambda q: converted(q, sign=-1.0)),
            "score without the noise scale": on_all(lambda q: converted(q, power=2)),
        },
    )


@proves("same-v-sign")
def test_the_data_is_signal_minus_noise_of_v() -> Sides:
    """Left: the data that made v. Right: alpha x - sigma v, and what a review once caught."""
    x_0, eps = normal(len(TIMES), 4, seed=1), normal(len(TIMES), 4, seed=2)

    def back(schedule: Schedule, sign: float) -> Tensor:
        at = schedule(TIMES)
        alpha, sigma = at.alpha_t[:, None], at.sigma_t[:, None]
        x_t, v_angle = alpha * x_0 + sigma * eps, alpha * eps - sigma * x_0
        return (alpha * x_t + sign * sigma * v_angle) / (alpha**2 + sigma**2)

    right = on_all(lambda q: back(q, -1.0))
    undivided = on_all(lambda q: back(q, -1.0) * beside(total(q(TIMES)), x_0))
    return Sides(
        x_0.expand_as(right),
        right,
        {"plus": on_all(lambda q: back(q, 1.0)), "not divided": undivided},
    )


def total(at: Scales) -> Tensor:
    return at.alpha_t.square() + at.sigma_t.square()


@proves("same-edm-is-v")
def test_the_target_of_edm_is_minus_v() -> Sides:
    """Left: EDM's residual over its skip. Right: minus v of the scaled data, by its angle."""
    x_0, eps = normal(len(TIMES), 4, seed=3), normal(len(TIMES), 4, seed=4)

    def residual(schedule: Schedule, std: float) -> Tensor:
        at = schedule(TIMES)
        c = edm_coefficients(at, std)
        x_t = perturb(x_0, eps, at)
        return (x_0 - c.c_skip[:, None] * x_t) / c.c_out[:, None]

    def angle(schedule: Schedule, std: float, sign: float = -1.0, unit: float = 1.0) -> Tensor:
        at = schedule(TIMES)
        turn = torch.atan2(at.sigma_t, at.alpha_t * std**unit)[:, None]
        return sign * (turn.cos() * eps - turn.sin() * x_0 / std**unit)

    def both(compute) -> Tensor:
        return torch.stack([on_all(lambda q, s=std: compute(q, s)) for std in (0.5, 1.0, 1.7)])

    return Sides(
        both(residual),
        both(angle),
        {
            "sign": both(lambda q, s: angle(q, s, sign=1.0)),
            "data not in its own units": both(lambda q, s: angle(q, s, unit=0.0)),
        },
    )


@proves("same-edm-weight")
def test_the_weight_of_edm_is_in_its_target() -> Sides:
    """Left: the plain error of the network. Right: EDM's weight on the error of the denoiser."""
    std = 0.5
    schedule = VELinear(80.0)
    at = schedule(TIMES / 40)
    sigma = at.sigma_t
    x_0, eps, output = (normal(len(TIMES), 4, seed=seed) for seed in (5, 6, 7))
    x_t = perturb(x_0, eps, at)
    wanted = PredictResidual(std).true(x_0, eps, at)
    error = (PredictResidual(std).x_0_hat(output, x_t, at) - x_0).square().sum(1)
    weight = (sigma**2 + std**2) / (sigma * std) ** 2
    return Sides(
        (output - wanted).square().sum(1),
        weight * error,
        {
            "sum in place of the product": (sigma**2 + std**2) / (sigma + std) ** 2 * error,
            "no weight": error,
            "minus": (std**2 - sigma**2) / (sigma * std) ** 2 * error,
        },
    )


# What the loss counts.


@proves("same-min-snr")
def test_min_snr_for_v_divides_by_snr_plus_one() -> Sides:
    """Left: min-SNR on the data's error. Right: on v's error, with the quotient of the paper."""
    gamma = 5.0
    left, right, floor, plus, most = [], [], [], [], []
    for schedule in PRESERVING:
        x_t, x_0_hat, at = estimates(schedule, seed=8)
        x_0 = normal(*x_t.shape, seed=10)
        left.append(min_snr_weight(at, gamma) * (x_0 - x_0_hat).square().sum(1))
        error = (v_from_x_0(x_0, x_t, at) - v_from_x_0(x_0_hat, x_t, at)).square().sum(1)
        snr = at.snr_t
        right.append(snr.clamp(max=gamma) / (snr + 1) * error)
        floor.append((snr + 1).clamp(max=gamma) / (snr + 1) * error)
        plus.append(snr.clamp(max=gamma) / snr * error)
        most.append(snr.clamp(min=gamma) / (snr + 1) * error)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "one added above as well": torch.stack(floor),
            "the divisor of eps": torch.stack(plus),
            "the larger of the two": torch.stack(most),
        },
    )


@proves("same-weights")
def test_a_target_is_a_weight() -> Sides:
    """Left: the target's own squared error. Right: the data's, times a function of time."""
    left, right, first, signal = [], [], [], []
    for schedule in SCHEDULES:
        x_t, x_0_hat, at = estimates(schedule, seed=11)
        x_0 = normal(*x_t.shape, seed=13)
        error = (x_0 - x_0_hat).square().sum(1)
        turn = at.alpha_t * at.d_sigma_t - at.sigma_t * at.d_alpha_t
        for convert, factor in (
            (eps_from_x_0, at.alpha_t / at.sigma_t),
            (v_from_x_0, total(at) / at.sigma_t),
            (velocity_from_x_0, turn / at.sigma_t),
            (score_from_x_0, at.alpha_t / at.sigma_t**2),
        ):
            gap = convert(x_0, x_t, at) - convert(x_0_hat, x_t, at)
            left.append(gap.square().sum(1))
            right.append(factor**2 * error)
            first.append(factor * error)
            signal.append((factor * at.sigma_t) ** 2 * error)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"factor not squared": torch.stack(first), "noise left out": torch.stack(signal)},
    )


def normal_kl(x_0: Tensor, x_0_hat: Tensor, x_t: Tensor, at_t: Scales, at_s: Scales) -> Tensor:
    """KL of one step from the library of distributions: posterior against posterior."""
    mean, var = posterior(x_t, x_0, at_t, at_s)
    mean_hat, _ = posterior(x_t, x_0_hat, at_t, at_s)
    std = var.sqrt()[:, None].expand_as(mean)
    return kl_divergence(Normal(mean, std), Normal(mean_hat, std)).sum(1)


@proves("same-simple")
def test_the_simple_loss_is_the_bound_with_another_weight() -> Sides:
    """Left: KL of two normals, step by step. Right: DDPM's weight on the error of the noise."""
    chain = discrete_chain(VPLinear(), 40)
    k = torch.tensor([2, 5, 17, 33, 40])
    t, s = k.double() / 40, (k.double() - 1) / 40
    at_t, at_s = VPLinear()(t), VPLinear()(s)
    eps, eps_hat, x_t = (normal(5, 3, seed=seed) for seed in (14, 15, 16))
    x_0 = (x_t - at_t.sigma_t[:, None] * eps) / at_t.alpha_t[:, None]
    x_0_hat = (x_t - at_t.sigma_t[:, None] * eps_hat) / at_t.alpha_t[:, None]
    beta, step, bar = (part[k - 1] for part in chain)
    before = chain.alpha_bar[k - 2]
    tilde = beta * (1 - before) / (1 - bar)
    error = (eps - eps_hat).square().sum(1)
    return Sides(
        normal_kl(x_0, x_0_hat, x_t, at_t, at_s),
        beta**2 / (2 * tilde * step * (1 - bar)) * error,
        {
            "beta for the variance": beta**2 / (2 * beta * step * (1 - bar)) * error,
            "beta not squared": beta / (2 * tilde * step * (1 - bar)) * error,
            "the simple loss itself": error,
        },
    )


@proves("same-x0-weight")
def test_the_bound_weighs_the_data_by_the_drop_of_snr() -> Sides:
    """Left: KL of two normals. Right: half the drop of SNR; and a line with a lost bracket."""
    left, right, lost, mended, no_half = [], [], [], [], []
    for schedule in PRESERVING:
        x_t, x_0_hat, at_t = estimates(schedule, seed=17)
        at_s = schedule(CLEANER)
        x_0 = normal(*x_t.shape, seed=19)
        left.append(normal_kl(x_0, x_0_hat, x_t, at_t, at_s))
        right.append(step_kl(x_0, x_0_hat, at_t, at_s))
        error = (x_0 - x_0_hat).square().sum(1)
        bar = at_t.alpha_t.square()
        lost.append(0.5 * bar.sqrt() / (2.0 * 1 - bar) * error)
        mended.append(0.5 * bar.sqrt() / (2.0 * (1 - bar)) * error)
        no_half.append(2 * right[-1])
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "as the line stands": torch.stack(lost),
            "with its bracket": torch.stack(mended),
            "half forgotten": torch.stack(no_half),
        },
    )


@proves("same-sum-and-mean")
def test_the_bound_is_a_mean_over_steps_times_their_number() -> Sides:
    """Left: the KLs of all steps, added. Right: what one random step gives on average."""
    schedule, n_steps = Cosine(), 12
    times = torch.linspace(0.95, 0.05, n_steps + 1, dtype=FLOAT)
    x_0, x_0_hat, eps = (normal(1, 3, seed=seed) for seed in (20, 21, 22))
    costs = []
    for t, s in pairwise(times):
        at_t, at_s = schedule(t[None]), schedule(s[None])
        costs.append(normal_kl(x_0, x_0_hat, perturb(x_0, eps, at_t), at_t, at_s))
    ends = schedule(times[[0, -1]])
    drop = (ends.snr_t[1] - ends.snr_t[0]) / 2 * (x_0 - x_0_hat).square().sum()
    mean = torch.stack(costs).mean()
    return Sides(drop, n_steps * mean, {"mean for sum": mean, "one too many": 13 * mean})


@proves("same-elbo-weight")
def test_the_weight_of_the_bound_is_the_slope_of_snr() -> Sides:
    """Left: autograd of SNR in time. Right: from gamma = -log SNR, whose sign papers turn round."""
    right = on_all(lambda q: elbo_weight(q(TIMES)))

    def from_gamma(q: Schedule, sign: float = 1.0, half: float = 0.5) -> Tensor:
        gamma = -q(TIMES).log_snr_t
        slope = slope_in_time(lambda t: -q(t).log_snr_t, TIMES)
        return half * slope * torch.exp(-sign * gamma)

    left = on_all(lambda q: -slope_in_time(lambda t: q(t).snr_t, TIMES) / 2)
    assert torch.allclose(right, on_all(from_gamma), rtol=1e-10)
    return Sides(
        left,
        on_all(from_gamma),
        {
            "gamma taken for log SNR": on_all(lambda q: from_gamma(q, sign=-1.0)),
            "sign of the slope": -right,
            "half forgotten": on_all(lambda q: from_gamma(q, half=1.0)),
        },
    )


def two_points(at: Scales) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy data of two points on the line: the parts of their density, one column a point."""
    x, weight = line()
    points, shares = torch.tensor([-0.8, 1.1], dtype=FLOAT), torch.tensor([0.35, 0.65], dtype=FLOAT)
    parts = shares * Normal(at.alpha_t * points, at.sigma_t).log_prob(x[:, None]).exp()
    return x, parts * weight[:, None], points


@proves("same-dsm")
def test_random_noise_teaches_the_score() -> Sides:
    """Left: against the noise that was drawn. Right: against the true score, and a constant."""
    left, right, bare, all_noise = [], [], [], []
    for schedule, t in ((Rectified(), 0.6), (Cosine(), 0.5), (VPLinear(), 0.4)):
        at = schedule(number(t))
        x, parts, points = two_points(at)
        mass = parts.sum(1)
        drawn = -(x[:, None] - at.alpha_t * points) / at.sigma_t**2
        true = (parts * drawn).sum(1) / mass
        spread = (parts * (drawn - true[:, None]).square()).sum() / 2
        field = torch.sin(1.3 * x) - 0.4 * x
        left.append((parts * (field[:, None] - drawn).square()).sum() / 2)
        score = torch.func.vmap(torch.func.grad(lambda y, at=at: log_density(y, at)))(x)
        explicit = (mass * (field - score).square()).sum() / 2
        right.append(explicit + spread)
        bare.append(explicit)
        all_noise.append(explicit + 1 / (2 * at.sigma_t**2))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"no constant": torch.stack(bare), "all of the noise": torch.stack(all_noise)},
    )


def log_density(x: Tensor, at: Scales) -> Tensor:
    points, shares = torch.tensor([-0.8, 1.1], dtype=FLOAT), torch.tensor([0.35, 0.65], dtype=FLOAT)
    return (shares.log() + Normal(at.alpha_t * points, at.sigma_t).log_prob(x)).logsumexp(-1)


@proves("same-cfm")
def test_lines_teach_the_flow() -> Sides:
    """Left: the gradient against single lines. Right: against the mean velocity at each point."""
    left, right, half, nearest = [], [], [], []
    for schedule, t in ((Rectified(), 0.5), (Cosine(), 0.7), (VPLinear(), 0.4)):
        at = schedule(number(t))
        x, parts, points = two_points(at)
        lines = velocity_from_x_0(points.expand(len(x), 2), x[:, None].expand(-1, 2), at)
        mean = velocity_from_x_0(
            ((parts * points).sum(1) / parts.sum(1)), x, Scales(*(part for part in at))
        )
        middle = velocity_from_x_0(points.mean().expand_as(x), x, at)

        def model(weights: Tensor, x: Tensor = x) -> Tensor:
            return weights[0] * x + weights[1] * torch.tanh(weights[2] * x)

        def conditional(w: Tensor, p=parts, u=lines, f=model) -> Tensor:
            return (p * (f(w)[:, None] - u).square()).sum()

        def marginal(w: Tensor, u: Tensor = mean, p=parts, f=model) -> Tensor:
            return (p.sum(1) * (f(w) - u).square()).sum()

        weights = normal(3, seed=23)
        left.append(torch.func.grad(conditional)(weights))
        right.append(torch.func.grad(marginal)(weights))
        half.append(right[-1] / 2)
        nearest.append(torch.func.grad(lambda w, f=marginal, u=middle: f(w, u))(weights))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"half": torch.stack(half), "every line weighs the same": torch.stack(nearest)},
    )


# The forward process.


@proves("same-one-jump")
def test_a_thousand_small_steps_are_one_jump() -> Sides:
    """Left: mean and variance carried through every step. Right: the closed form of the end."""
    chain = discrete_chain(VPLinear(), 1000)
    scale, var, left = number(1.0), number(0.0), []
    for beta in chain.beta:
        scale = scale * (1 - beta).sqrt()
        var = (1 - beta) * var + beta
        left.append(torch.stack([scale, var]))
    bar = chain.alpha_bar
    wanted = torch.stack([bar.sqrt(), 1 - bar], 1)
    return Sides(
        torch.stack(left),
        wanted,
        {
            "root forgotten in the mean": torch.stack([bar, 1 - bar], 1),
            "root left in the variance": torch.stack([bar.sqrt(), (1 - bar).sqrt()], 1),
            "variances added up": torch.stack([bar.sqrt(), chain.beta.cumsum(0)], 1),
        },
    )


@proves("same-two-betas")
def test_a_step_is_the_rate_over_its_time() -> Sides:
    """Left: variance kept by each step of the chain. Right: the rate, integrated over the step."""
    n_steps, low, high = 1000, 0.1, 20.0
    chain = discrete_chain(VPLinear(low, high), n_steps)
    edges = torch.linspace(0, 1, n_steps + 1, dtype=FLOAT)
    rate = low + (high - low) * edges
    middle = (rate[1:] + rate[:-1]) / 2
    return Sides(
        1 - chain.beta,
        torch.exp(-middle / n_steps),
        {
            "first order": 1 - middle / n_steps,
            "rate at the end of the step": torch.exp(-rate[1:] / n_steps),
            "halved, as for the signal": torch.exp(-middle / (2 * n_steps)),
        },
    )


@proves("same-grid")
def test_two_grids_of_times_are_one() -> Sides:
    """Left: edges at k / K, counted. Right: a stretch one longer, divided by its length."""
    n_steps = 1000
    counted = torch.arange(n_steps + 1, dtype=FLOAT) / n_steps

    def spread(last: int, over: int) -> Tensor:
        return torch.linspace(0, last, n_steps + 1, dtype=FLOAT) / over

    return Sides(
        counted,
        spread(n_steps + 1, n_steps + 1),
        {
            "longer, not divided by it": spread(n_steps + 1, n_steps),
            "divided by it, not longer": spread(n_steps, n_steps + 1),
        },
    )


@proves("same-last-noise")
def test_the_noise_of_the_last_step_is_a_share_of_eps() -> Sides:
    """Left: conditioning the joint normal of last and total noise. Right: the share."""

    def conditioned(q: Schedule) -> Tensor:
        alpha_ts, var_ts = transition(q(TIMES), q(CLEANER))
        earlier = alpha_ts**2 * q(CLEANER).sigma_t ** 2
        # Total noise sigma_t eps = carried noise + new noise: regress the new one on their sum.
        return var_ts / (earlier + var_ts) * q(TIMES).sigma_t

    def share(q: Schedule, power: float = 1.0) -> Tensor:
        _, var_ts = transition(q(TIMES), q(CLEANER))
        return var_ts / q(TIMES).sigma_t ** power

    return Sides(
        on_all(conditioned),
        on_all(share),
        {
            "all of the noise": on_all(lambda q: q(TIMES).sigma_t),
            "its standard deviation": on_all(lambda q: share(q, 0.0).sqrt()),
            "divided by the variance": on_all(lambda q: share(q, 2.0)),
        },
    )


@proves("same-ve-kernel")
def test_the_kernel_of_ve_starts_at_sigma_min() -> Sides:
    """Left: g squared, integrated from 0 to t. Right: the difference of variances, not the last."""
    low, high = 0.4, 6.0
    log_ratio = math.log(high / low)
    nodes, weights = leggauss(60)
    nodes, weights = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
    at = VE(low, high)(TIMES)
    grid = VE(low, high)(TIMES[:, None] * nodes)
    left = TIMES * (weights * grid.diffusion_rate.square()).sum(1)
    right = at.sigma_t.square() - low**2
    spread = (2 * log_ratio) ** 0.5
    assert torch.allclose(at.diffusion_rate, at.sigma_t * spread, rtol=1e-12)
    return Sides(
        left,
        right,
        {
            "sigma_min left in": at.sigma_t.square(),
            "root of 2 log forgotten in g": right / spread**2,
        },
    )


@proves("same-ve-prior")
def test_what_the_prior_of_ve_leaves_out() -> Sides:
    """Left: KL by quadrature. Right: the square of the data over twice the variance."""
    x_0 = torch.tensor([-1.0, 0.2, 0.7], dtype=FLOAT)
    sigma = number(3.0)
    x, weight = line(reach=45.0)
    kernel, prior = Normal(x_0, sigma), Normal(torch.zeros(3, dtype=FLOAT), sigma)
    log_p, log_q = kernel.log_prob(x[:, None]), prior.log_prob(x[:, None])
    left = (weight[:, None] * log_p.exp() * (log_p - log_q)).sum(0)
    right = x_0.square() / (2 * sigma**2)
    return Sides(left, right, {"nothing": 0 * right, "half forgotten": 2 * right})


@proves("same-edm-start")
def test_a_start_without_the_data_shrinks_the_samples() -> Sides:
    """Left: the flow of normal data, solved to tolerance 1e-12. Right: the share of the start."""
    std, sigma_max = 1.0, 5.0

    def velocity(sigma: float, x: Tensor) -> Tensor:
        return x * sigma / (std**2 + sigma**2)

    def walk(start: float) -> float:
        way = solve_ivp(
            velocity, (sigma_max, 0.0), [start], method="DOP853", rtol=1e-12, atol=1e-14
        )
        return float(way.y[0, -1])

    whole = math.sqrt(std**2 + sigma_max**2)
    return Sides(
        torch.tensor([walk(sigma_max), walk(whole)], dtype=FLOAT),
        torch.tensor([std * sigma_max / whole, std], dtype=FLOAT),
        {
            "nothing lost": torch.tensor([std, std], dtype=FLOAT),
            "as if the other were short": torch.tensor([std, std * whole / sigma_max], dtype=FLOAT),
        },
    )


@proves("same-edm-table")
def test_a_scaled_ve_is_any_schedule() -> Sides:
    """Left: the score of noisy data, scale and all. Right: EDM's, of the data with noise alone."""
    x_t = normal(len(TIMES), 2, seed=25)
    left = on_all(lambda q: MIXTURE.noised(q(TIMES)).score(x_t))

    def from_edm(q: Schedule, power: float = 1.0, ratio: bool = True) -> Tensor:
        at = q(TIMES)
        one, zero = torch.ones_like(TIMES), torch.zeros_like(TIMES)
        sigma = at.sigma_t / at.alpha_t if ratio else at.sigma_t
        scaled = x_t / at.alpha_t[:, None]
        return MIXTURE.noised(Scales(one, sigma, zero, zero)).score(scaled) / (
            at.alpha_t[:, None] ** power
        )

    return Sides(
        left,
        on_all(from_edm),
        {
            "scale of the score forgotten": on_all(lambda q: from_edm(q, power=0.0)),
            "noise not divided by the signal": on_all(lambda q: from_edm(q, ratio=False)),
        },
    )


# Steps back.


@proves("same-two-means")
def test_the_mean_from_eps_is_the_mean_from_the_data() -> Sides:
    """Left: posterior mean at the implied data. Right: DDPM's line with eps in place."""
    x_t, eps_hat = normal(len(TIMES), 3, seed=26), normal(len(TIMES), 3, seed=27)

    def implied(q: Schedule, clip: bool = False) -> Tensor:
        at_t = q(TIMES)
        x_0_hat = (x_t - at_t.sigma_t[:, None] * eps_hat) / at_t.alpha_t[:, None]
        x_0_hat = x_0_hat.clamp(-1, 1) if clip else x_0_hat
        return posterior(x_t, x_0_hat, at_t, q(CLEANER))[0]

    def direct(q: Schedule, over: int = 1, forward: bool = False) -> Tensor:
        alpha_ts, var_ts = transition(q(TIMES), q(CLEANER))
        shift = (var_ts / q(TIMES).sigma_t ** over)[:, None] * eps_hat
        factor = alpha_ts[:, None]
        return (x_t - shift) * factor if forward else (x_t - shift) / factor

    return Sides(
        on_all(implied),
        on_all(direct),
        {
            "clipped": on_all(lambda q: implied(q, clip=True)),
            "variance for the deviation": on_all(lambda q: direct(q, over=2)),
            "ratio of signals upside down": on_all(lambda q: direct(q, forward=True)),
        },
    )


@proves("same-clipping")
def test_clipping_moves_the_mean_toward_the_box() -> Sides:
    """Left: both means, subtracted. Right: the share of the data in a step times what was cut."""
    x_t, x_0_hat = normal(len(TIMES), 3, seed=28), 2 * normal(len(TIMES), 3, seed=29)
    cut = x_0_hat.clamp(-1, 1) - x_0_hat

    def moved(q: Schedule) -> Tensor:
        clipped, _ = posterior(x_t, x_0_hat.clamp(-1, 1), q(TIMES), q(CLEANER))
        return clipped - posterior(x_t, x_0_hat, q(TIMES), q(CLEANER))[0]

    def share(q: Schedule) -> Tensor:
        var_t, var_s = q(TIMES).sigma_t ** 2, q(CLEANER).sigma_t ** 2
        ratio = q(TIMES).alpha_t / q(CLEANER).alpha_t
        weight = q(CLEANER).alpha_t * (1 - ratio**2 * var_s / var_t)
        return weight[:, None] * cut

    right = on_all(share)
    return Sides(
        on_all(moved), right, {"no difference": 0 * right, "all of the cut": cut.expand_as(right)}
    )


@proves("same-two-variances")
def test_beta_and_its_tilde_are_two_ends() -> Sides:
    """Left: conditioning the joint normal of x_s and x_t. Right: tilde, and the data's share."""
    variances = torch.tensor([0.0, 0.3, 1.0, 2.0], dtype=FLOAT)[:, None]

    def conditioned(q: Schedule) -> Tensor:
        at_t, at_s = q(TIMES), q(CLEANER)
        alpha_ts, _ = transition(at_t, at_s)
        var_s = at_s.alpha_t**2 * variances + at_s.sigma_t**2
        var_t = at_t.alpha_t**2 * variances + at_t.sigma_t**2
        return var_s - (alpha_ts * var_s) ** 2 / var_t

    def added(q: Schedule, end: str = "") -> Tensor:
        at_t, at_s = q(TIMES), q(CLEANER)
        _, var_ts = transition(at_t, at_s)
        tilde = at_s.sigma_t**2 * var_ts / at_t.sigma_t**2
        left_over = variances * at_t.sigma_t**2 / (at_t.alpha_t**2 * variances + at_t.sigma_t**2)
        pull = at_s.alpha_t * var_ts / at_t.sigma_t**2
        if end == "beta":
            return var_ts.expand_as(left_over)
        return tilde + (0 if end == "tilde" else 1) * pull**2 * left_over

    def of(compute) -> Tensor:
        return on_all(compute, PRESERVING)

    left = of(conditioned)
    beta = of(lambda q: added(q, "beta"))
    # Data of unit variance, and data that is one point: the two choices of DDPM.
    assert torch.allclose(left[:, 2], beta[:, 2], rtol=1e-10)
    assert torch.allclose(left[:, 0], of(lambda q: added(q, "tilde"))[:, 0], rtol=1e-10)
    return Sides(
        left,
        of(added),
        {"beta for any data": beta, "tilde for any data": of(lambda q: added(q, "tilde"))},
    )


@proves("same-variance-ratio")
def test_the_two_variances_meet_in_small_steps() -> Sides:
    """Left: tilde over beta, of a chain. Right: the noise before the step over the noise after."""
    chain = discrete_chain(VPLinear(), 50)
    before = torch.cat([torch.ones(1, dtype=FLOAT), chain.alpha_bar[:-1]])
    tilde = chain.beta * (1 - before) / (1 - chain.alpha_bar)
    at = VPLinear()(torch.linspace(0, 1, 51, dtype=FLOAT))
    right = at.sigma_t[:-1].square() / at.sigma_t[1:].square()
    return Sides(
        tilde / chain.beta,
        right,
        {"not squared": right.sqrt(), "always one": torch.ones_like(right)},
    )


@proves("same-log-variance")
def test_half_the_logarithm_is_the_root() -> Sides:
    """Left: the deviation of a step. Right: exp of half its log variance."""
    at_t, at_s = Cosine()(TIMES), Cosine()(CLEANER)
    var = posterior(TIMES[:, None], TIMES[:, None], at_t, at_s)[1]
    return Sides(
        var.sqrt(),
        torch.exp(0.5 * var.log()),
        {
            "root of the logarithm": var.log().abs().sqrt(),
            "half forgotten": torch.exp(var.log()),
        },
    )


@proves("same-last-step")
def test_the_last_step_draws_no_noise() -> Sides:
    """Left: conditioning on a step to clean data. Right: no variance, and the estimate itself."""
    x_t, x_0_hat, at_t = estimates(Cosine(), seed=30)
    mean, var = posterior(x_t, x_0_hat, at_t, Cosine()(torch.zeros_like(TIMES)))
    beta = 1 - at_t.alpha_t.square()
    left = torch.cat([mean, var[:, None]], 1)
    right = torch.cat([x_0_hat, torch.zeros(len(TIMES), 1, dtype=FLOAT)], 1)
    wrong = torch.cat([x_0_hat, beta[:, None]], 1)
    return Sides(left, right, {"beta's noise at the end": wrong})


def step_of(q: Schedule, x_t: Tensor, x_0_hat: Tensor, t: Tensor, s: Tensor) -> Tensor:
    return ddim_step(lambda x, time: x_0_hat, q, x_t, t, s)


@proves("same-ddim-euler")
def test_ddim_is_euler_against_the_ratio() -> Sides:
    """Left: the library's step, over its signal. Right: a straight line in noise over signal."""
    x_t, x_0_hat = normal(4, 3, seed=31), normal(4, 3, seed=32)
    t, s = number(0.7), number(0.4)

    def scaled(q: Schedule) -> Tensor:
        return step_of(q, x_t, x_0_hat, t, s) / q(s).alpha_t

    def straight(q: Schedule, in_time: bool = False, sign: float = 1.0) -> Tensor:
        at_t, at_s = q(t), q(s)
        start, run = x_t / at_t.alpha_t, at_s.sigma_t / at_s.alpha_t - at_t.sigma_t / at_t.alpha_t
        slope = (x_t - at_t.alpha_t * x_0_hat) / at_t.sigma_t
        if in_time:
            return euler_step(lambda x, time: x_0_hat, q, x_t, t, s) / at_s.alpha_t
        return start + sign * run * slope

    curved = [*PRESERVING, VE(0.05, 4.0)]
    return Sides(
        on_all(scaled, curved),
        on_all(straight, curved),
        {
            "Euler in time": on_all(lambda q: straight(q, in_time=True), curved),
            "sign": on_all(lambda q: straight(q, sign=-1.0), curved),
        },
    )


@proves("same-eta-one")
def test_ddim_with_eta_one_is_ancestral() -> Sides:
    """Left: the posterior's mean. Right: DDIM's with the noise that eta = 1 leaves it."""
    x_t, x_0_hat = normal(len(TIMES), 3, seed=33), normal(len(TIMES), 3, seed=34)

    def mean(q: Schedule) -> Tensor:
        return posterior(x_t, x_0_hat, q(TIMES), q(CLEANER))[0]

    def kept(q: Schedule, taken: str = "tilde") -> Tensor:
        at_t, at_s = q(TIMES), q(CLEANER)
        _, var_ts = transition(at_t, at_s)
        tilde = at_s.sigma_t**2 * var_ts / at_t.sigma_t**2
        fresh = {"tilde": tilde, "none": 0 * tilde, "at t": at_t.sigma_t**2}[taken]
        rest = (at_s.sigma_t**2 - fresh).clamp(min=0).sqrt()
        eps_hat = eps_from_x_0(x_0_hat, x_t, at_t)
        return at_s.alpha_t[:, None] * x_0_hat + rest[:, None] * eps_hat

    return Sides(
        on_all(mean),
        on_all(kept),
        {
            "eta = 0": on_all(lambda q: kept(q, "none")),
            "all noise of the start": on_all(lambda q: kept(q, "at t")),
        },
    )


@proves("same-ancestral-sde")
def test_small_ancestral_steps_are_the_reverse_equation() -> Sides:
    """Left: autograd of the step's mean and variance in s, at s = t. Right: drift and noise."""
    x_t = normal(3, 2, seed=35)
    t = number(0.6)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {"half of the score": [], "sign of the score": [], "g": []}
    for q in SCHEDULES:
        ask = denoiser(MIXTURE, q)
        x_0_hat = ask(x_t, t.expand(3))

        def moments(s: Tensor, q=q, x_0_hat=x_0_hat) -> Tensor:
            # The library refuses s above t by rounding; the coefficients are written out.
            at_t, at_s = q(t), q.scales(s)
            ratio = at_t.alpha_t / at_s.alpha_t
            var_ts = at_t.sigma_t**2 - (ratio * at_s.sigma_t) ** 2
            keep = ratio * at_s.sigma_t**2 / at_t.sigma_t**2
            mean = keep * x_t + at_s.alpha_t * var_ts / at_t.sigma_t**2 * x_0_hat
            var = at_s.sigma_t**2 * var_ts / at_t.sigma_t**2
            return torch.cat([mean.flatten(), var[None]])

        left.append(torch.func.jacfwd(moments)(t))
        at = q(t)
        g = at.diffusion_rate
        score = MIXTURE.noised(q(t.expand(3))).score(x_t)
        drift = reverse_sde(lambda x, time, s=score: s, q).drift(x_t, t)

        def both(drift: Tensor, spread: Tensor) -> Tensor:
            return torch.cat([drift.flatten(), -spread[None]])

        right.append(both(drift, g**2))
        wrong["half of the score"].append(both(at.drift_rate * x_t - g**2 / 2 * score, g**2))
        wrong["sign of the score"].append(both(at.drift_rate * x_t + g**2 * score, g**2))
        wrong["g"].append(both(drift, g))
    return Sides(
        torch.stack(left), torch.stack(right), {name: torch.stack(w) for name, w in wrong.items()}
    )


@proves("same-churn")
def test_the_network_sees_the_churned_data() -> Sides:
    """Left: two Euler steps down in sigma, subtracted. Right: the gap of the two estimates."""
    x, z = normal(4, 2, seed=40) * 3, normal(4, 2, seed=41)
    low, high, end = number(1.5), number(1.9), number(0.6)
    zero = torch.zeros_like(low)

    def ask(x: Tensor, sigma: Tensor) -> Tensor:
        return MIXTURE.posterior_mean(x, Scales(torch.ones_like(sigma), sigma, zero, zero))

    stirred = x + (high**2 - low**2).sqrt() * z
    after, before = ask(stirred, high), ask(x, low)

    def down(estimate: Tensor) -> Tensor:
        return stirred + (end - high) * (stirred - estimate) / high

    gap = after - before
    return Sides(
        down(after) - down(before),
        (1 - end / high) * gap,
        {"no difference": 0 * gap, "all of the gap": gap, "seen from below": (1 - end / low) * gap},
    )


@proves("same-third-order")
def test_a_parabola_needs_all_of_its_bend() -> Sides:
    """Left: the integral of the bend by Gauss-Legendre. Right: its closed form, and half of it."""
    nodes, weights = leggauss(40)
    tau, weights = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
    h = torch.tensor([0.05, 0.4, 1.5, 3.0], dtype=FLOAT)
    left = (weights * h[:, None] * torch.exp(-h[:, None] * (1 - tau)) * tau**2).sum(1)
    right = 1 - 2 / h - 2 * torch.expm1(-h) / h**2
    # The weights of the library, on three estimates of tau^2.
    ours = [
        float(exponential_weights(x, [0.0, -1.0, -2.0]) @ torch.tensor([0, 1, 4]).double())
        for x in h
    ]
    assert torch.allclose(torch.tensor(ours, dtype=FLOAT), left, rtol=1e-10)
    return Sides(left, right, {"half the bend": right / 2, "sign": -right})


# Other languages.


@proves("same-flow")
def test_flow_matching_and_diffusion_ask_one_model() -> Sides:
    """Left: the exact denoiser of straight lines. Right: that of another schedule, scaled."""
    x = normal(len(TIMES), 2, seed=36)
    made_for = [*PRESERVING, VE(0.001, 100.0)]

    def asked(q: Schedule, scale: bool = True, clock: bool = True) -> Tensor:
        here = Rectified()(TIMES)
        there_t = q.time_at(here.log_snr_t) if clock else TIMES
        factor = q(there_t).alpha_t / here.alpha_t if scale else torch.ones_like(TIMES)
        return denoiser(MIXTURE, q)(factor[:, None] * x, there_t)

    left = denoiser(MIXTURE, Rectified())(x, TIMES)
    right = on_all(asked, made_for)
    changed = on_all(
        lambda q: change_schedule(denoiser(MIXTURE, q), q, Rectified())(x, TIMES), made_for
    )
    assert torch.allclose(right, changed, rtol=1e-10)
    return Sides(
        left.expand_as(right),
        right,
        {
            "scale forgotten": on_all(lambda q: asked(q, scale=False), made_for),
            "same clock": on_all(lambda q: asked(q, clock=False), made_for),
        },
    )


@proves("same-time-reversed")
def test_time_may_run_either_way() -> Sides:
    """Left: our samples, noise at t = 1. Right: Euler the other way, with noise at r = 0."""
    ask = denoiser(MIXTURE, Rectified())
    x = normal(6, 2, seed=37)
    left = sample(ask, Rectified(), x, uniform_times(10), euler_step)

    def forward(sign: float = -1.0, clock: bool = True) -> Tensor:
        y, h = x, 0.1
        for k in range(10):
            r = torch.full((6,), k * h, dtype=FLOAT)
            t = (1 - r if clock else r).clamp(min=0.1)
            y = y + h * sign * velocity_from_x_0(ask(y, t), y, Rectified()(t))
        return y

    return Sides(
        left,
        forward(),
        {
            "sign kept": forward(sign=1.0),
            "clock kept": forward(clock=False),
        },
    )


@proves("same-guidance")
def test_the_two_scales_of_guidance_differ_by_one() -> Sides:
    """Left: the paper's weights. Right: programs' line with a scale larger by one."""
    x = normal(5, 2, seed=38)
    t = torch.full((5,), 0.5, dtype=FLOAT)
    with_condition = denoiser(MIXTURE.component(1), Cosine())
    without = denoiser(MIXTURE, Cosine())
    omegas = (0.0, 1.5, 6.5)
    paper = torch.stack([(1 + w) * with_condition(x, t) - w * without(x, t) for w in omegas])

    def programs(shift: float) -> Tensor:
        return torch.stack([composed(without, [with_condition], [w + shift])(x, t) for w in omegas])

    ours = torch.stack([classifier_free(with_condition, without, w)(x, t) for w in omegas])
    assert torch.allclose(paper, ours, rtol=1e-12)
    return Sides(paper, programs(1.0), {"same number": programs(0.0), "minus one": programs(-1.0)})


class Wilful:
    """A model of short texts that is no table's: its guesses belong to no joint."""

    blank = 3

    def __call__(self, tokens: Tensor) -> Tensor:
        place = torch.arange(tokens.shape[1], dtype=FLOAT)
        seen = (tokens.double() * (place + 1)).sum(1)
        angle = seen[:, None, None] + place[:, None] * 1.7 + torch.arange(3, dtype=FLOAT)
        return torch.sin(angle).log_softmax(-1)


@proves("same-any-order")
def test_hiding_at_random_is_writing_in_any_order() -> Sides:
    """Left: all orders, enumerated. Right: hidden sets over time, by quadrature, two schedules."""
    joint = normal(3, 3, 3, 3, seed=39).exp()
    table = Table(joint / joint.sum())
    x_0 = torch.tensor([0, 2, 1, 1])
    left, right, even = [], [], []
    for model in (table, Wilful()):
        for schedule in (LinearMask(), CosineMask()):
            left.append(any_order_bound(model, x_0))
            right.append(diffusion_bound(model, x_0, schedule))
        even.append(diffusion_bound(model, x_0, Unweighted()))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"cross-entropy without its weight": torch.stack([even[0], even[0], even[1], even[1]])},
    )


class Unweighted(LinearMask):
    """The linear schedule with the weight left out, as in training by masked guessing."""

    def __call__(self, t: Tensor):
        rates = super().__call__(t)
        return rates._replace(d_masked=rates.masked)
