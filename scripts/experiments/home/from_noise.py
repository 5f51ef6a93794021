"""Does the same noise still become digits when one part of the model is removed?

Trains nothing: it shows the walk that the flagship model of the training chapter recorded.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from fromnoise import figures

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    # Nothing here is random; the noise of the walk has the seed of training/digits.
    seed: int = 0
    n_shown_times: int = 5
    n_columns: int = 5


SIZES = {"full": Config(), "smoke": Config()}


def run(
    config: Config, device: torch.device, workdir: Path, needed: dict[str, dict]
) -> dict[str, object]:
    walk = needed["training/digits"]["trajectory"]
    last = len(walk["times"]) - 1
    return {
        "whole": walk["whole"],
        "broken": walk["broken"],
        "times": walk["times"],
        "labels": walk["labels"],
        "removed": walk["removed"],
        "shown": np.linspace(0, last, config.n_shown_times).round().astype(int).tolist(),
        # For the player of the first page: how to lay out one frame, and the ends of the scale.
        "columns": config.n_columns,
        "levels": [0, 16],
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(1.95, ncols=2, sharey=False)
    names = (("whole", "whole", "model"), ("broken", f"without {results['removed']}", "broken"))
    for ax, (key, name, role) in zip(axes, names, strict=True):
        frames = np.array(results[key])[:, results["shown"]]
        figures.image_grid(ax, frames.swapaxes(0, 1), levels=tuple(results["levels"]), role=role)
        figures.panel_label(ax, name, role)
    height = len(results["shown"]) * 9 - 1
    axes[0].text(-1.5, 3.5, "noise", ha="right", va="center", color=figures.color("muted"))
    axes[0].text(-1.5, height - 4.5, "data", ha="right", va="center", color=figures.color("muted"))
    return figure
