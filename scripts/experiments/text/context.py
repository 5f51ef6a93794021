"""What does a character cost as more and more of the text before it is seen?"""

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
    truth, network = budget["by_place"]["truth"], budget["by_place"]["network"]
    late = len(truth) // 2
    return {
        "n_grams": budget["n_grams"],
        "truth": truth,
        "network": network,
        "none": network[0],
        "one": network[1],
        "six": network[6],
        "late_network": sum(network[late:]) / len(network[late:]),
        "late_truth": sum(truth[late:]) / len(truth[late:]),
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8, width=0.85)
    seen = range(len(results["truth"]))
    ax.plot(seen, results["truth"], **figures.line_style("data", lw=1.2), label="truth")
    ax.plot(seen, results["network"], **figures.line_style("model", lw=1.2), label="network")
    ax.plot(
        range(len(results["n_grams"])),
        results["n_grams"],
        **figures.line_style("broken", color=figures.color("ink")),
        marker=figures.marker("broken"),
        label="counts",
    )
    ax.set(xlabel="characters seen before", ylabel="bits per character", yscale="log")
    ax.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    ax.minorticks_off()
    ax.legend()
    return figure
