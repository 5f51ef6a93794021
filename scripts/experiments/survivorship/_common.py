"""What the experiments of this chapter share: the fleet, and a small classifier of real digits."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fromnoise.networks import seeded
from fromnoise.survivorship import Fleet
from fromnoise.training import TrainingSettings, train

REGIONS = ("engines", "cockpit", "fuel tanks", "fuselage", "wings")
# Made up: engines are small and deadly, the fuselage is neither.
FLEET = Fleet(
    area=torch.tensor([0.15, 0.05, 0.15, 0.40, 0.25], dtype=torch.float64),
    vulnerability=torch.tensor([0.35, 0.50, 0.20, 0.02, 0.05], dtype=torch.float64),
    hits=2.0,
)


def classifier(seed: int, n_hidden: int = 32) -> nn.Sequential:
    """Pixels, one hidden layer, ten classes."""
    with seeded(seed):
        return nn.Sequential(nn.Linear(64, n_hidden), nn.ReLU(), nn.Linear(n_hidden, 10))


def class_loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Mean surprise of the true class, nats."""
    return F.cross_entropy(network(batch[0]), batch[1])


def fit(
    network: nn.Module,
    data: tuple[Tensor, ...],
    n_steps: int,
    seed: int,
    folder: Path,
    loss=class_loss,
) -> nn.Module:
    """Train with the settings of the whole chapter, which were not tuned."""
    settings = TrainingSettings(n_steps=n_steps, batch_size=100, learning_rate=1e-2, seed=seed)
    return train(network, loss, data, settings, folder=folder).network


@torch.no_grad()
def right(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """For each example, whether the most likely class is the true one."""
    return (network(x).argmax(-1) == y).float()
