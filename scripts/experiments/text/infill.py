"""Who can fill a gap so that both sides still fit?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures

needs = ("text/budget",)


@dataclass(frozen=True)
class Config:
    pass


SIZES = {"full": Config(), "smoke": Config()}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    budget = needed["text/budget"]
    return {**budget["infill"], "examples": budget["examples"]}


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8, width=0.85)
    for key, role, text in (
        ("exact", "data", "exact conditionals"),
        ("masked", "model", "any order"),
        ("causal", "broken", "left to right"),
    ):
        gaps = [int(gap) for gap in results[key]]
        means = [results[key][str(gap)]["mean"] for gap in gaps]
        ax.plot(gaps, means, **figures.line_style(role), marker=figures.marker(role), label=text)
    ax.set(xlabel="characters in the gap", ylabel="rows that fit", ylim=(0, 1.03))
    ax.legend(loc="center right")
    return figure
