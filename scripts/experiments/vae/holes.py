"""Do the codes of real digits fill the prior, with the KL term and without it?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.vae._codes import filling, save_map, shown
from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.vae import VAE, vae_loss

needs = ("vae/latent_map",)  # the whole model: the same seeds and steps
publishes = ("without_kl", "too_strong")

WEIGHTS = {"without_kl": 0.0, "too_strong": 100.0}


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 900
    n_images: int | None = None
    n_side: int = 120


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=3, n_images=20, n_side=20),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    train, test = flat(data.train, config.n_images), flat(data.test, config.n_images)
    results = {"whole": needed["vae/latent_map"]["filling"]}
    for name, beta in WEIGHTS.items():
        rows = []
        results[name] = {}
        for seed in range(config.seed, config.seed + config.n_seeds):
            model = VAE(DiscretizedLogistic(), n_latents=2, seed=seed)
            folder = workdir / f"{name}{seed}"
            model = fit(model, vae_loss(beta), train, config.n_steps, seed, folder).network
            rows.append(filling(model, train, test, config.n_side, seed))
            if seed == config.seed:
                save_map(model, data.test, workdir / f"{name}.safetensors")
                if name == "without_kl":
                    results[name]["picture"] = shown(model, train, 700, 12, seed)
        results[name] |= over_seeds(rows)
    return results


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(
        4.1, ncols=2, nrows=2, sharex=False, sharey=False, height_ratios=[3.1, 1]
    )
    words = {"whole": ("with the KL term", "model"), "without_kl": ("without it", "broken")}
    circle = np.linspace(0, 2 * np.pi, 200)
    radius = np.sqrt(-2 * np.log(0.05))  # of the disc that holds 95 % of the prior
    for (name, (text, role)), (top, bottom) in zip(words.items(), axes.T, strict=True):
        picture = results[name]["picture"]
        extent = {"whole": 4.0, "without_kl": 14.0}[name]
        codes = np.array(picture["codes"])
        top.scatter(*codes.T, s=3, lw=0, alpha=0.7, color=figures.color(role))
        top.plot(
            radius * np.cos(circle), radius * np.sin(circle), **figures.line_style("noise", lw=2)
        )
        top.annotate(
            "95 % of the prior",
            (0.72 * radius, -0.72 * radius),
            xytext=(0.98, 0.02),
            textcoords="axes fraction",
            ha="right",
            va="bottom",
            fontsize=8.5,
            color=figures.color("noise"),
            arrowprops={"arrowstyle": "-", "color": figures.color("noise"), "lw": 0.8},
        )
        top.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
        top.set(xlabel="$z_1$", ylabel="$z_2$")
        figures.panel_label(top, text, role)
        samples = np.array(picture["samples"]).reshape(-1, 8, 8)
        figures.image_grid(bottom, samples, levels=(0, 160), ncols=6, role=role)
    return figure
