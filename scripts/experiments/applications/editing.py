"""Up to which noise is an edited three still that three, and from which on is it an eight?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments._flagship import SCHEDULE
from experiments.applications._common import (
    ask,
    at_time,
    digit_model,
    gray_distance,
    levels,
    over,
    reader,
)
from fromnoise import figures
from fromnoise.applications import renoise
from fromnoise.batches import noise_like
from fromnoise.datasets import digits, snap_to_levels
from fromnoise.diffusion import perturb
from fromnoise.samplers import ancestral_step, uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    n_seeds: int = 5
    source: int = 3
    target: int = 8
    n_steps: int = 16  # of a walk from pure noise; shorter walks take their share
    reader_steps: int = 400
    n_images: int = 60
    n_same: int = 50
    # The way of an edit that changes no class, against its prediction: few steps and many, to tell
    # what is missing because of the steps from what is missing because of the model.
    same_time: float = 0.5
    n_same_steps: tuple[int, ...] = (8, 64)
    times: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    n_shown: int = 3


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        n_steps=4,
        reader_steps=2,
        n_images=4,
        n_same=4,
        n_same_steps=(1, 2),
        times=(0.4, 0.5, 1.0),
        n_shown=2,
    ),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network, test = digit_model(needed), digits().test
    judge = reader(config.reader_steps)
    x_0 = test.images[test.labels == config.source][: config.n_images]
    wanted = torch.full((len(x_0),), config.target)
    others, own = test.images[: config.n_same], test.labels[: config.n_same]
    names = ("reads", "keeps", "distance")
    rows: dict[str, dict[str, list]] = {at_time(t): {n: [] for n in names} for t in config.times}
    ways = {f"way{n}": n for n in config.n_same_steps}
    same: dict[str, list] = {name: [] for name in (*ways, "twice_error")}
    unrelated, pictures = [], {}
    for seed in range(config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        for t in config.times:
            grid = uniform_times(max(2, round(t * config.n_steps)), t)
            walk = (SCHEDULE, grid, generator, ancestral_step)
            edited = edit(ask(network, wanted), x_0, *walk)
            row = rows[at_time(t)]
            row["reads"].append(judge.accuracy(edited, wanted))
            row["keeps"].append(judge.accuracy(edited, torch.full_like(wanted, config.source)))
            row["distance"].append(gray_distance(edited, x_0))
            if seed == 0:
                pictures[at_time(t)] = levels(edited[: config.n_shown])
            if t == config.times[-1]:
                # Drawn from pure noise: eights that know nothing of these threes.
                unrelated.append(gray_distance(edited, x_0))
        # Same class: the way is twice the denoiser's error if model and steps are exact.
        t = config.same_time
        for name, n in ways.items():
            grid = uniform_times(n, t)
            again = renoise(ask(network, own), SCHEDULE, others, grid, generator, ancestral_step)
            same[name].append(float((again - others).square().mean()))
        scales = SCHEDULE(torch.tensor(t, dtype=torch.float64))
        x_t = perturb(others, noise_like(others, generator), scales)
        guess = ask(network, own)(x_t, torch.full((len(others),), t))
        same["twice_error"].append(2 * float((others - guess).square().mean()))
    return {
        "times": list(config.times),
        "edits": {t: {name: over(v) for name, v in row.items()} for t, row in rows.items()},
        "same": {name: over(values) for name, values in same.items()},
        "unrelated": over(unrelated),
        "source_read": judge.accuracy(x_0, torch.full_like(wanted, config.source)),
        "n_images": len(x_0),
        "sources": levels(x_0[: config.n_shown]),
        "pictures": pictures,
    }


def edit(denoiser, x_0, schedule, grid, generator, step):
    return snap_to_levels(renoise(denoiser, schedule, x_0, grid, generator, step))


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (top, bottom) = figures.figure(4.0, nrows=2, sharex=False, height_ratios=[1, 1.35])
    times = results["times"]
    columns = [results["sources"], *(results["pictures"][at_time(t)] for t in times)]
    sheet = np.array(columns).swapaxes(0, 1)
    figures.image_grid(top, sheet, levels=(0, 160), role="model")
    figures.panel_label(top, "source, and asked for an eight from t = 0.2, 0.3, ... 1.0")
    read = [results["edits"][at_time(t)]["reads"]["mean"] for t in times]
    kept = [results["edits"][at_time(t)]["keeps"]["mean"] for t in times]
    unrelated = results["unrelated"]["mean"]
    way = [results["edits"][at_time(t)]["distance"]["mean"] / unrelated for t in times]
    # How far an edit goes is neither data nor noise: grays with a dash of their own.
    for values, role, tone, name, x, dy in (
        (read, "model", "model", "read as 8", 0.56, 12),
        (kept, "data", "ink", "read as 3", 0.23, 14),
        (way, "noise", "muted", "distance to the source", 0.68, -14),
    ):
        style = figures.line_style(role, color=figures.color(tone))
        (line,) = bottom.plot(times, values, marker=figures.marker(role), **style)
        figures.label_line(line, name, x=x, dx=0, dy=dy, ha="center")
    bottom.set(xlabel="noised up to t", ylim=(-0.04, 1.12))
    return figure
