"""Does the flagship still learn at the end, or has it begun to learn its images by heart?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from fromnoise import figures

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seed: int = 0


SIZES = {"full": Config(), "smoke": Config()}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    curve = needed["training/digits"]["curve"]
    gaps = [v - t for v, t in zip(curve["validation_bits"], curve["train_bits"], strict=True)]
    best = min(range(len(gaps)), key=curve["validation_bits"].__getitem__)
    return {
        **curve,
        "gap": {"first": gaps[0], "last": gaps[-1]},
        "best": {"step": int(curve["step"][best]), "bits": curve["validation_bits"][best]},
        "last": {"validation_bits": curve["validation_bits"][-1], "loss": curve["loss"][-1]},
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.2, ncols=2, sharey=False)
    steps = results["step"]
    left.plot(steps, results["loss"], **figures.line_style("model"))
    figures.panel_label(left, "training loss, mean since the last mark")
    # One model, judged on two sets: one color, told apart by dashes.
    style = figures.line_style("data", color=figures.color("model"))
    seen = right.plot(steps, results["train_bits"], **style)[0]
    held = right.plot(steps, results["validation_bits"], **figures.line_style("model"))[0]
    middle = steps[len(steps) // 2]
    figures.label_line(seen, "images trained on", x=middle, dx=0, dy=-6, ha="center", va="top")
    figures.label_line(held, "images held out", x=middle, dx=0, dy=6, ha="center", va="bottom")
    figures.panel_label(right, "bound, bits per pixel")
    for ax in (left, right):
        ax.set(xlabel="step", xlim=(0, None))
        ax.margins(y=0.3)
    return figure
