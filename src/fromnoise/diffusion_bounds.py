r"""Bounds on the negative log-likelihood of a diffusion model: of a chain, and of endless steps.

A bound has three terms: what is left of the data at the end, the costs of the steps, and the last
step to clean data, which is a likelihood and not a divergence. Everything is in nats.

Source: Kingma et al. 2021, arXiv 2107.00630.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import ask, noise_like, require_shape
from fromnoise.diffusion import elbo_weight, perturb, prior_kl, step_kl
from fromnoise.schedules import Scales, Schedule, beside

Batch = Float[Tensor, "batch *dims"]
PerExample = Float[Tensor, "*batch"]
Reconstruction = Callable[[Tensor, Tensor, Scales], Tensor]
"""Negative log-likelihood of x_0 given x_s, nats per example."""


def gaussian_reconstruction(x_0: Batch, x_s: Batch, scales_s: Scales) -> PerExample:
    r"""The last step for continuous data, without a network.

    $$-\log \mathcal N\big(x_0;\; x_s / \alpha_s,\; (\sigma_s / \alpha_s)^2 I\big).$$

    Args:
        x_0: Clean data.
        x_s: Data with the least noise of the chain.
        scales_s: Scales at its time.

    Returns:
        Nats per example.

    Raises:
        ValueError: If there is no noise, nothing left of the data, or shapes do not fit.
    """
    require_shape("x_s", x_s, x_0)
    if ((scales_s.alpha_t <= 0) | (scales_s.sigma_t <= 0)).any():
        raise ValueError("gaussian_reconstruction needs alpha_s > 0 and sigma_s > 0")
    n_dims = x_0[0].numel() if len(x_0) else 0
    distance = (x_0 - x_s / beside(scales_s.alpha_t, x_s)).square().flatten(1).sum(1)
    snr_s = scales_s.snr_t
    return (snr_s * distance + n_dims * (math.log(2 * math.pi) - snr_s.log())) / 2


# --8<-- [start:level_reconstruction]
def level_reconstruction(
    levels: Float[Tensor, " n_levels"],
) -> Callable[[Tensor, Tensor, Scales], Tensor]:
    r"""The last step for data with a few gray levels: choose the level that $x_s$ points at.

    $$p(x_{0,i} = \ell \mid x_s) \propto \exp\big(-\tfrac12 \mathrm{SNR}_s
    (x_{s,i} / \alpha_s - \ell)^2\big).$$

    Args:
        levels: All values that a pixel can take.

    Returns:
        A function of (x_0, x_s, scales_s) that gives nats per example.

    Source: Kingma et al. 2021, arXiv 2107.00630.
    """

    def reconstruct(x_0: Tensor, x_s: Tensor, scales_s: Scales) -> Tensor:
        seen = x_s / beside(scales_s.alpha_t, x_s)
        half_snr = beside(scales_s.snr_t, x_s) / 2
        every = -half_snr[..., None] * (seen[..., None] - levels.to(x_s)).square()
        chosen = -half_snr * (seen - x_0).square()
        return (every.logsumexp(-1) - chosen).flatten(1).sum(1)

    return reconstruct


# --8<-- [end:level_reconstruction]


class Bound(NamedTuple):
    r"""Negative ELBO in its three terms, nats per example: $-\log p(x_0) \le$ `total` on average.

    Attributes:
        prior: What is left of the data at the end of the forward process.
        steps: Sum, or integral, of the costs of the steps.
        reconstruction: Cost of the last step to clean data.
    """

    prior: PerExample
    steps: PerExample
    reconstruction: PerExample

    @property
    def total(self) -> PerExample:
        """The sum of the three terms."""
        return self.prior + self.steps + self.reconstruction


# --8<-- [start:three_term_bound]
@torch.no_grad()
def three_term_bound(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    x_0: Batch,
    times: Float[Tensor, " n_times"],
    reconstruct: Reconstruction,
    generator: torch.Generator,
) -> Bound:
    r"""Bound of the chain with the given times, with one draw of noise per step and example.

    Args:
        denoiser: Estimate of the clean data, called once per step.
        schedule: Noise schedule.
        x_0: Clean data.
        times: Falling times of the chain, from the end of the forward process to the cleanest time,
            which is above 0 and where `reconstruct` takes over.
        reconstruct: Negative log-likelihood of the last step, such as `gaussian_reconstruction`.
        generator: Source of the noise.

    Raises:
        ValueError: If the times do not fall strictly or reach 0.

    Source: Ho et al. 2020, arXiv 2006.11239; Kingma et al. 2021, arXiv 2107.00630.
    """
    if len(times) == 0 or not (times.diff() < 0).all() or times[-1] <= 0:
        raise ValueError(f"times must fall strictly and stay above 0, got {times.tolist()}")
    steps = torch.zeros_like(x_0.flatten(1).sum(1))
    for t, s in pairwise(times.double()):
        x_t = perturb(x_0, noise_like(x_0, generator), schedule(t))
        x_0_hat = ask(denoiser, x_t, t)
        steps = steps + step_kl(x_0, x_0_hat, schedule(t), schedule(s))
    first, last = schedule(times[0].double()), schedule(times[-1].double())
    x_s = perturb(x_0, noise_like(x_0, generator), last)
    return Bound(prior_kl(x_0, first), steps, reconstruct(x_0, x_s, last))


# --8<-- [end:three_term_bound]


# --8<-- [start:continuous_bound]
@torch.no_grad()
def continuous_bound(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    x_0: Batch,
    reconstruct: Reconstruction,
    generator: torch.Generator,
    *,
    n_draws: int = 1,
    t_max: float = 1.0,
    t_min: float = 1e-3,
) -> Bound:
    r"""The bound for infinitely many steps, estimated without bias at random times.

    $$\int_{t_{\min}}^{t_{\max}} -\tfrac12 \frac{d\,\mathrm{SNR}_t}{dt}
    E \Vert x_0 - \hat x_0(x_t, t) \Vert^2 dt.$$

    Each example gets times drawn evenly spread over the range, from one common random shift; the
    estimate of each example is unbiased, and the mean over a batch has less variance than with
    independent times.

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule.
        x_0: Clean data.
        reconstruct: Negative log-likelihood of the last step, at `t_min`.
        generator: Source of times and noise.
        n_draws: Times per example.
        t_max: End of the forward process.
        t_min: Cleanest time, above 0.

    Raises:
        ValueError: If `n_draws` < 1 or not 0 < t_min < t_max <= 1.

    Source: Kingma et al. 2021, arXiv 2107.00630.
    """
    if n_draws < 1 or not 0 < t_min < t_max <= 1:
        raise ValueError(
            f"need n_draws >= 1 and 0 < t_min < t_max <= 1, got {n_draws}, {t_min}, {t_max}"
        )
    n = len(x_0)
    steps = torch.zeros_like(x_0.flatten(1).sum(1))
    for _ in range(n_draws):
        shift = torch.rand(1, generator=generator, dtype=torch.float64, device=generator.device)
        order = torch.randperm(n, generator=generator, device=generator.device)
        t = t_min + (t_max - t_min) * ((shift + order / max(n, 1)) % 1).to(x_0.device)
        scales = schedule(t)
        x_t = perturb(x_0, noise_like(x_0, generator), scales)
        distance = (x_0 - denoiser(x_t, t.to(x_0))).square().flatten(1).sum(1)
        steps = steps + (t_max - t_min) * elbo_weight(scales).to(x_0) * distance / n_draws
    ends = torch.tensor([t_max, t_min], dtype=torch.float64)
    first, last = schedule(ends[0]), schedule(ends[1])
    x_s = perturb(x_0, noise_like(x_0, generator), last)
    return Bound(prior_kl(x_0, first), steps, reconstruct(x_0, x_s, last))


# --8<-- [end:continuous_bound]
