"""The equations of diffusion in continuous time: Fokker-Planck, likelihoods and orders, exactly."""

import itertools
import math
from itertools import pairwise

import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from scipy.integrate import solve_ivp
from torch import Tensor

from fromnoise.diffusion import transition
from fromnoise.flow_likelihood import hutchinson, log_likelihood, noise_log_prob
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import VE, Cosine, Rectified, Schedule, VPLinear
from fromnoise.score import jacobian_trace
from fromnoise.sde import (
    Dynamics,
    SubVP,
    euler_maruyama_step,
    forward_sde,
    probability_flow_ode,
    reverse_sde,
)
from fromnoise.targets import velocity_from_score
from proof import Sides, proves

FLOAT = torch.float64
SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0), SubVP()]
MEANS = torch.tensor([[-1.0, 0.2], [0.8, 0.5]], dtype=FLOAT)
SHARES = torch.tensor([0.4, 0.6], dtype=FLOAT)
STD = 0.5
MIXTURE = GaussianMixture.isotropic(MEANS, STD, SHARES)
MEAN, VAR = 0.7, 0.36
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=FLOAT), torch.tensor([[VAR]], dtype=FLOAT))


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def score_of(distribution: Gaussian | GaussianMixture, schedule: Schedule):
    return lambda x, t: distribution.noised(schedule(t)).score(x)


def density(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Density of the noised mixture, written out; scales shaped like a column of x."""
    var = alpha.square() * STD**2 + sigma.square()
    squares = (x[:, None] - alpha[..., None] * MEANS).square().sum(-1)
    return (SHARES * torch.exp(-squares / (2 * var)) / (2 * math.pi * var)).sum(1)


@proves("sde-rates", "sde-sub-vp")
def test_the_rates_move_the_two_moments() -> Sides:
    """Left: autograd of alpha and sigma squared in t. Right: f and g, and sub-VP's written out."""
    t = torch.tensor([0.1, 0.45, 0.9], dtype=FLOAT)

    def slope(schedule: Schedule, part) -> Tensor:
        times = t.clone().requires_grad_()
        # VE's alpha does not depend on the time; autograd wants to see it all the same.
        return torch.autograd.grad((part(schedule(times)) + 0 * times).sum(), times)[0]

    left, right, plain, flip, half = [], [], [], [], []
    for schedule in SCHEDULES:
        at = schedule(t)
        f, g = at.drift_rate, at.diffusion_rate
        left += [slope(schedule, lambda at: at.alpha_t), slope(schedule, lambda at: at.sigma_t**2)]
        mean, var = f * at.alpha_t, 2 * f * at.sigma_t.square()
        right += [mean, var + g.square()]
        plain += [mean, var + g]
        flip += [mean, g.square() - var]
        half += [mean, var / 2 + g.square()]
    beta, alpha = 0.1 + 19.9 * t, VPLinear()(t).alpha_t
    at = SubVP()(t)
    left += [at.drift_rate, at.diffusion_rate.square()]
    for side in (right, plain, flip, half):
        side += [-beta / 2, beta * (1 - alpha**4)]
    vp = [*right[:-1], beta]
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "g instead of its square": torch.stack(plain),
            "sign of the drift": torch.stack(flip),
            "factor 2 forgotten": torch.stack(half),
            "VP's noise for sub-VP": torch.stack(vp),
        },
    )


@proves("sde-reverse", "sde-family")
def test_every_way_back_has_the_density_of_the_way_there() -> Sides:
    """Left: the density's own change in time. Right: what each reverse equation does to it."""
    x = normal(15, 2, seed=0)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {
        name: []
        for name in (
            "score left out",
            "sign of the score",
            "g instead of its square",
            "half forgotten",
            "noise left out",
        )
    }
    for schedule, eta in itertools.product(SCHEDULES, (0.0, 0.5, 1.0, 1.7)):
        score = score_of(MIXTURE, schedule)
        dynamics = reverse_sde(score, schedule, eta)
        t = torch.tensor(0.4, dtype=FLOAT)
        at = schedule(t)
        f, g = at.drift_rate, at.diffusion_rate
        noise = 0.0 if dynamics.diffusion is None else dynamics.diffusion(t)

        def p(y: Tensor, at=at) -> Tensor:
            return density(y, at.alpha_t.reshape(1, 1), at.sigma_t.reshape(1, 1))

        def slope(y: Tensor, p=p) -> Tensor:
            return torch.func.grad(lambda z: p(z).sum())(y)

        def change(drift, spread: Tensor | float, p=p, slope=slope) -> Tensor:
            """Fokker-Planck backwards in time: the noise has the other sign."""
            flux = jacobian_trace(lambda y: drift(y) * p(y)[:, None], x)[1]
            return -flux - spread / 2 * jacobian_trace(slope, x)[1]

        def with_pull(pull: Tensor | float, f=f, score=score, t=t):
            return lambda y: f * y - pull * score(y, t.expand(len(y)))

        times = torch.full((15, 1), 0.4, dtype=FLOAT, requires_grad=True)
        moving = schedule(times)
        whole = density(x, moving.alpha_t, moving.sigma_t).sum()
        left.append(torch.autograd.grad(whole, times)[0][:, 0])

        square, spread = g.square(), torch.as_tensor(noise).double() ** 2
        right.append(change(lambda y, d=dynamics, t=t: d.drift(y, t), spread))
        pull = (1 + eta**2) / 2
        wrong["score left out"].append(change(with_pull(0.0), spread))
        wrong["sign of the score"].append(change(with_pull(-pull * square), spread))
        wrong["g instead of its square"].append(change(with_pull(pull * g), spread))
        wrong["half forgotten"].append(change(with_pull(2 * pull * square), spread))
        wrong["noise left out"].append(change(with_pull(pull * square), 0.0))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {name: torch.stack(values) for name, values in wrong.items()},
    )


@proves("sde-probability-flow")
def test_the_flow_is_the_mean_velocity() -> Sides:
    """Left: the mean of what carries each x_0 and eps, given x_t. Right: f, g and the score."""
    x_t, t = normal(15, 2, seed=1), torch.tensor(0.35, dtype=FLOAT)
    left, right, reverse, no_score, sign = [], [], [], [], []
    for schedule in SCHEDULES:
        at = schedule(t)
        x_0_hat = MIXTURE.posterior_mean(x_t, at)
        eps_hat = (x_t - at.alpha_t * x_0_hat) / at.sigma_t
        left.append(at.d_alpha_t * x_0_hat + at.d_sigma_t * eps_hat)
        score = score_of(MIXTURE, schedule)
        right.append(probability_flow_ode(score, schedule).drift(x_t, t))
        reverse.append(reverse_sde(score, schedule).drift(x_t, t))
        no_score.append(at.drift_rate * x_t)
        pull = at.diffusion_rate.square() / 2 * score(x_t, t.expand(15))
        sign.append(at.drift_rate * x_t + pull)
        torch.testing.assert_close(
            velocity_from_score(score(x_t, t.expand(15)), x_t, at), right[-1], rtol=1e-11, atol=0
        )
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "half forgotten": torch.stack(reverse),
            "score left out": torch.stack(no_score),
            "sign": torch.stack(sign),
        },
    )


@proves("sde-likelihood")
def test_the_flow_knows_the_density_of_the_data() -> Sides:
    """Left: the mixture's density. Right: the flow's, on a grid fine enough for ten digits."""
    schedule, x = Rectified(), torch.cat([normal(6, 2, seed=2), 4 * normal(2, 2, seed=3)])
    fine = torch.linspace(0, 0.6, 161, dtype=FLOAT)
    coarse = torch.linspace(0, 0.6, 17, dtype=FLOAT)
    marginal = MIXTURE.noised(schedule(fine[-1])).log_prob

    def likelihood(
        times: Tensor = coarse, gain: float = 1.0, pull: float = 1.0, end=marginal
    ) -> Tensor:
        """The flow's log density, with the divergence or the score multiplied by a number."""

        def score(x: Tensor, t: Tensor) -> Tensor:
            return pull * MIXTURE.noised(schedule(t)).score(x)

        def divergence(field, x: Tensor) -> tuple[Tensor, Tensor]:
            value, trace = jacobian_trace(field, x)
            return value, gain * trace

        return log_likelihood(score, schedule, x, times, end, divergence)

    return Sides(
        MIXTURE.log_prob(x),
        likelihood(fine),
        {
            "sign of the divergence": likelihood(gain=-1.0),
            "divergence forgotten": likelihood(gain=0.0),
            "score left out": likelihood(pull=0.0),
            "half forgotten": likelihood(pull=2.0),
            "pure noise for the end": likelihood(end=noise_log_prob(schedule, fine[-1])),
        },
    )


@proves("sde-hutchinson")
def test_random_slices_give_the_likelihood_without_bias() -> Sides:
    """Left: the mean over all sign vectors, one by one. Right: the exact trace on the same grid."""
    schedule, x = Cosine(), normal(4, 3, seed=4)
    root = normal(3, 3, seed=5)
    covariance = root @ root.T / 3 + 0.2 * torch.eye(3, dtype=FLOAT)
    gaussian = Gaussian(normal(3, seed=6), (covariance + covariance.T) / 2)
    times = torch.linspace(0, 0.9, 13, dtype=FLOAT)
    end = gaussian.noised(schedule(times[-1])).log_prob
    score = score_of(gaussian, schedule)

    def average(directions: Tensor) -> Tensor:
        estimates = [
            log_likelihood(score, schedule, x, times, end, hutchinson(v.expand_as(x)))
            for v in directions
        ]
        return torch.stack(estimates).mean(0)

    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=FLOAT)
    return Sides(
        average(signs),
        log_likelihood(score, schedule, x, times, end),
        {
            "directions of length one": average(signs / math.sqrt(3)),
            "axes as directions": average(torch.eye(3, dtype=FLOAT)),
            "one direction for all": average(signs[:1]),
        },
    )


def affine(dynamics: Dynamics, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Offset, slope and noise gain of the code's own step, for dynamics that are affine in x."""
    x = torch.tensor([[0.0], [1.0], [0.0]], dtype=FLOAT)
    z = torch.tensor([[0.0], [0.0], [1.0]], dtype=FLOAT)
    offset, moved, shaken = euler_maruyama_step(dynamics, x, t, s, z)[:, 0]
    return offset, moved - offset, shaken - offset


def moments_back(dynamics: Dynamics, schedule: Schedule, n_steps: int) -> Tensor:
    """Mean and variance at t = 0.3 of the law of the steps, from the exact law at t = 0.8."""
    start = GAUSSIAN.noised(schedule(torch.tensor(0.8, dtype=FLOAT)))
    mean, var = start.mean[0], start.covariance[0, 0]
    for t, s in pairwise(torch.linspace(0.8, 0.3, n_steps + 1, dtype=FLOAT)):
        offset, slope, gain = affine(dynamics, t, s)
        mean, var = offset + slope * mean, slope.square() * var + gain.square()
    return torch.stack([mean, var])


def orders(coarse: Tensor, middle: Tensor, fine: Tensor, exact: Tensor) -> Tensor:
    """Order of the error, where halving the step twice leaves only its leading term."""
    first = 2 * (middle - exact) - (coarse - exact) / 2
    second = 2 * (fine - exact) - (middle - exact) / 2
    return torch.log2(first.abs() / second.abs())


@proves("sde-weak-order")
def test_moments_of_the_way_back_are_right_to_first_order() -> Sides:
    """Orders of the variance at t = 0.3, by Richardson's rule on three grids, against one."""
    broken = {
        "score left out": lambda f, g, eta: (f, 0 * g),
        "sign of the score": lambda f, g, eta: (f, -(1 + eta**2) / 2 * g.square()),
        "g instead of its square": lambda f, g, eta: (f, (1 + eta**2) / 2 * g),
        "half forgotten": lambda f, g, eta: (f, (1 + eta**2) * g.square()),
    }

    def break_it(name: str, schedule: Schedule, eta: float) -> Dynamics:
        def drift(x: Tensor, t: Tensor) -> Tensor:
            at = schedule(t)
            f, pull = broken[name](at.drift_rate, at.diffusion_rate, eta)
            return f * x - pull * score_of(GAUSSIAN, schedule)(x, t.expand(len(x)))

        return Dynamics(drift, lambda t: eta * schedule(t).diffusion_rate)

    def order(dynamics: Dynamics, schedule: Schedule) -> Tensor:
        exact = GAUSSIAN.noised(schedule(torch.tensor(0.3, dtype=FLOAT)))
        moments = [moments_back(dynamics, schedule, n)[1] for n in (32, 64, 128)]
        return orders(*moments, exact.covariance[0, 0])

    cases = [(schedule, 1.0) for schedule in SCHEDULES]
    cases += [(VPLinear(), 0.0), (VE(0.05, 4.0), 0.5), (SubVP(), 1.7)]
    found = [
        order(reverse_sde(score_of(GAUSSIAN, schedule), schedule, eta), schedule)
        for schedule, eta in cases
    ]
    return Sides(
        torch.ones(len(cases), dtype=FLOAT),
        torch.stack(found),
        {
            name: torch.stack([order(break_it(name, s, e), s) for s, e in cases[2:3]]).expand(
                len(cases)
            )
            for name in broken
        },
        tolerance=0.05,
        reason="an order, read from grids that are not yet infinitely fine",
    )


def path_error(dynamics: Dynamics, schedule: Schedule, n_steps: int) -> Tensor:
    """Root mean square distance at t = 0.9 of steps and truth, both driven by one Brownian path.

    Truth and steps are jointly Gaussian. Over a step the truth gains the integral of g(u)
    alpha_t / alpha_u against the path, the steps gain g times its increment; both variances and
    their covariance are known, so the recursion needs no paths.
    """
    nodes, weights = (torch.tensor(each) for each in leggauss(12))
    joint = torch.full((2, 2), VAR + 0.1, dtype=FLOAT)
    for s, t in pairwise(torch.linspace(0.1, 0.9, n_steps + 1, dtype=FLOAT)):
        _, slope, gain = affine(dynamics, s, t)
        alpha, var = transition(schedule(t), schedule(s))
        u = s + (t - s) * (nodes + 1) / 2
        at = schedule(u)
        shared = (t - s) / 2 * (weights * at.diffusion_rate / at.alpha_t).sum()
        # The gain is g sqrt(h), of an increment whose standard deviation is sqrt(h).
        covariance = schedule(t).alpha_t * shared * gain / (t - s).sqrt()
        noise = torch.stack([torch.stack([var, covariance]), torch.stack([covariance, gain**2])])
        grow = torch.stack([alpha, slope])
        joint = grow[:, None] * joint * grow + noise
    return (joint[0, 0] - 2 * joint[0, 1] + joint[1, 1]).sqrt()


@proves("sde-strong-order")
def test_single_paths_are_right_to_first_order() -> Sides:
    """Orders of the distance between truth and steps on shared paths, in closed recursion."""

    def scaled(schedule: Schedule, drift: float, diffusion: float) -> Dynamics:
        right = forward_sde(schedule)
        return Dynamics(
            lambda x, t: drift * right.drift(x, t), lambda t: diffusion * right.diffusion(t)
        )

    def order(drift: float, diffusion: float, schedules: list[Schedule]) -> Tensor:
        found = []
        for schedule in schedules:
            dynamics = scaled(schedule, drift, diffusion)
            errors = [path_error(dynamics, schedule, n) for n in (40, 80, 160)]
            found.append(orders(*errors, torch.zeros((), dtype=FLOAT)))
        return torch.stack(found)

    faults = {
        "half of the drift": (0.5, 1.0),
        "sign of the drift": (-1.0, 1.0),
        "noise too large by sqrt 2": (1.0, math.sqrt(2)),
    }
    return Sides(
        torch.ones(len(SCHEDULES), dtype=FLOAT),
        order(1.0, 1.0, SCHEDULES),
        {name: order(*fault, [Cosine()]).expand(len(SCHEDULES)) for name, fault in faults.items()},
        tolerance=0.05,
        reason="an order, read from grids that are not yet infinitely fine",
    )


@proves("sde-squared-steps")
def test_squares_of_the_steps_add_up_to_the_time() -> Sides:
    """Left: moments of the sum by quadrature over the normal step. Right: t and 2 t^2 / n."""
    nodes, weights = (torch.tensor(each) for each in hermegauss(20))
    weights = weights / weights.sum()
    left, right, linear, half = [], [], [], []
    for t, n in ((0.3, 1), (1.0, 7), (2.5, 40)):
        square = t / n * nodes.square()
        mean = (weights * square).sum()
        spread = (weights * (square - mean).square()).sum()
        left += [n * mean, n * spread]
        right += [t, 2 * t**2 / n]
        linear += [t, 2 * t**2]
        half += [t, t**2 / n]
    wrong = {"spread that does not fall with n": linear, "factor 2 forgotten": half}
    return Sides(
        torch.stack(left),
        torch.tensor(right, dtype=FLOAT),
        {name: torch.tensor(values, dtype=FLOAT) for name, values in wrong.items()},
    )


@proves("sde-small-step")
def test_rates_are_what_a_step_does_when_it_is_small() -> Sides:
    """Left: autograd of the exact step's scale and variance in its length, at 0. Right: f, g^2."""
    left, right, sign, plain, double = [], [], [], [], []
    for schedule in SCHEDULES:
        for time in (0.15, 0.5, 0.85):
            h = torch.zeros((), dtype=FLOAT, requires_grad=True)
            s = schedule(torch.tensor(time, dtype=FLOAT))
            alpha, var = transition(schedule(time + h), s)
            # VE's scale is 1 whatever the step; autograd wants to see the step all the same.
            left += [
                torch.autograd.grad(each + 0 * h, h, retain_graph=True)[0] for each in (alpha, var)
            ]
            f, g = s.drift_rate, s.diffusion_rate
            right += [f, g.square()]
            sign += [-f, g.square()]
            plain += [f, g]
            double += [f, g.square() + 2 * f * s.sigma_t.square()]
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "sign of the drift": torch.stack(sign),
            "g instead of its square": torch.stack(plain),
            "slope of the variance alone": torch.stack(double),
        },
    )


@proves("sde-vp-ve")
def test_rates_of_the_two_famous_schedules() -> Sides:
    """Left: the code's rates. Right: beta(t) written out, and autograd of VE's variance."""
    t = torch.tensor([0.1, 0.45, 0.9], dtype=FLOAT, requires_grad=True)
    exploding = VE(0.05, 4.0)
    (growth,) = torch.autograd.grad(exploding(t).sigma_t.square().sum(), t)
    t = t.detach()
    vp, ve, beta = VPLinear()(t), exploding(t), 0.1 + 19.9 * t
    left = [vp.drift_rate, vp.diffusion_rate.square(), ve.drift_rate, ve.diffusion_rate.square()]
    return Sides(
        torch.stack(left),
        torch.stack([-beta / 2, beta, 0 * t, growth]),
        {
            "half forgotten": torch.stack([-beta, beta, 0 * t, growth]),
            "VE's scale for its variance": torch.stack([-beta / 2, beta, 0 * t, ve.d_sigma_t]),
            "the same noise for both": torch.stack([-beta / 2, beta, 0 * t, beta]),
        },
    )


def flux_terms(schedule: Schedule, time: float, x: Tensor) -> tuple[Tensor, ...]:
    """Slope in time, divergence of x q, Laplacian of q and divergence of q grad log q, at x."""
    at = schedule(torch.tensor(time, dtype=FLOAT))

    def q(y: Tensor) -> Tensor:
        return density(y, at.alpha_t.reshape(1, 1), at.sigma_t.reshape(1, 1))

    score = MIXTURE.noised(at).score
    times = torch.full((len(x), 1), time, dtype=FLOAT, requires_grad=True)
    moving = schedule(times)
    whole = density(x, moving.alpha_t, moving.sigma_t).sum()
    in_time = torch.autograd.grad(whole, times)[0][:, 0]
    drifting = jacobian_trace(lambda y: y * q(y)[:, None], x)[1]
    laplacian = jacobian_trace(torch.func.grad(lambda y: q(y).sum()), x)[1]
    by_score = jacobian_trace(lambda y: score(y) * q(y)[:, None], x)[1]
    return in_time, drifting, laplacian, by_score


@proves("sde-fokker-planck")
def test_density_changes_by_drift_and_spreading() -> Sides:
    """Left: the noised mixture's density, differentiated in time. Right: in space."""
    x = normal(12, 2, seed=21)
    left, right, sign, half, plain, still = [], [], [], [], [], []
    for schedule, time in itertools.product(SCHEDULES, (0.25, 0.7)):
        at = schedule(torch.tensor(time, dtype=FLOAT))
        f, g = at.drift_rate, at.diffusion_rate
        in_time, drifting, laplacian, _ = flux_terms(schedule, time, x)
        left.append(in_time)
        right.append(-f * drifting + g.square() / 2 * laplacian)
        sign.append(f * drifting + g.square() / 2 * laplacian)
        half.append(-f * drifting + g.square() * laplacian)
        plain.append(-f * drifting + g / 2 * laplacian)
        still.append(-f * drifting)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "sign of the drift": torch.stack(sign),
            "half forgotten": torch.stack(half),
            "g instead of its square": torch.stack(plain),
            "spreading left out": torch.stack(still),
        },
    )


@proves("sde-generator")
def test_mean_of_a_test_function_changes_by_the_generator() -> Sides:
    """Left: autograd in time of a closed mean. Right: quadrature of what Taylor's series leaves."""
    nodes, weights = (torch.tensor(each) for each in hermegauss(60))
    weights = weights / weights.sum()
    left, right, half, sign = [], [], [], []
    for schedule, time in itertools.product(SCHEDULES, (0.25, 0.7)):
        t = torch.tensor(time, dtype=FLOAT, requires_grad=True)
        at = schedule(t)
        mean, var = at.alpha_t * MEAN, at.alpha_t.square() * VAR + at.sigma_t.square()
        # The mean of sin(x) under a normal law is known: sin(mean) exp(-var / 2).
        left.append(torch.autograd.grad(mean.sin() * (-var / 2).exp(), t)[0])
        x = (mean + var.sqrt() * nodes).detach()
        f, g = at.drift_rate.detach(), at.diffusion_rate.detach()
        drift, spread = (weights * f * x * x.cos()).sum(), -(weights * g.square() * x.sin()).sum()
        right.append(drift + spread / 2)
        half.append(drift + spread)
        sign.append(drift - spread / 2)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"half forgotten": torch.stack(half), "sign of the spreading": torch.stack(sign)},
    )


@proves("sde-laplacian")
def test_spreading_is_a_flow_down_the_score() -> Sides:
    """Left: Laplacian of the mixture's density by autograd. Right: divergence of q times score."""
    x = normal(12, 2, seed=22)
    found = [flux_terms(schedule, 0.4, x) for schedule in SCHEDULES]
    score_only = []
    for schedule in SCHEDULES:
        score = MIXTURE.noised(schedule(torch.tensor(0.4, dtype=FLOAT))).score
        score_only.append(jacobian_trace(score, x)[1])
    right = torch.stack([terms[3] for terms in found])
    return Sides(
        torch.stack([terms[2] for terms in found]),
        right,
        {"sign": -right, "density forgotten": torch.stack(score_only)},
    )


@proves("sde-continuity")
def test_noising_is_also_a_flow() -> Sides:
    """Left: change of the density in time. Right: divergence of the code's velocity times q."""
    x, time = normal(12, 2, seed=23), torch.tensor(0.4, dtype=FLOAT)
    left, right, reverse, bare = [], [], [], []
    for schedule in SCHEDULES:
        at = schedule(time)

        def q(y: Tensor, at=at) -> Tensor:
            return density(y, at.alpha_t.reshape(1, 1), at.sigma_t.reshape(1, 1))[:, None]

        def change(drift, q=q) -> Tensor:
            return -jacobian_trace(lambda y: drift(y) * q(y), x)[1]

        score = score_of(MIXTURE, schedule)
        left.append(flux_terms(schedule, 0.4, x)[0])
        right.append(
            change(lambda y, s=score, c=schedule: probability_flow_ode(s, c).drift(y, time))
        )
        reverse.append(change(lambda y, s=score, c=schedule: reverse_sde(s, c).drift(y, time)))
        bare.append(change(lambda y, at=at: at.drift_rate * y))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "the whole score, not half": torch.stack(reverse),
            "score left out": torch.stack(bare),
            "sign": -torch.stack(right),
        },
    )


@proves("sde-change-of-variables")
def test_log_density_along_the_flow_changes_by_the_divergence() -> Sides:
    """Left: d/dt of log q at a moving point, by autograd. Right: minus the divergence."""
    x, time = normal(12, 2, seed=24), torch.tensor(0.4, dtype=FLOAT)
    left, right, still = [], [], []
    for schedule in SCHEDULES:
        flow = probability_flow_ode(score_of(MIXTURE, schedule), schedule).drift
        velocity, divergence = jacobian_trace(lambda y, u=flow: u(y, time), x)

        step = torch.zeros(12, 1, dtype=FLOAT, requires_grad=True)

        def moving(step: Tensor, schedule=schedule, velocity=velocity) -> Tensor:
            at = schedule(time + step)
            return density(x + step * velocity, at.alpha_t, at.sigma_t).log().sum()

        left.append(torch.autograd.grad(moving(step), step)[0][:, 0])
        right.append(-divergence)
        times = torch.full((12, 1), 0.4, dtype=FLOAT, requires_grad=True)
        at = schedule(times)
        fixed = density(x, at.alpha_t, at.sigma_t).log().sum()
        still.append(torch.autograd.grad(fixed, times)[0][:, 0])
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"sign": -torch.stack(right), "point held still": torch.stack(still)},
    )


def integrate(rate, start: list[float], t: float, s: float) -> Tensor:
    """Solve dy/dt = rate(t, y) from t to s, to eleven digits."""
    found = solve_ivp(rate, (t, s), start, method="DOP853", rtol=1e-12, atol=1e-13)
    return torch.from_numpy(found.y[:, -1])


def slopes_of(dynamics: Dynamics, t: float) -> tuple[float, float, float]:
    """Offset and slope of a drift that is affine in x, and the square of the diffusion."""
    at = torch.tensor(t, dtype=FLOAT)
    offset, one = dynamics.drift(torch.tensor([[0.0], [1.0]], dtype=FLOAT), at)[:, 0].tolist()
    square = 0.0 if dynamics.diffusion is None else float(dynamics.diffusion(at)) ** 2
    return offset, one - offset, square


@proves("sde-clock-variance")
def test_variance_with_the_clock_turned_back() -> Sides:
    """Left: the variance's own equation, integrated downward on the code's rates. Right: closed."""
    left, right, there, flat = [], [], [], []
    for schedule in (Cosine(), VPLinear()):
        dynamics = forward_sde(schedule)

        def rate(t: float, v: list[float], dynamics=dynamics) -> list[float]:
            _, slope, square = slopes_of(dynamics, t)
            # Time runs down, and noise adds variance in either direction.
            return [2 * slope * v[0] - square]

        for t, s in ((0.8, 0.1), (0.6, 0.3)):
            left.append(integrate(rate, [1.0], t, s)[0])
            scale = [schedule(torch.tensor(each, dtype=FLOAT)).alpha_t for each in (s, t)]
            ratio = (scale[0] / scale[1]) ** 2
            right.append(2 * ratio - 1)
            there.append(torch.ones((), dtype=FLOAT))
            flat.append(ratio)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"variance kept": torch.stack(there), "noise left out": torch.stack(flat)},
    )


@proves("sde-gaussian-rate", "sde-gaussian-back")
def test_every_way_back_for_a_gaussian_is_a_power_of_one_correlation() -> Sides:
    """Left: slope and moments integrated on the code's drift. Right: closed forms, for any eta."""
    left, right, plain, no_root, no_data = [], [], [], [], []
    for schedule, eta in itertools.product(SCHEDULES, (0.0, 1.0, 1.7)):
        dynamics = reverse_sde(score_of(GAUSSIAN, schedule), schedule, eta)
        t, s = 0.7, 0.35

        def rate(time: float, y: list[float], dynamics=dynamics) -> list[float]:
            """Of the mean, of the variance, and of the factor that carries a deviation."""
            offset, slope, square = slopes_of(dynamics, time)
            return [offset + slope * y[0], 2 * slope * y[1] - square, slope * y[2]]

        at_t, at_s = (schedule(torch.tensor(each, dtype=FLOAT)) for each in (t, s))
        c_t, c_s = (at.alpha_t**2 * VAR + at.sigma_t**2 for at in (at_t, at_s))
        mean, var, factor = integrate(rate, [float(at_t.alpha_t * MEAN), float(c_t), 1.0], t, s)
        rho = at_t.alpha_t / at_s.alpha_t * (c_s / c_t).sqrt()
        f, g = at_s.drift_rate, at_s.diffusion_rate
        growth = 2 * f * c_s + g**2
        slope = torch.tensor(slopes_of(dynamics, s)[1], dtype=FLOAT)
        left += [mean, var, factor * (c_t / c_s).sqrt(), slope]
        exact = (1 + eta**2) / 2 * growth / c_s - eta**2 * f
        right += [at_s.alpha_t * MEAN, c_s, rho ** (eta**2), exact]
        plain += [at_s.alpha_t * MEAN, c_s, rho**eta, exact]
        no_root += [at_s.alpha_t * MEAN, c_s, (rho**2) ** (eta**2), exact]
        no_data += [at_s.alpha_t * MEAN, c_s, rho ** (eta**2), growth / (2 * c_s)]
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "eta instead of its square": torch.stack(plain),
            "square root left out": torch.stack(no_root),
            "the flow's slope for all": torch.stack(no_data),
        },
    )


@proves("sde-gaussian-kernel")
def test_with_full_noise_the_way_back_is_bayes() -> Sides:
    """Left: mean and variance of x_s given x_t, by the rule for joint normals. Right: by rho."""
    left, right, wide, no_mean = [], [], [], []
    x_t = 1.3
    for schedule in SCHEDULES:
        at_t, at_s = (schedule(torch.tensor(each, dtype=FLOAT)) for each in (0.7, 0.4))
        c_t, c_s = (at.alpha_t**2 * VAR + at.sigma_t**2 for at in (at_t, at_s))
        ts, _ = transition(at_t, at_s)
        m_t, m_s = at_t.alpha_t * MEAN, at_s.alpha_t * MEAN
        cross = ts * c_s
        left += [m_s + cross / c_t * (x_t - m_t), c_s - cross**2 / c_t]
        rho = ts * (c_s / c_t).sqrt()
        mean = m_s + rho * (c_s / c_t).sqrt() * (x_t - m_t)
        right += [mean, c_s * (1 - rho**2)]
        wide += [mean, c_s]
        no_mean += [rho * (c_s / c_t).sqrt() * x_t, c_s * (1 - rho**2)]
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"memory left out": torch.stack(wide), "means left out": torch.stack(no_mean)},
    )


@proves("sde-step-factor")
def test_a_long_step_turns_noise_around() -> Sides:
    """Left: the slope of the code's own step on standard normal data. Right: closed."""
    schedule, data = VPLinear(), Gaussian(torch.zeros(1).double(), torch.eye(1).double())
    left, right, plain, half = [], [], [], []
    for eta, h in itertools.product((0.0, 0.5, 1.0, 1.7), (0.05, 0.2)):
        t = torch.tensor(0.9, dtype=FLOAT)
        dynamics = reverse_sde(score_of(data, schedule), schedule, eta)
        left.append(affine(dynamics, t, t - h)[1])
        beta = torch.tensor(0.1 + 19.9 * 0.9, dtype=FLOAT)
        right.append(1 - eta**2 * beta * h / 2)
        plain.append(1 - eta * beta * h / 2)
        half.append(1 - eta**2 * beta * h)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"eta instead of its square": torch.stack(plain), "half forgotten": torch.stack(half)},
    )


@proves("sde-bayes-step")
def test_bayes_rule_for_a_small_step_is_the_reverse_equation() -> Sides:
    """Left: autograd of the exact posterior's moments in the step. Right: f, g and the score."""
    left, right, plain, half, sign = [], [], [], [], []
    x = torch.tensor(1.3, dtype=FLOAT)
    for schedule, time in itertools.product(SCHEDULES, (0.3, 0.6)):
        h = torch.zeros((), dtype=FLOAT, requires_grad=True)
        at_t, at_s = schedule(torch.tensor(time, dtype=FLOAT)), schedule(time - h)
        ts, var = transition(at_t, at_s)
        # Known: x_s is normal, and x_t is x_s scaled plus noise of variance var. Bayes gives
        c_s = at_s.alpha_t**2 * VAR + at_s.sigma_t**2
        gain = ts * c_s / (ts**2 * c_s + var)
        mean = at_s.alpha_t * MEAN + gain * (x - ts * at_s.alpha_t * MEAN)
        for each in (mean, (1 - gain * ts) * c_s):
            left += torch.autograd.grad(each, h, retain_graph=True)
        f, square = at_t.drift_rate, at_t.diffusion_rate.square()
        score = GAUSSIAN.noised(at_t).score(x[None])[0]
        right += [-f * x + square * score, square]
        plain += [-f * x, square]
        half += [-f * x + square / 2 * score, square]
        sign += [f * x + square * score, square]
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {
            "score left out": torch.stack(plain),
            "half the score": torch.stack(half),
            "sign of the drift": torch.stack(sign),
        },
    )
