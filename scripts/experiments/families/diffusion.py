"""How many small steps back does a model of small steps need?"""

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
    flow_log_prob,
    judged,
    on_ring,
    over,
    rounded,
    scatter,
    settings,
)
from fromnoise import figures
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.networks import MLP, n_parameters
from fromnoise.samplers import Denoiser, ancestral_step, sample, uniform_times
from fromnoise.schedules import Cosine
from fromnoise.targets import PredictEps
from fromnoise.training import train

SCHEDULE, TARGET = Cosine(), PredictEps()


@dataclass(frozen=True)
class Config(Budget):
    width: int = 41
    batch_size: int = 256
    n_steps: int = 50
    few: tuple[int, ...] = (2, 5, 10)
    shown: int = 5
    n_path: int = 24
    n_judged: int = 1000


SIZES = {"full": Config(), "smoke": Config(**SMALL, n_steps=6, few=(5,), n_path=2, n_judged=8)}


def walk(config: Config, denoiser: Denoiser, n_steps: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 + seed)
    x_1 = torch.randn(config.n_test, 2, generator=generator)
    # At t = 1 nothing of the data is left, and the noise says nothing about them.
    times = uniform_times(n_steps, 0.995)
    return sample(denoiser, SCHEDULE, x_1, times, ancestral_step, generator)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    n_steps = config.passes // config.batch_size
    rows, drawn = [], {}
    broken: dict[int, list] = {n: [] for n in config.few}
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        network, train_s = clocked(
            config,
            lambda data=data, seed=seed: (
                train(
                    MLP(2, config.width, 2, seed=seed),
                    denoising_loss(SCHEDULE, TARGET),
                    (data,),
                    settings(n_steps, seed),
                ).network
            ),
        )
        denoiser = as_denoiser(network, SCHEDULE, TARGET)
        x, sample_s = clocked(
            config,
            lambda denoiser=denoiser, seed=seed: walk(config, denoiser, config.n_steps, seed),
        )
        held = test[: config.n_judged]
        log_prob = flow_log_prob(denoiser, SCHEDULE, held, config.n_path, (0.03, 100.0))
        rows.append(
            {
                **judged(config, x, test),
                "excess": excess(log_prob, held),
                "train_s": train_s,
                "sample_ms": 1e3 * sample_s,
            }
        )
        if seed == 0:
            drawn = {"ring": rounded(x, config.n_drawn), "data": rounded(test, config.n_drawn)}
        for n in config.few:
            x = walk(config, denoiser, n, seed)
            broken[n].append(on_ring(x))
            if seed == 0 and n == config.shown:
                drawn["few"] = rounded(x, config.n_drawn)
    return {
        "whole": over(rows),
        "few": {f"n{n}": over(found) for n, found in broken.items()},
        "parameters": n_parameters(network),
        "calls": config.n_steps,
        "steps": n_steps,
        "shown": config.shown,
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.5, ncols=3)
    for ax, name, text, role in (
        (axes[0], "data", "data", "data"),
        (axes[1], "ring", f"{results['calls']} steps", "model"),
        (axes[2], "few", f"{results['shown']} steps", "broken"),
    ):
        scatter(ax, results["drawn"][name], role, text)
    return figure
