"""How far off is a Frechet distance of few samples, and does the line in 1/n mend it?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.evaluation._common import over
from fromnoise import figures
from fromnoise.evaluation import frechet_distance, frechet_gaussians
from fromnoise.extrapolation import frechet_at_infinity
from fromnoise.gaussians import Gaussian
from fromnoise.sample_measures import kernel_distance


@dataclass(frozen=True)
class Config:
    n_seeds: int = 6
    n_dims: int = 32
    shift: float = 0.3
    sizes: tuple[int, ...] = (64, 96, 128, 256, 512, 1024, 2048)
    n_most: int = 2048
    line: tuple[int, ...] = (512, 768, 1024, 2048)
    n_repeats: int = 4


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2, n_dims=4, sizes=(16, 32, 64), n_most=64, line=(16, 32, 64), n_repeats=1
    ),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    d = config.n_dims
    # Variances from 1 down to 1/16, as features have: few directions carry most of the spread.
    variances = torch.logspace(0, -4, d, base=2, dtype=torch.float64)
    one = Gaussian(torch.zeros(d, dtype=torch.float64), torch.diag(variances))
    wide = Gaussian(torch.full((d,), config.shift / d**0.5).double(), torch.diag(1.3 * variances))
    true = frechet_gaussians(one.mean, one.covariance, wide.mean, wide.covariance)
    pair = variances[:, None] + variances
    slope = 2 * variances.sum() + (variances[:, None] * variances / pair).sum()
    slope = slope + (variances / 2).sum()
    found: dict = {name: {n: [] for n in config.sizes} for name in ("same", "other", "kernel")}
    limits: dict = {"same": [], "other": []}
    largest = []
    for seed in range(config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        a, b, c = (part.sample(config.n_most, generator) for part in (one, one, wide))
        for n in config.sizes:
            found["same"][n].append(frechet_distance(a[:n], b[:n]))
            found["other"][n].append(frechet_distance(a[:n], c[:n]))
            found["kernel"][n].append(kernel_distance(a[:n], b[:n]))
        largest.append(frechet_distance(a, c))
        for name, other in (("same", b), ("other", c)):
            line = frechet_at_infinity(a, other, config.line, config.n_repeats, seed)
            limits[name].append(line.limit)
    return {
        "true": true,
        "slope": float(slope),
        "sizes": list(config.sizes),
        "line": list(config.line),
        **{
            name: {f"n{n}": over(values) for n, values in rows.items()}
            for name, rows in found.items()
        },
        "limit": {name: over(values) for name, values in limits.items()},
        "n_dims": d,
        "first_order": {f"n{n}": float(slope) / n for n in config.sizes},
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.9)
    x = 1 / np.array(results["sizes"])
    for name, role, text in (
        ("other", "model", "two Gaussians that differ"),
        ("same", "data", "one Gaussian twice"),
    ):
        rows = [results[name][f"n{n}"] for n in results["sizes"]]
        middle = np.array([row["mean"] for row in rows])
        ax.fill_between(
            x,
            [row["low"] for row in rows],
            [row["high"] for row in rows],
            color=figures.color(role),
            alpha=0.2,
            lw=0,
        )
        ax.plot(x, middle, **figures.line_style(role), marker=figures.marker(role))
        ax.annotate(
            text,
            (x[0], middle[0]),
            (-30, 6 if name == "other" else -44),
            textcoords="offset points",
            ha="right",
            color=figures.color(role),
        )
        limit = results["limit"][name]
        ax.errorbar(
            [0],
            [limit["mean"]],
            [[limit["mean"] - limit["low"]], [limit["high"] - limit["mean"]]],
            color=figures.color(role),
            marker="D",
            capsize=3,
        )
    ax.axhline(results["true"], color=figures.color("muted"), lw=0.9, ls=figures.dash("muted"))
    ax.plot(x, results["slope"] * x, color=figures.color("muted"), lw=0.9)
    ax.annotate(
        "first order",
        (x[len(x) // 2], results["slope"] * x[len(x) // 2]),
        (6, -10),
        textcoords="offset points",
        color=figures.color("muted"),
    )
    ticks = [n for n in results["sizes"] if n not in (96, 2048, 1024)]
    ax.set_xticks([0, *(1 / n for n in ticks)], ["\u221e", *(str(n) for n in ticks)])
    ax.set(xlabel="samples n, spaced by 1/n", ylabel="Fréchet distance", ylim=(0, None))
    return figure
