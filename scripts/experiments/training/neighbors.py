"""Did the model write these digits, or remember them? Each beside the nearest training image."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.training._common import grid
from fromnoise import figures

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seed: int = 0


SIZES = {"full": Config(), "smoke": Config()}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    found = needed["training/digits"]
    return {
        **found["neighbors"],
        "ratio": found["neighbor_ratio"],
        "copies": found["controls"]["copies"]["neighbor_ratio"],
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (top, bottom) = figures.figure(1.75, nrows=2, sharex=False)
    figures.image_grid(top, grid(results["samples"], 1), levels=(0, 16), role="model")
    figures.image_grid(bottom, grid(results["nearest"], 1), levels=(0, 16), role="data")
    figures.panel_label(top, "samples", "model")
    figures.panel_label(bottom, "nearest of the 1000 training images", "data")
    return figure
