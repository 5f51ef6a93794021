"""What does a walk of coin flips become when its steps get many and small?"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats

from fromnoise import figures


@dataclass(frozen=True)
class Config:
    seed: int = 3
    n_flips: tuple[int, ...] = (4, 16, 64, 256, 1024, 4096)
    drawn: tuple[int, ...] = (4, 64, 4096)
    n_kept: int = 512  # points of a path that are drawn


SIZES = {"full": Config(), "smoke": Config(n_flips=(4, 16), drawn=(4, 16))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    generator = torch.Generator().manual_seed(config.seed)
    finest = max(config.n_flips)
    flips = 2.0 * torch.randint(2, (finest,), generator=generator) - 1
    results: dict = {"paths": {}, "gap": {}, "squares": {}, "length": {}}
    for n in config.n_flips:
        # Each walk flips its own coins: the first n of one long row.
        steps = flips[:n].double() / math.sqrt(n)
        results["gap"][str(n)] = kolmogorov(n)
        results["squares"][str(n)] = float(steps.square().sum())
        results["length"][str(n)] = float(steps.abs().sum())
        if n in config.drawn:
            path = torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0)])
            every = max(1, n // config.n_kept)
            results["paths"][str(n)] = {
                "t": [round(i / n, 6) for i in range(0, n + 1, every)],
                "w": [round(float(w), 4) for w in path[::every]],
            }
    results["last"] = {key: results[key][str(finest)] for key in ("gap", "squares", "length")}
    results["first"] = {
        key: results[key][str(config.n_flips[0])] for key in ("gap", "squares", "length")
    }
    return results


def kolmogorov(n: int) -> float:
    """Largest gap between the distribution of W(1) after n flips and the normal one, exactly."""
    heads = np.arange(n + 1)
    place = (2 * heads - n) / math.sqrt(n)
    after = stats.binom.cdf(heads, n, 0.5)
    before = np.concatenate([[0.0], after[:-1]])
    normal = stats.norm.cdf(place)
    return float(max(np.abs(after - normal).max(), np.abs(before - normal).max()))


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(
        2.7, ncols=2, sharey=False, gridspec_kw={"width_ratios": [1.7, 1]}
    )
    roles = ("muted", "ink", "noise")
    names = list(results["paths"])
    for name, role in zip(names, roles, strict=False):
        path = results["paths"][name]
        width = 0.9 if name == names[-1] else 1.6
        left.plot(path["t"], path["w"], "-", color=figures.color(role), lw=width)
        place = (path["t"][-1], path["w"][-1])
        left.annotate(
            f"n = {name}", place, xytext=(4, 0), textcoords="offset points", va="center",
            color=figures.color(role), annotation_clip=False,
        )  # fmt: skip
    left.set(xlabel="t", xlim=(0, 1.22), xticks=[0, 0.5, 1])
    figures.panel_label(left, "W(t), from n coins")
    n = [int(key) for key in results["gap"]]
    right.loglog(
        n, list(results["gap"].values()), marker=figures.marker("ink"),
        **figures.line_style("ink"),
    )  # fmt: skip
    right.set(xlabel="flips n")
    figures.panel_label(right, "largest gap to the normal law")
    return figure
