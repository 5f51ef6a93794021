r"""A diffusion model as a code: bits spent so far against the error of what they show.

Whoever is sent $x_t$ for falling t knows the data better and better. The steps sent so far cost
the first part of the bound of `fromnoise.diffusion_bounds`, and the denoiser shows what they are
worth. Rates are in nats and distortions are squared errors, both summed over dimensions.
"""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.fft import dctn, idctn
from torch import Tensor

from fromnoise.batches import ask, noise_like
from fromnoise.diffusion import perturb, prior_kl
from fromnoise.schedules import Schedule

Batch = Float[Tensor, "batch *dims"]
Images = Float[Tensor, "*batch height width"]
Levels = Int[Tensor, "batch *dims"]
PerExample = Float[Tensor, "*batch"]


class Sent(NamedTuple):
    """How far a progressive code has come at each noise level, for each example."""

    rate: Float[Tensor, "levels batch"]
    """Nats sent so far."""
    distortion: Float[Tensor, "levels batch"]
    """Squared error of the estimate at that level."""


# --8<-- [start:progressive_code]
@torch.no_grad()
def progressive_code(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    x_0: Batch,
    log_snrs: Float[Tensor, " levels"],
    generator: torch.Generator,
) -> Sent:
    r"""Rate and distortion on the way from noise to data.

    $$R(\lambda) = D_{KL}\big(q(x_1 \mid x_0) \Vert p(x_1)\big)
    + \tfrac12 \int_{\lambda_1}^{\lambda} \exp(\ell)\, e(\ell)\, d\ell, \qquad
    e(\ell) = \Vert x_0 - \hat x_0(x_t, t) \Vert^2,$$

    with one draw of noise per level and the trapezoid rule between levels.

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule.
        x_0: Data to be sent.
        log_snrs: Rising log-SNRs; the first stands for the end of the forward process.
        generator: Source of the noise.

    Raises:
        ValueError: If the log-SNRs do not rise strictly, or the schedule never has one of them.

    Source:
        Ho et al. 2020, arXiv 2006.11239, for the idea; in continuous time Kingma et al. 2021, arXiv
        2107.00630.
    """
    if log_snrs.ndim != 1 or len(log_snrs) < 2 or not (log_snrs.diff() > 0).all():
        raise ValueError(f"log_snrs must be two or more and rise, got {log_snrs.tolist()}")
    times = schedule.time_at(log_snrs.double())
    errors = []
    for t in times:
        x_t = perturb(x_0, noise_like(x_0, generator), schedule(t))
        errors.append((x_0 - ask(denoiser, x_t, t)).square().flatten(1).sum(1))
    distortion = torch.stack(errors)
    cost = schedule(times).snr_t[:, None].to(distortion) / 2 * distortion
    pieces = log_snrs.to(cost).diff()[:, None] * (cost[1:] + cost[:-1]) / 2
    first = prior_kl(x_0, schedule(times[0])).to(cost)
    return Sent(torch.cat([first[None], first + pieces.cumsum(0)]), distortion)


# --8<-- [end:progressive_code]


# --8<-- [start:gaussian_rate]
def gaussian_rate(variances: Float[Tensor, " dim"], distortion: float) -> float:
    r"""Fewest nats that describe a Gaussian up to a squared error: reverse water-filling.

    $$R(D) = \sum_i \tfrac12 \log \frac{c_i}{\min(c_i, \vartheta)}, \qquad
    \sum_i \min(c_i, \vartheta) = D.$$

    Axes with less variance than the water level $\vartheta$ are not described at all.

    Args:
        variances: $c_i$, along the principal axes.
        distortion: Allowed mean squared error D, summed over axes.

    Raises:
        ValueError: If a variance or the distortion is not positive and finite.

    Examples:
        To come within a tenth of the standard deviation costs log 10 nats.

        >>> round(gaussian_rate(torch.ones(1), distortion=0.01), 4)
        2.3026

    Source:
        Cover and Thomas 2006, *Elements of information theory*.
    """
    c = variances.double()
    if not (c > 0).all() or not c.isfinite().all():
        raise ValueError(f"variances must be positive and finite, got {variances.tolist()}")
    if not 0 < distortion < float("inf"):
        raise ValueError(f"distortion must be positive and finite, got {distortion}")
    low, high = 0.0, float(c.max())
    # Halve the bracket until float64 has no number between its ends.
    while low < (level := (low + high) / 2) < high:
        low, high = (low, level) if float(c.clamp(max=level).sum()) > distortion else (level, high)
    return float((c / c.clamp(max=high)).log().sum() / 2)


# --8<-- [end:gaussian_rate]


# --8<-- [start:dct]
def dct_levels(images: Images, step: float) -> Int[Tensor, "*batch height width"]:
    r"""Cosine coefficients of each image in whole steps: $\operatorname{round}(c / \text{step})$.

    The transform is orthonormal: squared errors of coefficients are squared errors of pixels.

    Args:
        images: Pixels.
        step: Width of a step, positive; the same for all coefficients.

    Raises:
        ValueError: If the step is not positive, or a pixel is not finite.

    Source:
        Ahmed, Natarajan and Rao 1974, <https://doi.org/10.1109/T-C.1974.223784>.
    """
    _check_step(step)
    if not images.isfinite().all():
        raise ValueError("images hold a pixel that is infinite or not a number")
    found = dctn(images.double().numpy(force=True), axes=(-2, -1), norm="ortho")
    return torch.from_numpy(np.rint(found / step).astype(np.int64))


def from_dct_levels(levels: Int[Tensor, "*batch height width"], step: float) -> Images:
    """The images that whole steps of the coefficients stand for, in float64.

    Args:
        levels: Whole steps, as `dct_levels` gives them.
        step: Size of a step.

    Raises:
        ValueError: If the step is not positive.
    """
    _check_step(step)
    coefficients = levels.double().numpy(force=True) * step
    return torch.from_numpy(idctn(coefficients, axes=(-2, -1), norm="ortho"))


# --8<-- [end:dct]


# --8<-- [start:zlib_bits]
def zlib_bits(levels: Levels) -> PerExample:
    """Bits of each example after `zlib`, one byte per entry: a crude measure of complexity.

    The bytes that every file of the format carries, header and checksum, are counted too.

    Args:
        levels: Whole numbers 0..255.

    Raises:
        ValueError: If an entry is out of range.
    """
    if levels.numel() and not 0 <= int(levels.min()) <= int(levels.max()) <= 255:
        raise ValueError(f"levels must lie in 0..255, got {int(levels.min())}..{levels.max()}")
    files = (bytes(row.flatten().tolist()) for row in levels)
    return torch.tensor([8.0 * len(zlib.compress(file, 9)) for file in files])


# --8<-- [end:zlib_bits]


def _check_step(step: float) -> None:
    if not 0 < step < float("inf"):
        raise ValueError(f"step must be positive and finite, got {step}")
