r"""What a trained model is for: mix two samples, change one in part, diffuse in a latent space.

Times, steps and denoisers are those of `fromnoise.samplers`. `fromnoise.progressive_coding` is
about compression.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import noise_like, require_shape
from fromnoise.diffusion import perturb
from fromnoise.samplers import Denoiser, Step, ddim_step, heun_step, sample
from fromnoise.schedules import Schedule
from fromnoise.sde import checked_times

Batch = Float[Tensor, "batch *dims"]
Times = Float[Tensor, " n_times"]


# --8<-- [start:variance_preserving_mix]
def variance_preserving_mix(a: Batch, b: Batch, share: float) -> Batch:
    r"""Mix two noises so that the mix is noise: $\frac{(1 - m)\, a + m\, b}{\sqrt{(1-m)^2 + m^2}}$.

    Args:
        a: Standard normal noise, where `share` is 0.
        b: Independent noise, where `share` is 1.
        share: $m$ in [0, 1].

    Raises:
        ValueError: If the shapes differ or `share` lies outside [0, 1].
    """
    _check_mix(a, b, share)
    return ((1 - share) * a + share * b) / ((1 - share) ** 2 + share**2) ** 0.5


# --8<-- [end:variance_preserving_mix]


# --8<-- [start:spherical_mix]
def spherical_mix(a: Batch, b: Batch, share: float) -> Batch:
    r"""Mix along the arc: $\big(\sin((1-m)\Omega)\, a + \sin(m\Omega)\, b\big) / \sin\Omega$.

    $\Omega$ is the angle between an example of a and its partner in b. Equal lengths stay what they
    are all along the arc, and the angle grows evenly with $m$.

    Args:
        a: Where `share` is 0.
        b: Where `share` is 1.
        share: $m$ in [0, 1].

    Raises:
        ValueError: If the shapes differ, `share` lies outside [0, 1], or a pair points in opposite
            directions, where there is no single arc.

    Source:
        Shoemake 1985, <https://doi.org/10.1145/325334.325242>; between latents White 2016, arXiv
        1609.04468.
    """
    _check_mix(a, b, share)
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    unit_a, unit_b = (torch.nn.functional.normalize(part, dim=1) for part in (flat_a, flat_b))
    # From half the chord: the arc cosine loses half its digits where the directions are close.
    half = (unit_a - unit_b).norm(dim=1) / 2
    if (half > 1 - 1e-6).any():
        raise ValueError("a and b point in opposite directions: no arc is the shortest")
    angle = 2 * half.clamp(max=1.0).arcsin()
    sine = angle.sin()
    close = sine < 1e-6  # so short an arc is a line, and 0 / 0 would be NaN
    safe = torch.where(close, torch.ones_like(sine), sine)
    keep = torch.where(close, torch.full_like(sine, 1 - share), ((1 - share) * angle).sin() / safe)
    take = torch.where(close, torch.full_like(sine, share), (share * angle).sin() / safe)
    return (keep[:, None] * flat_a + take[:, None] * flat_b).reshape(a.shape)


# --8<-- [end:spherical_mix]


# --8<-- [start:encode]
@torch.no_grad()
def encode(
    denoiser: Denoiser, schedule: Schedule, x_0: Batch, times: Times, step: Step = heun_step
) -> Batch:
    r"""The noise that a deterministic sampler would turn into these data: the flow, run upward.

    The walk starts from $\alpha_{t} x_0$ at the first time, which is right up to a term of order
    $t^2$. `fromnoise.samplers.sample` with the times turned round, and 0 after them, is the way
    back.

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule that the denoiser was made for.
        x_0: Data.
        times: Strictly rising times in (0, 1].
        step: A step without fresh noise.

    Returns:
        Noise at `times[-1]`.

    Raises:
        ValueError: If the times do not rise strictly, or leave (0, 1].

    Source:
        Song et al. 2021, arXiv 2010.02502, for the steps; arXiv 2011.13456 for the flow.
    """
    times = checked_times(times)
    if not times[0] < times[1] or times[0] <= 0:
        raise ValueError(f"times must rise from above 0, got {times[0]:.4g}..{times[-1]:.4g}")
    x_t = (schedule(times[0]).alpha_t * x_0).to(x_0.dtype)
    for t, s in pairwise(times):
        x_t = step(denoiser, schedule, x_t, t, s, None)
    return x_t


# --8<-- [end:encode]


# --8<-- [start:renoise]
@torch.no_grad()
def renoise(
    denoiser: Denoiser,
    schedule: Schedule,
    x_0: Batch,
    times: Times,
    generator: torch.Generator,
    step: Step = ddim_step,
) -> Batch:
    r"""Noise data up to a time and walk back: $x_t = \alpha_t x_0 + \sigma_t \epsilon \to x_0'$.

    The later the time, the less of the data is left in the result.

    Args:
        denoiser: Estimate of the clean data, perhaps for another condition than that of the data.
        schedule: Noise schedule that the denoiser was made for.
        x_0: Data to start from.
        times: Falling times; the first one is where the noise stops.
        generator: Source of the noise, and of that of the steps.
        step: The move of the walk back.

    Raises:
        ValueError: If the grid does not fall strictly, or leaves [0, 1].

    Source:
        Meng et al. 2022, arXiv 2108.01073.
    """
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"times must be at least two, got {times.tolist()}")
    start = schedule(checked_times(times)[0])
    x_t = perturb(x_0, noise_like(x_0, generator), start)
    return sample(denoiser, schedule, x_t, times, step, generator)


# --8<-- [end:renoise]


# --8<-- [start:Rescaling]
class Rescaling(NamedTuple):
    r"""Codes moved to mean 0 and an overall variance of 1, $\tilde z = (z - m) / s$, and back.

    Attributes:
        mean: $m$, one per latent.
        std: $s > 0$, one for all, so that the shape of the cloud stays.
    """

    mean: Float[Tensor, " latents"]
    std: Float[Tensor, ""]

    @classmethod
    def of(cls, z: Float[Tensor, "n latents"]) -> "Rescaling":
        r"""From codes: their mean, and the root of their mean variance.

        Raises:
            ValueError: If there are fewer than two codes, or they do not vary, or are not finite.

        Source:
            Rombach et al. 2022, arXiv 2112.10752, who divide by one standard deviation for all.
        """
        if len(z) < 2 or not z.isfinite().all():
            raise ValueError(f"need two or more finite codes, got {len(z)}")
        std = z.var(0).mean().sqrt()
        if not std > 0:
            raise ValueError("the codes do not vary, so there is no scale")
        return cls(z.mean(0), std)

    def apply(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n latents"]:
        r"""$(z - m) / s$."""
        return (z - self.mean) / self.std

    def undo(self, z: Float[Tensor, "n latents"]) -> Float[Tensor, "n latents"]:
        r"""$m + s z$."""
        return self.mean + self.std * z


# --8<-- [end:Rescaling]


def _check_mix(a: Tensor, b: Tensor, share: float) -> None:
    require_shape("b", b, a)
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
