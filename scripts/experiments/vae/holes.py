"""Do the codes of real digits fill the prior, with the KL term and without it?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.aggregate_posterior import (
    log_aggregate,
    log_likelihood_on_plane,
    plane,
    rate_split,
)
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.elbo import diagonal_log_prob
from fromnoise.information import bits_per_dim
from fromnoise.vae import VAE, vae_loss

VARIANTS = {"whole": 1.0, "without_kl": 0.0}


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 1000
    n_images: int | None = None
    n_side: int = 120
    n_draws: int = 5  # per image; the information then moves by less than 0.01 nats between draws
    n_shown: int = 12


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=3, n_images=20, n_side=20, n_draws=1, n_shown=3),
}
EXTENT = {"whole": 4.0, "without_kl": 12.0}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test = flat(data.train, config.n_images), flat(data.test, config.n_images)
    results: dict = {}
    for name, beta in VARIANTS.items():
        rows = []
        for seed in range(config.seed, config.seed + config.n_seeds):
            model = VAE(DiscretizedLogistic(), n_latents=2, seed=seed)
            model = fit(
                model, vae_loss(beta), train, config.n_steps, seed, workdir / f"{name}{seed}"
            ).network
            rows.append(measured(model, train, test, config, seed))
            if seed == config.seed:
                results[name] = {"picture": drawn(model, train, EXTENT[name], config)}
        results[name] |= over_seeds(rows)
    return results


@torch.no_grad()
def measured(model, train, test, config, seed) -> dict[str, float]:
    """Rate in its two parts, the share of the prior that lies in a hole, and log p(x)."""
    z_mean, z_log_var = model.encode(train)
    generator = torch.Generator().manual_seed(seed)
    split = rate_split(z_mean, z_log_var, config.n_draws, generator)
    grid = plane(6.0, config.n_side)
    zero = torch.zeros(2)
    log_pz = diagonal_log_prob(grid.z, zero, zero)
    log_qz = log_aggregate(grid.z, z_mean, z_log_var)
    # A hole: codes ten times rarer than the prior expects them.
    hole = (log_pz.exp() * np.exp(grid.log_cell))[log_qz < log_pz - np.log(10)].sum()
    log_px = log_likelihood_on_plane(model, test, grid)
    return {
        "information": split.information,
        "misfit": split.misfit,
        "hole_share": float(hole),
        "spread": float(z_mean.std(0).mean()),
        "exact": float(bits_per_dim(-log_px.mean(), 64)),
    }


@torch.no_grad()
def drawn(model, train, extent, config) -> dict:
    """Density of the codes on a coarse grid, and draws from the prior, the best covered first."""
    z_mean, z_log_var = model.encode(train)
    grid = plane(extent, 60)
    density = log_aggregate(grid.z, z_mean, z_log_var).exp()
    shades = (100 * (density / density.max()).sqrt()).round().int()
    generator = torch.Generator().manual_seed(config.seed)
    z = torch.randn(400, 2, generator=generator)
    zero = torch.zeros(2)
    cover = log_aggregate(z, z_mean, z_log_var) - diagonal_log_prob(z, zero, zero)
    order = cover.argsort(descending=True)[:: 400 // config.n_shown][: config.n_shown]
    shown = model.likelihood.mean(model.decode(z[order]))
    return {
        "density": shades.view(60, 60).T.tolist(),
        "extent": extent,
        "samples": ((shown + 1) * 80).round().int().tolist(),
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(
        4.1, ncols=2, nrows=2, sharex=False, sharey=False, height_ratios=[3.1, 1]
    )
    words = {"whole": ("with the KL term", "model"), "without_kl": ("without it", "broken")}
    circle = np.linspace(0, 2 * np.pi, 200)
    radius = np.sqrt(-2 * np.log(0.05))  # of the disc that holds 95 % of the prior
    for (name, (text, role)), (top, bottom) in zip(words.items(), axes.T, strict=True):
        picture = results[name]["picture"]
        extent = picture["extent"]
        top.imshow(
            np.array(picture["density"]) / 100,
            extent=(-extent, extent, -extent, extent),
            origin="lower",
            cmap=figures.colormap(role),
            vmin=0,
            vmax=1,
            interpolation="bilinear",
        )
        top.plot(
            radius * np.cos(circle), radius * np.sin(circle), **figures.line_style("noise", lw=1.4)
        )
        top.text(
            0,
            -radius - 0.04 * extent,
            "95 % of the prior",
            ha="center",
            va="top",
            fontsize=8.5,
            color=figures.color("noise"),
        )
        top.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
        figures.panel_label(top, text, role)
        samples = np.array(picture["samples"]).reshape(-1, 8, 8)
        figures.image_grid(bottom, samples, levels=(0, 160), ncols=6, role=role)
    return figure
