"""What the eight families share: one ring of spots, one budget, one way to judge."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import matplotlib.axes
import torch
from torch import Tensor

from fromnoise import figures
from fromnoise.flow_likelihood import log_likelihood, noise_log_prob
from fromnoise.intervals import mean_interval
from fromnoise.mixtures import GaussianMixture
from fromnoise.sample_measures import gaussian_kernel, mmd_squared, wasserstein_2
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Schedule
from fromnoise.score import denoiser_score
from fromnoise.training import TrainingSettings

Value = TypeVar("Value")
RADIUS = 2.0


@dataclass(frozen=True)
class Budget:
    """What every family is given.

    A pass sends one example once through about ten thousand weights and its gradient back. Each
    family spends the same number of passes in its own way; learning rates were chosen on other
    draws than those of these seeds.
    """

    n_seeds: int = 3
    passes: int = 256_000
    n_data: int = 4000
    n_test: int = 2000
    n_paired: int = 1000  # for the Wasserstein distance, whose time grows with the cube
    n_drawn: int = 500
    # Seconds differ from run to run, so the small size, which must not, leaves them out.
    clock: bool = True


SMALL = {
    "n_seeds": 2,
    "passes": 2048,
    "n_data": 64,
    "n_test": 32,
    "n_paired": 16,
    "n_drawn": 12,
    "clock": False,
}


def ring(n_spots: int = 6, std: float = 0.25) -> GaussianMixture:
    """Round spots on a circle; neighbors are eight deviations apart."""
    turns = torch.arange(n_spots) * (2 * math.pi / n_spots)
    return GaussianMixture.isotropic(RADIUS * torch.stack([turns.cos(), turns.sin()], 1), std)


def draws(budget: Budget, seed: int, source: GaussianMixture | None = None) -> tuple[Tensor, ...]:
    """Training data and test data."""
    source = ring() if source is None else source
    generator = torch.Generator().manual_seed(seed)
    return source.sample(budget.n_data, generator), source.sample(budget.n_test, generator)


def settings(n_steps: int, seed: int, batch_size: int = 256, rate: float = 1e-2):
    """Of the families that `fromnoise.training.train` trains."""
    return TrainingSettings(
        n_steps=n_steps, batch_size=batch_size, learning_rate=rate, ema_decay=0.99, seed=seed
    )


def on_ring(samples: Tensor, source: GaussianMixture | None = None) -> dict[str, float]:
    """Samples against the ring itself: how many miss the spots, and how many spots they make."""
    source = ring() if source is None else source
    std = source.components.eigenvalues.max().sqrt()
    distance, nearest = torch.cdist(samples, source.components.mean).min(1)
    n_spots = len(source.log_weights)
    shares = torch.bincount(nearest, minlength=n_spots).double() / len(samples)
    return {
        "stray": (distance > 3 * std).double().mean().item(),
        "covered": float((shares > 0.25 / n_spots).sum()),
        "spots": torch.special.entr(shares).sum().exp().item(),
    }


def judged(budget: Budget, samples: Tensor, test: Tensor) -> dict[str, float]:
    """Samples against the ring, and against held-out data by two distances."""
    return {
        **on_ring(samples),
        "w2": wasserstein_2(samples[: budget.n_paired], test[: budget.n_paired]),
        # In thousandths. The width of a spot: what it sees is on that scale.
        "mmd": 1e3 * mmd_squared(samples, test, lambda x, y: gaussian_kernel(x, y, 0.25)),
    }


def excess(log_prob: Tensor, test: Tensor, source: GaussianMixture | None = None) -> float:
    """Nats per point that the model loses to the truth: a divergence, from held-out data."""
    source = ring() if source is None else source
    return float((source.log_prob(test).double() - log_prob.double()).mean())


def flow_log_prob(
    denoiser: Denoiser, schedule: Schedule, x: Tensor, n_steps: int, sigmas: tuple[float, float]
) -> Tensor:
    """Log density by the probability flow, between two ratios of noise to signal.

    The first is a fifth of the width of a spot or less, and blurs the density by so much.
    """
    ends = [-2 * math.log(sigma) for sigma in sigmas]
    times = schedule.time_at(torch.linspace(*ends, n_steps + 1, dtype=torch.float64))
    end = noise_log_prob(schedule, times[-1].to(x))
    return log_likelihood(denoiser_score(denoiser, schedule), schedule, x, times, end)


def clocked(budget: Budget, work: Callable[[], Value]) -> tuple[Value, float]:
    """What the work returns, and the processor's seconds; zero where the clock is off."""
    started = time.process_time()
    value = work()
    return value, (time.process_time() - started) if budget.clock else 0.0


def over(rows: Sequence[dict[str, float]]) -> dict[str, dict]:
    """For each quantity: mean, 95 % interval over seeds, the value of every seed and their median.

    Seconds are told by their median: the first run of a process is slower than the others.
    """
    return {
        key: {
            **mean_interval([row[key] for row in rows]),
            "median": statistics.median(row[key] for row in rows),
            "values": [round(row[key], 5) for row in rows],
        }
        for key in rows[0]
    }


def rounded(x: Tensor, n: int | None = None) -> list:
    """Points to be drawn later."""
    return [[round(v, 3) for v in row] for row in x[:n].tolist()]


def scatter(ax: matplotlib.axes.Axes, points: list, role: str, text: str, reach: float = 3.1):
    """A panel of points in the plane, without ticks."""
    ax.scatter(*zip(*points, strict=True), s=3.5, lw=0, color=figures.color(role), alpha=0.7)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    figures.panel_label(ax, text, role)
