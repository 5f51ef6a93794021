"""Do scores of two conditions add up to the score of both, and can a walk repair it?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.guidance._common import over
from experiments.sde._common import distance
from fromnoise import figures
from fromnoise.inverse import linear_posterior
from fromnoise.langevin import annealed_langevin
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.schedules import Rectified
from fromnoise.steering import composed

SCHEDULE = Rectified()
NOISE_STD = 0.5
# A grid of nine clusters; one measurement reads the column, the other the row.
GRID = GaussianMixture.isotropic(
    torch.cartesian_prod(*[torch.tensor([-1.6, 0.0, 1.6], dtype=torch.float64)] * 2),
    0.25,
    torch.tensor([3, 1, 1, 1, 4, 1, 1, 1, 3], dtype=torch.float64) / 16,
)
Y = torch.tensor([0.9], dtype=torch.float64)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_samples: int = 600
    n_steps: int = 64
    n_levels: int = 24
    walks: tuple[int, ...] = (1, 10, 100)
    step: float = 0.2
    n_drawn: int = 300


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n_samples=40, n_steps=4, n_levels=3, walks=(1, 3), n_drawn=20),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    axes = torch.eye(2, dtype=torch.float64)
    parts = [linear_posterior(GRID, axis[None], Y, NOISE_STD) for axis in axes]
    truth = linear_posterior(GRID, axes, Y.expand(2), NOISE_STD)
    ask = composed(
        denoiser(GRID, SCHEDULE), [denoiser(part, SCHEDULE) for part in parts], [1.0, 1.0]
    )

    def score(x: Tensor, t: Tensor) -> Tensor:
        at = SCHEDULE(t[0].double())
        plain = GRID.noised(at).score(x)
        return sum((part.noised(at).score(x) for part in parts), -plain)

    # From nearly pure noise down to a noise far below every width.
    ratios = torch.logspace(1.5, -1.7, config.n_levels, dtype=torch.float64)
    levels = SCHEDULE.time_at(-2 * ratios.log())
    results: dict = {"walks": list(config.walks), "points": {}, "truth": {}, "share": {}}
    found: dict[str, list[float]] = {"sum": [], "floor": []}
    found.update({f"walk_{n}": [] for n in config.walks})
    shares: dict[str, list[float]] = {name: [] for name in found}
    for seed in config.seeds:
        g = torch.Generator().manual_seed(seed)
        x_1 = torch.randn(config.n_samples, 2, generator=g, dtype=torch.float64)
        drawn = {
            "sum": sample(ask, SCHEDULE, x_1, uniform_times(config.n_steps), heun_step),
            "floor": truth.sample(config.n_samples, g),
        }
        start = SCHEDULE(levels[0]).sigma_t * x_1
        for n in config.walks:
            end = annealed_langevin(score, SCHEDULE, start, levels, n, config.step, g)
            # The last level still shrinks the data by alpha.
            drawn[f"walk_{n}"] = end / SCHEDULE(levels[-1]).alpha_t
        for name, points in drawn.items():
            found[name].append(distance(points, truth, g))
            shares[name].append(
                float((GRID.responsibilities(points).argmax(-1) == 4).double().mean())
            )
            if seed == config.seeds[0]:
                results["points"][name] = points[: config.n_drawn].round(decimals=3).tolist()
    results["distance"] = {name: over(values) for name, values in found.items()}
    results["share"] = {name: over(values) for name, values in shares.items()}
    results["true_share"] = float(truth.weights[4])
    return results


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.5, ncols=3, sharey=False)
    for ax, name, role, text in (
        (axes[0], "floor", "data", "both conditions"),
        (axes[1], "sum", "broken", "scores added up"),
    ):
        centers = GRID.components.mean.numpy()
        ax.scatter(*centers.T, s=260, facecolors="none", edgecolors=figures.color("muted"))
        points = np.array(results["points"][name])
        ax.scatter(*points.T, s=4, color=figures.color(role), linewidths=0)
        ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        ax.set_aspect("equal")
        figures.panel_label(ax, text, role)
    ax = axes[2]
    rows = [results["distance"][f"walk_{n}"] for n in results["walks"]]
    places = list(range(len(rows)))
    ax.errorbar(
        places,
        [row["mean"] for row in rows],
        yerr=[
            [row["mean"] - row["low"] for row in rows],
            [row["high"] - row["mean"] for row in rows],
        ],
        fmt=figures.marker("model"),
        markersize=4,
        color=figures.color("model"),
    )
    ax.axhline(results["distance"]["sum"]["mean"], **figures.line_style("broken"))
    ax.axhline(results["distance"]["floor"]["mean"], color=figures.color("data"), linewidth=0.8)
    ax.set_xticks(places, [str(n) for n in results["walks"]])
    ax.set(xlabel="steps per level", ylim=(0, None))
    figures.panel_label(ax, "distance to the truth")
    return figure
