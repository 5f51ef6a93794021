"""Pair every datum with one noise for good and learn the lines: are samples one step away?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.flow_matching._common import (
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
from fromnoise.sample_measures import wasserstein_2


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_data: int = 512
    n_steps: int = 1000
    n_judged: int = 512
    n_drawn: int = 200
    n_paths: int = 30
    steps: tuple[int, ...] = (1, 4, 32)


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_data=16, n_steps=2, n_judged=16, n_drawn=8, n_paths=3, steps=(1,)),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    rows: dict[str, list] = {"fixed": [], "fresh": []}
    floor, own, drawn = [], [], {}
    for seed in range(config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        x_0 = spots().sample(config.n_data, generator)
        eps = torch.randn(x_0.shape, generator=generator)
        real = spots().sample(config.n_judged, generator)
        noise = torch.randn(real.shape, generator=generator)
        floor.append({"w": wasserstein_2(spots().sample(config.n_judged, generator), real)})
        fixed = fit(given_pairs, (x_0, eps), config.n_steps, seed, workdir / f"fixed{seed}")
        fresh = fit(fresh_noise(), (x_0,), config.n_steps, seed, workdir / f"fresh{seed}")
        rows["fixed"].append(judged(fixed, noise, real, config.steps))
        rows["fresh"].append(judged(fresh, noise, real, config.steps))
        # Its own pairs: how far does one step land from the datum that the noise was paired with?
        own.append(
            {
                "one_step": (walk(fixed, eps, 1)[-1] - x_0).norm(dim=1).mean().item(),
                "without_model": (x_0.mean(0) - x_0).norm(dim=1).mean().item(),
            }
        )
        if seed == 0:
            path = walk(fixed, noise[: config.n_paths], 64)
            drawn = {
                "data": rounded(x_0[: config.n_drawn]),
                "noise": rounded(eps[: config.n_drawn]),
                "one": rounded(walk(fixed, noise[: config.n_drawn], 1)[-1]),
                "paths": [rounded(one) for one in path.transpose(0, 1)],
            }
    return {
        **{name: over(found) for name, found in rows.items()},
        "floor": over(floor)["w"],
        "own": over(own),
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.35, ncols=3)
    drawn = results["drawn"]
    left, middle, right = axes
    for (a, b), (c, d) in zip(drawn["data"][:60], drawn["noise"][:60], strict=True):
        left.plot([a, c], [b, d], color=figures.color("muted"), linestyle="-", lw=0.5)
    left.scatter(*zip(*drawn["noise"][:60], strict=True), s=5, color=figures.color("noise"))
    left.scatter(*zip(*drawn["data"][:60], strict=True), s=5, color=figures.color("data"))
    middle.scatter(*zip(*drawn["data"], strict=True), s=3, color=figures.color("data"), alpha=0.5)
    middle.scatter(*zip(*drawn["one"], strict=True), s=4, color=figures.color("broken"))
    for path in drawn["paths"]:
        right.plot(*zip(*path, strict=True), color=figures.color("model"), linestyle="-", lw=0.8)
        right.plot(*path[-1], "o", ms=2.5, color=figures.color("model"))
    for ax, text, role in (
        (left, "the lines", "ink"),
        (middle, "one step", "broken"),
        (right, "many steps", "model"),
    ):
        figures.panel_label(ax, text, role)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    return figure
