"""At which step does annealed Langevin dynamics on digits fall apart?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.score._common import digit_mixture, over_seeds, rounded
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.langevin import annealed_langevin
from fromnoise.schedules import VE

SCHEDULE = VE(sigma_min=0.1, sigma_max=6.0)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_samples: int = 64
    n_levels: int = 12
    steps_per_level: int = 12
    steps: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 1.5, 1.8, 2.1)
    shown: tuple[float, ...] = (0.25, 1.0, 1.8, 2.1)


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n_samples=10, n_levels=2, steps_per_level=2, steps=(0.5, 2.1), shown=(0.5,)
    ),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    mixture = digit_mixture(digits(), 0)
    times = torch.linspace(1, 0, config.n_levels, dtype=torch.float64)
    noised = {float(t): mixture.noised(SCHEDULE(t)) for t in times}
    last = noised[0.0]
    # In all components, the largest step below which no direction of any level diverges.
    limit = min(
        float(2 * level.components.eigenvalues.min() / SCHEDULE(torch.tensor(t)).sigma_t ** 2)
        for t, level in noised.items()
    )

    def score(x_t: Tensor, t: Tensor) -> Tensor:
        return noised[float(t[0])].score(x_t)

    misfit, images = [], []
    for h in config.steps:
        found = []
        for seed in config.seeds:
            generator = torch.Generator().manual_seed(seed)
            start = SCHEDULE.sigma_max * torch.randn(
                config.n_samples, 64, generator=generator, dtype=torch.float64
            )
            x = annealed_langevin(
                score, SCHEDULE, start, times, config.steps_per_level, h, generator
            )
            k = last.responsibilities(x).argmax(-1)
            parts = last.components
            offset = x - parts.mean[k]
            # Squared distance from the nearest class in its own units: 1 per direction if right.
            along = torch.einsum("nij,ni->nj", parts.eigenvectors[k], offset)
            found.append(float((along.square() / parts.eigenvalues[k]).mean().log10()))
            if seed == config.seeds[0] and h in config.shown:
                images.append(rounded(x[:8].clamp(-1, 1), 2))
        misfit.append(over_seeds(found))
    return {
        "steps": list(config.steps),
        "misfit": misfit,
        "factor": [10 ** entry["mean"] for entry in misfit],
        "limit": limit,
        "shown": list(config.shown),
        "images": images,
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.7, ncols=2, sharey=False, width_ratios=[1.15, 1])
    n = len(results["shown"])
    images = np.array(results["images"]).reshape(n, 8, 8, 8)
    figures.image_grid(axes[0], images, levels=(-1, 1), role="broken")
    for i, h in enumerate(results["shown"]):
        axes[0].annotate(
            f"{h:g}", (-2, 9 * i + 3.5), ha="right", va="center", annotation_clip=False
        )
    figures.panel_label(axes[0], "h: samples")
    means = [entry["mean"] for entry in results["misfit"]]
    axes[1].plot(
        results["steps"], means, marker=figures.marker("broken"), **figures.line_style("broken")
    )
    axes[1].axvline(results["limit"], **figures.line_style("muted", lw=1))
    axes[1].set(xlabel="step h, in units of $\\sigma_t^2$", yscale="symlog", xlim=(0, 2.2))
    figures.panel_label(axes[1], "log10 of variance / right variance")
    return figure
