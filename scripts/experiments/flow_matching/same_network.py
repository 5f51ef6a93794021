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
    # Dash and marker, color: the path the network was trained on is the model's own.
    names = {
        "rectified": ("rectified", "model", "model"),
        "cosine": ("cosine", "data", "ink"),
        "vp": ("linear β", "noise", "ink"),
        "ve": ("exploding", "muted", "muted"),
    }
    for name, (text, role, tone) in names.items():
        errors = [results["own_steps"][name][str(n)] for n in steps]
        style = figures.line_style(role, color=figures.color(tone))
        ax.plot(steps, errors, **style, marker=figures.marker(role), label=text)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="relative distance")
    ax.set_xticks(steps, [str(n) for n in steps])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return figure
