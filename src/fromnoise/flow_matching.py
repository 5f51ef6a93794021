r"""Flow matching: learn the velocity that carries noise to data.

A pair of data and noise is joined by a line of the schedule, $x_t = \alpha_t x_0 + \sigma_t
\epsilon$, with the velocity $\dot\alpha_t x_0 + \dot\sigma_t \epsilon$. Many lines pass through one
point. The velocity of the flow there is their mean, and regression on single lines finds the mean.

    velocity(x_t, t) -> u                  t holds one time per example

Time runs as everywhere in the book, data at 0 and noise at 1. The papers below run it the other
way, and call the noise $x_0$.

Source: Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003; Albergo &
    Vanden-Eijnden 2023, arXiv 2209.15571.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import dot, require_shape
from fromnoise.diffusion import perturb
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Scales, Schedule, beside
from fromnoise.targets import PredictVelocity, velocity_from_x_0, x_0_from_velocity

Data = Float[Tensor, "batch *dims"]
DataSet = Float[Tensor, "n_data *dims"]
PerExample = Float[Tensor, " batch"]
Velocity = Callable[[Tensor, Tensor], Tensor]
"""Maps noisy data and one time per example to a velocity."""


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

    Examples:
        On straight lines it is noise minus data, here -1 - 3.

        >>> import torch
        >>> from fromnoise.schedules import Rectified
        >>> scales = Rectified()(torch.tensor([0.5]))
        >>> conditional_velocity(torch.tensor([[1.0]]), torch.tensor([[3.0]]), scales)
        tensor([[-4.]])

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
    return dot(value - wanted, value - wanted)


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
