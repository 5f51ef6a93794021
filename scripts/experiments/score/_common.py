"""What the experiments of this chapter share: mixtures, networks and ways to measure."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fromnoise.datasets import Splits
from fromnoise.generative_models import dequantize, fit_class_gaussians
from fromnoise.intervals import mean_interval
from fromnoise.mixtures import GaussianMixture
from fromnoise.networks import MLP
from fromnoise.schedules import Schedule
from fromnoise.score import TimeScore, denoising_score_matching
from fromnoise.training import Batch, Loss

Field = Callable[[Tensor], Tensor]


def near_modes() -> GaussianMixture:
    """Three components that touch: no region between them is empty."""
    means = torch.tensor([[-1.5, -0.9], [1.5, -0.9], [0.0, 1.6]])
    return GaussianMixture.isotropic(means, 0.7, torch.tensor([0.5, 0.3, 0.2]))


def far_modes() -> GaussianMixture:
    """Two components with next to nothing between them, one four times as heavy."""
    means = torch.tensor([[-4.0, -4.0], [4.0, 4.0]])
    return GaussianMixture.isotropic(means, 1.0, torch.tensor([0.2, 0.8]))


def digit_mixture(data: Splits, seed: int) -> GaussianMixture:
    """One Gaussian for each class of the training digits, flat and without gray levels."""
    generator = torch.Generator().manual_seed(seed)
    flat = dequantize(data.train.images.flatten(1).double(), 1 / 8, generator)
    return fit_class_gaussians(flat, data.train.labels, shrinkage=0.03)


def relative_error(found: Tensor, exact: Tensor) -> float:
    """Squared error of a field as a share of its mean square; a field of zeros has 1."""
    return float((found - exact).square().sum() / exact.square().sum())


def scaled_score(network: nn.Module, schedule: Schedule) -> TimeScore:
    """Score from a network that sees inputs, and gives outputs, of order one at every level."""

    def score(x_t: Tensor, t: Tensor) -> Tensor:
        sigma_t = schedule(t).sigma_t[:, None]
        return network(x_t / (1 + sigma_t.square()).sqrt(), t) / sigma_t

    return score


def anchored_score(network: nn.Module, schedule: Schedule) -> TimeScore:
    """The score of noisy standard normal data, and the network corrects it."""

    def score(x_t: Tensor, t: Tensor) -> Tensor:
        sigma_t = schedule(t).sigma_t[:, None]
        std_t = (1 + sigma_t.square()).sqrt()
        return -x_t / std_t.square() + network(x_t / std_t, t) / (sigma_t * std_t)

    return score


def all_levels(
    schedule: Schedule,
    make: Callable[[nn.Module, Schedule], TimeScore] = scaled_score,
    weight: Callable[[Tensor], Tensor] = torch.square,
) -> Loss:
    """Denoising score matching at random levels, weighted so that each level counts alike."""

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        x_0 = batch[0]
        t = torch.rand(len(x_0), generator=generator)
        eps = torch.randn(x_0.shape, generator=generator)
        scales, score = schedule(t), make(network, schedule)
        error = denoising_score_matching(lambda x: score(x, t), x_0, eps, scales)
        return (weight(scales.sigma_t) * error).mean()

    return loss


def clean(network: nn.Module) -> Field:
    """The field of a network that knows one level only, the data themselves."""
    return lambda x: network(x, torch.zeros(len(x)))


def small_network(n_dims: int, seed: int, width: int = 64) -> MLP:
    return MLP(n_dims, width=width, n_blocks=2, seed=seed)


def over_seeds(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [round(float(value), 6) for value in values]}


def rounded(points: Tensor, decimals: int = 3) -> list:
    """Points as lists short enough to be kept."""
    return points.double().round(decimals=decimals).tolist()
