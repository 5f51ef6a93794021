"""Left to itself, does the digit model draw every class as often as its data hold it?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments._flagship import NULL, load_network
from experiments._judge import load_judge
from experiments.evaluation._common import over, unsnapped_digits
from fromnoise import figures
from fromnoise.datasets import digits, snap_to_levels

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n: int = 400
    n_sampling_steps: int = 8


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n=20, n_sampling_steps=1),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    judge = load_judge(needed["training/digits"]["weights"]["judge"])
    network = load_network(needed["training/digits"]["weights"]["model"])
    labels = torch.full((config.n,), NULL)

    def shares(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            read = judge(images).argmax(1)
        return torch.bincount(read, minlength=10).double() / len(read)

    drawn = torch.stack(
        [
            shares(snap_to_levels(unsnapped_digits(network, labels, config.n_sampling_steps, s)))
            for s in config.seeds
        ]
    )
    real = shares(data.train.images)
    gaps = (drawn - real).abs().sum(1) / 2
    generator = torch.Generator().manual_seed(0)
    # What chance alone would do to a sample set of this size.
    chance = [
        float(
            (
                torch.bincount(
                    torch.multinomial(real, config.n, replacement=True, generator=generator),
                    minlength=10,
                ).double()
                / config.n
                - real
            )
            .abs()
            .sum()
            / 2
        )
        for _ in range(200)
    ]
    return {
        "drawn": [over(column.tolist()) for column in drawn.T],
        "real": real.tolist(),
        "gap": over(gaps.tolist()),
        "chance": {
            "mean": float(np.mean(chance)),
            "low": float(np.quantile(chance, 0.025)),
            "high": float(np.quantile(chance, 0.975)),
        },
        "most": int(drawn.mean(0).argmax()),
        "least": int(drawn.mean(0).argmin()),
        "most_share": over(drawn[:, drawn.mean(0).argmax()].tolist()),
        "least_share": over(drawn[:, drawn.mean(0).argmin()].tolist()),
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.2)
    x = np.arange(10)
    ax.bar(x - 0.2, results["real"], 0.36, color=figures.color("data"), label="training images")
    rows = results["drawn"]
    ax.bar(
        x + 0.2,
        [row["mean"] for row in rows],
        0.36,
        color=figures.color("model"),
        label="samples without a label",
    )
    ax.errorbar(
        x + 0.2,
        [row["mean"] for row in rows],
        [[row["mean"] - row["low"] for row in rows], [row["high"] - row["mean"] for row in rows]],
        fmt="none",
        color=figures.color("ink"),
        lw=1,
    )
    ax.set_xticks(x)
    ax.set(xlabel="class as read", ylabel="share", ylim=(0, 0.2))
    ax.legend(ncols=2, loc="upper left")
    return figure
