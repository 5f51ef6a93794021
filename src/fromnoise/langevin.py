r"""Langevin dynamics: follow a score with noise, and samples come out.

    score(x) -> s              one noise level, s shaped like x
    score(x_t, t) -> s         all noise levels, t holds one time per example

A step is a function of the noise it is given; a chain draws that noise from its generator.
"""

import math
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fromnoise.batches import ask, dot, noise_like, require_shape
from fromnoise.schedules import Schedule
from fromnoise.score import Field, TimeScore

Data = Float[Tensor, "batch *dims"]
PerExample = Float[Tensor, " batch"]


# --8<-- [start:langevin_step]
def langevin_step(score: Field, x: Data, step: float, z: Data) -> Data:
    r"""Climb a little, shake a little: $x' = x + h\, s(x) + \sqrt{2h}\, z$.

    A finite step leaves a bias. On a Gaussian of variance $c$ the chain settles at
    $c / (1 - h / 2c)$, and from $h = 2c$ on it never settles.

    Args:
        score: Score of the density to sample.
        x: Points.
        step: Step size $h$, in units of variance. Song & Ermon write $\epsilon / 2$ for it.
        z: Standard normal noise, shaped like `x`.

    Raises:
        ValueError: If `step` is not positive or `z` is not shaped like `x`.

    Source: Roberts & Tweedie 1996, <https://doi.org/10.2307/3318418>.
    """
    _require_step(step)
    require_shape("z", z, x)
    return x + step * score(x) + math.sqrt(2 * step) * z


# --8<-- [end:langevin_step]


# --8<-- [start:log_acceptance]
def log_acceptance(log_prob: Field, score: Field, x: Data, y: Data, step: float) -> PerExample:
    r"""Log-probability of taking a Langevin step from $x$ to $y$ after all.

    $$\log a = \min\Big(0,\; \log \frac{p(y)\, T(x \mid y)}{p(x)\, T(y \mid x)}\Big),
    \qquad T(y \mid x) = \mathcal N\big(y;\; x + h\, s(x),\; 2 h I\big).$$

    The density may lack its constant, and the score may be wrong: p stays stationary.

    Raises:
        ValueError: If `step` is not positive or `y` is not shaped like `x`.
    """
    _require_step(step)
    require_shape("y", y, x)
    there, back = y - x - step * score(x), x - y - step * score(y)
    log_ratio = (dot(there, there) - dot(back, back)) / (4 * step)
    return (log_prob(y) - log_prob(x) + log_ratio).clamp(max=0)


# --8<-- [end:log_acceptance]


# --8<-- [start:metropolis_step]
def metropolis_step(
    log_prob: Field, score: Field, x: Data, step: float, z: Data, u: PerExample
) -> tuple[Data, Bool[Tensor, " batch"]]:
    r"""A Langevin step that is taken back with the right probability, so that no bias is left.

    Args:
        log_prob: Log density to sample, up to a constant, one value per example.
        score: Its gradient.
        x: Points.
        step: Step size $h$.
        z: Standard normal noise, shaped like `x`.
        u: Uniform on [0, 1), one per example.

    Returns:
        The next points, and which of them moved. A proposal of undefined density is refused.

    Raises:
        ValueError: If `step` is not positive, or `z` or `u` does not fit `x`.

    Source: Roberts & Tweedie 1996, <https://doi.org/10.2307/3318418>.
    """
    if u.shape != x.shape[:1]:
        raise ValueError(f"u must hold one number for each of {len(x)}, got {tuple(u.shape)}")
    y = langevin_step(score, x, step, z)
    moved = u.log() < log_acceptance(log_prob, score, x, y, step)
    return torch.where(moved.reshape(-1, *[1] * (x.ndim - 1)), y, x), moved


# --8<-- [end:metropolis_step]


# --8<-- [start:langevin]
@torch.no_grad()
def langevin(
    score: Field,
    x: Data,
    n_steps: int,
    step: float,
    generator: torch.Generator,
    log_prob: Field | None = None,
) -> Data:
    """Take `n_steps` Langevin steps from the points `x`.

    Args:
        score: Score of the density to sample.
        x: Start.
        n_steps: Number of steps.
        step: Step size, in units of variance.
        generator: Source of the noise.
        log_prob: Log density up to a constant. With it, each step is a `metropolis_step`; without
            it, each is a `langevin_step` and the bias stays.

    Raises:
        ValueError: If `n_steps` < 1 or `step` is not positive.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    for _ in range(n_steps):
        z = noise_like(x, generator)
        if log_prob is None:
            x = langevin_step(score, x, step, z)
        else:
            u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=generator.device)
            x, _ = metropolis_step(log_prob, score, x, step, z, u.to(x.device))
    return x


# --8<-- [end:langevin]


# --8<-- [start:annealed_langevin]
@torch.no_grad()
def annealed_langevin(
    score: TimeScore,
    schedule: Schedule,
    x: Data,
    times: Float[Tensor, " n_times"],
    n_steps: int,
    step: float,
    generator: torch.Generator,
) -> Data:
    r"""Langevin dynamics at one noise level after another, from much noise to little.

    At level t the step size is $h\, \sigma_t^2$, so that every level is shaken in proportion.

    Args:
        score: Score of the noisy data at every level.
        schedule: Noise schedule.
        x: Start, noise of the first level.
        times: Strictly falling times of the levels, where $\sigma_t > 0$.
        n_steps: Steps per level.
        step: Step size relative to the noise variance, $h$.
        generator: Source of the noise.

    Returns:
        Points at the last noise level; they still carry its noise.

    Raises:
        ValueError: If the times do not fall, a level has no noise, `n_steps` < 1 or `step` <= 0.

    Source: Song & Ermon 2019, arXiv 1907.05600.
    """
    times = times.to(x.device, torch.float64)
    variances = schedule(times).sigma_t.square()
    if not (times.diff() < 0).all() or not (variances > 0).all():
        raise ValueError(f"times must fall strictly and have noise, got {times.tolist()}")
    for t, variance in zip(times, variances.tolist(), strict=True):
        at_level = partial(ask, score, t=t)
        x = langevin(at_level, x, n_steps, step * variance, generator)
    return x


# --8<-- [end:annealed_langevin]


def _require_step(step: float) -> None:
    if not 0 < step < math.inf:
        raise ValueError(f"step must be positive and finite, got {step}")
