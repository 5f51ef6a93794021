"""What the experiments of this chapter share: the digit model, one judge, and sums over seeds."""

from collections.abc import Sequence

import torch
from torch import Tensor

from experiments._flagship import SCHEDULE, TARGET, load_network
from fromnoise.datasets import digits
from fromnoise.denoising import as_denoiser
from fromnoise.evaluation import Classifier, train_classifier
from fromnoise.intervals import mean_interval
from fromnoise.networks import UNet
from fromnoise.samplers import Denoiser

GRAY = 8.0
"""Gray levels per unit of a pixel: 17 levels on [-1, 1]."""


def digit_model(needed: dict) -> UNet:
    """The published weights."""
    return load_network(needed["training/digits"]["weights"]["model"])


def ask(network: UNet, labels: Tensor) -> Denoiser:
    """The denoiser for these classes; the null label stands for none."""
    return as_denoiser(network, SCHEDULE, TARGET, labels)


def reader(n_steps: int) -> Classifier:
    """Reads a digit's class; it never saw a training or a test image."""
    return train_classifier(*digits().validation, n_steps=n_steps)


def noise(n: int, seed: int) -> Tensor:
    return torch.randn((n, 1, 8, 8), generator=torch.Generator().manual_seed(seed))


def over(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [round(float(value), 6) for value in values]}


def summed_up(rows: list[dict]) -> dict:
    """From one dictionary per seed to one interval per measure; nested ones stay nested."""
    return {
        key: summed_up([row[key] for row in rows])
        if isinstance(value, dict)
        else over([row[key] for row in rows])
        for key, value in rows[0].items()
    }


def levels(images: Tensor) -> list:
    """Images as gray levels 0 to 16 in tenths, to be drawn later."""
    return ((images.reshape(-1, 8, 8).clamp(-1, 1) + 1) * 80).round().int().tolist()


def at_time(t: float) -> str:
    """Name of a time in the results: t50 for one half."""
    return f"t{round(100 * t)}"


def gray_distance(a: Tensor, b: Tensor) -> float:
    """Root mean square difference in gray levels."""
    return GRAY * float((a - b).square().mean().sqrt())
