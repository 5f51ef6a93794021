"""What does a code of two numbers say about a digit, and how far is the bound from the truth?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.vae._codes import filling, save_map, shown
from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.aggregate_posterior import log_likelihood_on_plane, plane
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.elbo import iwae_bound
from fromnoise.information import bits_per_dim
from fromnoise.vae import VAE, summarize, vae_loss

publishes = ("whole",)


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 900
    n_images: int | None = None
    n_importance: int = 256
    n_side: int = 120  # halving the cells again moves log p(x) by less than 1e-5 bits per pixel
    n_tiles: int = 13


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=3, n_images=20, n_importance=16, n_side=20, n_tiles=3),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test = flat(data.train), flat(data.test, config.n_images)
    grid = plane(6.0, config.n_side)
    rows, fillings, ladders, pictures = [], [], [], {}
    for seed in range(config.seed, config.seed + config.n_seeds):
        model = VAE(DiscretizedLogistic(), n_latents=2, seed=seed)
        model = fit(model, vae_loss(), train, config.n_steps, seed, workdir / str(seed)).network
        generator = torch.Generator().manual_seed(seed)
        row = summarize(model, test, config.n_importance, generator)
        log_px = log_likelihood_on_plane(model, test, grid)
        row["exact"] = float(bits_per_dim(-log_px.mean(), 64))
        row["gap_nats"] = 64 * np.log(2) * (row["elbo"] - row["exact"])
        ladders.append(ladder(model, test, log_px, config.n_importance, generator))
        rows.append(row)
        fillings.append(filling(model, train, test, config.n_side, seed))
        if seed == config.seed:
            pictures["map"] = drawn(model, test, data.test.labels, config.n_tiles)
            pictures["filling"] = shown(model, train, 700, 12, seed)
            save_map(model, data.test, workdir / "whole.safetensors")
    return {
        "model": over_seeds(rows),
        "gap_of_k": over_seeds(ladders),
        "filling": over_seeds(fillings) | {"picture": pictures["filling"]},
        "picture": pictures["map"],
    }


@torch.no_grad()
def ladder(model, test, log_px, n_importance, generator) -> dict[str, float]:
    """Nats per image between log p(x) and the bound with k draws, for k = 1, 4, 16, ..."""
    draws = [model.log_weights(test, 16, generator) for _ in range(n_importance // 16)]
    log_weights = torch.cat(draws).double()
    gaps = {}
    k = 1
    while k <= n_importance:
        groups = log_weights.view(n_importance // k, k, len(test)).transpose(0, 1)
        gaps[f"k{k}"] = float((log_px - iwae_bound(groups).mean(0)).mean())
        k *= 4
    return gaps


@torch.no_grad()
def drawn(model, test, labels, n_tiles) -> dict:
    """Posterior means of the test digits, and what the decoder makes of a lattice of codes."""
    codes = model.encode(test)[0]
    # Equal steps of prior probability, so that every tile stands for as much of the prior.
    quantiles = (torch.arange(n_tiles) + 0.5) / n_tiles
    ticks = torch.distributions.Normal(0.0, 1.0).icdf(quantiles)
    z = torch.stack([ticks.repeat(n_tiles), ticks.flip(0).repeat_interleave(n_tiles)], 1)
    tiles = model.likelihood.mean(model.decode(z))
    return {
        "codes": [[round(value, 2) for value in code] for code in codes.tolist()],
        "labels": labels[: len(test)].tolist(),
        "tiles": ((tiles + 1) * 80).round().int().tolist(),  # tenths of a gray level
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    picture = results["picture"]
    figure, (left, right) = figures.figure(3.25, ncols=2, sharey=False)
    codes = np.array(picture["codes"])
    circle = np.linspace(0, 2 * np.pi, 200)
    for radius in (1, 2, 3):
        left.plot(
            radius * np.cos(circle), radius * np.sin(circle), color=figures.color("grid"), lw=0.8
        )
    for (x, y), label in zip(codes, picture["labels"], strict=True):
        left.text(
            x, y, str(label), fontsize=6.5, ha="center", va="center", color=figures.color("data")
        )
    limit = 3.6
    left.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    left.set(xlabel="$z_1$", ylabel="$z_2$")
    figures.panel_label(left, "test digits, by posterior mean", "data")
    n = int(np.sqrt(len(picture["tiles"])))
    tiles = np.array(picture["tiles"]).reshape(n, n, 8, 8)
    figures.image_grid(right, tiles, levels=(0, 160), role="model")
    figures.panel_label(right, "what the decoder paints there", "model")
    return figure
