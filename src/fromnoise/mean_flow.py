r"""Mean flow: learn the mean velocity over a stretch of the path, and go the whole way at once.

    mean_velocity(x_t, s, t) -> u_bar      the mean over the flow's path from s to t, s <= t

Source: Geng et al. 2025, arXiv 2505.13447.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jvp

from fromnoise.batches import dot, require_shape
from fromnoise.diffusion import perturb
from fromnoise.schedules import Schedule, beside
from fromnoise.targets import PredictVelocity

Data = Float[Tensor, "batch *dims"]
PerExample = Float[Tensor, " batch"]
MeanVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps noisy data, the time to go to and its own time to a velocity."""


# --8<-- [start:mean_flow_step]
def mean_flow_step(mean_velocity: MeanVelocity, x_t: Data, s: PerExample, t: PerExample) -> Data:
    r"""Go the whole way at once: $x_s = x_t - (t - s)\, \bar u(x_t, s, t)$.

    With the true mean velocity no step is too long; $s = 0$ and $t = 1$ make data from noise in one
    call.

    Args:
        mean_velocity: Mean velocity on the way from s to t.
        x_t: Noisy data.
        s: Times to go to, one per example.
        t: Its times.

    Raises:
        ValueError: If the mean velocity is not shaped like `x_t` or `s` like `t`, or a time lies
            outside [0, 1].

    Source: Geng et al. 2025, arXiv 2505.13447, who write r for s.
    """
    _require_times(s, t)
    value = mean_velocity(x_t, s, t)
    require_shape("the mean velocity", value, x_t)
    return x_t - beside(t - s, x_t) * value


# --8<-- [end:mean_flow_step]


# --8<-- [start:mean_flow_target]
def mean_flow_target(
    mean_velocity: MeanVelocity, velocity: Data, x_t: Data, s: PerExample, t: PerExample
) -> tuple[Data, Data]:
    r"""What the mean velocity has to be, from the velocity and its own slope along the path.

    $$\bar u = u - (t - s) \frac{d \bar u}{dt}, \qquad
    \frac{d \bar u}{dt} = \nabla \bar u\, u + \partial_t \bar u.$$

    That is the derivative of $(t - s)\, \bar u = \int_s^t u\, d\tau$ as the end t moves along the
    path and s stays. One forward derivative gives the slope beside the value.

    Args:
        mean_velocity: The model.
        velocity: The velocity $u$ at `x_t`.
        x_t: Noisy data.
        s: Times to go to, one per example.
        t: Times of `x_t`.

    Returns:
        The value of the model and the right side above, which are equal if the model is right.

    Raises:
        ValueError: If a velocity is not shaped like `x_t` or `s` like `t`, or a time lies
            outside [0, 1].

    Source: Geng et al. 2025, arXiv 2505.13447.
    """
    _require_times(s, t)
    require_shape("the velocity", velocity, x_t)
    value, slope, *_ = jvp(
        lambda x, time: mean_velocity(x, s, time), (x_t, t), (velocity, torch.ones_like(t))
    )
    require_shape("the mean velocity", value, x_t)
    return value, velocity - beside(t - s, x_t) * slope


# --8<-- [end:mean_flow_target]


# --8<-- [start:mean_flow_loss]
def mean_flow_loss(
    mean_velocity: MeanVelocity,
    x_0: Data,
    eps: Data,
    s: PerExample,
    t: PerExample,
    schedule: Schedule,
) -> PerExample:
    r"""Train a one-step model without a teacher.

    $$\Vert \bar u_\theta - \mathrm{stop}(u - (t - s)\, d\bar u_\theta / dt) \Vert^2, \qquad
    u = \dot\alpha_t x_0 + \dot\sigma_t \epsilon.$$

    The line's velocity stands for the flow's: the target is linear in it, so its mean is right.
    Where s = t this is `conditional_flow_matching`. No gradient passes through the target.

    Args:
        mean_velocity: The model.
        x_0: Clean data.
        eps: Noise, shaped like `x_0`.
        s: Times to go to, one per example, at most t.
        t: Times of the noisy data.
        schedule: Noise schedule.

    Returns:
        One value per example, summed over dimensions.

    Raises:
        ValueError: If shapes do not fit, s > t, or a slope of the schedule is infinite.

    Source: Geng et al. 2025, arXiv 2505.13447.
    """
    if not (s <= t).all():
        raise ValueError(f"need s <= t, got s {s.tolist()}, t {t.tolist()}")
    scales = schedule(t)
    x_t = perturb(x_0, eps, scales)
    line = PredictVelocity().true(x_0, eps, scales)
    value, target = mean_flow_target(mean_velocity, line, x_t, s, t)
    error = value - target.detach()
    return dot(error, error)


# --8<-- [end:mean_flow_loss]


def _require_times(s: PerExample, t: PerExample) -> None:
    require_shape("s", s, t)
    for name, time in (("s", s), ("t", t)):
        if not ((time >= 0) & (time <= 1)).all():
            raise ValueError(f"{name} must lie in [0, 1], got {time.tolist()}")
