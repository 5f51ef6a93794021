"""The equations of flow matching: continuity, gradients, straightness and mean velocities."""

import math
from itertools import product

import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from fromnoise.flow_matching import (
    change_schedule,
    conditional_flow_matching,
    conditional_velocity,
    marginal_flow_matching,
    marginal_velocity,
)
from fromnoise.gaussians import Gaussian
from fromnoise.mean_flow import mean_flow_target
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ddim_step, euler_step, sample, uniform_times
from fromnoise.schedules import VE, Cosine, Rectified, Scales, Schedule, VPLinear
from fromnoise.score import jacobian_trace
from fromnoise.targets import velocity_from_x_0
from proof import Sides, proves

FLOAT = torch.float64
SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.05, 4.0)]
DATA = torch.tensor([[-1.0, 0.3], [0.4, -0.6], [1.1, 0.8]], dtype=FLOAT)
MIXTURE = GaussianMixture.isotropic(DATA, 0.4)
MEAN, STD = 0.7, 0.6


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=FLOAT)


def number_row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=FLOAT)


def hermite(n_nodes: int = 80) -> tuple[Tensor, Tensor]:
    """Nodes and weights for a mean over a standard normal."""
    points, weights = hermegauss(n_nodes)
    return torch.from_numpy(points), torch.from_numpy(weights) / math.sqrt(2 * math.pi)


def legendre(low: float, high: float, n_nodes: int = 80) -> tuple[Tensor, Tensor]:
    """Nodes and weights for an integral from low to high."""
    points, weights = leggauss(n_nodes)
    half = (high - low) / 2
    return torch.from_numpy(points) * half + (high + low) / 2, torch.from_numpy(weights) * half


def collect(into: dict[str, list[Tensor]], **wrong: Tensor) -> None:
    for name, value in wrong.items():
        into.setdefault(name.replace("_", " "), []).append(value)


def stack(wrong: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack(values) for name, values in wrong.items()}


@proves("flow-line", "flow-conditional-velocity")
def test_the_conditional_velocity_is_the_speed_along_the_line() -> Sides:
    """Left: forward derivative of the line in time. Right: the formula at the point reached."""
    x_0, eps = normal(6, 2, seed=0), normal(6, 2, seed=1)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, t in product(SCHEDULES, (0.1, 0.5, 0.95)):

        def line(time: Tensor, schedule=schedule) -> Tensor:
            at = schedule(time)
            return at.alpha_t * x_0 + at.sigma_t * eps

        x_t, speed = torch.func.jvp(line, (number(t),), (number(1.0),))
        at = schedule(number(t))
        left.append(speed)
        right.append(conditional_velocity(x_t, x_0, at))
        pull = at.d_sigma_t / at.sigma_t * (x_t - at.alpha_t * x_0)
        collect(
            wrong,
            data_term_forgotten=pull,
            signal_not_subtracted=at.d_alpha_t * x_0 + at.d_sigma_t / at.sigma_t * x_t,
            sign_of_the_pull=at.d_alpha_t * x_0 - pull,
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


def density(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Density of the noised data set, written out; scales shaped like a column of x."""
    squares = (x[:, None] - alpha[..., None] * DATA).square().sum(-1)
    kernel = torch.exp(-squares / (2 * sigma.square())) / (2 * math.pi * sigma.square())
    return kernel.mean(1)


@proves("flow-continuity", "flow-marginal-velocity")
def test_the_marginal_velocity_moves_the_density() -> Sides:
    """Left: autograd of the density in time. Right: minus the divergence of what flows."""
    x = 0.8 * normal(12, 2, seed=2)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, t in product(SCHEDULES, (0.4, 0.8)):
        times = torch.full((12, 1), t, dtype=FLOAT, requires_grad=True)
        moving = schedule(times)
        whole = density(x, moving.alpha_t, moving.sigma_t).sum()
        left.append(torch.autograd.grad(whole, times)[0][:, 0])
        at = schedule(number(t))

        def flux(field, at: Scales = at) -> Tensor:
            def flow(y: Tensor) -> Tensor:
                return density(y, at.alpha_t.reshape(1, 1), at.sigma_t.reshape(1, 1))[
                    :, None
                ] * field(y)

            return -jacobian_trace(flow, x)[1]

        def sharpened(y: Tensor, at: Scales = at) -> Tensor:
            squares = ((y[:, None] - at.alpha_t * DATA) / at.sigma_t).square().sum(-1)
            return velocity_from_x_0((-squares).softmax(-1) @ DATA, y, at)

        right.append(flux(lambda y, at=at: marginal_velocity(y, DATA, at)))
        collect(
            wrong,
            sign=-right[-1],
            every_line_weighs_the_same=flux(
                lambda y, at=at: velocity_from_x_0(DATA.mean(0).expand_as(y), y, at)
            ),
            half_in_the_weights_forgotten=flux(sharpened),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


LINE = DATA[:, :1]


def model(parameters: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """A velocity that is not linear in x, with four parameters."""
    a, b, c, d = parameters
    return a + b * x + c * torch.sin(2 * x) + d * t.reshape(-1, 1) * x.square()


def mean_conditional_loss(parameters: Tensor, schedule: Schedule, t: float) -> Tensor:
    """Enumerate the data set; Gauss-Hermite over the noise."""
    eps, weights = hermite()
    x_0 = LINE.repeat_interleave(len(eps), 0)
    noise = eps.repeat(len(LINE))[:, None]
    times = torch.full((len(x_0),), t, dtype=FLOAT)
    losses = conditional_flow_matching(
        lambda x, t: model(parameters, x, t), x_0, noise, times, schedule
    )
    return (losses * weights.repeat(len(LINE))).sum() / len(LINE)


def on_a_grid(schedule: Schedule, t: float) -> tuple[Tensor, Tensor, Tensor]:
    """Points, what each stands for under the noised density, and the ends' probabilities."""
    # The trapezoidal rule is spectrally accurate for what vanishes at both ends.
    at = schedule(number(t))
    reach = 1.2 * at.alpha_t + 9 * at.sigma_t
    x = torch.linspace(-1, 1, 1201, dtype=FLOAT)[:, None] * reach
    kernel = torch.exp(-((x - at.alpha_t * LINE.mT) / at.sigma_t).square() / 2)
    kernel = kernel / (at.sigma_t * math.sqrt(2 * math.pi))
    return x, kernel.mean(1) * (x[1] - x[0]), kernel / kernel.sum(1, keepdim=True)


def mean_marginal_loss(parameters: Tensor, schedule: Schedule, t: float, field=None) -> Tensor:
    x, mass, _ = on_a_grid(schedule, t)
    at, times = schedule(number(t)), torch.full((len(x),), t, dtype=FLOAT)
    true = field or (lambda y, t: marginal_velocity(y, LINE, at))
    return (
        marginal_flow_matching(lambda y, t: model(parameters, y, t), true, x, times) * mass
    ).sum()


CASES = [(Rectified(), 0.3), (Rectified(), 0.9), (Cosine(), 0.6), (VPLinear(), 0.5)]


@proves("flow-mixed-continuity")
def test_mixing_the_small_flows_keeps_the_continuity_equation() -> Sides:
    """Left: time derivative of the mixed density. Right: by quadrature, the slope of its flux."""
    weights, means, stds = number_row(0.3, 0.7), number_row(-0.9, 0.8), number_row(0.5, 0.35)
    nodes, node_weights = hermite()
    data = (means[:, None] + stds[:, None] * nodes).flatten()
    masses = (weights[:, None] * node_weights).flatten()
    x = torch.linspace(-1.7, 1.9, 13, dtype=FLOAT)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, t in product(SCHEDULES, (0.4, 0.7, 0.95)):
        times = torch.full((len(x), 1), t, dtype=FLOAT, requires_grad=True)
        moving = schedule(times)
        variance = (moving.alpha_t * stds).square() + moving.sigma_t.square()
        kernels = torch.exp(-(x[:, None] - moving.alpha_t * means).square() / (2 * variance))
        mixed = (weights * kernels / (2 * math.pi * variance).sqrt()).sum()
        left.append(torch.autograd.grad(mixed, times)[0][:, 0])
        at = schedule(number(t))

        def slope(velocity, mass=masses, at: Scales = at) -> Tensor:
            """Minus the slope in space of the mass that flows past each point."""
            place = x[:, None].clone().requires_grad_()
            away = (place - at.alpha_t * data) / at.sigma_t
            kernel = torch.exp(-away.square() / 2) / (at.sigma_t * math.sqrt(2 * math.pi))
            flux = (mass * kernel * velocity(place)).sum()
            return -torch.autograd.grad(flux, place)[0][:, 0]

        def lines(place: Tensor, at: Scales = at) -> Tensor:
            here = place.expand(-1, len(data)).reshape(-1, 1)
            there = data.expand(len(place), -1).reshape(-1, 1)
            return conditional_velocity(here, there, at).view(len(place), -1)

        right.append(slope(lines))
        middle = (masses * data).sum()
        collect(
            wrong,
            sign=-right[-1],
            one_line_to_the_mean_datum=slope(
                lambda place, at=at, middle=middle: (
                    at.d_alpha_t * middle
                    + at.d_sigma_t / at.sigma_t * (place - at.alpha_t * middle)
                )
            ),
            data_all_alike=slope(lines, mass=torch.full_like(masses, 1 / len(masses))),
            pull_forgotten=slope(lambda place, at=at: at.d_alpha_t * data + 0 * place),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-cfm-gradient")
def test_the_conditional_gradient_is_the_marginal_gradient() -> Sides:
    """Left: lines enumerated, noise by Gauss-Hermite. Right: the flow, on a grid of its points."""
    parameters = normal(4, seed=3)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, t in CASES:
        gradient = torch.func.grad(lambda p, s=schedule, t=t: mean_conditional_loss(p, s, t))
        left.append(gradient(parameters))

        def marginal(p: Tensor, s=schedule, t=t, field=None) -> Tensor:
            return mean_marginal_loss(p, s, t, field)

        at = schedule(number(t))
        right.append(torch.func.grad(marginal)(parameters))

        def to_the_mean(y: Tensor, t: Tensor, at: Scales = at) -> Tensor:
            return velocity_from_x_0(LINE.mean(0).expand_as(y), y, at)

        def backwards(y: Tensor, t: Tensor, at: Scales = at) -> Tensor:
            return -marginal_velocity(y, LINE, at)

        collect(
            wrong,
            every_line_weighs_the_same=torch.func.grad(
                lambda p, f=to_the_mean, m=marginal: m(p, field=f)
            )(parameters),
            time_runs_the_other_way=torch.func.grad(
                lambda p, f=backwards, m=marginal: m(p, field=f)
            )(parameters),
            half=right[-1] / 2,
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-cfm-constant")
def test_the_two_losses_differ_by_the_variance_of_the_lines() -> Sides:
    """Left: the conditional loss. Right: the marginal one and the spread of the lines."""
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for (schedule, t), seed in product(CASES, (4, 5)):
        parameters = normal(4, seed=seed)
        left.append(mean_conditional_loss(parameters, schedule, t))
        x, mass, shares = on_a_grid(schedule, t)
        at = schedule(number(t))
        lines = torch.stack(
            [velocity_from_x_0(end.expand_as(x), x, at)[:, 0] for end in LINE], dim=1
        )
        mean = (shares * lines).sum(1)
        spread = (mass * ((shares * lines.square()).sum(1) - mean.square())).sum()
        marginal = mean_marginal_loss(parameters, schedule, t)
        right.append(marginal + spread)
        collect(
            wrong,
            constant_forgotten=marginal,
            sign_of_the_constant=marginal - spread,
            half_the_constant=marginal + spread / 2,
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


def bend(s: float, c: float) -> Tensor:
    """Straightness from the flow's width: differentiated by autograd and integrated.

    The data have the standard deviation s, and c is their covariance with the noise they are paired
    with: 0 for independent pairs, s for the pairs that a flow makes.
    """

    def width(t: Tensor) -> Tensor:
        return ((1 - t) ** 2 * s**2 + 2 * t * (1 - t) * c + t**2).sqrt()

    t, weights = legendre(0.0, 1.0)
    speed = torch.func.vmap(torch.func.grad(width))(t)
    return (weights * (speed - (1 - s)).square()).sum()


@proves("flow-straightness-gaussian")
def test_straightness_of_the_gaussian_flow() -> Sides:
    """Left: the change of the flow's width, by autograd and quadrature. Right: closed form."""
    s = torch.tensor([0.3, 0.9, 1.0, 1.7], dtype=FLOAT)
    return Sides(
        torch.stack([bend(width, 0.0) for width in s.tolist()]),
        (2 - math.pi / 2) * s,
        {
            "half forgotten": (2 - math.pi) * s,
            "sign": (2 + math.pi / 2) * s,
            "variance for deviation": (2 - math.pi / 2) * s.square(),
        },
    )


@proves("flow-straightness-coupled")
def test_straightness_of_paired_gaussians() -> Sides:
    """Left: the change of the flow's width, by autograd and quadrature. Right: closed form."""
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for s, share in product((0.4, 0.9, 1.7), (0.0, 0.3, -0.5, 0.95, 1.0)):
        c = share * s
        left.append(bend(s, c))
        root = number(s**2 - c**2).clamp(min=0).sqrt()
        turn = torch.atan2(number(1 - c), root) + torch.atan2(number(s**2 - c), root)
        right.append(2 * (s - c) - root * turn)
        collect(
            wrong,
            sign_of_the_turn=2 * (s - c) + root * turn,
            half=right[-1] / 2,
            pairs_as_if_independent=number((2 - math.pi / 2) * s),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-straightness-width")
def test_straightness_is_the_change_of_the_width() -> Sides:
    """Left: paths by the regression of the lines on their points. Right: both forms in the width.

    For a pair with a joint normal law the mean of eps - x_0 at x is a multiple of x, so every path
    is its end times one number, the exponential of an integral.
    """
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    times, weights = legendre(0.0, 1.0)
    for s, share in product((0.4, 0.9, 1.7), (0.0, 0.3, -0.5, 0.95)):
        pair = torch.tensor([[s**2, share * s], [share * s, 1.0]], dtype=FLOAT)  # of x_0 and eps
        line = torch.tensor([-1.0, 1.0], dtype=FLOAT)

        def rate(t: Tensor, pair=pair, line=line) -> Tensor:
            point = torch.stack([1 - t, t], -1)
            return (point @ pair @ line) / ((point @ pair) * point).sum(-1)

        def scale(t: float, rate=rate) -> Tensor:
            nodes, shares = legendre(t, 1.0)
            return (-(shares * rate(nodes)).sum()).exp()

        speed = rate(times) * torch.stack([scale(t) for t in times.tolist()])
        bent = (weights * (speed - (1 - scale(0.0))).square()).sum()
        left.append(torch.stack([bent, bent]))

        def width(t: Tensor, pair=pair) -> Tensor:
            point = torch.stack([1 - t, t])
            return (point @ pair @ point).sqrt()

        change = torch.func.vmap(torch.func.grad(width))(times)
        square = (weights * change.square()).sum()
        first = bend(s, share * s)
        right.append(torch.stack([first, square - (1 - s) ** 2]))
        plus = (weights * (change + (1 - s)).square()).sum()
        collect(
            wrong,
            way_forgotten=torch.stack([square, square]),
            sign_of_the_way=torch.stack([plus, square + (1 - s) ** 2]),
            way_not_squared=torch.stack([first, square - abs(1 - s)]),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-change-of-schedule")
def test_one_model_serves_every_schedule() -> Sides:
    """Left: the exact denoiser of each schedule. Right: that of another, at its own time."""
    x, t = normal(9, 2, seed=6), torch.linspace(0.15, 0.85, 9, dtype=FLOAT)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for made_for, schedule in product((Cosine(), VPLinear(), VE(0.01, 50.0)), (Rectified(),)):
        ask = denoiser(MIXTURE, made_for)
        left.append(denoiser(MIXTURE, schedule)(x, t))
        right.append(change_schedule(ask, made_for, schedule)(x, t))
        here = schedule(t)
        there_t = made_for.time_at(here.log_snr_t)
        factor = (made_for(there_t).alpha_t / here.alpha_t)[:, None]
        collect(
            wrong,
            scale_forgotten=ask(x, there_t),
            time_forgotten=ask(factor * x, t),
            scale_upside_down=ask(x / factor, there_t),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-is-diffusion")
def test_flow_matching_samples_what_diffusion_samples() -> Sides:
    """Left: Euler on straight lines. Right: DDIM with the same model on its schedule, rescaled."""
    flow, left, right = Rectified(), [], []
    wrong: dict[str, list[Tensor]] = {}
    times = uniform_times(12, 0.95, 0.05)
    at = flow(times)
    x_1 = normal(7, 2, seed=7)
    for schedule in (Cosine(), VPLinear(), VE(0.01, 50.0)):
        ask = denoiser(MIXTURE, schedule)
        changed = change_schedule(ask, schedule, flow)
        left.append(sample(changed, flow, x_1, times, euler_step))
        mapped = schedule.time_at(at.log_snr_t)
        factor = schedule(mapped).sigma_t / at.sigma_t
        start = factor[0] * x_1
        right.append(sample(ask, schedule, start, mapped, ddim_step) / factor[-1])
        plain = torch.linspace(mapped[0], mapped[-1], 13, dtype=FLOAT)
        collect(
            wrong,
            noise_not_rescaled=sample(ask, schedule, x_1, mapped) / factor[-1],
            data_not_rescaled=factor[-1] * right[-1],
            steps_not_mapped=sample(ask, schedule, start, plain) / factor[-1],
            Euler_on_the_other_schedule=sample(ask, schedule, start, mapped, euler_step)
            / factor[-1],
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


def flow_of_a_gaussian(schedule: Schedule, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Where the flow takes points from t to s: the same number of deviations from the mean."""
    at_t, at_s = schedule(t), schedule(s)
    width_t = (at_t.alpha_t.square() * STD**2 + at_t.sigma_t.square()).sqrt()
    width_s = (at_s.alpha_t.square() * STD**2 + at_s.sigma_t.square()).sqrt()
    z = (x_t - at_t.alpha_t[:, None] * MEAN) / width_t[:, None]
    return at_s.alpha_t[:, None] * MEAN + width_s[:, None] * z


def velocity_of_a_gaussian(schedule: Schedule, x_t: Tensor, t: Tensor) -> Tensor:
    gaussian = Gaussian(torch.tensor([MEAN], dtype=FLOAT), torch.tensor([[STD**2]], dtype=FLOAT))
    return velocity_from_x_0(denoiser(gaussian, schedule)(x_t, t), x_t, schedule(t))


PLACES = [(0.1, 0.5), (0.3, 0.9), (0.5, 0.95)]


@proves("flow-mean-velocity")
def test_the_mean_velocity_is_the_way_over_the_time() -> Sides:
    """Left: the velocity integrated along the exact path. Right: the way that the path makes."""
    x_t, left, right = normal(5, 1, seed=8), [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, (low, high) in product(SCHEDULES, PLACES):
        s, t = torch.full((5,), low, dtype=FLOAT), torch.full((5,), high, dtype=FLOAT)
        nodes, weights = legendre(low, high, 40)
        total = torch.zeros_like(x_t)
        for node, weight in zip(nodes, weights, strict=True):
            here = node.expand(5)
            point = flow_of_a_gaussian(schedule, x_t, here, t)
            total = total + weight * velocity_of_a_gaussian(schedule, point, here)
        left.append(total / (high - low))
        way = x_t - flow_of_a_gaussian(schedule, x_t, s, t)
        right.append(way / (high - low))
        collect(
            wrong,
            sign=-right[-1],
            way_not_divided=way,
            velocity_at_the_end=velocity_of_a_gaussian(schedule, x_t, t),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-mean-identity")
def test_the_mean_velocity_satisfies_its_identity() -> Sides:
    """Left: the way over the time. Right: velocity less its own slope, by a forward derivative."""
    x_t, left, right = normal(5, 1, seed=9), [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, (low, high) in product(SCHEDULES, PLACES):
        s, t = torch.full((5,), low, dtype=FLOAT), torch.full((5,), high, dtype=FLOAT)

        def mean_velocity(x: Tensor, s: Tensor, t: Tensor, schedule=schedule) -> Tensor:
            return (x - flow_of_a_gaussian(schedule, x, s, t)) / (t - s)[:, None]

        velocity = velocity_of_a_gaussian(schedule, x_t, t)
        left.append(mean_velocity(x_t, s, t))
        right.append(mean_flow_target(mean_velocity, velocity, x_t, s, t)[1])
        still = torch.func.jvp(
            lambda time, f=mean_velocity, s=s: f(x_t, s, time), (t,), (torch.ones_like(t),)
        )[1]
        correction = velocity - right[-1]
        collect(
            wrong,
            sign_of_the_slope=velocity + correction,
            slope_forgotten=velocity,
            path_held_still=velocity - (high - low) * still,
            length_forgotten=velocity - correction / (high - low),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-mean-conditional")
def test_the_line_may_stand_for_the_flow_in_the_target() -> Sides:
    """Left: the target with the flow's velocity. Right: its mean over the lines through a point."""
    x_t, left, right = normal(5, 1, seed=10), [], []
    wrong: dict[str, list[Tensor]] = {}
    eps, weights = hermite(20)

    def any_model(x: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return torch.sin(x) * t[:, None] + x.square() * s[:, None]

    for schedule, (low, high) in product(SCHEDULES, PLACES):
        s, t = torch.full((5,), low, dtype=FLOAT), torch.full((5,), high, dtype=FLOAT)
        at = schedule(t)
        flow = velocity_of_a_gaussian(schedule, x_t, t)
        left.append(mean_flow_target(any_model, flow, x_t, s, t)[1])
        # Bayes for a Gaussian in one dimension, written out.
        precision = 1 / STD**2 + (at.alpha_t / at.sigma_t).square()
        pull = MEAN / STD**2 + (at.alpha_t / at.sigma_t.square())[:, None] * x_t

        def over_lines(mean: Tensor, std: Tensor, at=at, s=s, t=t) -> Tensor:
            total = torch.zeros_like(x_t)
            for node, weight in zip(eps, weights, strict=True):
                line = conditional_velocity(x_t, mean + std[:, None] * node, at)
                total = total + weight * mean_flow_target(any_model, line, x_t, s, t)[1]
            return total

        right.append(over_lines(pull / precision[:, None], precision.rsqrt()))
        prior = over_lines(torch.full_like(x_t, MEAN), torch.full_like(t, STD))
        collect(
            wrong,
            lines_of_all_data=prior,
            slope_forgotten=flow,
            slope_added=2 * flow - left[-1],
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-cell")
def test_a_cell_gains_what_flows_in_less_what_flows_out() -> Sides:
    """Left: autograd in time of the mass, by the error function. Right: flux at both ends."""
    low, high = number(-0.4), number(0.7)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, t in product(SCHEDULES, (0.2, 0.5, 0.9)):

        def mass(time: Tensor, schedule=schedule) -> Tensor:
            at = schedule(time)
            ends = [(end - at.alpha_t * LINE[:, 0]) / at.sigma_t for end in (low, high)]
            below = [torch.special.ndtr(end).mean() for end in ends]
            return below[1] - below[0]

        left.append(torch.func.grad(mass)(number(t)))
        at = schedule(number(t))

        def flux(end: Tensor, at: Scales = at) -> Tensor:
            x = end.reshape(1, 1)
            kernel = torch.exp(-((x - at.alpha_t * LINE.mT) / at.sigma_t).square() / 2)
            height = kernel.mean() / (at.sigma_t * math.sqrt(2 * math.pi))
            return height * marginal_velocity(x, LINE, at)[0, 0]

        right.append(flux(low) - flux(high))
        collect(
            wrong,
            out_less_in=-right[-1],
            both_ends_count_as_gain=flux(low) + flux(high),
            one_end_forgotten=flux(low),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-cross-term")
def test_a_product_with_the_line_has_the_mean_of_a_product_with_the_flow() -> Sides:
    """Left: lines enumerated, noise by Gauss-Hermite. Right: the flow, on a grid of its points."""
    parameters = normal(4, seed=11)
    eps, weights = hermite()
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, t in CASES:
        at = schedule(number(t))
        x_0 = LINE.repeat_interleave(len(eps), 0)
        noise = eps.repeat(len(LINE))[:, None]
        x_t = at.alpha_t * x_0 + at.sigma_t * noise
        line = at.d_alpha_t * x_0 + at.d_sigma_t * noise
        answer = model(parameters, x_t, torch.full((len(x_t),), t, dtype=FLOAT))
        left.append(((answer * line)[:, 0] * weights.repeat(len(LINE))).sum() / len(LINE))
        x, mass, _ = on_a_grid(schedule, t)
        answer = model(parameters, x, torch.full((len(x),), t, dtype=FLOAT))[:, 0]

        def mean(field: Tensor, answer=answer, mass=mass) -> Tensor:
            return (mass * answer * field[:, 0]).sum()

        right.append(mean(marginal_velocity(x, LINE, at)))
        average = velocity_from_x_0(LINE.mean(0).expand_as(x), x, at)
        collect(wrong, every_line_weighs_the_same=mean(average), sign=-right[-1])
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-one-step")
def test_one_step_from_pure_noise_lands_on_the_mean() -> Sides:
    """Left: one Euler step of the exact flow. Right: the mean of the data, whatever the noise."""
    x_1, flow = normal(7, 2, seed=12), Rectified()
    at = flow(number(1.0))
    velocity = marginal_velocity(x_1, DATA, at)
    nearest = DATA[torch.cdist(x_1, DATA).argmin(1)]
    return Sides(
        x_1 - velocity,
        DATA.mean(0).expand_as(x_1),
        {
            "time runs the other way": x_1 + velocity,
            "the nearest datum": nearest,
            "noise kept": x_1 + DATA.mean(0),
        },
    )


@proves("flow-weight")
def test_an_error_of_the_velocity_is_a_weighted_error_of_the_data() -> Sides:
    """Left: both velocities by the library. Right: the clean data and the slope of the log-SNR."""
    x_0, x_0_hat, eps = (normal(5, 3, seed=seed) for seed in (13, 14, 15))
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for schedule, t in product(SCHEDULES, (0.2, 0.5, 0.9)):
        at = schedule(number(t))
        x_t = at.alpha_t * x_0 + at.sigma_t * eps
        gap = velocity_from_x_0(x_0_hat, x_t, at) - (at.d_alpha_t * x_0 + at.d_sigma_t * eps)
        left.append(gap.square().sum(1))
        slope = torch.func.grad(lambda time, s=schedule: s(time).log_snr_t)(number(t))
        error = (x_0_hat - x_0).square().sum(1)
        right.append((at.alpha_t * slope / 2).square() * error)
        collect(
            wrong,
            half_forgotten=(at.alpha_t * slope).square() * error,
            not_squared=(at.alpha_t * slope / 2).abs() * error,
            noise_scale=(at.sigma_t * slope / 2).square() * error,
            unweighted=error,
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-pair-cost")
def test_only_the_products_of_a_pairing_count() -> Sides:
    """Left: squares of the lengths of the lines. Right: squares of the points, less products."""
    x_0, eps = normal(5, 3, seed=16), normal(5, 3, seed=17)
    left, right = [], []
    wrong: dict[str, list[Tensor]] = {}
    for seed in range(4):
        order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
        left.append((x_0 - eps[order]).square().sum())
        points, products = x_0.square().sum() + eps.square().sum(), (x_0 * eps[order]).sum()
        right.append(points - 2 * products)
        collect(
            wrong,
            sign=points + 2 * products,
            two_forgotten=points - products,
            order_forgotten=points - 2 * (x_0 * eps).sum(),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))


@proves("flow-log-snr-weight")
def test_the_loss_of_flow_matching_weighs_noise_levels_by_the_root_of_the_snr() -> Sides:
    """Left: velocity errors over time, exact denoiser. Right: data errors over the log-SNR."""
    flow, left, right = Rectified(), [], []
    wrong: dict[str, list[Tensor]] = {}
    log_snr = torch.linspace(-80, 80, 8001, dtype=FLOAT)
    step = log_snr[1] - log_snr[0]
    nodes, weights = legendre(0.0, 1.0)
    at = flow(nodes)
    for s in (0.4, 1.0, 1.6):
        # The exact denoiser of a Gaussian leaves this much variance.
        left_over = s**2 * at.sigma_t.square() / (at.sigma_t.square() + s**2 * at.alpha_t.square())
        left.append((weights * left_over / at.sigma_t.square()).sum())
        error = s**2 / (1 + s**2 * log_snr.exp())

        def over_levels(power: float, error: Tensor = error) -> Tensor:
            return step * ((power * log_snr).exp() * error).sum() / 2

        right.append(over_levels(0.5))
        collect(
            wrong,
            weight_of_the_bound=over_levels(0.9),
            half_forgotten=2 * right[-1],
            other_sign=over_levels(0.3),
        )
    return Sides(torch.stack(left), torch.stack(right), stack(wrong))
