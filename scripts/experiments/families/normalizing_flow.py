"""Can a flow, which bends one connected blob of noise, make spots that do not touch?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.families._common import (
    SMALL,
    Budget,
    clocked,
    draws,
    excess,
    judged,
    over,
    ring,
    rounded,
    scatter,
    settings,
)
from fromnoise import figures
from fromnoise.families.normalizing_flow import fit
from fromnoise.networks import n_parameters


@dataclass(frozen=True)
class Config(Budget):
    width: int = 46
    n_layers: int = 3
    # Larger batches: most of the time of a spline is spent around the network, not in it.
    batch_size: int = 512
    n_path: int = 400


SIZES = {"full": Config(), "smoke": Config(**SMALL, n_path=20)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    n_steps = config.passes // config.batch_size
    source, rows, gaps, drawn = ring(), [], [], {}
    centers = source.components.mean
    middle = (centers + centers.roll(1, 0)) / 2
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        model, train_s = clocked(
            config,
            lambda data=data, seed=seed: fit(
                data,
                n_layers=config.n_layers,
                width=config.width,
                settings=settings(n_steps, seed, config.batch_size, 2e-2),
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
        # From spot to spot, straight in the noise: where do those ways lead in the data?
        ends = model.to_noise(centers)[0]
        share = torch.linspace(0, 1, config.n_path)[:, None, None]
        ways = (1 - share) * ends + share * ends.roll(1, 0)
        paths = model.to_data(ways.flatten(0, 1))[0].unflatten(0, ways.shape[:2])
        astray = torch.cdist(paths.flatten(0, 1), centers).min(1).values > 3 * 0.25
        gaps.append(
            {
                "between": float((model.log_prob(middle) - source.log_prob(middle)).mean()),
                "crossing": float(astray.view(paths.shape[:2]).any(0).double().mean()),
            }
        )
        if seed == 0:
            z = torch.randn(4 * config.n_drawn, 2, generator=generator)
            lands = torch.cdist(model.to_data(z)[0], centers)
            # The ring in a circle of three shades, so that neighbors differ.
            label = torch.where(lands.min(1).values > 3 * 0.25, -1, lands.argmin(1) % 3)
            drawn = {
                "ring": rounded(x, config.n_drawn),
                "noise": rounded(z),
                "label": label.tolist(),
                "paths": [rounded(path[:: max(1, len(path) // 80)]) for path in paths.unbind(1)],
            }
    return {
        "whole": over(rows),
        "gaps": over(gaps),
        "parameters": n_parameters(model),
        "calls": 1,
        "steps": n_steps,
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(3.1, ncols=2)
    drawn = results["drawn"]
    z, label = np.array(drawn["noise"]), np.array(drawn["label"])
    # All of it is noise: one color, in three strengths for the spots where it lands.
    for k, alpha in enumerate((1.0, 0.5, 0.22)):
        left.scatter(*z[label == k].T, s=4, lw=0, color=figures.color("noise"), alpha=alpha)
    left.scatter(*z[label == -1].T, s=9, lw=0, color=figures.color("broken"))
    left.set(xlim=(-3.1, 3.1), ylim=(-3.1, 3.1), xticks=[], yticks=[], aspect="equal")
    figures.panel_label(left, "noise, by where it lands")
    scatter(right, drawn["ring"], "model", "samples and bridges")
    for path in drawn["paths"]:
        right.plot(*zip(*path, strict=True), color=figures.color("broken"), linestyle="-", lw=1.1)
    return figure
