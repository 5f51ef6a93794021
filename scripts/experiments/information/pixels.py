"""How many nats does one pixel tell about the digit, and how many are lost in processing?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fromnoise import figures
from fromnoise.datasets import digits, to_levels
from fromnoise.information import entropy
from fromnoise.intervals import mean_interval


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_shuffles: int = 5


SIZES = {"full": Config(), "smoke": Config(n_shuffles=2)}
# Each cell is a function of the one before: 17 gray levels, then 4 of them, then black or white.
GROUPS = {"all": 17, "four": 4, "two": 2}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    parts = (data.train, data.validation, data.test)
    levels = torch.cat([to_levels(part.images).flatten(1) for part in parts])
    labels = torch.cat([part.labels for part in parts])
    four = (levels // 4).clamp(max=3)
    processed = {"all": levels, "four": four, "two": four // 2}
    maps = {
        name: torch.stack([information(pixel, labels, GROUPS[name]) for pixel in values.T])
        for name, values in processed.items()
    }
    best = int(maps["all"].argmax())
    chance: dict = {name: [] for name in GROUPS}
    for seed in range(config.seed, config.seed + config.n_shuffles):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        for name, values in processed.items():
            found = information(values[:, best], labels[order], GROUPS[name])
            chance[name].append(float(found))
    shares = torch.bincount(labels).double() / len(labels)
    return {
        "class_entropy": float(entropy(shares)),
        "best": {"pixel": best, **{name: float(found[best]) for name, found in maps.items()}},
        "chance": {name: mean_interval(found) for name, found in chance.items()},
        "largest_gain": float(
            max((maps["four"] - maps["all"]).max(), (maps["two"] - maps["four"]).max())
        ),
        "maps": {name: [round(v, 4) for v in found.tolist()] for name, found in maps.items()},
    }


def information(pixel: Tensor, labels: Tensor, n_levels: int) -> Tensor:
    """Mutual information of a pixel and the class, from the table of how often both occur."""
    table = torch.bincount(10 * pixel + labels, minlength=10 * n_levels).double()
    joint = (table / table.sum()).view(n_levels, 10)
    return entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint.flatten())


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.4, ncols=3)
    top = max(results["maps"]["all"])
    names = {"all": "17 levels", "four": "4 levels", "two": "2 levels"}
    for ax, (name, text) in zip(axes, names.items(), strict=True):
        pixels = torch.tensor(results["maps"][name]).view(1, 8, 8)
        figures.image_grid(ax, pixels.tolist(), levels=(0, top), role="data")
        figures.panel_label(ax, f"{text}, at most {max(results['maps'][name]):.2f}")
    return figure
