"""What do a copy of the state between steps, a small box, or too much churn do to the samples?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.samplers._common import EXACT, PLANE, SCHEDULE, apart, line, normal, over, ticks
from experiments.sde._common import distance
from fromnoise import figures
from fromnoise.multistep import DPMSolverMultistep
from fromnoise.samplers import (
    Denoiser,
    Step,
    ddim_step,
    edm_times,
    heun_step,
    sample,
    uniform_times,
)
from fromnoise.solvers import churn_step


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_points: int = 2000
    n_steps: tuple[int, ...] = (8, 16, 32, 64)
    n_reference: int = 400
    churns: tuple[float, ...] = (0.0, 0.2, 0.4142, 1.0, 2.0, 4.0)
    n_churn_steps: int = 16
    # The box that a program of images clips to, and one wide enough for every cluster.
    boxes: tuple[float, ...] = (1.0, 2.5)


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n_points=40, n_steps=(8,), n_reference=8, churns=(0.0, 1.0), n_churn_steps=4
    ),
}


def edited(step: Step) -> Step:
    """The step on a copy of the state: the same numbers, but another tensor."""
    return lambda ask, schedule, x_t, t, s, generator=None: step(
        ask, schedule, x_t.clone(), t, s, generator
    )


def clipped(ask: Denoiser, size: float) -> Denoiser:
    return lambda x_t, t: ask(x_t, t).clamp(-size, size)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    far: dict[str, list[float]] = {}
    spread: dict[str, list[float]] = {}
    gap: dict[str, dict[int, list[float]]] = {
        name: {n: [] for n in config.n_steps} for name in ("whole", "edited", "ddim")
    }

    def judge(name: str, x: Tensor, seed: int) -> None:
        generator = torch.Generator().manual_seed(1000 + seed)
        far.setdefault(name, []).append(distance(x, PLANE, generator))
        spread.setdefault(name, []).append(float(x.var(0).sum() / PLANE.covariance.trace()))

    for seed in config.seeds:
        x_1 = normal(config.n_points, 2, seed)
        judge("truth", PLANE.sample(config.n_points, torch.Generator().manual_seed(seed)), seed)
        truth = sample(EXACT, SCHEDULE, x_1, uniform_times(config.n_reference), heun_step)
        ways: dict[str, Callable[[], Step]] = {
            "whole": partial(DPMSolverMultistep, 2),
            "edited": lambda: edited(DPMSolverMultistep(2)),
            "ddim": lambda: ddim_step,
        }
        for n in config.n_steps:
            walk = partial(sample, EXACT, SCHEDULE, x_1, uniform_times(n))
            for name, make in ways.items():
                gap[name][n].append(apart(walk(make()), truth))
        for size in config.boxes:
            found = sample(clipped(EXACT, size), SCHEDULE, x_1, uniform_times(64), ddim_step)
            judge(f"box_{size:g}".replace(".", "_"), found, seed)
        judge("unclipped", sample(EXACT, SCHEDULE, x_1, uniform_times(64), ddim_step), seed)
        for churn in config.churns:
            stir = partial(churn_step, churn=churn)
            times = edm_times(config.n_churn_steps, SCHEDULE)
            generator = torch.Generator().manual_seed(seed)
            found = sample(EXACT, SCHEDULE, x_1, times, stir, generator)
            judge(f"churn_{churn:g}".replace(".", "_"), found, seed)
    return {
        "n_steps": list(config.n_steps),
        "churns": list(config.churns),
        "distance": {name: over(values) for name, values in far.items()},
        "spread": {name: over(values) for name, values in spread.items()},
        "gap": {
            name: {f"steps_{n}": over(values) for n, values in rows.items()}
            for name, rows in gap.items()
        },
    }


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.6, ncols=2, sharey=False)
    n_steps, far = results["n_steps"], results["distance"]
    for name, role, text, dy in (
        ("edited", "broken", "state copied", 9),
        ("whole", "model", "multistep 2", -9),
    ):
        rows = [results["gap"][name][f"steps_{n}"] for n in n_steps]
        drawn = line(left, n_steps, rows, role)
        figures.label_line(drawn, text, x=n_steps[len(n_steps) // 2], dx=-24, dy=dy)
    rows = [far[f"churn_{churn:g}".replace(".", "_")] for churn in results["churns"]]
    # Churn 0 has no place on a logarithmic axis.
    line(right, [max(churn, 0.1) for churn in results["churns"]], rows, "broken")
    ticks(left, n_steps)
    left.set(xlabel="steps")
    shown = [0.1, 0.4, 1, 4]
    right.set_xticks(shown, ["0", "0.4", "1", "4"])
    right.minorticks_off()
    right.set(xlabel="churn γ", yscale="linear", ylim=(0, None))
    right.axhline(far["truth"]["mean"], **figures.line_style("data", lw=1))
    figures.panel_label(left, "distance to the flow's end")
    figures.panel_label(right, "distance to the truth")
    return figure
