r"""Exponential integrators: a step in log-SNR, where part of the flow is known exactly.

In log-SNR the flow has a part that is known and a part that only the denoiser knows. With
$h = \tfrac12(\lambda_s - \lambda_t)$, and $\tau$ the share of the step in log-SNR that is done,

$$x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s \int_0^1 h\, e^{-h (1 - \tau)}\, \hat x_0(\tau)\,
d\tau.$$

An exponential integrator puts a polynomial through a few estimates $\hat x_0$ and integrates that
without error. What is left is a table of weights, one per estimate.

Source: Hochbruck & Ostermann 2010, <https://doi.org/10.1017/S0962492910000048>; for diffusion Lu et
    al. 2022, arXiv 2206.00927.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.special import hyp1f1
from torch import Tensor

from fromnoise.schedules import Scales, Schedule

Data = Float[Tensor, "batch *dims"]
Time = Float[Tensor, ""]


# --8<-- [start:exponential_weights]
def exponential_weights(h: Time, nodes: Sequence[float]) -> Float[Tensor, " n_nodes"]:
    r"""What each estimate counts for: $w_i = \int_0^1 h\, e^{-h(1 - \tau)} L_i(\tau)\, d\tau$.

    $L_i$ is the polynomial that is 1 at node i and 0 at the others, so an estimate that is a
    polynomial in log-SNR, of a degree below the number of nodes, is integrated without error.

    Args:
        h: Half the gain of the step in log-SNR, $\tfrac12(\lambda_s - \lambda_t)$, in nats.
        nodes: Where the estimates are, as shares of the step: 0 at t, 1 at s, negative before t.

    Returns:
        Weights in float64; they sum to $1 - e^{-h}$.

    Raises:
        ValueError: If h is not finite, or nodes are missing or fall together.

    Source: Hochbruck & Ostermann 2010, <https://doi.org/10.1017/S0962492910000048>.
    """
    if not h.isfinite() or len(set(nodes)) < max(1, len(nodes)):
        raise ValueError(f"need finite h and distinct nodes, got h {h.item()}, nodes {list(nodes)}")
    # The weights of tau^j: a confluent hypergeometric function keeps its digits at small h.
    powers = range(len(nodes))
    moments = [h.item() / (j + 1) * float(hyp1f1(1, j + 2, -h.item())) for j in powers]
    vandermonde = torch.tensor([[c**j for c in nodes] for j in powers], dtype=torch.float64)
    return torch.linalg.solve(vandermonde, torch.tensor(moments, dtype=torch.float64))


# --8<-- [end:exponential_weights]


# --8<-- [start:midpoint_weights]
def midpoint_weights(h: Time, node: float) -> Float[Tensor, " 2"]:
    r"""Weights of estimates at t and at `node`, as if all of the step lay at $\tau = \tfrac12$.

    $$w = (1 - e^{-h}) \Big(1 - \frac{1}{2c},\; \frac{1}{2c}\Big), \qquad c = \text{node}.$$

    These are not the weights that integrate a straight line without error, but they agree with them
    to the order that two estimates have. DPM-Solver++ 2 and UniPC are defined with them.

    Source: Lu et al. 2022, arXiv 2211.01095.
    """
    half_slope = torch.tensor([1 - 0.5 / node, 0.5 / node], dtype=torch.float64)
    return -torch.expm1(-h) * half_slope


# --8<-- [end:midpoint_weights]


def step_ends(schedule: Schedule, t: Time, s: Time) -> tuple[Scales, Scales, Time]:
    r"""Scales at both ends of a step, and half its gain in log-SNR, h, which may be infinite.

    Raises:
        ValueError: If there is no noise at t, or nothing but noise at s.
    """
    at_t, at_s = schedule(t), schedule(s)
    if at_t.sigma_t == 0:
        raise ValueError(f"a step needs noise to take out, and there is none at t = {t:.4g}")
    if at_s.alpha_t == 0:
        raise ValueError(f"a step ends at a cleaner time, and t = {s:.4g} is nothing but noise")
    return at_t, at_s, (at_s.log_snr_t - at_t.log_snr_t) / 2


def combine(
    x_t: Data, at_t: Scales, at_s: Scales, estimates: Sequence[Data], weights: Tensor
) -> Data:
    r"""The step itself: $x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s \sum_i w_i \hat x_0^i$.

    Args:
        x_t: Noisy data.
        at_t: Scales where the step starts.
        at_s: Scales where it ends.
        estimates: Estimates of the clean data.
        weights: One for each, as from `exponential_weights`.

    Raises:
        ValueError: If there is not one weight per estimate.
    """
    x_s = at_s.sigma_t / at_t.sigma_t * x_t
    for x_0_hat, weight in zip(estimates, weights, strict=True):
        x_s = x_s + at_s.alpha_t * weight * x_0_hat
    return x_s


def hold(x_t: Data, at_t: Scales, at_s: Scales, h: Time, x_0_hat: Data) -> Data:
    r"""The step of order one, which holds one estimate: its weight is $1 - e^{-h}$."""
    return combine(x_t, at_t, at_s, [x_0_hat], -torch.expm1(-h).reshape(1))
