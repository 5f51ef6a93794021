"""Do three differential equations noise data at the rates that their schedules promise?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.sde._common import T_MIN, over_seeds
from fromnoise import figures
from fromnoise.schedules import VE, Schedule, VPLinear
from fromnoise.sde import SubVP, forward_sde, simulate


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_paths: int = 4000
    n_steps: int = 400
    n_drawn: int = 12
    every: int = 4


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_paths=60, n_steps=20)}
SCHEDULES: dict[str, Schedule] = {"vp": VPLinear(), "ve": VE(0.01, 8.0), "sub_vp": SubVP()}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    times = torch.linspace(T_MIN, 1, config.n_steps + 1, dtype=torch.float64)
    results: dict = {"t": [round(float(t), 4) for t in times[:: config.every]]}
    for name, schedule in SCHEDULES.items():
        at = schedule(times)
        stds, means = [], []
        for seed in range(config.seed, config.seed + config.n_seeds):
            generator = torch.Generator().manual_seed(seed)
            # Half of the data at 1, half at -1, with the noise of the first time on it.
            sign = (2 * (torch.arange(config.n_paths) % 2) - 1).double()[:, None]
            eps = torch.randn(sign.shape, generator=generator, dtype=torch.float64)
            start = at.alpha_t[0] * sign + at.sigma_t[0] * eps
            path = simulate(forward_sde(schedule), start, times, generator, return_path=True)
            end = path[-1] * sign  # both halves turned to start at 1
            stds.append(float(end.std() / at.sigma_t[-1]))
            means.append(float((path[len(times) // 4] * sign).mean() / at.alpha_t[len(times) // 4]))
            if seed == config.seed:
                drawn = path[:: config.every, : config.n_drawn, 0].T
        results[name] = {
            "std": over_seeds(stds),
            "mean": over_seeds(means),
            "alpha": [round(float(a), 4) for a in at.alpha_t[:: config.every]],
            "sigma": [round(float(s), 4) for s in at.sigma_t[:: config.every]],
            "paths": [[round(float(x), 3) for x in row] for row in drawn],
        }
    return results


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.5, ncols=3, sharey=False)
    t = results["t"]
    for ax, name, text in zip(axes, SCHEDULES, ("VP", "VE", "sub-VP"), strict=True):
        found = results[name]
        for row in found["paths"]:
            ax.plot(t, row, "-", color=figures.color("muted"), lw=0.5)
        for side in (1, -1):
            low = [side * a - s for a, s in zip(found["alpha"], found["sigma"], strict=True)]
            high = [side * a + s for a, s in zip(found["alpha"], found["sigma"], strict=True)]
            ax.fill_between(t, low, high, color=figures.color("noise"), alpha=0.25, lw=0)
            ax.plot(t, [side * a for a in found["alpha"]], "-", color=figures.color("data"), lw=1.6)
        ax.set(xlabel="t", xticks=[0, 0.5, 1])
        figures.panel_label(ax, text)
    return figure
