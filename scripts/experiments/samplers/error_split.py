"""How much of the error do more steps mend, when the score is exact and when it is learned?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.flow_matching._common import fit, fresh_noise
from experiments.samplers._common import EXACT, PLANE, SCHEDULE, apart, line, normal, over, ticks
from fromnoise import figures
from fromnoise.flow_matching import velocity_denoiser
from fromnoise.samplers import Denoiser, heun_step, sample, uniform_times


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_train: int = 4000
    n_train_steps: tuple[int, ...] = (100, 1200)
    n_points: int = 500
    n_steps: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    n_reference: int = 200


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n_train=64, n_train_steps=(2, 3), n_points=20, n_steps=(2, 4), n_reference=8
    ),
}


def end_of(ask: Denoiser, start: Tensor, n: int) -> Tensor:
    return sample(ask, SCHEDULE, start, uniform_times(n), heun_step)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    kinds = ["exact", *(f"trained_{n}" for n in config.n_train_steps)]
    gaps: dict = {kind: {n: [] for n in config.n_steps} for kind in kinds}
    floors: dict = {kind: [] for kind in kinds[1:]}
    for seed in config.seeds:
        start = normal(config.n_points, 2, 100 + seed)
        truth = end_of(EXACT, start, config.n_reference)
        x_0 = PLANE.sample(config.n_train, torch.Generator().manual_seed(seed)).float()
        asked: dict[str, Denoiser] = {"exact": EXACT}
        for kind, n in zip(kinds[1:], config.n_train_steps, strict=True):
            network = fit(fresh_noise(), (x_0,), n, seed, workdir / f"{kind}_{seed}").double()
            asked[kind] = velocity_denoiser(network, SCHEDULE)
            floors[kind].append(apart(end_of(asked[kind], start, config.n_reference), truth))
        for kind, ask in asked.items():
            for n in config.n_steps:
                gaps[kind][n].append(apart(end_of(ask, start, n), truth))
    return {
        "n_steps": list(config.n_steps),
        "kinds": kinds,
        **{
            kind: {f"steps_{n}": over(values) for n, values in rows.items()}
            for kind, rows in gaps.items()
        },
        "floor": {kind: over(values) for kind, values in floors.items()},
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8)
    n_steps = results["n_steps"]
    short, long = (kind.removeprefix("trained_") for kind in results["kinds"][1:])
    for kind, role, text, dy in zip(
        results["kinds"],
        ("ink", "broken", "model"),
        ("exact score", f"network, {short} training steps", f"network, {long} training steps"),
        (-10, 9, 9),
        strict=True,
    ):
        rows = [results[kind][f"steps_{n}"] for n in n_steps]
        drawn = line(ax, n_steps, rows, role)
        # Never at the last point: a label that leaves the panel has no one layout.
        middle = n_steps[min(len(n_steps) // 2, len(n_steps) - 2)]
        figures.label_line(drawn, text, x=middle, dx=4, dy=dy)
        if kind != "exact":
            ax.axhline(results["floor"][kind]["mean"], color=figures.color(role), lw=0.8, ls=":")
    ticks(ax, n_steps)
    ax.set(xlabel="Heun steps")
    figures.panel_label(ax, "distance to the exact flow's end")
    return figure
