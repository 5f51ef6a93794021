r"""Flow matching: learn the velocity that carries noise to data, then make its paths straight.

A pair of data and noise is joined by a line of the schedule, $x_t = \alpha_t x_0 + \sigma_t
\epsilon$, with the velocity $\dot\alpha_t x_0 + \dot\sigma_t \epsilon$. Many lines pass through one
point. The velocity of the flow there is their mean, and regression on single lines finds the mean.
The lines may cross and the flow may not, so its paths bend; how much depends on who is paired with
whom.

    velocity(x_t, t) -> u                  t holds one time per example
    mean_velocity(x_t, s, t) -> u_bar      the mean over the flow's path from s to t, s <= t

Time runs as everywhere in the book, data at 0 and noise at 1. The papers below run it the other
way, and call the noise $x_0$.

Source: Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003; Albergo &
    Vanden-Eijnden 2023, arXiv 2209.15571.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.func import jvp

from fromnoise.batches import require_shape
from fromnoise.diffusion import perturb
from fromnoise.samplers import Denoiser, Step, heun_step, sample
from fromnoise.schedules import Scales, Schedule, beside
from fromnoise.targets import (
    PredictVelocity,
    velocity_from_x_0,
    x_0_from_velocity,
)

Data = Float[Tensor, "batch *dims"]
DataSet = Float[Tensor, "n_data *dims"]
PerExample = Float[Tensor, " batch"]
Times = Float[Tensor, " n_times"]
Velocity = Callable[[Tensor, Tensor], Tensor]
"""Maps noisy data and one time per example to a velocity."""
MeanVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps noisy data, the time to go to and its own time to a velocity."""


# --8<-- [start:conditional_velocity]
def conditional_velocity(x_t: Data, x_0: Data, scales: Scales) -> Data:
    r"""Velocity at a point of the line that ends in $x_0$.

    $$u_t(x \mid x_0) = \dot\alpha_t x_0 + \frac{\dot\sigma_t}{\sigma_t} (x - \alpha_t x_0).$$

    Args:
        x_t: Points.
        x_0: Clean data at the end of each one's line.
        scales: Signal and noise scales, one for all or one per example.

    Raises:
        ValueError: If shapes do not fit, there is no noise, or a slope is infinite.

    Source: Lipman et al. 2023, arXiv 2210.02747.
    """
    require_shape("x_0", x_0, x_t)
    return velocity_from_x_0(x_0, x_t, scales)


# --8<-- [end:conditional_velocity]


# --8<-- [start:marginal_velocity]
def marginal_velocity(x_t: Data, data: DataSet, scales: Scales) -> Data:
    r"""Velocity of the flow of a finite data set: the mean over the lines through a point.

    $$u_t(x) = \sum_i w_i\, u_t(x \mid x_0^i), \qquad
    w_i \propto \exp\big(-\Vert x - \alpha_t x_0^i \Vert^2 / 2 \sigma_t^2\big).$$

    This is what a model trained on the data set would do if it learned everything: its flow ends in
    the data themselves.

    Args:
        x_t: Points.
        data: The data set, every example with the same probability.
        scales: Signal and noise scales, one for all or one per point.

    Raises:
        ValueError: If there is no data, no noise, or a slope is infinite.

    Source: Lipman et al. 2023, arXiv 2210.02747.
    """
    if len(data) == 0 or data.shape[1:] != x_t.shape[1:]:
        raise ValueError(
            f"data must be examples of shape {tuple(x_t.shape[1:])}, got {tuple(data.shape)}"
        )
    alpha_t, sigma_t = scales.alpha_t.to(x_t), scales.sigma_t.to(x_t)
    gaps = x_t.flatten(1)[:, None] - alpha_t[..., None, None] * data.flatten(1)
    squares = (gaps / sigma_t[..., None, None]).square().sum(-1)
    # The mean of the lines' velocities is the velocity of the mean of their ends: it is linear.
    x_0_hat = (-squares / 2).softmax(-1) @ data.flatten(1)
    return conditional_velocity(x_t, x_0_hat.reshape(x_t.shape), scales)


# --8<-- [end:marginal_velocity]


# --8<-- [start:marginal_flow_matching]
def marginal_flow_matching(
    velocity: Velocity, true_velocity: Velocity, x_t: Data, t: PerExample
) -> PerExample:
    r"""The error to make small, if the answer is known: $\Vert u_\theta(x_t, t) - u_t(x_t)\Vert^2$.

    Args:
        velocity: The model.
        true_velocity: The velocity of the flow, $u_t$.
        x_t: Points drawn from the flow at their times.
        t: One time per example.

    Returns:
        One value per example, summed over dimensions.

    Raises:
        ValueError: If a velocity is not shaped like `x_t`.

    Source: Lipman et al. 2023, arXiv 2210.02747.
    """
    value, wanted = velocity(x_t, t), true_velocity(x_t, t)
    require_shape("the velocity", value, x_t)
    require_shape("the true velocity", wanted, x_t)
    return _square(value - wanted)


# --8<-- [end:marginal_flow_matching]


# --8<-- [start:conditional_flow_matching]
def conditional_flow_matching(
    velocity: Velocity, x_0: Data, eps: Data, t: PerExample, schedule: Schedule
) -> PerExample:
    r"""Ask for the velocity of one line instead.

    $$\Vert u_\theta(x_t, t) - (\dot\alpha_t x_0 + \dot\sigma_t \epsilon) \Vert^2.$$

    Its mean lies above that of `marginal_flow_matching` by a constant, the variance of the lines'
    velocities around their mean. So the gradient is the same, and so is the minimizer.

    Args:
        velocity: The model.
        x_0: Clean data.
        eps: Noise, shaped like `x_0`. It may be paired with the data, as by `optimal_coupling`.
        t: One time per example.
        schedule: Noise schedule, such as `Rectified`.

    Returns:
        One value per example, summed over dimensions.

    Raises:
        ValueError: If shapes do not fit, or a slope of the schedule is infinite at some time.

    Source: Lipman et al. 2023, arXiv 2210.02747; for paired noise Tong et al. 2024, arXiv
        2302.00482.
    """
    scales = schedule(t)
    x_t = perturb(x_0, eps, scales)
    line = PredictVelocity().true(x_0, eps, scales)
    return marginal_flow_matching(velocity, lambda x, t: line, x_t, t)


# --8<-- [end:conditional_flow_matching]


# --8<-- [start:velocity_denoiser]
def velocity_denoiser(velocity: Velocity, schedule: Schedule) -> Denoiser:
    r"""The denoiser that a velocity implies, so that every sampler of the book can use it.

    $$\hat x_0 = (\dot\sigma_t x_t - \sigma_t u) / (\alpha_t\dot\sigma_t - \sigma_t\dot\alpha_t).$$
    """

    def x_0_hat(x_t: Tensor, t: Tensor) -> Tensor:
        return x_0_from_velocity(velocity(x_t, t), x_t, schedule(t))

    return x_0_hat


# --8<-- [end:velocity_denoiser]


# --8<-- [start:change_schedule]
def change_schedule(denoiser: Denoiser, made_for: Schedule, schedule: Schedule) -> Denoiser:
    r"""The same model on another schedule: change the time and the scale, and ask it there.

    $$\hat x_0(x_t, t) = D\Big(\frac{\alpha'_{t'}}{\alpha_t} x_t,\; t'\Big), \qquad
    \lambda'_{t'} = \lambda_t.$$

    At equal log-SNR the two schedules differ by a factor only, so nothing is approximated. Flow
    matching and diffusion are one model in this sense.

    Args:
        denoiser: A denoiser $D$.
        made_for: The schedule it was made for, with primes above.
        schedule: The schedule to use it on.

    Returns:
        A denoiser for `schedule`. It raises ValueError at a log-SNR that `made_for` does not have.

    Source: Kingma et al. 2021, arXiv 2107.00630; Karras et al. 2022, arXiv 2206.00364.
    """

    def x_0_hat(x_t: Tensor, t: Tensor) -> Tensor:
        here = schedule(t.double())
        there_t = made_for.time_at(here.log_snr_t)
        there = made_for(there_t)
        # Both scales differ by this factor. Their sums have it too, and are never zero.
        factor = (there.alpha_t + there.sigma_t) / (here.alpha_t + here.sigma_t)
        return denoiser(beside(factor, x_t) * x_t, there_t.to(t))

    return x_0_hat


# --8<-- [end:change_schedule]


# --8<-- [start:optimal_coupling]
def optimal_coupling(x_0: Data, eps: Data) -> Int[Tensor, " batch"]:
    r"""Pair a batch of data with a batch of noise so that the lines are short.

    $$\pi = \arg\min_\pi \sum_i \Vert x_0^i - \epsilon^{\pi(i)} \Vert^2.$$

    The exact assignment within the batch, in a time that grows like the cube of its size. Both
    batches keep their law; as batches grow, the pairing tends to optimal transport.

    Args:
        x_0: Clean data.
        eps: Noise, shaped like `x_0`.

    Returns:
        For each data point the index of its noise: train on `x_0` and `eps[pairs]`.

    Raises:
        ValueError: If the shapes differ, or an entry is not finite.

    Source: Tong et al. 2024, arXiv 2302.00482; Pooladian et al. 2023, arXiv 2304.14772.
    """
    require_shape("eps", eps, x_0)
    cost = _flat(x_0) @ _flat(eps).mT
    if not cost.isfinite().all():
        raise ValueError("data and noise must be finite to be paired")
    # The squares of the points add the same to every pairing; only the products count.
    _, pairs = linear_sum_assignment(cost.cpu().numpy(), maximize=True)
    return torch.from_numpy(pairs).to(x_0.device)


# --8<-- [end:optimal_coupling]


class Pairs(NamedTuple):
    """Data and the noise it belongs to.

    Attributes:
        x_0: Clean data.
        eps: Noise, one for each.
    """

    x_0: Data
    eps: Data


# --8<-- [start:reflow_pairs]
def reflow_pairs(
    denoiser: Denoiser, schedule: Schedule, eps: Data, times: Times, step: Step = heun_step
) -> Pairs:
    r"""Pair noise with the data that a model makes of it, to train a straighter model on.

    The paths of a flow do not cross, so the lines between their ends cross less than before. The
    errors of the teacher, of its training and of its steps, are in the pairs and stay.

    Args:
        denoiser: The teacher.
        schedule: The schedule it was made for.
        eps: Standard normal noise.
        times: Falling times from the noise to the data, as for `sample`.
        step: The teacher's step; it must not draw noise.

    Returns:
        The pairs, `eps` unchanged.

    Raises:
        ValueError: As `sample`.

    Source: Liu et al. 2023, arXiv 2209.03003.
    """
    start = beside(schedule(times[0].double()).sigma_t, eps) * eps
    return Pairs(sample(denoiser, schedule, start, times, step), eps)


# --8<-- [end:reflow_pairs]


# --8<-- [start:straightness]
def straightness(
    path: Float[Tensor, "n_times batch *dims"], times: Times
) -> Float[Tensor, " batch"]:
    r"""How far a path is from a straight line at constant speed; 0 is straight.

    $$S = \frac1{|T|} \Big| \int \Big\Vert \dot x_t - \frac{x_\mathrm{last} - x_\mathrm{first}}{T}
    \Big\Vert^2 dt \Big|, \qquad T = t_\mathrm{last} - t_\mathrm{first},$$

    by differences along the path. For independent pairs on straight lines, Gaussian data of
    standard deviation $s$ give $(2 - \tfrac\pi2)\, s$ on average in each dimension.

    Args:
        path: States at `times`, as `sample` returns them with `return_path=True`.
        times: At least two times, all rising or all falling.

    Returns:
        One value per example, summed over dimensions, in units of the data squared.

    Raises:
        ValueError: If there is not one state per time, or the times turn or stand still.

    Source: Liu et al. 2023, arXiv 2209.03003 (with $|T| = 1$).
    """
    times = times.double()
    gaps = times.diff()
    if len(times) != len(path) or len(times) < 2 or not ((gaps > 0).all() or (gaps < 0).all()):
        raise ValueError(
            f"need one state for each of two or more times, all rising or falling, got "
            f"{len(path)} states at {times.tolist()}"
        )
    chord = (path[-1] - path[0]) / (times[-1] - times[0])
    speeds = path.diff(dim=0) / beside(gaps, path[1:])
    bends = (speeds - chord).square().flatten(2).sum(2)
    return (beside(gaps / gaps.sum(), bends) * bends).sum(0)


# --8<-- [end:straightness]


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
        ValueError: If the mean velocity is not shaped like `x_t`.

    Source: Geng et al. 2025, arXiv 2505.13447, who write r for s.
    """
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
        ValueError: If a velocity is not shaped like `x_t`.

    Source: Geng et al. 2025, arXiv 2505.13447.
    """
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
    return _square(value - target.detach())


# --8<-- [end:mean_flow_loss]


def _flat(x: Data) -> Float[Tensor, "batch n_dims"]:
    return x.detach().double().flatten(1)


def _square(x: Data) -> PerExample:
    return x.square().flatten(1).sum(1)
