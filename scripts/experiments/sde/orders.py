"""How fast do single paths, and how fast do averages, become right as steps shrink?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.sde._common import PLANE, SCHEDULE, exact_score, over_seeds
from fromnoise import figures
from fromnoise.sde import Dynamics, euler_maruyama_step, reverse_sde


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_paths: int = 3000
    n_reference: int = 2048
    n_steps: tuple[int, ...] = (32, 64, 128, 256)
    # Away from the data's end: there the drift is steep, and orders show only for tiny steps.
    t_max: float = 0.9
    t_min: float = 0.15


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_paths=40, n_reference=64, n_steps=(8, 16)),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    dynamics = reverse_sde(exact_score(PLANE, SCHEDULE), SCHEDULE)
    start = PLANE.noised(SCHEDULE(torch.tensor(config.t_max, dtype=torch.float64)))
    strong: dict[int, list[float]] = {n: [] for n in config.n_steps}
    weak: dict[int, list[float]] = {n: [] for n in config.n_steps}
    orders: dict[str, list[float]] = {"strong": [], "weak": []}
    for seed in range(config.seed, config.seed + config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        x = start.sample(config.n_paths, generator)
        fine = torch.randn((config.n_reference, *x.shape), generator=generator, dtype=torch.float64)
        truth = walk(dynamics, x, fine, config)
        for n in config.n_steps:
            # One long step feels the sum of the short shakes that it covers.
            z = fine.reshape(n, -1, *x.shape).sum(1) / (config.n_reference / n) ** 0.5
            found = walk(dynamics, x, z, config)
            strong[n].append(float((found - truth).square().sum(1).mean().sqrt()))
            weak[n].append(float((found.square().sum(1) - truth.square().sum(1)).mean().abs()))
        for name, errors in (("strong", strong), ("weak", weak)):
            orders[name].append(slope([errors[n][-1] for n in config.n_steps], config.n_steps))
    return {
        "n_steps": list(config.n_steps),
        "strong": [over_seeds(strong[n]) for n in config.n_steps],
        "weak": [over_seeds(weak[n]) for n in config.n_steps],
        "order": {name: over_seeds(values) for name, values in orders.items()},
    }


def walk(dynamics: Dynamics, x: torch.Tensor, z: torch.Tensor, config: Config) -> torch.Tensor:
    times = torch.linspace(config.t_max, config.t_min, len(z) + 1, dtype=torch.float64)
    for t, s, shake in zip(times[:-1], times[1:], z, strict=True):
        x = euler_maruyama_step(dynamics, x, t, s, shake)
    return x


def slope(errors: list[float], n_steps: tuple[int, ...]) -> float:
    """Order of the error: minus the slope of a line through the logarithms."""
    return -float(np.polyfit(np.log(n_steps), np.log(errors), 1)[0])


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.6)
    n = results["n_steps"]
    for name, role, text, dy in (
        ("strong", "noise", "single paths (strong)", 9),
        ("weak", "model", "mean of |x|² (weak)", -11),
    ):
        means = [found["mean"] for found in results[name]]
        # Two errors of one sampler: one color, told apart by dashes.
        style = figures.line_style(role, color=figures.color("model"))
        (line,) = ax.loglog(n, means, marker=figures.marker(role), **style)
        low = [max(found["low"], 0.3 * found["mean"]) for found in results[name]]
        high = [found["high"] for found in results[name]]
        ax.fill_between(n, low, high, color=figures.color("model"), alpha=0.2, lw=0)
        figures.label_line(line, text, x=n[len(n) // 2], dy=dy)
    first = results["strong"][0]["mean"]
    (guide,) = ax.loglog(n, [2 * first * n[0] / k for k in n], **figures.line_style("muted", lw=1))
    figures.label_line(guide, "order 1", x=n[-2], dy=9)
    ax.set(xlabel="steps")
    ax.set_xticks(n, [str(k) for k in n])
    ax.minorticks_off()
    figures.panel_label(ax, "error at the end of the walk")
    return figure
