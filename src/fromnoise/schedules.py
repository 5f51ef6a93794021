r"""Noise schedules: how much of the data is left at time t, and how much noise has come in.

Every noise-based model of the book draws its noisy data as

$$x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \epsilon \sim \mathcal N(0, I).$$

A schedule is the pair of functions $\alpha_t, \sigma_t$ on $0 \le t \le 1$. Data is at $t = 0$
and noise at $t = 1$, so $\alpha_t$ never rises and $\sigma_t / \alpha_t$ always does. What matters
about a schedule is its log-signal-to-noise ratio $\lambda_t = \log(\alpha_t^2 / \sigma_t^2)$.

A schedule computes in float64 and returns the dtype of `t`: near the ends, $1 - \alpha_t^2$ loses
every digit in half precision.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


# --8<-- [start:Scales]
class Scales(NamedTuple):
    r"""A schedule at some times: the two scales and their time derivatives.

    Attributes:
        alpha_t: Signal scale $\alpha_t$.
        sigma_t: Noise scale $\sigma_t$.
        d_alpha_t: Time derivative $\dot\alpha_t$.
        d_sigma_t: Time derivative $\dot\sigma_t$.
    """

    alpha_t: Float[Tensor, "*batch"]
    sigma_t: Float[Tensor, "*batch"]
    d_alpha_t: Float[Tensor, "*batch"]
    d_sigma_t: Float[Tensor, "*batch"]

    @property
    def snr_t(self) -> Float[Tensor, "*batch"]:
        r"""Signal-to-noise ratio $\alpha_t^2 / \sigma_t^2$, a ratio of variances."""
        return (self.alpha_t / self.sigma_t).square()

    @property
    def log_snr_t(self) -> Float[Tensor, "*batch"]:
        r"""Its logarithm $\lambda_t$; infinite where a scale is zero."""
        return 2 * (self.alpha_t.log() - self.sigma_t.log())

    @property
    def d_log_snr_t(self) -> Float[Tensor, "*batch"]:
        r"""Its slope $\dot\lambda_t = 2 \dot\alpha_t / \alpha_t - 2 \dot\sigma_t / \sigma_t$."""
        return 2 * (self.d_alpha_t / self.alpha_t - self.d_sigma_t / self.sigma_t)

    @property
    def drift_rate(self) -> Float[Tensor, "*batch"]:
        r"""Drift $f(t) = \dot\alpha_t / \alpha_t$ of $dx = f x\, dt + g\, dW$."""
        return self.d_alpha_t / self.alpha_t

    @property
    def diffusion_rate(self) -> Float[Tensor, "*batch"]:
        r"""Noise rate $g(t)$ of the same: $g^2 = 2\sigma_t\dot\sigma_t - 2 f \sigma_t^2$."""
        return (2 * self.sigma_t * (self.d_sigma_t - self.drift_rate * self.sigma_t)).sqrt()


# --8<-- [end:Scales]


class Schedule(ABC):
    r"""A map from time to `Scales`, with an inverse from log-SNR to time.

    A subclass writes two methods, `scales` and `time`, in float64 and without checks.
    """

    @abstractmethod
    def scales(self, t: Float[Tensor, "*batch"]) -> Scales:
        """The scales at float64 times in [0, 1]."""

    @abstractmethod
    def time(self, log_snr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The time at which the schedule has the float64 log-SNR `log_snr`."""

    def __call__(self, t: Float[Tensor, "*batch"]) -> Scales:
        r"""Evaluate the schedule: $t \mapsto (\alpha_t, \sigma_t, \dot\alpha_t, \dot\sigma_t)$.

        Args:
            t: Times in [0, 1], any shape, any floating dtype.

        Returns:
            Scales shaped like `t`, in its dtype.

        Raises:
            ValueError: If a time lies outside [0, 1] or is NaN.
            TypeError: If times are integers, in whose dtype the scales would be 0 or 1.
        """
        if not t.is_floating_point():
            raise TypeError(f"t must be floating-point numbers, got {t.dtype}")
        if not ((t >= 0) & (t <= 1)).all():
            raise ValueError(f"t must lie in [0, 1], got {_span(t)}")
        return Scales(*(scale.to(t.dtype) for scale in self.scales(t.double())))

    def time_at(self, log_snr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""Invert the log-SNR: the $t$ with $\lambda_t$ equal to `log_snr`.

        Args:
            log_snr: Log-SNR in nats, within the range that the schedule covers.

        Returns:
            Times in [0, 1], in the dtype of `log_snr`.

        Raises:
            ValueError: If the schedule never has such a log-SNR.
        """
        t = self.time(log_snr.double())
        # Rounding in the caller's dtype may step over an end by a few units in the last place.
        slack = 8 * torch.finfo(log_snr.dtype).eps
        if not ((t >= -slack) & (t <= 1 + slack)).all():
            ends = self.scales(torch.tensor([1.0, 0.0], dtype=torch.float64)).log_snr_t.tolist()
            raise ValueError(
                f"log_snr must lie in [{ends[0]:.4g}, {ends[1]:.4g}], got {_span(log_snr)}"
            )
        return t.clamp(0, 1).to(log_snr.dtype)


@dataclass(frozen=True)
class Rectified(Schedule):
    r"""Straight lines, $\alpha_t = 1 - t$, $\sigma_t = t$: the schedule of flow matching.

    Examples:
        Half way, as much noise as data.

        >>> Rectified()(torch.tensor(0.5)).log_snr_t
        tensor(0.)

    Source: Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003.
    """

    def scales(self, t: Float[Tensor, "*batch"]) -> Scales:
        r"""$\alpha_t = 1 - t$ and $\sigma_t = t$."""
        one = torch.ones_like(t)
        return Scales(1 - t, t, -one, one)

    def time(self, log_snr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""$t = 1 / (1 + e^{\lambda / 2})$."""
        return torch.sigmoid(-log_snr / 2)


# --8<-- [start:Cosine]
@dataclass(frozen=True)
class Cosine(Schedule):
    r"""A quarter circle, $\alpha_t = \cos(\pi t / 2)$, $\sigma_t = \sin(\pi t / 2)$.

    Nichol and Dhariwal shift and clip it away from the ends; this one has both ends exact.

    Source: Nichol & Dhariwal 2021, arXiv 2102.09672.
    """

    def scales(self, t: Float[Tensor, "*batch"]) -> Scales:
        r"""$\alpha_t = \cos(\pi t / 2)$ and $\sigma_t = \sin(\pi t / 2)$."""
        # Two sines: cos(pi / 2) is 6e-17 in float64, and alpha must be exactly 0 at t = 1.
        alpha_t = torch.sin(math.pi / 2 * (1 - t))
        sigma_t = torch.sin(math.pi / 2 * t)
        return Scales(alpha_t, sigma_t, -math.pi / 2 * sigma_t, math.pi / 2 * alpha_t)

    def time(self, log_snr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""$t = \tfrac2\pi \arctan e^{-\lambda / 2}$."""
        return 2 / math.pi * torch.atan(torch.exp(-log_snr / 2))


# --8<-- [end:Cosine]


@dataclass(frozen=True)
class VPLinear(Schedule):
    r"""The variance-preserving schedule of DDPM: noise enters at a rate that grows linearly.

    $$\alpha_t^2 = \exp\Big(-\beta_{\min} t - \tfrac12 (\beta_{\max} - \beta_{\min}) t^2\Big),
    \qquad \sigma_t^2 = 1 - \alpha_t^2.$$

    Its terminal SNR is not zero: with the default rates $\alpha_1 = 0.0066$, so a little of the
    data survives at $t = 1$. Sampling starts from pure noise all the same; the chapter on diffusion
    measures when that matters. At $t = 0$ the derivative $\dot\sigma_t$ is infinite, since
    $\sigma_t$ grows like $\sqrt{\beta_{\min} t}$, and `diffusion_rate` is NaN there.

    Attributes:
        beta_min: Rate at t = 0, positive.
        beta_max: Rate at t = 1, at least `beta_min`.

    Raises:
        ValueError: Unless 0 < beta_min <= beta_max.

    Source: Ho et al. 2020, arXiv 2006.11239; in continuous time Song et al. 2021, arXiv 2011.13456.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_min <= self.beta_max < math.inf:
            raise ValueError(
                f"rates must satisfy 0 < beta_min <= beta_max, got {self.beta_min}, {self.beta_max}"
            )

    def scales(self, t: Float[Tensor, "*batch"]) -> Scales:
        r"""$\dot\alpha_t = -\tfrac12 \beta(t) \alpha_t$, with $\beta(t)$ linear."""
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        log_alpha = -(t * self.beta_min + t.square() * (self.beta_max - self.beta_min) / 2) / 2
        alpha_t = log_alpha.exp()
        # expm1 keeps the digits of 1 - alpha^2 when alpha is nearly 1.
        sigma_t = (-torch.expm1(2 * log_alpha)).sqrt()
        return Scales(alpha_t, sigma_t, -beta / 2 * alpha_t, beta / 2 * alpha_t.square() / sigma_t)

    def time(self, log_snr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""The positive root of a quadratic in t."""
        # alpha^2 = sigmoid(log_snr), so the integrated rate is softplus(-log_snr).
        total = torch.nn.functional.softplus(-log_snr)
        slope = self.beta_max - self.beta_min
        return 2 * total / (self.beta_min + (self.beta_min**2 + 2 * slope * total).sqrt())


@dataclass(frozen=True)
class VE(Schedule):
    r"""Variance exploding: the data stays, $\alpha_t = 1$, and the noise grows geometrically.

    $$\sigma_t = \sigma_{\min} (\sigma_{\max} / \sigma_{\min})^t.$$

    At $t = 1$ the data is drowned rather than gone, and noise has scale $\sigma_{\max}$: start a
    sampler from `sigma_max * eps`.

    Attributes:
        sigma_min: Noise scale at t = 0, positive.
        sigma_max: Noise scale at t = 1, above `sigma_min`.

    Raises:
        ValueError: Unless 0 < sigma_min < sigma_max.

    Source: Song et al. 2021, arXiv 2011.13456.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise ValueError(
                f"need 0 < sigma_min < sigma_max, got {self.sigma_min}, {self.sigma_max}"
            )

    def scales(self, t: Float[Tensor, "*batch"]) -> Scales:
        r"""$\alpha_t = 1$ and $\log \sigma_t$ linear in t."""
        log_ratio = math.log(self.sigma_max / self.sigma_min)
        sigma_t = self.sigma_min * torch.exp(t * log_ratio)
        return Scales(torch.ones_like(t), sigma_t, torch.zeros_like(t), log_ratio * sigma_t)

    def time(self, log_snr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""Linear in $\lambda$."""
        log_ratio = math.log(self.sigma_max / self.sigma_min)
        return (-log_snr / 2 - math.log(self.sigma_min)) / log_ratio


class Chain(NamedTuple):
    r"""A discrete chain of `n_steps` noising steps; entry $k - 1$ belongs to step $k = 1 \dots K$.

    Attributes:
        beta: Variance $\beta_k$ added by step k.
        alpha_step: Variance kept by step k, $1 - \beta_k$ (Ho et al. call this alpha).
        alpha_bar: Variance kept since the data, the product of `alpha_step`; our $\alpha_t^2$.
    """

    beta: Float[Tensor, " n_steps"]
    alpha_step: Float[Tensor, " n_steps"]
    alpha_bar: Float[Tensor, " n_steps"]


def discrete_chain(schedule: Schedule, n_steps: int) -> Chain:
    r"""Read a DDPM chain off a schedule: $\bar\alpha_k = \alpha_{k/K}^2$.

    Args:
        schedule: A variance-preserving schedule, $\alpha_t^2 + \sigma_t^2 = 1$.
        n_steps: Number of steps K, at least 1.

    Returns:
        The chain in float64. If the schedule ends at zero SNR, the last $\beta_k$ is 1.

    Raises:
        ValueError: If `n_steps` < 1 or the schedule does not preserve variance.

    Examples:
        Variance kept since the data; at the end of this schedule, none.

        >>> discrete_chain(Cosine(), n_steps=4).alpha_bar
        tensor([0.8536, 0.5000, 0.1464, 0.0000], dtype=torch.float64)
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    at = schedule(torch.linspace(0, 1, n_steps + 1, dtype=torch.float64))
    total = at.alpha_t.square() + at.sigma_t.square()
    if not torch.allclose(total, torch.ones_like(total)):
        raise ValueError(
            f"{schedule} does not preserve variance: alpha^2 + sigma^2 is {_span(total)}"
        )
    alpha_bar = at.alpha_t.square()
    alpha_step = alpha_bar[1:] / alpha_bar[:-1]
    return Chain(1 - alpha_step, alpha_step, alpha_bar[1:])


def beside(
    scale: Float[Tensor, "*batch"], x: Float[Tensor, "*batch_and_dims"]
) -> Float[Tensor, "*batch_and_ones"]:
    r"""Shape a scale so that it multiplies data: `(batch,)` beside `(batch, *dims)`.

    Args:
        scale: One number for all of `x` (no axes), or one per leading entry.
        x: Data whose dtype and device the result takes.

    Returns:
        `scale` with trailing axes of length one.

    Raises:
        ValueError: If the axes of `scale` are not the leading axes of `x`.
        TypeError: If `x` holds integers, which would round the scale away.
    """
    if not x.is_floating_point():
        raise TypeError(f"data must be floating-point numbers, got {x.dtype}")
    if scale.shape != x.shape[: scale.ndim]:
        raise ValueError(
            f"scales of shape {tuple(scale.shape)} do not match data of shape {tuple(x.shape)}"
        )
    return scale.to(x).reshape(scale.shape + (1,) * (x.ndim - scale.ndim))


def _span(values: Tensor) -> str:
    if values.numel() == 0:
        return "nothing"
    return f"{values.min().item():.4g}..{values.max().item():.4g}"
