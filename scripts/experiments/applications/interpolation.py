"""Is the middle between two noises still a noise, and what does the model draw from it?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from torch import Tensor

from experiments._flagship import NULL, SCHEDULE
from experiments.applications._common import (
    ask,
    digit_model,
    levels,
    noise,
    reader,
    summed_up,
)
from fromnoise import figures
from fromnoise.applications import encode, spherical_mix
from fromnoise.datasets import digits, snap_to_levels
from fromnoise.evaluation import frechet_distance
from fromnoise.samplers import heun_step, sample, uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_pairs: int = 200
    n_steps: int = 8
    reader_steps: int = 400
    n_stops: int = 9
    n_encode_steps: int = 32
    pair: tuple[int, int] = (3, 8)


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_pairs=20, n_steps=2, reader_steps=2, n_stops=3, n_encode_steps=2),
}
MIXES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "linear": lambda a, b, share: torch.lerp(a, b, share),
    "spherical": spherical_mix,
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network, data = digit_model(needed), digits()
    judge = reader(config.reader_steps)
    real = judge.judge(data.test.images)
    # Test labels hold the classes in their real proportions.
    labels = data.test.labels[: config.n_pairs]
    times = uniform_times(config.n_steps)
    rows = []
    for seed in range(config.n_seeds):
        a, b = (noise(len(labels), 2 * seed + i) for i in range(2))
        starts = {"ends": a} | {name: mix(a, b, 0.5) for name, mix in MIXES.items()}
        row = {}
        for name, x_1 in starts.items():
            images = snap_to_levels(sample(ask(network, labels), SCHEDULE, x_1, times, heun_step))
            row[name] = {
                "norm": float(x_1.flatten(1).norm(dim=1).mean() / 8),
                "frechet": frechet_distance(judge.judge(images), real),
                "accuracy": judge.accuracy(images, labels),
                "spread": within(images, labels),
            }
        for name in MIXES:
            # Of one seed, so that what two sets share cancels.
            row[name]["spread_kept"] = row[name]["spread"] / row["ends"]["spread"]
            row[name]["extra_frechet"] = row[name]["frechet"] - row["ends"]["frechet"]
        rows.append(row)
    return summed_up(rows) | {"paths": paths(config, network, data.test)}


def within(images: Tensor, labels: Tensor) -> float:
    """Variance around the mean of the class, summed over pixels: how much two threes differ."""
    parts = [images[labels == c] for c in labels.unique()]
    total = sum(float((part - part.mean(0)).square().sum()) for part in parts)
    return total / len(images)


def paths(config: Config, network, test) -> dict:
    """From a real three to a real eight: in pixels, and between the noises that encode them."""
    ends = torch.cat([test.images[test.labels == c][:1] for c in config.pair])
    rising = uniform_times(config.n_encode_steps, 1.0, 0.01).flip(0)
    nobody = torch.full((2,), NULL)
    z = encode(ask(network, nobody), SCHEDULE, ends, rising)
    shares = np.linspace(0, 1, config.n_stops).tolist()
    falling = torch.cat([rising.flip(0), torch.zeros(1, dtype=torch.float64)])
    found = {"pixels": levels(torch.cat([torch.lerp(*ends[:, None], m) for m in shares]))}
    for name in ("linear", "spherical"):
        x_1 = torch.cat([MIXES[name](z[:1], z[1:], m) for m in shares])
        drawn = sample(
            ask(network, torch.full((len(x_1),), NULL)), SCHEDULE, x_1, falling, heun_step
        )
        found[name] = levels(drawn)
    return found


def draw(results: dict) -> matplotlib.figure.Figure:
    names = {"pixels": "data", "linear": "broken", "spherical": "model"}
    figure, axes = figures.figure(2.9, nrows=3, sharex=False)
    for ax, (name, role) in zip(axes, names.items(), strict=True):
        figures.image_grid(ax, np.array(results["paths"][name]), levels=(0, 160), role=role)
        label = name if name == "pixels" else f"noises, {name}"
        figures.panel_label(ax, label, role)
    return figure
