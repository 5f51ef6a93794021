"""What does one hidden character cost, by the share of the text that is hidden?"""

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
    curves = budget["by_share"]
    return {
        **curves,
        "first_truth": curves["truth"][0],
        "first_network": curves["network"][0],
        "last_truth": curves["truth"][-1],
        "last_network": curves["network"][-1],
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8, width=0.85)
    n = len(results["truth"])
    share = [(k + 0.5) / n for k in range(n)]
    ax.fill_between(share, results["truth"], color=figures.color("data"), alpha=0.12, lw=0)
    (truth,) = ax.plot(share, results["truth"], **figures.line_style("data"), marker="o")
    (network,) = ax.plot(share, results["network"], **figures.line_style("model"), marker="s")
    figures.label_line(truth, "truth", x=0.7, dx=6, dy=-10)
    figures.label_line(network, "network", x=0.45, dx=-6, dy=8, ha="right")
    ax.set(xlabel="share hidden", ylabel="bits per hidden character", ylim=(0, None), xlim=(0, 1))
    return figure
