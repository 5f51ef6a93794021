"""Does the order of the entries matter to a model that draws one entry at a time?"""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

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
from fromnoise.families.autoregressive import fit
from fromnoise.networks import n_parameters


@dataclass(frozen=True)
class Config(Budget):
    width: int = 86
    batch_size: int = 256
    bend: float = 0.8
    thickness: float = 0.2
    # A crescent needs less: half of the passes.
    share: float = 0.5


SIZES = {"full": Config(), "smoke": Config(**SMALL)}
KINDS = {"across": ((0, 1), 1), "along": ((1, 0), 1), "many": ((1, 0), 8)}
"""Order of the entries, and how many bells each factor has."""


def crescent(config: Config, n: int, generator: torch.Generator) -> Tensor:
    """A bent band: its height is a Gaussian around the square of its place."""
    x = torch.randn(n, generator=generator)
    y = config.bend * (x.square() - 1) + config.thickness * torch.randn(n, generator=generator)
    return torch.stack([x, y], 1)


def crescent_log_prob(config: Config, x: Tensor) -> Tensor:
    z = (x[:, 1] - config.bend * (x[:, 0].square() - 1)) / config.thickness
    return -(x[:, 0].square() + z.square()) / 2 - math.log(2 * math.pi * config.thickness)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    # Two factors are two passes for each example.
    n_steps = config.passes // (2 * config.batch_size)
    rows, broken, drawn = [], {name: [] for name in KINDS}, {}
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        model, train_s = clocked(
            config,
            lambda data=data, seed=seed: fit(
                data, width=config.width, settings=settings(n_steps, seed)
            ),
        )
        generator = torch.Generator().manual_seed(100 + seed)
        x, sample_s = clocked(
            config, lambda model=model, rng=generator: model.sample(config.n_test, rng)
        )
        rows.append(
            {
                **judged(config, x, test),
                "excess": excess(model.log_prob(test), test),
                "train_s": train_s,
                "sample_ms": 1e3 * sample_s,
            }
        )
        bent, held = (crescent(config, n, generator) for n in (config.n_data, config.n_test))
        if seed == 0:
            drawn = {"ring": rounded(x, config.n_drawn), "data": rounded(bent, config.n_drawn)}
        for name, (order, n_bells) in KINDS.items():
            few = settings(int(config.share * n_steps), seed)
            found = fit(bent, order, n_bells, config.width, few)
            loss = crescent_log_prob(config, held).double() - found.log_prob(held).double()
            broken[name].append({"excess": float(loss.mean())})
            if seed == 0:
                drawn[name] = rounded(found.sample(config.n_drawn, generator))
    return {
        "whole": over(rows),
        "parameters": n_parameters(model),
        "calls": 2,
        "steps": n_steps,
        **{name: over(found) for name, found in broken.items()},
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.15, ncols=4)
    for ax, name, text, role in (
        (axes[0], "data", "data", "data"),
        (axes[1], "across", "x, then y", "model"),
        (axes[2], "along", "y, then x", "broken"),
        (axes[3], "many", "eight bells", "model"),
    ):
        scatter(ax, results["drawn"][name], role, text, 3.3)
        ax.set(ylim=(-1.8, 4.8))
    return figure
