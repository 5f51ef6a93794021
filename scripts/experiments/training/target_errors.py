"""Where on the way from noise to data does a network asked for the noise go wrong?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from fromnoise import figures

needs = ("training/breaks",)


@dataclass(frozen=True)
class Config:
    seed: int = 0


SIZES = {"full": Config(), "smoke": Config()}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    errors = needed["training/breaks"]["errors"]
    ratios = [e / w for e, w in zip(errors["eps"]["mean"], errors["whole"]["mean"], strict=True)]
    return {**errors, "ratio": {"first": ratios[0], "last": ratios[-1]}}


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, ax = figures.figure(2.4)
    places = {"eps": {"x": 0.96, "dx": -8, "dy": 2}, "whole": {"x": 0.98, "dx": 0, "dy": -10}}
    for name, role, label in (("eps", "broken", "noise"), ("whole", "model", "velocity")):
        found = results[name]
        # An interval over three seeds may reach below zero, which no logarithm shows.
        low = [
            max(value, 0.3 * mean) for value, mean in zip(found["low"], found["mean"], strict=True)
        ]
        ax.fill_between(
            results["t"], low, found["high"], color=figures.color(role), alpha=0.25, lw=0
        )
        line = ax.plot(results["t"], found["mean"], **figures.line_style(role))[0]
        figures.label_line(line, f"asked for the {label}", ha="right", **places[name])
    ax.set(yscale="log", xlim=(0, 1), xlabel="time t: data at 0, noise at 1")
    figures.panel_label(ax, "mean squared error of a clean pixel")
    return figure
