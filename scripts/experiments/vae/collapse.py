"""When does a strong decoder stop using the code, how is that seen, and what brings it back?"""

from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.figure
import torch
from sklearn.neighbors import KNeighborsClassifier

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.elbo import reparameterize
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.vae import VAE, summarize, vae_loss


@dataclass(frozen=True)
class Recipe:
    """One way to train."""

    beta: float
    strong: bool = True
    floor: float = 0.0
    warm_up: bool = False  # first half of the steps with a tenth of the weight


RECIPES = {
    "weak_2": Recipe(2.0, strong=False),
    "strong_1": Recipe(1.0),
    "strong_2": Recipe(2.0),
    "warm_up": Recipe(2.0, warm_up=True),
    "free_bits": Recipe(2.0, floor=0.5),
}


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 600
    n_images: int | None = None
    n_importance: int = 32
    recipes: tuple[str, ...] = field(default=tuple(RECIPES))


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=4, n_images=20, n_importance=2),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test = flat(data.train), flat(data.test, config.n_images)
    labels = data.train.labels, data.test.labels[: len(test)]

    @torch.no_grad()
    def rate(network) -> dict[str, float]:
        return {"rate": float(kl_diagonal(*network.encode(train)).sum(-1).mean())}

    results: dict = {}
    for name in config.recipes:
        recipe = RECIPES[name]
        rows = []
        for seed in range(config.seed, config.seed + config.n_seeds):
            model = VAE(
                DiscretizedLogistic(),
                n_latents=16,
                seed=seed,
                autoregressive=recipe.strong,
            )
            folder = workdir / f"{name}{seed}"
            n_steps = config.n_steps
            if recipe.warm_up:
                n_steps = n_steps // 2
                light = vae_loss(recipe.beta / 10)
                model = fit(model, light, train, n_steps, seed, folder / "warm").last.train()
                model.requires_grad_(True)
            loss = vae_loss(recipe.beta, floor=recipe.floor)
            trained = fit(
                model, loss, train, n_steps, seed, folder, measure=rate, measure_every=n_steps // 2
            )
            model = trained.network
            row = summarize(model, test, config.n_importance, torch.Generator().manual_seed(seed))
            row["rate_halfway"] = trained.records[0]["rate"]
            row["rate_at_end"] = trained.records[-1]["rate"]
            row["accuracy_of_means"] = class_accuracy(model, train, test, labels, noise=0.0)
            row["accuracy_of_draws"] = class_accuracy(model, train, test, labels, noise=1.0)
            rows.append(row)
        results[name] = over_seeds(rows)
    return results


@torch.no_grad()
def class_accuracy(model, train, test, labels, noise) -> float:
    """Share of test digits whose class the nearest training codes tell, with their noise or not."""
    generator = torch.Generator().manual_seed(0)
    codes = []
    for x in (train, test):
        z_mean, z_log_var = model.encode(x)
        eps = torch.randn(z_mean.shape, generator=generator)
        codes.append(reparameterize(z_mean, z_log_var, noise * eps).numpy())
    judge = KNeighborsClassifier(15).fit(codes[0], labels[0].numpy())
    return float(judge.score(codes[1], labels[1].numpy()))


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.9, ncols=2)
    # Name, marker, color: with a mend it is whole again.
    words = {
        "weak_2": (r"pixels independent, $\beta$ = 2", "model", "model"),
        "strong_1": (r"strong decoder, $\beta$ = 1", "model", "model"),
        "strong_2": (r"strong decoder, $\beta$ = 2", "broken", "broken"),
        "warm_up": ("  + warm-up", "noise", "model"),
        "free_bits": ("  + free bits", "noise", "model"),
    }
    names = [name for name in words if name in results]
    for ax, key in ((left, "rate"), (right, "elbo")):
        for place, name in enumerate(names):
            values = results[name][key]["values"]
            _, role, tone = words[name]
            ax.plot(
                values,
                [place] * len(values),
                ls="",
                marker=figures.marker(role),
                color=figures.color(tone),
                ms=5.5,
            )
    figures.sequence_axis(left, [words[name][0] for name in names], axis="y")
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlim(left=-0.6)
    left.set_xlabel("rate (nats per digit)")
    right.set_xlabel("test bound (bits per pixel)")
    for ax in (left, right):
        ax.grid(axis="y")
    return figure
