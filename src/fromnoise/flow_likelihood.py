r"""The likelihood that a score gives: follow the probability flow from the data to the noise.

Along the flow $\dot x_t = u(x_t, t)$ the log density changes by the divergence of the velocity. One
backward pass per dimension gives it exactly, one pass along a random direction estimates it.

    score(x_t, t) -> s       t holds one time per example
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.schedules import Schedule
from fromnoise.score import Field, TimeScore, jacobian_slice, jacobian_trace
from fromnoise.sde import checked_times, probability_flow_ode

Data = Float[Tensor, "batch *dims"]
PerExample = Float[Tensor, " batch"]
Time = Float[Tensor, ""]
Times = Float[Tensor, " n_times"]
Divergence = Callable[[Field, Tensor], tuple[Tensor, Tensor]]
"""Maps a field and points to the field's values there and its divergence, one per example."""


# --8<-- [start:log_likelihood]
@torch.no_grad()
def log_likelihood(
    score: TimeScore,
    schedule: Schedule,
    x: Data,
    times: Times,
    log_prob_end: Field,
    divergence: Divergence = jacobian_trace,
) -> PerExample:
    r"""Log density of the probability flow, by following each point to the noise.

    $$\log p_0(x_0) = \log p_1(x_1) + \int_0^1 \nabla \cdot u(x_t, t)\, dt, \qquad
    \dot x_t = u(x_t, t).$$

    Point and integral are carried together by the classical Runge-Kutta rule of order four.

    Args:
        score: Score of the noisy data at every level.
        schedule: Noise schedule.
        x: Points at `times[0]`.
        times: Strictly rising times in [0, 1], where the rates are finite. The result is the
            density at the first of them.
        log_prob_end: Log density at the last of them, such as `noise_log_prob`.
        divergence: `jacobian_trace`, or `hutchinson(v)` where that is too dear.

    Returns:
        Nats per example, summed over dimensions.

    Raises:
        ValueError: If the times do not rise strictly, leave [0, 1], or meet an infinite rate.

    Source: Chen et al. 2018, arXiv 1806.07366; for diffusion Song et al. 2021, arXiv 2011.13456.
    """
    times = checked_times(times)
    if times[1] < times[0]:
        raise ValueError("times must rise: the likelihood follows data to the noise")
    flow = probability_flow_ode(score, schedule).drift

    def slopes(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return divergence(lambda y: flow(y, t), x)

    spread = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for t, s in pairwise(times):
        h = s - t
        u_1, d_1 = slopes(x, t)
        u_2, d_2 = slopes(x + h / 2 * u_1, t + h / 2)
        u_3, d_3 = slopes(x + h / 2 * u_2, t + h / 2)
        u_4, d_4 = slopes(x + h * u_3, s)
        x = x + h / 6 * (u_1 + 2 * u_2 + 2 * u_3 + u_4)
        spread = spread + h / 6 * (d_1 + 2 * d_2 + 2 * d_3 + d_4)
    return log_prob_end(x) + spread


# --8<-- [end:log_likelihood]


# --8<-- [start:hutchinson]
def hutchinson(v: Data) -> Divergence:
    r"""The divergence estimated along one direction per example, $v^\top \nabla u\, v$.

    The direction stays the same along the whole path, so the path is not touched and the estimate
    of the log-likelihood is unbiased whenever $E[vv^\top] = I$, as for `rademacher_like`.

    Source: Hutchinson 1990, <https://doi.org/10.1080/03610919008812866>; in flows Grathwohl et al.
        2019, arXiv 1810.01367.
    """
    return lambda u, x: jacobian_slice(u, x, v)


# --8<-- [end:hutchinson]


def noise_log_prob(schedule: Schedule, t: Time) -> Field:
    r"""Log density of the noise that a sampler starts from, $\mathcal N(0, \sigma_t^2 I)$.

    Where a little of the data is left at the end, this is not quite the density of $x_t$, and the
    likelihood is that of the model which starts from it.

    Returns:
        A function of points that gives nats per example.
    """
    var = schedule(t).sigma_t.square()

    def log_prob(x: Tensor) -> Tensor:
        return -(x.square() / var + (2 * math.pi * var).log()).flatten(1).sum(1) / 2

    return log_prob
