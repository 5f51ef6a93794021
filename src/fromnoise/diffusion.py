r"""The forward process of a diffusion model, what Bayes' rule says of its way back, and the bounds.

The forward process q only adds noise; it has nothing to learn:

$$x_t = \alpha_t x_0 + \sigma_t \epsilon.$$

Times are ordered $s < t$: `s` is the cleaner one.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import ask, noise_like
from fromnoise.schedules import Scales, Schedule, beside
from fromnoise.targets import Target

Data = Float[Tensor, "*batch_and_dims"]
Batch = Float[Tensor, "batch *dims"]
PerExample = Float[Tensor, "*batch"]
Reconstruction = Callable[[Tensor, Tensor, Scales], Tensor]
"""Negative log-likelihood of x_0 given x_s, nats per example."""


# --8<-- [start:perturb]
def perturb(x_0: Data, eps: Data, scales: Scales) -> Data:
    r"""Noise clean data: $x_t = \alpha_t x_0 + \sigma_t \epsilon$.

    Args:
        x_0: Clean data.
        eps: Standard normal noise, one draw per entry of `x_0`.
        scales: Signal and noise scales, one per leading entry of `x_0`, or one for all.

    Returns:
        Noisy data, shaped like `x_0`.

    Raises:
        ValueError: If the shapes of `x_0`, `eps` and `scales` do not fit.
    """
    if x_0.shape != eps.shape:
        raise ValueError(f"x_0 has shape {tuple(x_0.shape)}, eps has {tuple(eps.shape)}")
    return beside(scales.alpha_t, x_0) * x_0 + beside(scales.sigma_t, x_0) * eps


# --8<-- [end:perturb]


# --8<-- [start:transition]
def transition(scales_t: Scales, scales_s: Scales) -> tuple[PerExample, PerExample]:
    r"""One noising step: $q(x_t \mid x_s) = \mathcal N(\alpha_{t|s} x_s, \sigma_{t|s}^2 I)$.

    $$\alpha_{t|s} = \alpha_t / \alpha_s, \qquad
    \sigma_{t|s}^2 = \sigma_t^2 - \alpha_{t|s}^2 \sigma_s^2.$$

    Returns:
        $\alpha_{t|s}$ and the variance $\sigma_{t|s}^2$.

    Raises:
        ValueError: If s is not the cleaner time, or nothing is left of the data at s.
    """
    if (scales_s.alpha_t <= 0).any():
        raise ValueError("a step away from x_s needs alpha_s > 0")
    alpha_ts = scales_t.alpha_t / scales_s.alpha_t
    var_ts = scales_t.sigma_t.square() - (alpha_ts * scales_s.sigma_t).square()
    if (var_ts < 0).any():
        raise ValueError("the variance of a noising step is negative: s must be the cleaner time")
    return alpha_ts, var_ts


# --8<-- [end:transition]


# --8<-- [start:posterior]
def posterior(x_t: Data, x_0: Data, scales_t: Scales, scales_s: Scales) -> tuple[Data, PerExample]:
    r"""One step back when the data is known: $q(x_s \mid x_t, x_0)$.

    It is normal with mean and variance

    $$\tilde\mu = \frac{\alpha_{t|s}\sigma_s^2}{\sigma_t^2} x_t
    + \frac{\alpha_s \sigma_{t|s}^2}{\sigma_t^2} x_0, \qquad
    \tilde\sigma^2 = \frac{\sigma_s^2 \sigma_{t|s}^2}{\sigma_t^2}.$$

    Args:
        x_t: Noisy data.
        x_0: Clean data, or an estimate of it.
        scales_t: Scales at the time of `x_t`.
        scales_s: Scales at the cleaner time s.

    Returns:
        The mean, shaped like `x_t`, and the variance, shaped like the scales.

    Raises:
        ValueError: If s is not the cleaner time.

    Source: Ho et al. 2020, arXiv 2006.11239; in these letters Kingma et al. 2021, arXiv 2107.00630.
    """
    alpha_ts, var_ts = transition(scales_t, scales_s)
    var_s, var_t = scales_s.sigma_t.square(), scales_t.sigma_t.square()
    keep = alpha_ts * var_s / var_t
    pull = scales_s.alpha_t * var_ts / var_t
    return beside(keep, x_t) * x_t + beside(pull, x_0) * x_0, var_s * var_ts / var_t


# --8<-- [end:posterior]


# --8<-- [start:step_kl]
def step_kl(x_0: Batch, x_0_hat: Batch, scales_t: Scales, scales_s: Scales) -> PerExample:
    r"""Cost of one step without knowing the data: $D_{KL}(q(x_s|x_t,x_0) \Vert p(x_s|x_t))$.

    The model p uses the posterior with $\hat x_0$ in place of $x_0$. Both are normal with the same
    variance, and what is left is

    $$\tfrac12 \big(\mathrm{SNR}_s - \mathrm{SNR}_t\big) \Vert x_0 - \hat x_0 \Vert^2.$$

    Args:
        x_0: Clean data.
        x_0_hat: Estimate of it from `x_t`.
        scales_t: Scales at time t, one for all or one per example.
        scales_s: Scales at the cleaner time s.

    Returns:
        Nats per example, summed over dimensions.

    Raises:
        ValueError: If there is no noise at s: the last step is `gaussian_reconstruction` or
            `level_reconstruction`, not a KL.

    Source: Kingma et al. 2021, arXiv 2107.00630.
    """
    if (scales_s.sigma_t == 0).any():
        raise ValueError("step_kl needs sigma_s > 0: the step to clean data is a reconstruction")
    distance = (x_0 - x_0_hat).square().flatten(1).sum(1)
    return (scales_s.snr_t - scales_t.snr_t) / 2 * distance


# --8<-- [end:step_kl]


# --8<-- [start:prior_kl]
def prior_kl(x_0: Batch, scales_1: Scales) -> PerExample:
    r"""What is left of the data at the end: $D_{KL}(q(x_1 \mid x_0) \Vert \mathcal N(0, I))$.

    $$\tfrac12 \sum_i \big(\alpha_1^2 x_{0,i}^2 + \sigma_1^2 - 1 - \log \sigma_1^2\big).$$

    Args:
        x_0: Clean data.
        scales_1: Scales at the end of the forward process.

    Returns:
        Nats per example; zero at zero terminal SNR.

    Raises:
        ValueError: If there is no noise at the end.
    """
    if (scales_1.sigma_t <= 0).any():
        raise ValueError("prior_kl needs sigma_1 > 0")
    n_dims = x_0[0].numel() if len(x_0) else 0
    var = scales_1.sigma_t.square()
    signal = scales_1.alpha_t.square() * x_0.square().flatten(1).sum(1)
    return (signal + n_dims * (var - 1 - var.log())) / 2


# --8<-- [end:prior_kl]


def gaussian_reconstruction(x_0: Batch, x_s: Batch, scales_s: Scales) -> PerExample:
    r"""The last step for continuous data, without a network.

    $$-\log \mathcal N\big(x_0;\; x_s / \alpha_s,\; (\sigma_s / \alpha_s)^2 I\big).$$

    Args:
        x_0: Clean data.
        x_s: Data with the least noise of the chain.
        scales_s: Scales at its time.

    Returns:
        Nats per example.
    """
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
    if not (times.diff() < 0).all() or times[-1] <= 0:
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


# --8<-- [start:elbo_weight]
def elbo_weight(scales: Scales) -> PerExample:
    r"""Weight of $\Vert x_0 - \hat x_0 \Vert^2$ in the continuous-time bound.

    $$-\tfrac12 \frac{d\,\mathrm{SNR}_t}{dt} = -\tfrac12 \mathrm{SNR}_t \dot\lambda_t.$$

    Source: Kingma et al. 2021, arXiv 2107.00630.
    """
    return -scales.snr_t * scales.d_log_snr_t / 2


# --8<-- [end:elbo_weight]


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


# --8<-- [start:simple_loss]
def simple_loss(
    network: Callable[[Tensor, Tensor], Tensor],
    target: Target,
    schedule: Schedule,
    x_0: Batch,
    t: PerExample,
    eps: Batch,
) -> PerExample:
    r"""What is minimized in practice: squared error of the target, every time weighted alike.

    Args:
        network: Maps $x_t$ and t to an estimate of the target.
        target: What the network predicts, such as `PredictEps()`.
        schedule: Noise schedule.
        x_0: Clean data.
        t: One time per example.
        eps: Standard normal noise, shaped like `x_0`.

    Returns:
        Mean over dimensions, one value per example.

    Source: Ho et al. 2020, arXiv 2006.11239.
    """
    scales = schedule(t)
    output = network(perturb(x_0, eps, scales), t)
    return (output - target.true(x_0, eps, scales)).square().flatten(1).mean(1)


# --8<-- [end:simple_loss]
