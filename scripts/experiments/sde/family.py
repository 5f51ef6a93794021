"""Do all ways back, from no churn to much, end at the same distribution?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.sde._common import (
    PLANE,
    SCHEDULE,
    distance,
    exact_score,
    noise,
    over_seeds,
    times_down,
)
from fromnoise import figures
from fromnoise.sde import reverse_sde, simulate


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 5
    n_samples: int = 2000
    n_steps: int = 300
    etas: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    n_points: int = 300
    n_twins: int = 20


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_samples=60, n_steps=20)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    score = exact_score(PLANE, SCHEDULE)
    times = times_down(config.n_steps)
    results: dict = {"etas": [key(eta) for eta in config.etas]}
    seeds = range(config.seed, config.seed + config.n_seeds)
    floor = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(1000 + seed)
        floor.append(distance(PLANE.sample(config.n_samples, generator), PLANE, generator))
    results["floor"] = over_seeds(floor)
    for eta in config.etas:
        dynamics = reverse_sde(score, SCHEDULE, eta)
        far, same = [], []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            # Every start is used twice: do two walks from one noise end in one cluster?
            half = noise(config.n_samples // 2, 2, generator)
            found = simulate(dynamics, torch.cat([half, half]), times, generator)
            far.append(distance(found, PLANE, generator))
            cluster = PLANE.responsibilities(found).argmax(1)
            same.append(float((cluster[: len(half)] == cluster[len(half) :]).double().mean()))
            if seed == config.seed:
                points = found[: config.n_points]
                twins = simulate(dynamics, half[:1].expand(config.n_twins, 2), times, generator)
        results[key(eta)] = {
            "distance": over_seeds(far),
            "same_cluster": over_seeds(same),
            "points": [[round(float(c), 3) for c in p] for p in points],
            "twins": [[round(float(c), 3) for c in p] for p in twins],
        }
    results["chance"] = float(PLANE.weights.square().sum())
    return results


def key(eta: float) -> str:
    return f"eta{eta:.1f}".replace(".", "_")


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.2, ncols=len(results["etas"]), sharey=True)
    for ax, name in zip(axes, results["etas"], strict=True):
        for points, role, size in (
            (results[name]["points"], "model", 2.0),
            (results[name]["twins"], "ink", 4.0),
        ):
            x, y = zip(*points, strict=True)
            shape = "." if role == "model" else "X"
            ax.plot(x, y, shape, color=figures.color(role), ms=size)
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=(-2.6, 2.4), ylim=(-2.1, 2.4))
        figures.panel_label(ax, "η = " + name[3:].replace("_", "."), "model")
    return figure
