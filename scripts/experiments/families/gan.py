"""Which of three ways to play the game of forger and inspector keeps all the spots?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.families._common import (
    SMALL,
    Budget,
    clocked,
    draws,
    judged,
    on_ring,
    over,
    ring,
    rounded,
    scatter,
)
from fromnoise import figures
from fromnoise.families.gan import Settings, fit, non_saturating_loss, saturating_loss
from fromnoise.networks import n_parameters


@dataclass(frozen=True)
class Config(Budget):
    width: int = 68
    batch_size: int = 128
    # The harder ring of the break: eight spots, each almost a point.
    n_spots: int = 8
    std: float = 0.05
    hard_seeds: int = 5
    hard_steps: int = 800
    hard_batch: int = 64


SIZES = {"full": Config(), "smoke": Config(**SMALL, hard_seeds=2, hard_steps=3)}
GAMES = {
    "saturating": (saturating_loss, 0.0),
    "non_saturating": (non_saturating_loss, 0.0),
    "stabilized": (non_saturating_loss, 1.0),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    # Per example: two points for the inspector, two passes for the slope of its logit, one for the
    # forger and one more through the inspector, each through half of the weights.
    n_steps = config.passes // (3 * config.batch_size)
    rows, drawn = [], {}
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        rule = Settings(
            n_steps, config.batch_size, learning_rate=1e-2, penalty=0.3, ema_decay=0.98, seed=seed
        )
        model, train_s = clocked(
            config, lambda data=data, rule=rule: fit(data, width=config.width, settings=rule)
        )
        generator = torch.Generator().manual_seed(100 + seed)
        x, sample_s = clocked(
            config, lambda model=model, rng=generator: model.sample(config.n_test, rng)
        )
        rows.append({**judged(config, x, test), "train_s": train_s, "sample_ms": 1e3 * sample_s})
        if seed == 0:
            drawn["ring"] = rounded(x, config.n_drawn)
    hard = ring(config.n_spots, config.std)
    broken: dict[str, list] = {name: [] for name in GAMES}
    for seed in range(config.hard_seeds):
        data, test = draws(config, seed, hard)
        for name, (loss, penalty) in GAMES.items():
            rule = Settings(
                config.hard_steps,
                config.hard_batch,
                learning_rate=1e-2,
                penalty=penalty,
                ema_decay=0.0,
                seed=seed,
            )
            game = fit(data, loss, width=config.width, settings=rule)
            x = game.sample(config.n_test, torch.Generator().manual_seed(100 + seed))
            broken[name].append(on_ring(x, hard))
            if seed == 0:
                drawn[name] = rounded(x, config.n_drawn)
                drawn["hard"] = rounded(test, config.n_drawn)
    return {
        "whole": over(rows),
        **{name: over(found) for name, found in broken.items()},
        "parameters": n_parameters(model),
        "steps": n_steps,
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.1, ncols=4)
    for ax, name, text, role in (
        (axes[0], "hard", "data", "data"),
        (axes[1], "saturating", "saturating", "broken"),
        (axes[2], "non_saturating", "non-saturating", "broken"),
        (axes[3], "stabilized", "with penalty", "model"),
    ):
        scatter(ax, results["drawn"][name], role, text, 3.2)
    return figure
