"""How wrong does a finite step leave a Gaussian, and what does the correction cost?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.score._common import over_seeds
from fromnoise import figures
from fromnoise.langevin import langevin, metropolis_step


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    steps: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    dims: tuple[int, ...] = (1, 8, 64)
    n_chains: int = 4000
    n_steps: int = 150


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), steps=(0.25, 0.5, 0.75, 1.0), dims=(1, 4), n_chains=50, n_steps=5
    ),
}


def log_prob(x: torch.Tensor) -> torch.Tensor:
    return -x.square().sum(1) / 2


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    plain, corrected = [], []
    accepted: dict[int, list[dict]] = {n: [] for n in config.dims}
    for h in config.steps:
        variances, mended = [], []
        for seed in config.seeds:
            generator = torch.Generator().manual_seed(seed)
            start = torch.randn(config.n_chains, 1, generator=generator)
            found = langevin(torch.neg, start, config.n_steps, h, generator)
            variances.append(float(found.square().mean()))
            found = langevin(torch.neg, start, config.n_steps, h, generator, log_prob)
            mended.append(float(found.square().mean()))
        plain.append(over_seeds(variances))
        corrected.append(over_seeds(mended))
        for n_dims in config.dims:
            shares = []
            for seed in config.seeds:
                generator = torch.Generator().manual_seed(seed)
                # At rest already: a standard normal start needs no settling.
                x = torch.randn(config.n_chains, n_dims, generator=generator)
                z = torch.randn(x.shape, generator=generator)
                u = torch.rand(len(x), generator=generator)
                moved = metropolis_step(log_prob, torch.neg, x, h, z, u)[1]
                shares.append(float(moved.float().mean()))
            accepted[n_dims].append(over_seeds(shares))
    curve = np.linspace(0.01, 1.85, 93)
    return {
        "steps": list(config.steps),
        "plain": plain,
        "corrected": corrected,
        "accepted": {f"d{n}": found for n, found in accepted.items()},
        "dims": list(config.dims),
        "curve": {"h": curve.round(4).tolist(), "variance": (1 / (1 - curve / 2)).tolist()},
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.7, ncols=2, sharey=False)
    ax, steps = axes[0], results["steps"]
    ax.plot(results["curve"]["h"], results["curve"]["variance"], **figures.line_style("muted"))
    for name, role, text in (
        ("plain", "broken", "plain"),
        ("corrected", "model", "corrected"),
    ):
        found = results[name]
        means = [entry["mean"] for entry in found]
        bars = [[e["mean"] - e["low"] for e in found], [e["high"] - e["mean"] for e in found]]
        drawn = ax.errorbar(
            steps, means, bars, fmt=figures.marker(role), color=figures.color(role), lw=1
        )
        figures.label_line(
            drawn.lines[0],
            text,
            x=steps[-3],
            dx=-8 if role == "broken" else 0,
            dy=8 if role == "broken" else -10,
            ha="right" if role == "broken" else "center",
        )
    ax.set(yscale="log", xlabel="step size h / variance", ylim=(0.7, 15))
    ax.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    ax.minorticks_off()
    figures.panel_label(ax, "settled variance / variance")
    for n, shade in zip(
        results["dims"], figures.shades("model", len(results["dims"])), strict=True
    ):
        means = [entry["mean"] for entry in results["accepted"][f"d{n}"]]
        (line,) = axes[1].plot(steps, means, marker="s", color=shade)
        word = "dimension" if n == 1 else "dimensions"
        figures.label_line(line, f"{n} {word}", x=steps[-4 if n == 1 else 2], dx=2, dy=9)
    axes[1].set(xlabel="step size h / variance", ylim=(0, 1.08))
    figures.panel_label(axes[1], "share of steps accepted")
    return figure
