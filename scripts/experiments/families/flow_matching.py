"""What is lost when a flow along straight lines is walked in a single step?"""

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
from fromnoise.samplers import Denoiser, euler_step, sample, uniform_times
from fromnoise.schedules import Rectified
from fromnoise.targets import PredictVelocity
from fromnoise.training import train

SCHEDULE, TARGET = Rectified(), PredictVelocity()


@dataclass(frozen=True)
class Config(Budget):
    width: int = 41
    batch_size: int = 256
    n_steps: int = 32
    few: tuple[int, ...] = (1, 2, 4)
    n_path: int = 24
    n_judged: int = 1000


SIZES = {"full": Config(), "smoke": Config(**SMALL, n_steps=6, few=(1, 4), n_path=2, n_judged=8)}


@torch.no_grad()
def walk(config: Config, denoiser: Denoiser, n_steps: int, seed: int) -> Tensor:
    x_1 = torch.randn(config.n_test, 2, generator=torch.Generator().manual_seed(100 + seed))
    return sample(denoiser, SCHEDULE, x_1, uniform_times(n_steps), euler_step)


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
            drawn = {"ring": rounded(x, config.n_drawn)}
        for n in config.few:
            x = walk(config, denoiser, n, seed)
            broken[n].append(on_ring(x))
            if seed == 0:
                drawn[f"n{n}"] = rounded(x, config.n_drawn)
    return {
        "whole": over(rows),
        "few": {f"n{n}": over(found) for n, found in broken.items()},
        "parameters": n_parameters(network),
        "calls": config.n_steps,
        "steps": n_steps,
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.5, ncols=3)
    for ax, name, text, role in (
        (axes[0], "ring", f"{results['calls']} steps", "model"),
        (axes[1], "n4", "4 steps", "muted"),
        (axes[2], "n1", "1 step", "broken"),
    ):
        scatter(ax, results["drawn"][name], role, text)
    return figure
