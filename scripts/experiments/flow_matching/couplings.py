"""Do better pairs of data and noise make straighter paths, and fewer steps?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.flow_matching._common import (
    SCHEDULE,
    as_they_come,
    fit,
    fresh_noise,
    given_pairs,
    in_parts,
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
from fromnoise.samplers import heun_step, uniform_times


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_data: int = 8192
    n_steps: int = 700
    n_pairs: int = 8192
    # The teacher's own steps; with fewer its error of steps would be in the pairs.
    n_teacher_steps: int = 32
    n_judged: int = 512
    n_paths: int = 40
    parts: tuple[int, ...] = (16, 256)
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32)


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        n_data=32,
        n_steps=2,
        n_pairs=16,
        n_teacher_steps=2,
        n_judged=16,
        n_paths=3,
        parts=(16, 256),
        steps=(1, 2),
    ),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    names = ["independent", *(f"optimal{size}" for size in config.parts), "reflow"]
    rows: dict[str, list] = {name: [] for name in names}
    floor, paths = [], {}
    for seed in range(config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        data = spots().sample(config.n_data, generator)
        real = spots().sample(config.n_judged, generator)
        noise = torch.randn(real.shape, generator=generator)
        floor.append({"w": wasserstein_2(spots().sample(config.n_judged, generator), real)})
        pairings = [as_they_come, *(in_parts(size) for size in config.parts)]
        models = {
            name: fit(
                fresh_noise(pairing), (data,), config.n_steps, seed, workdir / f"{name}{seed}"
            )
            for name, pairing in zip(names[:-1], pairings, strict=True)
        }
        with torch.no_grad():
            pairs = reflow_pairs(
                velocity_denoiser(models["independent"], SCHEDULE),
                SCHEDULE,
                torch.randn((config.n_pairs, 2), generator=generator),
                uniform_times(config.n_teacher_steps),
                heun_step,
            )
        models["reflow"] = fit(
            given_pairs, tuple(pairs), config.n_steps, seed, workdir / f"reflow{seed}"
        )
        for name, model in models.items():
            rows[name].append(judged(model, noise, real, config.steps))
            if seed == 0:
                path = walk(model, noise[: config.n_paths], 32)
                paths[name] = [rounded(one) for one in path.transpose(0, 1)]
    return {
        **{name: over(found) for name, found in rows.items()},
        "floor": over(floor)["w"],
        "steps": list(config.steps),
        "paths": paths,
    }


# Name, dash and marker, color: no coupling is data or noise.
NAMES = {
    "independent": ("independent", "noise", "muted"),
    "optimal16": ("optimal, 16", "muted", "model"),
    "optimal256": ("optimal, 256", "model", "model"),
    "reflow": ("reflow", "data", "ink"),
}


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.6, ncols=3, sharey=False, width_ratios=[1, 1, 1.35])
    left, middle, right = axes
    for ax, name in ((left, "independent"), (middle, "optimal256")):
        text, _, role = NAMES[name]
        for path in results["paths"][name]:
            ax.plot(*zip(*path, strict=True), color=figures.color(role), linestyle="-", lw=0.8)
            ax.plot(*path[-1], "o", ms=2.5, color=figures.color(role))
        figures.panel_label(ax, text, role)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    steps = results["steps"]
    for name, (text, role, tone) in NAMES.items():
        means = [results[name][f"w{n}"]["mean"] for n in steps]
        lows = [results[name][f"w{n}"]["low"] for n in steps]
        highs = [results[name][f"w{n}"]["high"] for n in steps]
        style = figures.line_style(role, color=figures.color(tone))
        (line,) = right.plot(steps, means, marker=figures.marker(role), **style)
        right.fill_between(steps, lows, highs, color=figures.color(tone), alpha=0.15, lw=0)
        line.set_label(text)
    right.axhline(results["floor"]["mean"], color=figures.color("data"), linestyle="-", lw=0.8)
    right.set(xscale="log", xlabel="steps", ylabel="distance to data", ylim=(0, None))
    right.set_xticks(steps, [str(n) for n in steps])
    right.minorticks_off()
    right.legend(fontsize=8)
    return figure
