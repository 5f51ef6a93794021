"""Does a network that reads its own writing make more mistakes than one that reads the truth?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.intervals import mean_interval

needs = ("text/budget",)


@dataclass(frozen=True)
class Config:
    pass


SIZES = {"full": Config(), "smoke": Config()}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    budget = needed["text/budget"]
    clean = [one[-1] for one in budget["without_a_slip"]]
    return {
        **budget["exposure"],
        "without_a_slip": budget["without_a_slip"],
        "clean": mean_interval(clean),
        "n_characters": 24 * len(budget["without_a_slip"][0]),
        "sample": budget["sample"]["sample"],
    }


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.7, ncols=2, sharey=False, width_ratios=[1.25, 1])
    rows = [
        ("truth", "data", "true_text"),
        ("own text", "model", "own_text"),
        ("own, no slip near", "muted", "own_clean"),
        ("own, after a slip", "broken", "own_after_slip"),
    ]
    for place, (_, role, key) in enumerate(rows):
        found = results[key]
        left.barh(place, found["mean"], 0.62, color=figures.color(role))
        left.plot(
            [found["low"], found["high"]], [place] * 2, color=figures.color("ink"), ls="-", lw=1
        )
    figures.sequence_axis(left, [row[0] for row in rows], axis="y")
    left.set_ylim(3.5, -0.5)
    left.set_xlim(0, None)
    left.set_xlabel("slips per 100 characters")
    for curve in results["without_a_slip"]:
        places = [24 * (k + 1) for k in range(len(curve))]
        right.plot(places, curve, **figures.line_style("model", lw=1.2), marker="s")
    right.set(xlabel="characters written", ylabel="rows without a slip", ylim=(0, 1))
    return figure
