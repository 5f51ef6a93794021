r"""Consistency models: one network that maps any point of a path to the path's clean end.

Times are noise levels: $x_t = x_0 + t\,\epsilon$ for $t$ in $[t_{\min}, t_{\max}]$, the
variance-exploding form in which Song, Dhariwal, Chen and Sutskever (2023) state the method.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_shape

Map = Callable[[Tensor, Tensor], Tensor]
"""`f(x_t, t)`: a point and the noise level of each example, to a point of the same shape."""


def consistency_function(raw: Map, *, t_min: float, sigma_data: float) -> Map:
    r"""Give any network the boundary condition $f(x, t_{\min}) = x$.

    $f(x, t) = \frac{\sigma_d^2}{(t - t_{\min})^2 + \sigma_d^2}\, x
    + \frac{\sigma_d (t - t_{\min})}{\sqrt{\sigma_d^2 + t^2}}\, F(x, t)$.

    Args:
        raw: The network $F$.
        t_min: Least noise level $t_{\min}$.
        sigma_data: Standard deviation $\sigma_d$ of the data.

    Raises:
        ValueError: Unless t_min and sigma_data are positive.

    Source: Song et al. (2023), Consistency Models.
    """
    if not (t_min > 0 and sigma_data > 0):
        raise ValueError(f"t_min and sigma_data must be positive, got {t_min}, {sigma_data}")

    def f(x: Tensor, t: Tensor) -> Tensor:
        level = _beside(t, x)
        skip = sigma_data**2 / ((level - t_min) ** 2 + sigma_data**2)
        out = sigma_data * (level - t_min) / (sigma_data**2 + level**2).sqrt()
        return skip * x + out * raw(x, t)

    return f


def distillation_loss(
    student: Map,
    target: Map,
    denoiser: Map,
    x: Float[Tensor, " batch *shape"],
    t: Float[Tensor, " batch"],
    earlier: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    r"""Mean squared difference of the maps at both ends of one teacher step.

    $\lVert f(x_t, t) - f^-(x_t + (s - t)(x_t - D(x_t, t)) / t,\ s) \rVert^2 / D$ with $s < t$,
    an Euler step of the probability-flow ODE. No gradient passes through $f^-$ or the teacher.

    Args:
        student: The map $f$ in training.
        target: The map $f^-$ that it is compared with, often an average of its weights.
        denoiser: The teacher $D$.
        x: Noisy data at the levels `t`.
        t: Noise levels.
        earlier: Lower noise levels $s$.

    Raises:
        ValueError: Unless 0 < earlier < t for every example, or if shapes do not fit.

    Source: Song et al. (2023), Consistency Models.
    """
    _check_levels(t, earlier)
    with torch.no_grad():
        step = _beside((earlier - t) / t, x)
        goal = target(x + step * (x - denoiser(x, t)), earlier)
    return (student(x, t) - goal).square().mean()


def consistency_training_loss(
    student: Map,
    target: Map,
    x_0: Float[Tensor, " batch *shape"],
    eps: Float[Tensor, " batch *shape"],
    t: Float[Tensor, " batch"],
    earlier: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    r"""Mean squared difference of the maps at two levels of the same noise, with no teacher.

    $\lVert f(x_0 + t\epsilon, t) - f^-(x_0 + s\epsilon, s) \rVert^2 / D$ with $s < t$. No
    gradient passes through $f^-$.

    Args:
        student: The map $f$ in training.
        target: The map $f^-$ that it is compared with, often an average of its weights.
        x_0: Clean data.
        eps: Standard normal noise.
        t: Noise levels.
        earlier: Lower noise levels $s$.

    Raises:
        ValueError: Unless 0 < earlier < t for every example, or if shapes do not fit.

    Source: Song et al. (2023), Consistency Models.
    """
    _check_levels(t, earlier)
    require_shape("eps", eps, x_0)
    with torch.no_grad():
        goal = target(x_0 + _beside(earlier, x_0) * eps, earlier)
    return (student(x_0 + _beside(t, x_0) * eps, t) - goal).square().mean()


def sample_consistency(
    f: Map,
    x: Float[Tensor, " batch *shape"],
    levels: Sequence[float],
    *,
    t_min: float,
    generator: torch.Generator,
) -> Float[Tensor, " batch *shape"]:
    r"""Jump to the clean end, add noise again, jump again.

    $x \leftarrow f(x, \tau_1)$, then $x \leftarrow f(x + \sqrt{\tau_k^2 - t_{\min}^2}\,\epsilon,
    \tau_k)$ for the later levels.

    Raises:
        ValueError: Unless the levels fall and stay at or above t_min > 0.

    Source: Song et al. (2023), Consistency Models.
    """
    falling = all(a > b for a, b in pairwise(levels))
    if not levels or not falling or not levels[-1] >= t_min > 0:
        raise ValueError(f"levels must fall and stay >= t_min > 0, got {levels} and {t_min}")
    for index, level in enumerate(levels):
        if index:
            eps = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            x = x + (level**2 - t_min**2) ** 0.5 * eps
        x = f(x, torch.full((len(x),), level, dtype=x.dtype, device=x.device))
    return x


def _check_levels(t: Tensor, earlier: Tensor) -> None:
    require_shape("earlier", earlier, t)
    if not bool(((earlier > 0) & (earlier < t)).all()):
        raise ValueError(f"need 0 < earlier < t for every example, got {earlier} and {t}")


def _beside(t: Tensor, x: Tensor) -> Tensor:
    if t.shape != x.shape[:1]:
        raise ValueError(f"need one level per example, got {tuple(t.shape)} for {tuple(x.shape)}")
    return t.reshape(-1, *[1] * (x.dim() - 1))
