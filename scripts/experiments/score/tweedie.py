"""How much noise does one step along the score take out of a digit?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.score._common import digit_mixture, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.diffusion import perturb
from fromnoise.schedules import VE


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    sigmas: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    n_images: int = 497


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_images=20)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    x_0 = data.test.images[: config.n_images].flatten(1).double()
    first = [int((data.test.labels == c).nonzero()[0]) for c in (3, 5, 8)]
    if max(first) >= len(x_0):
        first = [0, 1, 2]
    levels, rows = [], [[x_0[i].tolist() for i in first]]
    mixture = digit_mixture(data, 0)
    for sigma in config.sigmas:
        scales = VE(sigma_min=sigma)(torch.zeros((), dtype=torch.float64))
        exact = mixture.noised(scales)
        left = []
        for seed in config.seeds:
            generator = torch.Generator().manual_seed(seed)
            eps = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
            x_t = perturb(x_0, eps, scales)
            x_0_hat = x_t + sigma**2 * exact.score(x_t)
            left.append(float((x_0_hat - x_0).square().mean()) / sigma**2)
            if seed == config.seeds[0]:
                rows.append([x_t[i].tolist() for i in first])
                rows.append([x_0_hat[i].tolist() for i in first])
        levels.append({"sigma": sigma, "left": over_seeds(left)})
    return {"levels": levels, "images": np.round(rows, 2).tolist()}


def draw(results: dict) -> Figure:
    n = len(results["levels"])
    figure, axes = figures.figure(3.1, ncols=2 * n + 1, sharey=False)
    for i, ax in enumerate(axes):
        role = "data" if i == 0 else ("noise" if i % 2 else "model")
        images = np.array(results["images"][i]).reshape(3, 1, 8, 8)
        figures.image_grid(ax, images, levels=(-1, 1), role=role)
        if i == 0:
            figures.panel_label(ax, "clean", "data")
        elif i % 2:
            figures.panel_label(ax, f"σ = {results['levels'][i // 2]['sigma']:g}", "noise")
        else:
            figures.panel_label(ax, "step", "model")
    return figure
