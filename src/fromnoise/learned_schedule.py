r"""Two more schedules: noise in proportion to time, and a log-SNR that is learned.

In continuous time the bound of a diffusion model does not see the shape of its schedule, only the
log-SNR at the two ends. The shape decides how noisy the estimate of the bound is, and so it can be
learned: lower the variance, with the ends held.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.schedules import Scales, Schedule

Times = Float[Tensor, "*batch"]


# --8<-- [start:VELinear]
@dataclass(frozen=True)
class VELinear(Schedule):
    r"""EDM's noise in proportion to time: $\alpha_t = 1$, $\sigma_t = \sigma_{\max} t$.

    In EDM the time *is* $\sigma$; here it is measured in units of $\sigma_{\max}$. The velocity
    points from the estimate $\hat x_0$ to $x_t$, so one Euler step to t = 0 lands on the estimate.
    Start a sampler from `sigma_max * eps`.

    Attributes:
        sigma_max: Noise scale at t = 1, positive.

    Raises:
        ValueError: Unless 0 < sigma_max < infinity.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_max < math.inf:
            raise ValueError(f"sigma_max must be positive and finite, got {self.sigma_max}")

    def scales(self, t: Times) -> Scales:
        r"""$\alpha_t = 1$ and $\sigma_t = \sigma_{\max} t$."""
        one = torch.ones_like(t)
        return Scales(one, self.sigma_max * t, torch.zeros_like(t), self.sigma_max * one)

    def time(self, log_snr: Times) -> Times:
        r"""$t = e^{-\lambda / 2} / \sigma_{\max}$."""
        return torch.exp(-log_snr / 2) / self.sigma_max


# --8<-- [end:VELinear]


# --8<-- [start:MonotoneLogSNR]
class MonotoneLogSNR(nn.Module):
    r"""A log-SNR that falls from one given value to another, with a shape to learn.

    $$\lambda_t = \lambda_0 + (\lambda_1 - \lambda_0) \frac{r(t) - r(0)}{r(1) - r(0)}, \qquad
    r(t) = a\, t + \sum_j b_j\, \mathrm{sigmoid}\big(s_j (t - c_j)\big).$$

    The rates a, b, s are kept positive by a softplus, so r always rises. Weights are float64.

    Source: Kingma et al. 2021, arXiv 2107.00630, in spirit; this shape is simpler than theirs.
    """

    def __init__(self, log_snr_0: float = 13.3, log_snr_1: float = -5.0, n_bends: int = 8) -> None:
        r"""Start near a straight line.

        Args:
            log_snr_0: $\lambda_0$ at the data, in nats.
            log_snr_1: $\lambda_1$ at the noise, below it.
            n_bends: Number of sigmoids, spread evenly over time.

        Raises:
            ValueError: If the ends do not fall or are not finite, or `n_bends` < 1.
        """
        super().__init__()
        if not -math.inf < log_snr_1 < log_snr_0 < math.inf:
            raise ValueError(f"need finite log_snr_1 < log_snr_0, got {log_snr_1}, {log_snr_0}")
        if n_bends < 1:
            raise ValueError(f"n_bends must be at least 1, got {n_bends}")
        self.log_snr_0, self.log_snr_1 = log_snr_0, log_snr_1
        centers = (torch.arange(n_bends, dtype=torch.float64) + 0.5) / n_bends
        self.slope = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.heights = nn.Parameter(torch.full_like(centers, -3.0))
        self.steepness = nn.Parameter(torch.full_like(centers, 2.0 * n_bends))
        self.centers = nn.Parameter(centers)

    def _rise(self, t: Times) -> tuple[Times, Times]:
        """The rising function r and its derivative."""
        steepness, heights = F.softplus(self.steepness), F.softplus(self.heights)
        bend = torch.sigmoid(steepness * (t[..., None] - self.centers))
        slope = F.softplus(self.slope)
        rise = slope * t + (heights * bend).sum(-1)
        return rise, slope + (heights * steepness * bend * (1 - bend)).sum(-1)

    def forward(self, t: Float[Tensor, "*batch"]) -> tuple[Tensor, Tensor]:
        r"""$\lambda_t$ and its slope $\dot\lambda_t < 0$ at float64 times."""
        ends, _ = self._rise(torch.tensor([0.0, 1.0], dtype=torch.float64, device=t.device))
        rise, d_rise = self._rise(t)
        share = (self.log_snr_1 - self.log_snr_0) / (ends[1] - ends[0])
        return self.log_snr_0 + share * (rise - ends[0]), share * d_rise


# --8<-- [end:MonotoneLogSNR]


# --8<-- [start:LearnedSchedule]
@dataclass(frozen=True)
class LearnedSchedule(Schedule):
    r"""The variance-preserving schedule with a learned log-SNR.

    $$\alpha_t^2 = \mathrm{sigmoid}(\lambda_t), \qquad \sigma_t^2 = \mathrm{sigmoid}(-\lambda_t).$$

    The scales are differentiable in the weights of `log_snr`. The inverse is found by bisection and
    carries no gradient.

    Attributes:
        log_snr: The falling function $\lambda_t$ and its slope.

    Source: Kingma et al. 2021, arXiv 2107.00630.
    """

    log_snr: MonotoneLogSNR

    def scales(self, t: Times) -> Scales:
        r"""Scales from $\lambda_t$; $\dot\alpha_t = \tfrac12 \alpha_t \sigma_t^2 \dot\lambda_t$."""
        log_snr, d_log_snr = self.log_snr(t)
        alpha_t, sigma_t = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
        d_alpha_t = alpha_t * sigma_t.square() * d_log_snr / 2
        return Scales(alpha_t, sigma_t, d_alpha_t, -sigma_t * alpha_t.square() * d_log_snr / 2)

    @torch.no_grad()
    def time(self, log_snr: Times) -> Times:
        r"""Halve $[0, 1]$ around the answer, to the last digit of float64."""
        low, high = torch.zeros_like(log_snr), torch.ones_like(log_snr)
        for _ in range(54):
            middle = (low + high) / 2
            too_clean = self.log_snr(middle)[0] > log_snr
            low = torch.where(too_clean, middle, low)
            high = torch.where(too_clean, high, middle)
        # Beyond an end, go on along the tangent: the caller sees how far outside it is.
        ends, slopes = self.log_snr(torch.tensor([0.0, 1.0]).to(log_snr))
        t = (low + high) / 2
        t = torch.where(log_snr > ends[0], (log_snr - ends[0]) / slopes[0], t)
        t = torch.where(log_snr < ends[1], 1 + (log_snr - ends[1]) / slopes[1], t)
        return torch.where(log_snr.isnan(), log_snr, t)


# --8<-- [end:LearnedSchedule]
