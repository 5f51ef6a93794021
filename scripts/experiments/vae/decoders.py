"""What does the choice of the decoder's likelihood cost, and what does a squared error assume?"""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import Categorical, DiscretizedLogistic, Gaussian
from fromnoise.vae import VAE, summarize, vae_loss

VARIANTS = {
    # The mean of squared errors over 64 pixels plus the KL is a Gaussian with variance 64 / 2.
    "mse_mean": lambda: Gaussian(math.sqrt(32.0), learned=False),
    # The sum of squared errors plus the KL is a Gaussian with variance 1 / 2.
    "mse_sum": lambda: Gaussian(math.sqrt(0.5), learned=False),
    "gaussian": Gaussian,
    "logistic": DiscretizedLogistic,
    "softmax": Categorical,
}


class Binned(Gaussian):
    """A Gaussian judged by the mass it gives to gray levels, to compare with the other decoders."""

    def log_prob(self, parameters, x):
        return self.log_mass(parameters, x)


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 800
    learning_rate: float = 5e-3  # higher than elsewhere, to see a likelihood overfit in time
    n_images: int | None = None
    n_importance: int = 64
    n_records: int = 8


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=4, n_images=20, n_importance=4, n_records=2),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test = flat(data.train), flat(data.test, config.n_images)
    seen, unseen = train[: len(data.validation.images)], flat(data.validation)

    @torch.no_grad()
    def measure(network) -> dict[str, float]:
        return {
            name: summarize(network, x, 1, torch.Generator().manual_seed(0))["elbo"]
            for name, x in (("train", seen), ("validation", unseen))
        }

    results: dict = {}
    for name, likelihood in VARIANTS.items():
        rows, curves = [], []
        followed = name in ("logistic", "softmax")
        for seed in range(config.seed, config.seed + config.n_seeds):
            model = VAE(likelihood(), n_latents=16, seed=seed)
            folder = workdir / f"{name}{seed}"
            trained = fit(
                model,
                vae_loss(),
                train,
                config.n_steps,
                seed,
                folder,
                config.learning_rate,
                measure if followed else None,
                config.n_steps // config.n_records,
            )
            model = trained.network
            if isinstance(model.likelihood, Gaussian):
                model.likelihood = refitted(model, train)
            row = summarize(model, test, config.n_importance, torch.Generator().manual_seed(seed))
            row["rmse"] = rmse(model, test)
            if isinstance(model.likelihood, Gaussian):
                row["sigma"] = float(model.likelihood.log_sigma.detach().exp())
            rows.append(row)
            curves.append(trained.records)
        results[name] = over_seeds(rows)
        if followed:
            results[name]["curve"] = {
                key: [
                    round(float(np.mean([c[i][key] for c in curves])), 4)
                    for i in range(len(curves[0]))
                ]
                for key in ("step", "train", "validation")
            }
    return results


@torch.no_grad()
def refitted(model, train) -> Binned:
    """The best sigma for the trained means, so that only the training is judged, not the scale."""
    z_mean, z_log_var = model.encode(train)
    generator = torch.Generator().manual_seed(0)
    z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn(z_mean.shape, generator=generator)
    error = (model.decode(z)[..., 0] - train).square().mean().sqrt()
    return Binned(float(error))


@torch.no_grad()
def rmse(model, test) -> float:
    """Root mean squared error of reconstructions, in gray levels of 1/8."""
    shown = model.likelihood.mean(model.decode(model.encode(test)[0]))
    return float((shown - test).square().mean().sqrt() * 8)


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.8, ncols=2, sharey=False, width_ratios=[1.15, 1])
    words = {
        "mse_mean": "mean squared error",
        "mse_sum": "sum of squares",
        "gaussian": r"Gaussian, learned $\sigma$",
        "logistic": "discretized logistic",
        "softmax": "softmax of 17",
    }
    for place, name in enumerate(words):
        found = results[name]["elbo"]
        role = "broken" if name in ("mse_mean", "mse_sum", "softmax") else "model"
        left.plot(
            found["values"],
            [place] * len(found["values"]),
            ls="",
            marker=figures.marker(role),
            color=figures.color(role),
        )
        rate = results[name]["rate"]["mean"]
        left.annotate(
            f"rate {rate:.1f}",
            (max(found["values"]), place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=figures.color("muted"),
        )
    figures.sequence_axis(left, list(words.values()), axis="y")
    left.set_ylim(len(words) - 0.5, -0.5)
    left.set_xmargin(0.28)
    left.set_xlabel("test bound (bits per pixel)")
    for name, role, text in (("softmax", "broken", "softmax"), ("logistic", "model", "logistic")):
        curve = results[name]["curve"]
        (line,) = right.plot(curve["step"], curve["validation"], **figures.line_style(role))
        figures.label_line(line, text)
        right.plot(curve["step"], curve["train"], color=figures.color(role), lw=0.9, ls="-")
    right.margins(x=0.05)
    right.set_xlim(right=right.get_xlim()[1] * 1.28)
    right.set(xlabel="training step", ylabel="bits per pixel")
    return figure
