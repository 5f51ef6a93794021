"""What does the weight of the KL term buy, in nats of rate and nats of distortion?"""

import math
import string
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from torch import Tensor

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits, snap_to_levels
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.glyphs import glyphs
from fromnoise.vae import VAE, summarize, vae_loss

SIDE, CHARACTERS = 8, string.digits


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 600
    n_train: int | None = None  # all there are
    n_images: int | None = None
    n_importance: int = 16
    betas: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 3.0, 100.0)
    n_shown: int = 10
    n_latents: int = 16
    width: int = 128
    learning_rate: float = 3e-3
    size: int = 8
    """Side of the images: 8 for the handwritten digits, more for glyphs drawn at that size."""


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2, n_steps=3, n_train=40, n_images=20, n_importance=2, betas=(0.0, 1.0, 100.0)
    ),
    # Glyphs of 28 pixels: 20 times the images, so that little is left to learn by heart, and
    # causes whose number is known. Wider layers and more units than causes.
    "gpu": Config(
        n_seeds=5,
        n_steps=10_000,
        n_train=20_000,
        n_images=1000,
        n_latents=32,
        width=512,
        learning_rate=1e-3,
        size=28,
    ),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    train, test = rows_of_pixels(config)
    results: dict = {"betas": list(config.betas)}
    for beta in config.betas:
        rows = []
        for seed in range(config.seed, config.seed + config.n_seeds):
            model = VAE(
                DiscretizedLogistic(),
                n_latents=config.n_latents,
                n_dims=config.size**2,
                width=config.width,
                seed=seed,
            )
            folder = workdir / f"{beta:g}-{seed}"
            model = fit(
                model.to(device),
                vae_loss(beta),
                train,
                config.n_steps,
                seed,
                folder,
                config.learning_rate,
            ).network.cpu()
            generator = torch.Generator().manual_seed(seed)
            row = summarize(model, test, config.n_importance, generator)
            on_train = summarize(model, train[: len(test)], 4, generator)
            row |= {f"train_{key}": on_train[key] for key in ("elbo", "rate", "distortion")}
            rows.append(row)
            if seed == config.seed:
                with torch.no_grad():
                    z = model.encode(test[: config.n_shown])[0]
                    shown = model.likelihood.mean(model.decode(z))
                pictures = ((shown + 1) * 80).round().int().tolist()
        results[key_of(beta)] = over_seeds(rows) | {"reconstructions": pictures}
    results["originals"] = ((test[: config.n_shown] + 1) * 80).round().int().tolist()
    return results


def rows_of_pixels(config: Config) -> tuple[Tensor, Tensor]:
    """Training and test images on 17 gray levels, flat."""
    if config.size == SIDE:
        data = digits()
        return flat(data.train, config.n_train), flat(data.test, config.n_images)
    generator = torch.Generator().manual_seed(0)
    drawn = [
        glyphs(n, generator, config.size, characters=CHARACTERS).images
        for n in (config.n_train, config.n_images)
    ]
    train, test = (snap_to_levels(images).flatten(1) for images in drawn)
    return train, test


def key_of(beta: float) -> str:
    """Name of the entry of a weight: no dots, since dots part the keys of results."""
    return f"beta{beta:g}".replace(".", "_")


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(3.0, ncols=2, sharey=False, width_ratios=[1.25, 1])
    entries = [(beta, results[f"beta{beta:g}".replace(".", "_")]) for beta in results["betas"]]
    shown = [(beta, entry) for beta, entry in entries if beta > 0]
    rate = [entry["rate"]["mean"] for _, entry in shown]
    for key, role, width in (("distortion", "model", 1.6), ("train_distortion", "muted", 1.0)):
        rates = rate if key == "distortion" else [e["train_rate"]["mean"] for _, e in shown]
        (line,) = left.plot(
            rates, [e[key]["mean"] for _, e in shown], **figures.line_style(role, lw=width)
        )
        figures.label_line(
            line,
            "test" if key == "distortion" else "train",
            x=max(rates) * 0.8,
            dx=0,
            dy=10 if key == "distortion" else -10,
        )
    for beta, entry in shown:
        left.plot(
            entry["rate"]["values"],
            entry["distortion"]["values"],
            ls="",
            marker=figures.marker("model"),
            color=figures.color("model"),
            ms=3.5,
        )
        left.annotate(
            rf"$\beta$ = {beta:g}",
            (entry["rate"]["mean"], entry["distortion"]["mean"]),
            xytext=(6, 7),
            textcoords="offset points",
            fontsize=8.5,
        )
    at_one = dict(shown)[1.0]
    level = at_one["rate"]["mean"] + at_one["distortion"]["mean"]
    ends = np.array([0.0, 1.6 * at_one["rate"]["mean"]])
    left.plot(ends, level - ends, color=figures.color("ink"), lw=0.8, ls=(0, (1, 2)))
    left.set(xlabel="rate $R$ (nats per digit)", ylabel="distortion $D$ (nats per digit)")
    rows = [results["originals"], *(entry["reconstructions"] for _, entry in entries)]
    n = min(6, len(rows[0]))
    sheet = np.array([row[:n] for row in rows])
    side = math.isqrt(sheet.shape[-1])
    sheet = sheet.reshape(len(rows), n, side, side)
    figures.image_grid(right, sheet, levels=(0, 160), role="model")
    right.set_axis_on()
    right.set_xticks([])
    for spine in right.spines.values():
        spine.set_visible(False)
    right.set_yticks(
        [(side + 1) * i + (side - 1) / 2 for i in range(len(rows))],
        ["digit", *(rf"$\beta$ = {beta:g}" for beta, _ in entries)],
    )
    right.tick_params(length=0)
    return figure
