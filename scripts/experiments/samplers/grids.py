"""Where should the steps lie: equal in time, in log-SNR, or in between?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments._flagship import SCHEDULE, TARGET, load_network
from experiments.samplers._common import MAKE, apart, line, over, ticks
from fromnoise import figures
from fromnoise.denoising import as_denoiser
from fromnoise.samplers import (
    edm_times,
    heun_step,
    sample,
    uniform_log_snr_times,
    uniform_times,
)
from fromnoise.schedules import VPLinear

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_samples: int = 50
    n_steps: tuple[int, ...] = (4, 8, 16)
    n_reference: int = 80


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n_samples=4, n_steps=(4, 8), n_reference=8),
}


def vp_times(n_steps: int) -> Tensor:
    """Equal steps in the time of DDPM's schedule: the same log-SNR, told in our time."""
    log_snr = VPLinear()(uniform_times(n_steps)).log_snr_t
    return torch.cat([SCHEDULE.time_at(log_snr[:-1]), torch.zeros(1, dtype=torch.float64)])


GRIDS: dict[str, Callable[[int], Tensor]] = {
    "time": uniform_times,
    "log_snr": partial(uniform_log_snr_times, schedule=SCHEDULE),
    "edm": partial(edm_times, schedule=SCHEDULE),
    # The same rule with ends that leave out what the walk hardly needs.
    "edm_narrow": partial(edm_times, schedule=SCHEDULE, t_max=0.98, t_min=0.02),
    "vp_time": vp_times,
}
STEPS = ("ddim", "multistep_2")


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = load_network(needed["training/digits"]["weights"]["model"])
    labels = torch.arange(config.n_samples) % 10
    ask = as_denoiser(network, SCHEDULE, TARGET, labels)
    gaps: dict = {step: {grid: {n: [] for n in config.n_steps} for grid in GRIDS} for step in STEPS}
    checks = []
    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        x_1 = torch.randn((config.n_samples, 1, 8, 8), generator=generator)
        end = sample(ask, SCHEDULE, x_1, uniform_times(config.n_reference), heun_step)
        rough = sample(ask, SCHEDULE, x_1, uniform_times(config.n_reference // 2), heun_step)
        checks.append(apart(rough, end) / 8)
        for name in STEPS:
            for grid, times in GRIDS.items():
                for n in config.n_steps:
                    found = sample(ask, SCHEDULE, x_1, times(n), MAKE[name]())
                    # Per pixel: an image has 8 by 8 of them.
                    gaps[name][grid][n].append(apart(found, end) / 8)
    results: dict = {"n_steps": list(config.n_steps), "reference_gap": over(checks)}
    for name in STEPS:
        results[name] = {
            grid: {f"steps_{n}": over(values) for n, values in rows.items()}
            for grid, rows in gaps[name].items()
        }
    results["times"] = {grid: times(8).tolist() for grid, times in GRIDS.items()}
    return results


LINES = (
    # Dash and marker, color, name: a grid is neither data nor noise.
    ("time", "model", "model", "equal in time"),
    ("log_snr", "noise", "muted", "equal in log-SNR"),
    ("edm", "data", "ink", "EDM, ρ = 7"),
    ("vp_time", "broken", "broken", "equal in DDPM's time"),
)


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(3.0, ncols=3, sharey=False, width_ratios=[0.9, 1, 1])
    for height, (name, _, tone, text) in enumerate(LINES):
        times = results["times"][name]
        axes[0].plot(times, [-height] * len(times), "|", ms=11, mew=1.5, color=figures.color(tone))
        axes[0].annotate(text, (0, -height + 0.32), color=figures.color(tone))
    axes[0].set(yticks=[], xlabel="time t", ylim=(-3.6, 0.9), xticks=[0, 0.5, 1])
    figures.panel_label(axes[0], "8 steps")
    for ax, step, text in ((axes[1], "ddim", "DDIM"), (axes[2], "multistep_2", "multistep 2")):
        for name, role, tone, _ in LINES:
            rows = [results[step][name][f"steps_{n}"] for n in results["n_steps"]]
            line(ax, results["n_steps"], rows, role, color=figures.color(tone))
        ticks(ax, results["n_steps"])
        ax.set(xlabel="steps")
        figures.panel_label(ax, f"{text}: gap per pixel")
    axes[1].sharey(axes[2])
    return figure
