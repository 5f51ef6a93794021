"""What the experiments of this chapter share: eight spots, a small flow, and one way to judge."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fromnoise.couplings import optimal_coupling, straightness
from fromnoise.flow_matching import conditional_flow_matching, velocity_denoiser
from fromnoise.intervals import mean_interval
from fromnoise.mixtures import GaussianMixture
from fromnoise.networks import MLP
from fromnoise.sample_measures import wasserstein_2
from fromnoise.samplers import euler_step, sample, uniform_times
from fromnoise.schedules import Rectified
from fromnoise.training import Batch, Loss, TrainingSettings, train

SCHEDULE = Rectified()
Velocity = Callable[[Tensor, Tensor], Tensor]
Pairing = Callable[[Tensor, Tensor], Tensor]
"""Says for a batch of data and a batch of noise which noise belongs to which data."""


def spots() -> GaussianMixture:
    """Eight round spots on a circle."""
    turns = torch.arange(8) * (2 * torch.pi / 8)
    return GaussianMixture.isotropic(2 * torch.stack([turns.cos(), turns.sin()], 1), 0.15)


def even_times(n: int, generator: torch.Generator) -> Tensor:
    """One time per example, spread evenly over [0, 1] from one random shift, in random order."""
    device = generator.device
    shift = torch.rand((), generator=generator, device=device)
    return (shift + torch.randperm(n, generator=generator, device=device) / n) % 1


def as_they_come(x_0: Tensor, eps: Tensor) -> Tensor:
    """Independent pairs: the order of the draws."""
    return torch.arange(len(x_0), device=x_0.device)


def in_parts(size: int) -> Pairing:
    """Optimal pairs within parts of a batch, so that batches stay equal and only pairing differs.

    The chapter speaks of a part as the batch that is paired.
    """

    def pairs(x_0: Tensor, eps: Tensor) -> Tensor:
        found = [
            start + optimal_coupling(x_0[start : start + size], eps[start : start + size])
            for start in range(0, len(x_0), size)
        ]
        return torch.cat(found)

    return pairs


def fresh_noise(pairing: Pairing = as_they_come) -> Loss:
    """Flow matching on data and fresh noise."""

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        x_0 = batch[0]
        eps = torch.randn(x_0.shape, generator=generator, device=x_0.device)
        t = even_times(len(x_0), generator)
        return conditional_flow_matching(network, x_0, eps[pairing(x_0, eps)], t, SCHEDULE).mean()

    return loss


def given_pairs(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Flow matching on pairs of data and noise that are given."""
    t = even_times(len(batch[0]), generator)
    return conditional_flow_matching(network, batch[0], batch[1], t, SCHEDULE).mean()


def fit(
    loss: Loss,
    data: Batch,
    n_steps: int,
    seed: int,
    folder: Path,
    network: nn.Module | None = None,
) -> nn.Module:
    """Train a small network on points in the plane."""
    settings = TrainingSettings(n_steps=n_steps, batch_size=256, learning_rate=5e-3, seed=seed)
    start = MLP(2, seed=seed) if network is None else network
    return train(start, loss, data, settings, folder=folder).network


@torch.no_grad()
def walk(velocity: Velocity, eps: Tensor, n_steps: int) -> Tensor:
    """Every state of a walk from noise to data in equal Euler steps, the noise first."""
    denoiser = velocity_denoiser(velocity, SCHEDULE)
    return sample(denoiser, SCHEDULE, eps, uniform_times(n_steps), euler_step, return_path=True)


def judged(velocity: Velocity, eps: Tensor, real: Tensor, steps: Sequence[int]) -> dict[str, float]:
    """Distance to real data for each number of steps, and the bend of the paths."""
    found = {f"w{n}": wasserstein_2(walk(velocity, eps, n)[-1], real) for n in steps}
    fine = walk(velocity, eps, 100)
    return {**found, "bend": straightness(fine, uniform_times(100)).mean().item()}


def over(rows: Sequence[dict[str, float]]) -> dict[str, dict]:
    """For each quantity: mean, 95 % interval over seeds, and the value of every seed."""
    return {
        key: {
            **mean_interval([row[key] for row in rows]),
            "values": [round(row[key], 5) for row in rows],
        }
        for key in rows[0]
    }


def rounded(x: Tensor, decimals: int = 3) -> list:
    """Points to be drawn later."""
    return [[round(v, decimals) for v in row] for row in x.flatten(0, -2).tolist()]
