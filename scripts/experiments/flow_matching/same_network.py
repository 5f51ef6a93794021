"""Does a network of straight lines draw the same digits when it is sampled as a diffusion model?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from fromnoise import figures

needs = ("flow_matching/digits",)


@dataclass(frozen=True)
class Config:
    pass


SIZES = {"full": Config(), "smoke": Config()}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    return needed["flow_matching/digits"]["same"]


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, ax = figures.figure(2.6, width=0.75)
    steps = results["steps"]
    names = {
        "rectified": ("rectified", "model"),
        "cosine": ("cosine", "data"),
        "vp": ("linear β", "noise"),
        "ve": ("exploding", "muted"),
    }
    for name, (text, role) in names.items():
        errors = [results["own_steps"][name][str(n)] for n in steps]
        ax.plot(steps, errors, **figures.line_style(role), marker=figures.marker(role), label=text)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="relative distance")
    ax.set_xticks(steps, [str(n) for n in steps])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return figure
