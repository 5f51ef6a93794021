"""What the experiments of this chapter share: the flagship with and without a class, a judge."""

import torch
from torch import Tensor, nn

from experiments._flagship import NULL, SCHEDULE, TARGET, load_network
from experiments.training._common import HERE, Judge, draw_digits, judge_for, over
from fromnoise.denoising import as_denoiser
from fromnoise.mixtures import GaussianMixture
from fromnoise.samplers import Denoiser, uniform_times

__all__ = ["SCHEDULE", "TARGET", "Judge", "draw_digits", "judge_for", "load_network", "over"]

PLANE = GaussianMixture.isotropic(
    torch.tensor([[-1.5, -0.5], [0.2, 1.3], [1.4, -0.9]], dtype=torch.float64),
    0.3,
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
)


def labels_for(n: int) -> Tensor:
    """Every class equally often."""
    return torch.arange(n) % 10


def both(network: nn.Module, n: int) -> tuple[Denoiser, Denoiser]:
    """The flagship asked for each class in turn, and asked for no class."""
    labels = labels_for(n).to(next(network.parameters()).device)
    conditional = as_denoiser(network, SCHEDULE, TARGET, labels)
    return conditional, as_denoiser(network, SCHEDULE, TARGET, torch.full_like(labels, NULL))


def unsnapped(images: Tensor) -> Tensor:
    """Images as the sampler left them: rounding to gray levels would hide saturation."""
    return images


def measured(
    ask: Denoiser, n: int, n_steps: int, seed: int, judge: Judge, device: torch.device = HERE
) -> dict:
    """What guidance trades: obedience, diversity, nearness to real digits, pixels out of range."""
    times = uniform_times(n_steps)
    images = draw_digits(ask, n, times, seed, snap=unsnapped, device=device)
    labels = labels_for(n)
    shown = images.clamp(-1, 1)
    features = judge.classifier.judge(shown)
    return {
        "accuracy": judge.classifier.accuracy(shown, labels),
        "spread": spread(features, labels) / spread(judge.held_out_features, judge.held_out.labels),
        "frechet": judge.frechet(shown),
        # A twentieth of a gray level beyond black or white is forgiven.
        "outside": float(((images.abs() - 1) > 0.05 / 8).double().mean()),
        "images": shown,
    }


def spread(features: Tensor, labels: Tensor) -> float:
    """Mean variance of the features within a class: how much the samples of one digit differ."""
    parts = [features[labels == c] for c in labels.unique()]
    return float(torch.stack([part.var(0, correction=0).sum() for part in parts]).mean())


def gray(images: Tensor) -> list:
    """Images as gray levels 0 to 16 with one digit of fraction."""
    return ((images.reshape(-1, 8, 8).clamp(-1, 1) + 1) * 8).round(decimals=1).tolist()
