"""Does an energy trained with short chains know the density, or only how to end a short chain?"""

from dataclasses import dataclass, replace
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
)
from fromnoise import figures
from fromnoise.families.energy import Settings, fit
from fromnoise.langevin import langevin
from fromnoise.networks import n_parameters


@dataclass(frozen=True)
class Config(Budget):
    n_seeds: int = 4  # they differ more than those of the other families
    width: int = 97
    batch_size: int = 64
    n_chain_steps: int = 5
    n_sampling: int = 100
    short_step: float = 0.005
    n_long: int = 200


SIZES = {"full": Config(), "smoke": Config(**SMALL, n_sampling=2, n_long=3)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    # Each step of a chain is a pass for each chain; then data and chains pass once more.
    n_steps = config.passes // ((config.n_chain_steps + 2) * config.batch_size)
    rule = Settings(
        n_steps,
        config.batch_size,
        learning_rate=1e-2,
        n_chains=config.batch_size,
        n_chain_steps=config.n_chain_steps,
        chain_step=0.01,
        restart=0.1,
    )
    rows, drawn = [], {}
    # All chains start anew every time: none is ever longer than a few steps. First with the smaller
    # step that such chains want, then with the step of the chains that remember.
    sizes = {"broken": config.short_step, "restarted": rule.chain_step}
    anew: dict[str, list] = {name: [] for name in sizes}
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        model, train_s = clocked(
            config,
            lambda data=data, seed=seed: fit(data, config.width, replace(rule, seed=seed)),
        )
        generator = torch.Generator().manual_seed(100 + seed)
        x, sample_s = clocked(
            config,
            lambda model=model, rng=generator: model.sample(
                config.n_test, rng, config.n_sampling, 0.03
            ),
        )
        rows.append(
            {
                **judged(config, x, test),
                "excess": excess(model.log_prob(test), test),
                "train_s": train_s,
                "sample_ms": 1e3 * sample_s,
            }
        )
        for name, size in sizes.items():
            short = fit(data, config.width, replace(rule, seed=seed, restart=1.0, chain_step=size))
            start = short.start(config.n_test, generator)
            near = langevin(short.score, start, config.n_chain_steps, size, generator)
            far = langevin(short.score, near, config.n_long, size, generator)
            anew[name].append(
                {
                    **{f"short_{key}": value for key, value in judged(config, near, test).items()},
                    **{f"long_{key}": value for key, value in judged(config, far, test).items()},
                    "excess": excess(short.log_prob(test), test),
                }
            )
            if seed == 0 and name == "broken":
                drawn = {
                    key: rounded(points, config.n_drawn)
                    for key, points in (
                        ("ring", x),
                        ("start", start),
                        ("short", near),
                        ("long", far),
                    )
                }
    return {
        "whole": over(rows),
        **{name: over(found) for name, found in anew.items()},
        "parameters": n_parameters(model),
        "calls": config.n_sampling,
        "steps": n_steps,
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.5, ncols=3)
    for ax, name, text, role in (
        (axes[0], "start", "start", "noise"),
        (axes[1], "short", "as trained", "model"),
        (axes[2], "long", "the same, longer", "broken"),
    ):
        scatter(ax, results["drawn"][name], role, text)
    return figure
