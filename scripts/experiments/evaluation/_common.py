"""What the experiments of this chapter share: one judge of digits, and intervals over seeds."""

from collections.abc import Sequence

import torch
from torch import Tensor

from experiments._flagship import SCHEDULE, TARGET
from fromnoise.denoising import as_denoiser
from fromnoise.intervals import mean_interval
from fromnoise.networks import UNet
from fromnoise.samplers import heun_step, sample, uniform_times


def over(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [round(float(value), 6) for value in values]}


def unsnapped_digits(network: UNet, labels: Tensor, n_steps: int, seed: int) -> Tensor:
    """Samples of the flagship for these labels, as the sampler leaves them."""
    x_1 = torch.randn((len(labels), 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    denoiser = as_denoiser(network, SCHEDULE, TARGET, labels)
    return sample(denoiser, SCHEDULE, x_1, uniform_times(n_steps), heun_step)


def nearest(x: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest of the points, and which one it is."""
    found = torch.cdist(x.flatten(1).double(), points.flatten(1).double()).min(1)
    return found.values, found.indices


def gray(images: Tensor) -> list:
    """Images as whole gray levels 0 to 16."""
    return ((images.reshape(-1, 8, 8).clamp(-1, 1) + 1) * 8).round().int().tolist()
