"""Where does a walk end that only climbs, and where one that also shakes?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.score._common import near_modes, over_seeds, rounded
from fromnoise import figures
from fromnoise.langevin import langevin


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_points: int = 2000
    n_steps: int = 600
    step: float = 0.05
    n_shown: int = 250


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_points=100, n_steps=5, n_shown=20)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    mixture = near_modes()
    spread: dict[str, list[float]] = {"climbed": [], "shaken": [], "real": []}
    shown = {}
    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        start = 2.5 * torch.randn(config.n_points, 2, generator=generator)
        climbed = start
        for _ in range(config.n_steps):
            climbed = climbed + config.step * mixture.score(climbed)
        shaken = langevin(mixture.score, start, config.n_steps, config.step, generator)
        real = mixture.sample(config.n_points, generator)
        for name, points in (("climbed", climbed), ("shaken", shaken), ("real", real)):
            # Spread around the mean of its own component: what is left within a mode.
            k = mixture.responsibilities(points).argmax(-1)
            offset = points - mixture.components.mean[k]
            spread[name].append(float(offset.square().mean()))
            if seed == config.seeds[0]:
                shown[name] = rounded(points[: config.n_shown], 2)
    axis = torch.linspace(-4, 4, 17)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    arrows = mixture.score(torch.stack([x, y], -1))
    fine = torch.linspace(-4, 4, 61)
    fx, fy = torch.meshgrid(fine, fine, indexing="xy")
    return {
        "spread": {name: over_seeds(values) for name, values in spread.items()},
        "points": shown,
        "axis": rounded(axis),
        "arrows": rounded(arrows),
        "fine": rounded(fine),
        "log_density": rounded(mixture.log_prob(torch.stack([fx, fy], -1))),
        "n_steps": config.n_steps,
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.75, ncols=3)
    log_density = np.array(results["log_density"])
    levels = log_density.max() - np.array([8.0, 4.5, 2.0, 0.7])
    for ax in axes:
        ax.contour(
            results["fine"],
            results["fine"],
            log_density,
            levels=levels,
            colors=figures.color("muted"),
            linewidths=0.6,
            linestyles="-",
        )
        ax.set(aspect="equal", xlim=(-4, 4), ylim=(-4, 4), xticks=[], yticks=[])
    arrows = np.array(results["arrows"])
    length = np.linalg.norm(arrows, axis=-1, keepdims=True)
    shown = arrows / length * np.sqrt(length)  # far arrows would hide the near ones
    # Every other arrow: the rest would weigh as much as the page.
    axes[0].quiver(
        results["axis"][::2],
        results["axis"][::2],
        shown[::2, ::2, 0],
        shown[::2, ::2, 1],
        color=figures.color("model"),
        angles="xy",
        scale=42,
        width=0.008,
    )
    for ax, name, role in ((axes[1], "climbed", "broken"), (axes[2], "shaken", "model")):
        points = np.array(results["points"][name])
        ax.plot(*points.T, figures.marker(role), color=figures.color(role), ms=2.5, alpha=0.6)
    figures.panel_label(axes[0], "the score")
    figures.panel_label(axes[1], "climb only", "broken")
    figures.panel_label(axes[2], "climb and shake", "model")
    return figure
