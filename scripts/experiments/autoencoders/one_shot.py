"""What does an autoencoder give back when its input is noise, more and more of it?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.autoencoders._common import Digits, class_readout, over_seeds, shown, training
from fromnoise import figures
from fromnoise.autoencoders import Autoencoder, shrinkage
from fromnoise.batches import noise_like
from fromnoise.training import Batch, Loss, train

LEVELS = {"s05": 0.5, "s1": 1.0, "s2": 2.0, "nothing": None}


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_steps: int = 300
    n_latents: int = 16
    width: int = 128
    n_test: int | None = None


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_steps=3, width=8, n_test=40)}


def noised(x_0: Tensor, sigma: float | None, generator: torch.Generator) -> Tensor:
    """A noisy digit; without a scale, noise alone."""
    eps = noise_like(x_0, generator)
    return eps if sigma is None else x_0 + sigma * eps


def one_shot_loss(sigma: float | None) -> Loss:
    """Squared error of what comes back through the code."""

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        (x_0,) = batch
        answer = network.decode(network.encode(noised(x_0, sigma, generator)))
        return (answer - x_0).square().sum(1).mean()

    return loss


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = Digits.load(config.n_test)
    variances = torch.linalg.eigvalsh(torch.cov(data.train.T, correction=0)).clamp(min=0)
    results: dict = {}
    for name, sigma in LEVELS.items():
        rows = []
        for seed in config.seeds:
            model = Autoencoder(64, config.n_latents, config.width, seed=seed)
            model = train(
                model,
                one_shot_loss(sigma),
                (data.train,),
                training(config.n_steps, seed),
                folder=workdir / f"{name}{seed}",
            ).network
            row, images = measured(model, data, sigma, seed)
            rows.append(row)
            if seed == config.seeds[0]:
                results[name] = {"images": images}
        results[name] |= over_seeds(rows)
        if sigma is not None:
            left = float((shrinkage(variances, sigma) * sigma**2).sum())
            results[name]["linear"] = left / data.variance
    results["real_readout"] = class_readout(data.train, data.labels, data.test, data.test_labels)
    return results


@torch.no_grad()
def measured(model, data: Digits, sigma, seed: int) -> tuple[dict[str, float], dict]:
    generator = torch.Generator().manual_seed(100 + seed)
    copies = data.train.repeat(4, 1)
    codes = model.encode(noised(copies, sigma, generator))
    x_t = noised(data.test, sigma, generator)
    test_codes = model.encode(x_t)
    answer = model.decode(test_codes)
    row = {
        "error": data.error(answer),
        "spread": float(answer.var(0, correction=0).sum()) / data.variance,
        "readout": class_readout(codes, data.labels.repeat(4), test_codes, data.test_labels),
        # Root mean square over pixels, in gray levels (1/8 of a unit each).
        "from_mean": float((answer - data.train.mean(0)).square().mean().sqrt()) * 8,
    }
    return row, {"input": shown(x_t[:6]), "answer": shown(answer[:6])}


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.6, ncols=4, nrows=2, sharey=False)
    for (name, sigma), (top, bottom) in zip(LEVELS.items(), axes.T, strict=True):
        images = results[name]["images"]
        role = "broken" if sigma is None else "model"
        figures.image_grid(top, images["input"], levels=(0, 16), ncols=3, role="noise")
        figures.image_grid(bottom, images["answer"], levels=(0, 16), ncols=3, role=role)
        figures.panel_label(top, "noise alone" if sigma is None else f"$\\sigma$ = {sigma:g}", role)
    for ax, text in zip(axes[:, 0], ("input", "answer"), strict=True):
        ax.text(
            -0.06,
            0.5,
            text,
            transform=ax.transAxes,
            rotation=90,
            ha="right",
            va="center",
            color=figures.color("muted"),
        )
    return figure
