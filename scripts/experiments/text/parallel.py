"""How many characters can be revealed at once before they contradict each other?"""

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
    return {key: budget[key] for key in ("steps", "steps_exact", "causal_slips")}


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8, width=0.85)
    for key, role, text in (
        ("steps", "model", "network"),
        ("steps_exact", "data", "exact conditionals"),
    ):
        steps = [int(k) for k in results[key]]
        means = [results[key][str(k)]["mean"] for k in steps]
        ax.plot(steps, means, **figures.line_style(role), marker=figures.marker(role), label=text)
    ax.axhline(results["causal_slips"]["mean"], **figures.line_style("muted", lw=1.2))
    ax.text(
        1,
        results["causal_slips"]["mean"],
        "left to right",
        va="bottom",
        color=figures.color("muted"),
    )
    ax.set_xscale("log", base=2)
    ax.set_xticks(steps, [str(k) for k in steps])
    ax.minorticks_off()
    ax.set(xlabel="steps", ylabel="slips per 100 characters", ylim=(0, None))
    ax.legend()
    return figure
