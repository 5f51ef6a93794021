"""How sure may we be of an answer that looks sure?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from fromnoise import figures

needs = ("inverse/digits",)


@dataclass(frozen=True)
class Config:
    pass


SIZES = {"full": Config(), "smoke": Config()}
TASKS = {"twice": "2 by 2 means", "blur": "blur", "half": "upper half", "four": "4 by 4 means"}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    digits = needed["inverse/digits"]
    shown = digits["images"]["half"]
    return {
        "tasks": {
            task: {
                key: digits[task]["fitted"][key] for key in ("confidence", "agreement", "accuracy")
            }
            for task in TASKS
        },
        "mean": shown["fitted_mean"],
        "draws": shown["fitted"],
        "truth": shown["truth"],
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.6, ncols=2, sharey=False, width_ratios=(1.1, 1))
    rows = [
        [results["mean"][i], *results["draws"][i], results["truth"][i]]
        for i in range(len(results["truth"]))
    ]
    figures.image_grid(axes[0], rows, levels=(0, 16))
    figures.panel_label(axes[0], "mean, four draws, truth")
    names = list(reversed(TASKS))
    for shift, key, role, text in (
        (0.18, "confidence", "broken", "confident"),
        (0.0, "agreement", "model", "agree"),
        (-0.18, "accuracy", "data", "right"),
    ):
        for row, task in enumerate(names):
            value = results["tasks"][task][key]
            label = text if row == 0 else None
            place = row + shift
            axes[1].plot(
                [max(value["low"], 0), min(value["high"], 1)],
                [place, place],
                color=figures.color(role),
                linestyle="-",
                linewidth=1.5,
            )
            axes[1].plot(
                value["mean"], place, figures.marker(role), color=figures.color(role), label=label
            )
    axes[1].set_yticks(range(len(names)), [TASKS[task] for task in names])
    axes[1].set(xlim=(-0.03, 1.03), xlabel="share")
    axes[1].legend(
        fontsize=8, loc="lower left", bbox_to_anchor=(-0.1, 1), ncols=3, columnspacing=0.8
    )
    return figure
