"""What does a student learn from a teacher that is badly trained, or takes too few steps?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.flow_matching._common import (
    SCHEDULE,
    fit,
    fresh_noise,
    given_pairs,
    judged,
    over,
    rounded,
    spots,
    walk,
)
from fromnoise import figures
from fromnoise.couplings import reflow_pairs
from fromnoise.flow_matching import velocity_denoiser
from fromnoise.sample_measures import wasserstein_2
from fromnoise.samplers import euler_step, uniform_times


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_data: int = 8192
    n_steps: int = 700
    n_short_steps: int = 70
    n_pairs: int = 8192
    n_teacher_steps: int = 32
    n_few_steps: int = 2
    n_judged: int = 512
    n_drawn: int = 300


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        n_data=32,
        n_steps=2,
        n_short_steps=1,
        n_pairs=16,
        n_teacher_steps=2,
        n_few_steps=1,
        n_judged=16,
        n_drawn=8,
    ),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    rows: dict[str, list] = {"good": [], "short": [], "few": []}
    teachers: dict[str, list] = {name: [] for name in rows}
    floor, drawn = [], {}
    for seed in range(config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        data = spots().sample(config.n_data, generator)
        real = spots().sample(config.n_judged, generator)
        noise = torch.randn(real.shape, generator=generator)
        floor.append({"w": wasserstein_2(spots().sample(config.n_judged, generator), real)})
        eps = torch.randn((config.n_pairs, 2), generator=generator)
        trained = fit(fresh_noise(), (data,), config.n_steps, seed, workdir / f"teacher{seed}")
        early = fit(fresh_noise(), (data,), config.n_short_steps, seed, workdir / f"early{seed}")
        for name, teacher, n in (
            ("good", trained, config.n_teacher_steps),
            ("short", early, config.n_teacher_steps),
            ("few", trained, config.n_few_steps),
        ):
            with torch.no_grad():
                pairs = reflow_pairs(
                    velocity_denoiser(teacher, SCHEDULE),
                    SCHEDULE,
                    eps,
                    uniform_times(n),
                    euler_step,
                )
            student = fit(
                given_pairs, tuple(pairs), config.n_steps, seed, workdir / f"{name}{seed}"
            )
            rows[name].append(judged(student, noise, real, (1, 32)))
            teachers[name].append({"w": wasserstein_2(walk(teacher, noise, n)[-1], real)})
            if seed == 0:
                drawn[name] = rounded(walk(student, noise[: config.n_drawn], 32)[-1])
    return {
        **{name: over(found) for name, found in rows.items()},
        "teacher": {name: over(found)["w"] for name, found in teachers.items()},
        "floor": over(floor)["w"],
        "drawn": drawn,
        "real": rounded(real[: config.n_drawn]),
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.35, ncols=3)
    for ax, name, text, role in (
        (axes[0], "good", "good teacher", "model"),
        (axes[1], "short", "trained too little", "broken"),
        (axes[2], "few", "too few steps", "broken"),
    ):
        ax.scatter(
            *zip(*results["real"], strict=True), s=3, color=figures.color("data"), alpha=0.35
        )
        ax.scatter(*zip(*results["drawn"][name], strict=True), s=4, color=figures.color(role))
        figures.panel_label(ax, text, role)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    return figure
