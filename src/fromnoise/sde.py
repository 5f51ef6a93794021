r"""Diffusion in continuous time: noising as a stochastic differential equation, and its ways back.

On every schedule the noisy data $x_t = \alpha_t x_0 + \sigma_t \epsilon$ solve the linear equation

$$dx = f(t)\, x\, dt + g(t)\, dW, \qquad f = \dot\alpha_t / \alpha_t, \qquad
g^2 = 2 \sigma_t \dot\sigma_t - 2 f \sigma_t^2.$$

VP, VE and sub-VP are the schedules `VPLinear`, `VE` and `SubVP`. To run the equation backwards one
needs $f$, $g$ and the score $\nabla \log p_t$ of the noisy data, and nothing else about the data.
The answer is a family of equations with one law of $x_t$ at every time and different paths.

    score(x_t, t) -> s       t holds one time per example
    dynamics.drift(x, t)     t is a single float64 time, as in `fromnoise.samplers`

A step is a function of the noise it is given; `simulate` draws that noise from its generator.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import ask, noise_like
from fromnoise.schedules import Scales, Schedule, VPLinear
from fromnoise.score import TimeScore

Data = Float[Tensor, "batch *dims"]
Time = Float[Tensor, ""]
Times = Float[Tensor, " n_times"]


@dataclass(frozen=True)
class SubVP(Schedule):
    r"""Less noise than variance preserving: the same $\alpha_t$, with $\sigma_t = 1 - \alpha_t^2$.

    Its rates are $f = -\tfrac12 \beta(t)$ and $g^2 = \beta(t) (1 - \alpha_t^4)$.

    Attributes:
        preserving: The schedule to take $\alpha_t$ from.

    Raises:
        ValueError: If that schedule does not preserve variance.

    Source: Song et al. 2021, arXiv 2011.13456.
    """

    preserving: Schedule = field(default_factory=VPLinear)

    def __post_init__(self) -> None:
        at = self.preserving(torch.linspace(0.1, 0.9, 5, dtype=torch.float64))
        total = at.alpha_t.square() + at.sigma_t.square()
        if not torch.allclose(total, torch.ones_like(total)):
            raise ValueError(f"SubVP needs alpha^2 + sigma^2 = 1, {self.preserving} has {total}")

    def scales(self, t: Float[Tensor, "*batch"]) -> Scales:
        r"""$\sigma_t = 1 - \alpha_t^2$ and $\dot\sigma_t = -2 \alpha_t \dot\alpha_t$."""
        at = self.preserving.scales(t)
        slope = -2 * at.alpha_t * at.d_alpha_t
        return Scales(at.alpha_t, at.sigma_t.square(), at.d_alpha_t, slope)

    def time(self, log_snr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""From $\sinh(-\log \alpha_t) = \tfrac12 e^{-\lambda / 2}$, by the other's inverse."""
        decay = torch.asinh(torch.exp(-log_snr / 2) / 2)
        return self.preserving.time(-torch.expm1(2 * decay).log())


# --8<-- [start:Dynamics]
class Dynamics(NamedTuple):
    r"""A law of motion, $dx = a(x, t)\, dt + b(t)\, dW$, to be run in either direction of time.

    Attributes:
        drift: $a(x, t)$, shaped like x.
        diffusion: $b(t)$, one number; `None` for an ordinary differential equation.
    """

    drift: Callable[[Tensor, Tensor], Tensor]
    diffusion: Callable[[Tensor], Tensor] | None


# --8<-- [end:Dynamics]


# --8<-- [start:forward_sde]
def forward_sde(schedule: Schedule) -> Dynamics:
    r"""Noising, run from t = 0 upwards: $dx = f(t)\, x\, dt + g(t)\, dW$.

    Where a rate is not finite (f at zero terminal SNR; g at t = 0 on `VPLinear`, whose
    $\dot\sigma_t$ is infinite there), the dynamics raise ValueError: start or stop short of it.

    Source: Song et al. 2021, arXiv 2011.13456.
    """
    return Dynamics(
        drift=lambda x, t: _rates(schedule, t)[0] * x,
        diffusion=lambda t: _rates(schedule, t)[1],
    )


# --8<-- [end:forward_sde]


# --8<-- [start:reverse_sde]
def reverse_sde(score: TimeScore, schedule: Schedule, eta: float = 1.0) -> Dynamics:
    r"""Every way back with the right law at every time, run from t = 1 downwards.

    $$dx = \Big(f x - \frac{1 + \eta^2}{2} g^2\, \nabla \log p_t(x)\Big) dt + \eta\, g\, d\bar W.$$

    With $\eta = 1$ it is the time reversal of the forward equation, with $\eta = 0$ the
    probability-flow ODE. In between and beyond, $\eta$ is the churn: how much noise each moment
    adds, and the score takes out again. In small steps it is the $\eta$ of `ddim_step`.

    Args:
        score: Score of the noisy data at every level.
        schedule: Noise schedule.
        eta: Churn, at least 0.

    Raises:
        ValueError: If `eta` is negative or not finite.

    Source: Anderson 1982, <https://doi.org/10.1016/0304-4149(82)90051-5>; Song et al. 2021, arXiv
        2011.13456; for the family Karras et al. 2022, arXiv 2206.00364.
    """
    if not 0 <= eta < math.inf:
        raise ValueError(f"eta must be finite and at least 0, got {eta}")

    def drift(x_t: Tensor, t: Tensor) -> Tensor:
        f, g = _rates(schedule, t)
        score_t = ask(score, x_t, t)
        return f * x_t - (1 + eta**2) / 2 * g.square() * score_t

    if eta == 0:
        return Dynamics(drift, None)
    return Dynamics(drift, lambda t: eta * _rates(schedule, t)[1])


# --8<-- [end:reverse_sde]


# --8<-- [start:probability_flow_ode]
def probability_flow_ode(score: TimeScore, schedule: Schedule) -> Dynamics:
    r"""The way back without noise: $\dot x = f x - \tfrac12 g^2\, \nabla \log p_t(x)$.

    Its right side is the velocity of `fromnoise.targets`, and runs both ways.

    Examples:
        Where the score is that of the noise itself, a standard normal stays as it is.

        >>> from fromnoise.schedules import Cosine
        >>> ode = probability_flow_ode(lambda x, t: -x, Cosine())
        >>> ode.drift(torch.ones(1, 2), torch.tensor(0.5))
        tensor([[0., 0.]])

    Source: Song et al. 2021, arXiv 2011.13456.
    """
    return reverse_sde(score, schedule, eta=0.0)


# --8<-- [end:probability_flow_ode]


# --8<-- [start:euler_maruyama_step]
def euler_maruyama_step(
    dynamics: Dynamics, x: Data, t: Time, s: Time, z: Data | None = None
) -> Data:
    r"""Hold drift and diffusion for one step: $x_s = x + (s - t)\, a + \sqrt{|s - t|}\, b\, z$.

    The law of $x_s$ is right to first order in the step, and since b does not depend on x, so is
    every single path (order one where general noise has one half).

    Args:
        dynamics: The law of motion.
        x: Points at time t.
        t: Where the step starts, and where drift and diffusion are taken.
        s: Where it ends, before or after t.
        z: Standard normal noise, shaped like `x`; not needed without diffusion.

    Raises:
        ValueError: If the dynamics diffuse and z is missing or has another shape.

    Source: Kloeden & Platen 1992, <https://doi.org/10.1007/978-3-662-12616-5>.
    """
    x_s = x + (s - t) * dynamics.drift(x, t)
    if dynamics.diffusion is None:
        return x_s
    if z is None or z.shape != x.shape:
        got = "none" if z is None else tuple(z.shape)
        raise ValueError(f"these dynamics need noise z of shape {tuple(x.shape)}, got {got}")
    return x_s + (s - t).abs().sqrt() * dynamics.diffusion(t) * z


# --8<-- [end:euler_maruyama_step]


# --8<-- [start:simulate]
@torch.no_grad()
def simulate(
    dynamics: Dynamics,
    x: Data,
    times: Times,
    generator: torch.Generator | None = None,
    return_path: bool = False,
) -> Float[Tensor, "*path_and_dims"]:
    """Follow the dynamics along a grid of times by Euler-Maruyama, up or down.

    Args:
        dynamics: The law of motion.
        x: Points at `times[0]`.
        times: At least two times in [0, 1], strictly rising or strictly falling.
        generator: Source of the noise; not needed without diffusion.
        return_path: Give every state instead of the last one.

    Returns:
        Points at `times[-1]`, or all states stacked along a new first axis, `x` first.

    Raises:
        ValueError: If the grid turns or leaves [0, 1], or noise is needed and cannot be drawn.
    """
    path = [x]
    for t, s in pairwise(checked_times(times.to(x.device))):
        z = None if generator is None else noise_like(x, generator)
        path.append(euler_maruyama_step(dynamics, path[-1], t, s, z))
        if not return_path:
            del path[0]
    return torch.stack(path) if return_path else path[-1]


# --8<-- [end:simulate]


def _rates(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """Both rates at one time, or an error that names the time."""
    at = schedule(t)
    f, g = at.drift_rate, at.diffusion_rate
    if not (f.isfinite() & g.isfinite()):
        raise ValueError(f"{schedule} has rates f = {f:.4g}, g = {g:.4g} at t = {t:.4g}")
    return f, g


def checked_times(times: Times) -> Times:
    """Times in float64, if they rise or fall strictly within [0, 1].

    Raises:
        ValueError: If there are fewer than two, or they turn, stand still or leave [0, 1].
    """
    times = times.double()
    gaps = times.diff()
    if times.ndim != 1 or len(times) < 2 or not ((gaps > 0).all() or (gaps < 0).all()):
        raise ValueError(f"times must be two or more, all rising or falling, got {times.tolist()}")
    if not (times.min() >= 0 and times.max() <= 1):
        raise ValueError(f"times must lie in [0, 1], got {times[0]:.4g}..{times[-1]:.4g}")
    return times
