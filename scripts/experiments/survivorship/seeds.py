"""How often does one run per side give an ablation the wrong sign?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.survivorship._common import classifier, fit, right
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.intervals import mean_interval


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 12
    n_steps: int = 250
    whole: int = 32
    without: int = 24  # the lesion: a quarter of the hidden units are never there
    n_images: int | None = None


SIZES = {"full": Config(), "smoke": Config(n_seeds=3, n_steps=4, n_images=60)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train = (data.train.images.flatten(1), data.train.labels)
    test = data.test.images.flatten(1)[: config.n_images], data.test.labels[: config.n_images]
    scores: dict = {"whole": [], "without": []}
    for seed in range(config.seed, config.seed + config.n_seeds):
        for name, n_hidden in (("whole", config.whole), ("without", config.without)):
            # The same seed on both sides: the same batches in the same order.
            network = fit(
                classifier(seed, n_hidden), train, config.n_steps, seed, workdir / f"{name}{seed}"
            )
            scores[name].append(float(right(network, *test).mean()))
    whole, without = np.array(scores["whole"]), np.array(scores["without"])
    every_pair = whole[:, None] - without[None, :]
    return {
        **{name: {**mean_interval(found), "values": found} for name, found in scores.items()},
        "cost": {**mean_interval(list(whole - without)), "values": list(whole - without)},
        "spread": float(np.sqrt(whole.var(ddof=1) + without.var(ddof=1))),
        "spread_paired": float((whole - without).std(ddof=1)),
        "correlation": float(np.corrcoef(whole, without)[0, 1]),
        "wrong_sign": float((every_pair <= 0).mean()),
        "first_half": mean_interval(list((whole - without)[:3])),
    }


def draw(results: dict) -> Figure:
    figure, (left, right_) = figures.figure(2.6, ncols=2, sharey=False, width_ratios=[1, 1])
    for place, (name, role) in enumerate((("whole", "model"), ("without", "broken"))):
        values = 100 * np.array(results[name]["values"])
        left.plot(
            [place] * len(values),
            values,
            ls="",
            marker=figures.marker(role),
            color=figures.color(role),
            alpha=0.7,
        )
    for pair in zip(results["whole"]["values"], results["without"]["values"], strict=True):
        left.plot(
            [0, 1],
            [100 * value for value in pair],
            color=figures.color("muted"),
            ls="-",
            lw=0.6,
            zorder=0,
        )
    left.set_xlim(-0.4, 1.4)
    figures.sequence_axis(left, ["32 units", "24 units"])
    left.set_ylabel("test accuracy (%)")
    cost = 100 * np.array(results["cost"]["values"])
    for n in range(2, len(cost) + 1):
        found = mean_interval(list(cost[:n]))
        right_.plot(
            [n, n], [found["low"], found["high"]], ls="-", color=figures.color("model"), lw=1.6
        )
        right_.plot([n], [found["mean"]], ls="", marker="s", color=figures.color("model"))
    right_.axhline(0, ls="-", color=figures.color("muted"), lw=0.8)
    right_.set_ylim(-4, 5)
    right_.set_xlabel("number of seeds")
    right_.set_ylabel("cost of the lesion (points)")
    return figure
