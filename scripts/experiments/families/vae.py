"""What is left of the spots when the decoder may say only how far it is from the point?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.families._common import (
    SMALL,
    Budget,
    clocked,
    draws,
    excess,
    judged,
    over,
    rounded,
    scatter,
    settings,
)
from fromnoise import figures
from fromnoise.decoders import Gaussian
from fromnoise.elbo import iwae_bound
from fromnoise.networks import n_parameters
from fromnoise.training import train
from fromnoise.vae import VAE, vae_loss


@dataclass(frozen=True)
class Config(Budget):
    width: int = 67
    batch_size: int = 256
    n_importance: int = 256
    n_judged: int = 1000


SIZES = {"full": Config(), "smoke": Config(**SMALL, n_importance=4, n_judged=8)}


@torch.no_grad()
def measured(config: Config, model: VAE, test: torch.Tensor, seed: int) -> tuple[dict, list]:
    generator = torch.Generator().manual_seed(100 + seed)
    x, sample_s = clocked(config, lambda: model.sample(config.n_test, generator))
    held = test[: config.n_judged]
    log_weights = model.log_weights(held, config.n_importance, generator)
    codes, _ = model.encode(test)
    found = {
        **judged(config, x, test),
        # Above the truth: the bound lies below the model's own likelihood.
        "excess": excess(iwae_bound(log_weights), held),
        "bound": excess(log_weights.mean(0), held),
        "sigma": float(model.likelihood.log_sigma.exp()),
        "code_var": float(codes.var(0).mean()),
        "sample_ms": 1e3 * sample_s,
    }
    return found, rounded(x, config.n_drawn)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    n_steps = config.passes // config.batch_size
    rows: dict[str, list] = {"whole": [], "fixed": []}
    drawn = {}
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        for name, likelihood in (
            ("whole", Gaussian(0.5)),
            # Squared error alone is this likelihood with a deviation of one.
            ("fixed", Gaussian(1.0, learned=False)),
        ):
            start = VAE(likelihood, 2, 2, config.width, seed=seed)
            trained, train_s = clocked(
                config,
                lambda start=start, data=data, seed=seed: train(
                    start, vae_loss(), (data,), settings(n_steps, seed, rate=2e-2)
                ),
            )
            found, points = measured(config, trained.network, test, seed)
            rows[name].append({**found, "train_s": train_s})
            if seed == 0:
                drawn[name] = points
                drawn["data"] = rounded(test, config.n_drawn)
    return {
        **{name: over(found) for name, found in rows.items()},
        "parameters": n_parameters(start),
        "steps": n_steps,
        "drawn": {**drawn, "ring": drawn["whole"]},
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.5, ncols=3)
    for ax, name, text, role in (
        (axes[0], "data", "data", "data"),
        (axes[1], "whole", "learned width", "model"),
        (axes[2], "fixed", "squared error alone", "broken"),
    ):
        scatter(ax, results["drawn"][name], role, text, 4.2)
    return figure
