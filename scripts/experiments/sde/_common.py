"""What the experiments of this chapter share: known distributions, their scores, and the judge."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fromnoise.datasets import Split, digits
from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import dequantize, fit_class_gaussians
from fromnoise.intervals import mean_interval
from fromnoise.mixtures import GaussianMixture
from fromnoise.sample_measures import random_directions, sliced_wasserstein_2
from fromnoise.schedules import Schedule, VPLinear
from fromnoise.score import TimeScore

SCHEDULE = VPLinear()
T_MIN = 1e-3  # the noise that is left has scale 0.01, far below every width used here
N_DIMS = 64
LEVEL_WIDTH = 1 / 8
PLANE = GaussianMixture.isotropic(
    torch.tensor([[-1.5, -0.5], [0.2, 1.3], [1.4, -0.9]], dtype=torch.float64),
    0.25,
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
)


def exact_score(distribution: Gaussian | GaussianMixture, schedule: Schedule) -> TimeScore:
    """The true score at the one time that all points of a walk share."""
    return lambda x, t: distribution.noised(schedule(t[0].double())).score(x)


def noise(n: int, n_dims: int, generator: torch.Generator, schedule: Schedule = SCHEDULE) -> Tensor:
    """What a sampler starts from: normal noise of the schedule's last scale."""
    scale = schedule(torch.ones((), dtype=torch.float64)).sigma_t
    return scale * torch.randn(n, n_dims, generator=generator, dtype=torch.float64)


def times_down(n_steps: int) -> Tensor:
    """Equal steps from the noise to the cleanest time."""
    return torch.linspace(1, T_MIN, n_steps + 1, dtype=torch.float64)


def distance(samples: Tensor, truth: GaussianMixture, generator: torch.Generator) -> float:
    """Sliced Wasserstein-2 distance to as many fresh draws of the truth, along 64 directions.

    The fresh draws hold each component in its exact share, so that they add little noise.
    """
    even = (torch.arange(len(samples)) + 0.5) / len(samples)
    component = torch.searchsorted(truth.weights.cumsum(0)[:-1], even.to(truth.weights))
    shares = component.bincount(minlength=len(truth.weights)).tolist()
    fresh = torch.cat([truth.component(k).sample(n, generator) for k, n in enumerate(shares)])
    directions = random_directions(64, samples.shape[1], torch.Generator().manual_seed(0))
    return sliced_wasserstein_2(samples, fresh, directions)


def over_seeds(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [float(f"{value:.6g}") for value in values]}


def spread_digits(split: Split, generator: torch.Generator) -> Tensor:
    """Digits as rows of pixels, each gray level spread over its own width."""
    return dequantize(split.images.flatten(1).double(), LEVEL_WIDTH, generator)


def digit_mixture(seed: int = 0) -> GaussianMixture:
    """One Gaussian per class of digits: real enough, and every answer is known."""
    train = digits().train
    x = spread_digits(train, torch.Generator().manual_seed(seed))
    return fit_class_gaussians(x, train.labels, shrinkage=0.02)


def pixels(images: Tensor) -> list:
    """Images as gray levels 0 to 16 with one digit of fraction, to be drawn later."""
    return ((images.reshape(-1, 8, 8).clamp(-1, 1) + 1) * 8).round(decimals=1).tolist()
