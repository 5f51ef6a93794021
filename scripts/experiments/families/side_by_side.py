"""What do eight kinds of model draw when each is given the same data and the same budget?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.families._common import (
    SMALL,
    Budget,
    draws,
    excess,
    judged,
    over,
    ring,
    rounded,
    scatter,
)
from fromnoise import figures
from fromnoise.generative_models import fit_gaussian

needs = (
    "families/autoregressive",
    "families/normalizing_flow",
    "families/vae",
    "families/gan",
    "families/energy",
    "families/score",
    "families/diffusion",
    "families/flow_matching",
)
WORDS = ("autoregressive", "flow", "VAE", "GAN", "energy", "score", "diffusion", "flow matching")


N_SHOWN = 260  # of each panel: more would weigh more than the page they stand on


@dataclass(frozen=True)
class Config(Budget):
    pass


SIZES = {"full": Config(), "smoke": Config(**SMALL)}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    # The floor: other draws of the data in the place of samples.
    floor, surprise, one_bell = [], [], []
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        # The obvious attempt: the mean and the covariance of the data.
        bell = fit_gaussian(data)
        blob = bell.sample(config.n_test, torch.Generator().manual_seed(100 + seed))
        one_bell.append({**judged(config, blob, test), "excess": excess(bell.log_prob(test), test)})
        other, _ = draws(config, 1000 + seed)
        floor.append(judged(config, other[: config.n_test], test))
        surprise.append({"nats": float(-ring().log_prob(test).mean())})
    families = {
        words: {
            "points": needed[name]["drawn"]["ring"],
            "stray": needed[name]["whole"]["stray"]["mean"],
        }
        for name, words in zip(needs, WORDS, strict=True)
    }
    return {
        "floor": over(floor),
        "one_bell": over(one_bell),
        **over(surprise),
        "data": rounded(test, config.n_drawn),
        "families": families,
        "passes": config.passes,
        "fewest": min(families, key=lambda name: families[name]["stray"]),
        "most": max(families, key=lambda name: families[name]["stray"]),
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(6.4, ncols=3, nrows=3)
    panels = [("data", results["data"], "data")] + [
        (name, found["points"], "model") for name, found in results["families"].items()
    ]
    for ax, (name, points, role) in zip(axes.flat, panels, strict=True):
        scatter(ax, points[:N_SHOWN], role, name)
    return figure
