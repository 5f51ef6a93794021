"""Which measure notices which fault, when the fault is known?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from experiments._flagship import load_network
from experiments._judge import load_judge
from experiments.evaluation._common import over, unsnapped_digits
from fromnoise import figures
from fromnoise.datasets import Split, digits, snap_to_levels
from fromnoise.evaluation import (
    c2st,
    frechet_distance,
    nearest_neighbor_ratio,
)
from fromnoise.sample_measures import kernel_distance, neighbor_measures

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    n: int = 340
    k: int = 5
    n_folds: int = 2
    n_sampling_steps: int = 10
    noise: float = 0.1  # eight tenths of a gray level
    n_kept: int = 40


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n=30, n_folds=2, n_sampling_steps=1, n_kept=5),
}

FAULTS = {
    "real": "real, other images",
    "noise": "faint noise",
    "blur": "blurred",
    "sharp": "sharpened",
    "dropped": "no 3, 4, 5",
    "imbalance": "5 to 9 are rare",
    "duplicates": "40 images, repeated",
    "copies": "copies of training",
    "model": "the digit model",
}
MEASURES = {
    "frechet": "Fréchet",
    "kernel": "kernel",
    "precision": "precis.",
    "recall": "recall",
    "density": "density",
    "coverage": "cover.",
    "c2st": "2-sample",
    "neighbor": "neighbor",
}
WORSE_IF_LARGER = {"frechet", "kernel", "c2st"}


def smoothed(images: Tensor) -> Tensor:
    """Each pixel averaged with its neighbors, [1 2 1]/4 along rows and columns."""
    row = torch.tensor([0.25, 0.5, 0.25])
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, (row[:, None] * row)[None, None])


def halves(train: Split, seed: int) -> tuple[Split, Split]:
    """What is called the training set, and real images that are like new ones."""
    order = torch.randperm(len(train.images), generator=torch.Generator().manual_seed(seed))
    parts = order.chunk(2)
    return tuple(Split(train.images[p], train.labels[p]) for p in parts)  # type: ignore[return-value]


def faulty(fresh: Split, memory: Split, config: Config, seed: int) -> dict[str, Tensor]:
    """The same number of images for each fault, made of real ones."""
    generator = torch.Generator().manual_seed(1000 + seed)
    images, labels, n = fresh.images, fresh.labels, config.n
    eps = torch.randn(images.shape, generator=generator)

    kept = (labels < 3) | (labels > 5)
    blurred = smoothed(images)
    repeats = -(-n // config.n_kept)
    return {
        "real": images[:n],
        "noise": snap_to_levels(images + config.noise * eps)[:n],
        "blur": snap_to_levels(0.5 * (images + blurred))[:n],
        "sharp": snap_to_levels((images + 0.5 * (images - blurred)).clamp(-1, 1))[:n],
        "dropped": images[kept][:n],
        # No image twice: that would be a fault of its own.
        "imbalance": torch.cat([images[labels < 5], images[labels > 4]])[:n],
        "duplicates": images[: config.n_kept].repeat(repeats, 1, 1, 1)[:n],
        "copies": memory.images[:n],
    }


def measured(
    x: Tensor, real: Tensor, judge: Callable, training: Tensor, config: Config, seed: int
) -> dict[str, float]:
    a, b = judge(x), judge(real)
    near = neighbor_measures(b, a, config.k)
    return {
        "frechet": frechet_distance(a, b),
        "kernel": kernel_distance(a, b),
        **near._asdict(),
        "c2st": c2st(x, real, config.n_folds, seed),
        "neighbor": nearest_neighbor_ratio(x, training, real),
    }


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    judge = load_judge(needed["training/digits"]["weights"]["judge"]).judge
    network = load_network(needed["training/digits"]["weights"]["model"])
    real = data.test.images[: config.n]
    rows: dict[str, list[dict]] = {name: [] for name in FAULTS}
    for seed in config.seeds:
        memory, fresh = halves(data.train, seed)
        for name, x in faulty(fresh, memory, config, seed).items():
            rows[name].append(measured(x, real, judge, memory.images, config, seed))
        x = snap_to_levels(
            unsnapped_digits(network, fresh.labels[: config.n], config.n_sampling_steps, seed)
        )
        rows["model"].append(measured(x, real, judge, data.train.images, config, seed))
    found: dict = {}
    for name, per_seed in rows.items():
        found[name] = {}
        for measure in MEASURES:
            sign = 1 if measure in WORSE_IF_LARGER else -1
            harm = [
                sign * (row[measure] - base[measure])
                for row, base in zip(per_seed, rows["real"], strict=True)
            ]
            harmed = over(harm) if name != "real" else {"low": 0.0, "high": 0.0, "mean": 0.0}
            found[name][measure] = {
                **over([row[measure] for row in per_seed]),
                "harm": harmed,
                "verdict": "worse"
                if harmed["low"] > 0
                else "better"
                if harmed["high"] < 0
                else "silent",
            }
    return {
        **found,
        "n_silent": {
            m: sum(found[f][m]["verdict"] != "worse" for f in list(FAULTS)[1:-1]) for m in MEASURES
        },
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(3.9)
    for row, (fault, label) in enumerate(FAULTS.items()):
        ax.text(-0.1, -row, label, ha="right", va="center", fontsize=9)
        for column, measure in enumerate(MEASURES):
            cell = results[fault][measure]
            role = {"worse": "broken", "better": "muted", "silent": "grid"}[cell["verdict"]]
            alpha = 0.0 if cell["verdict"] == "silent" else 0.28
            ax.add_patch(
                Rectangle(
                    (column + 0.03, -row - 0.44),
                    0.94,
                    0.88,
                    color=figures.color(role),
                    alpha=alpha,
                    lw=0,
                )
            )
            mark = {"worse": "", "better": "+", "silent": ""}[cell["verdict"]]
            digits_after = 1 if measure == "frechet" else 2
            weight = "bold" if cell["verdict"] == "worse" else "normal"
            ax.text(
                column + 0.5,
                -row,
                f"{cell['mean']:.{digits_after}f}{mark}",
                ha="center",
                va="center",
                fontsize=9,
                fontweight=weight,
            )
    for column, label in enumerate(MEASURES.values()):
        ax.text(column + 0.5, 0.62, label, ha="center", va="bottom", fontsize=9)
    ax.axhline(-0.5, color=figures.color("muted"), lw=0.7)
    ax.axhline(-len(FAULTS) + 1.5, color=figures.color("muted"), lw=0.7)
    ax.set(xlim=(-2.9, len(MEASURES)), ylim=(-len(FAULTS) + 0.5, 1.1))
    ax.set_axis_off()
    return figure
