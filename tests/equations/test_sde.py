"""The equations of diffusion in continuous time: Fokker-Planck, likelihoods and orders, exactly."""

import itertools
import math
from itertools import pairwise

import torch
from numpy.polynomial.legendre import leggauss
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
