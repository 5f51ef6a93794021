"""Is the middle between two digits a digit, in pixels and in codes?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.vae import VAE, vae_loss


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 700
    n_pairs: int = 200
    n_shown: int = 3
    n_stops: int = 9


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_steps=3, n_pairs=6)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test, labels = flat(data.train), flat(data.test), data.test.labels
    first, second = pairs(labels, config.n_pairs, config.seed)
    rows = []
    for seed in range(config.seed, config.seed + config.n_seeds):
        model = VAE(DiscretizedLogistic(), n_latents=16, seed=seed)
        folder = workdir / str(seed)
        model = fit(model, vae_loss(), train, config.n_steps, seed, folder).network
        with torch.no_grad():
            z = model.encode(test)[0]
            shown = model.likelihood.mean(model.decode((z[first] + z[second]) / 2))
            copies = model.likelihood.mean(model.decode(z[first]))
        rows.append(
            {
                "pixels": nearest((test[first] + test[second]) / 2, train),
                "codes": nearest(shown, train),
                "copies": nearest(copies, train),
                "digits": nearest(test[first], train),
            }
        )
        if seed == config.seed:
            pictures = paths(model, test, first, second, config)
    return {"distance": over_seeds(rows), "paths": pictures}


def pairs(labels, n_pairs, seed) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of test digits of different classes."""
    order = torch.randperm(len(labels) ** 2, generator=torch.Generator().manual_seed(seed))
    first, second = order // len(labels), order % len(labels)
    different = labels[first] != labels[second]
    return first[different][:n_pairs], second[different][:n_pairs]


def nearest(images, train) -> float:
    """Median distance to the nearest training digit, in gray levels, root mean square."""
    # 8 gray levels per unit of a pixel, and a root of 64 pixels: the two eights cancel.
    return float(torch.cdist(images, train).amin(1).median())


@torch.no_grad()
def paths(model, test, first, second, config) -> list:
    """For each pair: the cross-fade of the pixels above, the walk between the codes below."""
    z = model.encode(test)[0]
    shares = torch.linspace(0, 1, config.n_stops)[:, None]
    sheet = []
    for a, b in zip(first[: config.n_shown], second[: config.n_shown], strict=True):
        faded = (1 - shares) * test[a] + shares * test[b]
        walked = model.likelihood.mean(model.decode((1 - shares) * z[a] + shares * z[b]))
        sheet += [((rows + 1) * 80).round().int().tolist() for rows in (faded, walked)]
    return sheet


def draw(results: dict) -> matplotlib.figure.Figure:
    sheet = np.array(results["paths"])
    n_pairs = len(sheet) // 2
    figure, axes = figures.figure(0.95 * n_pairs, nrows=2 * n_pairs, sharex=False)
    for row, ax in enumerate(axes):
        role = ("data", "model")[row % 2]
        figures.image_grid(ax, sheet[row].reshape(-1, 8, 8), levels=(0, 160), role=role)
        ax.text(
            -0.02,
            0.5,
            ("pixels", "codes")[row % 2],
            transform=ax.transAxes,
            ha="right",
            va="center",
            color=figures.color(role),
        )
    return figure
