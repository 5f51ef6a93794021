"""Which of the two moves, the KL term or the noise, makes the decoder a generator?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.evaluation import c2st
from fromnoise.vae import VAE, summarize, vae_loss

VARIANTS = {  # weight of the KL term, factor on the noise
    "whole": (1.0, 1.0),
    "without_kl": (0.0, 1.0),
    "without_noise": (1.0, 0.0),
    "neither": (0.0, 0.0),
}


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 700
    n_images: int | None = None
    n_importance: int = 64
    n_folds: int = 2
    n_shown: int = 6


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=3, n_images=20, n_importance=2),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test = flat(data.train), flat(data.test, config.n_images)
    results: dict = {}
    for name, (beta, noise) in VARIANTS.items():
        rows = []
        for seed in range(config.seed, config.seed + config.n_seeds):
            model = VAE(DiscretizedLogistic(), n_latents=16, seed=seed)
            folder = workdir / f"{name}{seed}"
            loss = vae_loss(beta, noise)
            model = fit(model, loss, train, config.n_steps, seed, folder).network
            row, pictures = measured(model, train, test, config, seed)
            rows.append(row)
            if seed == config.seed:
                results[name] = {"picture": pictures}
        results[name] |= over_seeds(rows)
    real = c2st(train[: len(test)], test, config.n_folds)
    results["real_c2st"] = real
    results["originals"] = ((test[: config.n_shown] + 1) * 80).round().int().tolist()
    return results


@torch.no_grad()
def measured(model, train, test, config, seed) -> tuple[dict[str, float], dict]:
    """Held-out numbers of the model with its noise, and how real its two kinds of output look."""
    generator = torch.Generator().manual_seed(seed)
    row = summarize(model, test, config.n_importance, generator)
    z_mean, z_log_var = model.encode(test)
    # Reconstructions of training digits, so that no test digit is compared with itself.
    copies = model.likelihood.sample(model.decode(model.encode(train[: len(test)])[0]), generator)
    samples = model.sample(len(test), generator)
    row |= {
        "c2st_samples": c2st(samples, test, config.n_folds),
        "c2st_copies": c2st(copies, test, config.n_folds),
        "code_spread": float(z_mean.std(0).square().mean().sqrt()),
        "code_noise": float(torch.exp(0.5 * z_log_var).mean()),
    }
    z = torch.randn(2 * config.n_shown, model.n_latents, generator=generator)
    shown = model.likelihood.mean(model.decode(z))
    rebuilt = model.likelihood.mean(model.decode(z_mean[: config.n_shown]))
    pictures = {
        "samples": ((shown + 1) * 80).round().int().tolist(),
        "reconstructions": ((rebuilt + 1) * 80).round().int().tolist(),
    }
    return row, pictures


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(
        2.0, ncols=4, nrows=2, sharex=False, sharey=False, height_ratios=[1, 2.3]
    )
    words = {
        "whole": ("whole", "model"),
        "without_kl": ("without the KL", "broken"),
        "without_noise": ("without the noise", "broken"),
        "neither": ("without both", "broken"),
    }
    for (name, (text, role)), (top, bottom) in zip(words.items(), axes.T, strict=True):
        picture = results[name]["picture"]
        rows = np.array([results["originals"], picture["reconstructions"]])
        rows = rows.reshape(2, -1, 8, 8)
        figures.image_grid(top, rows, levels=(0, 160), role=role)
        figures.panel_label(top, text, role)
        samples = np.array(picture["samples"]).reshape(-1, 8, 8)
        figures.image_grid(
            bottom, samples, levels=(0, 160), ncols=rows.shape[1] // 2 + 1, role=role
        )
    axes[0, 0].text(
        -0.05,
        0.5,
        "digits,\ncopies",
        transform=axes[0, 0].transAxes,
        ha="right",
        va="center",
        fontsize=8.5,
        color=figures.color("muted"),
    )
    axes[1, 0].text(
        -0.05,
        0.5,
        "samples",
        transform=axes[1, 0].transAxes,
        ha="right",
        va="center",
        fontsize=8.5,
        color=figures.color("muted"),
    )
    return figure
