"""Does Langevin dynamics find how much each of two far modes weighs?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.score._common import far_modes, over_seeds
from fromnoise import figures
from fromnoise.langevin import annealed_langevin, langevin
from fromnoise.schedules import VE

SCHEDULE = VE(sigma_min=0.1, sigma_max=10.0)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_chains: int = 1000
    n_steps: int = 1000
    step: float = 0.1
    n_records: int = 20
    n_levels: int = 20
    steps_per_level: tuple[int, ...] = (1, 3, 10, 30, 100)


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n_chains=60, n_steps=6, n_records=2, n_levels=4, steps_per_level=(1, 2)
    ),
}


def share(x: Tensor) -> float:
    """Share of points that belong to the light mode."""
    return float((far_modes().responsibilities(x).argmax(-1) == 0).float().mean())


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    mixture = far_modes()
    light, heavy = mixture.components.mean

    times = torch.linspace(1, 0, config.n_levels)
    noised = {float(t): mixture.noised(SCHEDULE(t)) for t in times}

    def noisy_score(x_t: Tensor, t: Tensor) -> Tensor:
        return noised[float(t[0])].score(x_t)

    starts = {
        "box": lambda g: 16 * torch.rand(config.n_chains, 2, generator=g) - 8,
        "light": lambda g: light + torch.randn(config.n_chains, 2, generator=g),
        "heavy": lambda g: heavy + torch.randn(config.n_chains, 2, generator=g),
    }
    plain: dict[str, list[list[float]]] = {name: [] for name in starts}
    every = config.n_steps // config.n_records
    for name, start in starts.items():
        for seed in config.seeds:
            generator = torch.Generator().manual_seed(seed)
            x = start(generator)
            shares = [share(x)]
            for _ in range(config.n_records):
                x = langevin(mixture.score, x, every, config.step, generator)
                shares.append(share(x))
            plain[name].append(shares)
    annealed = []
    for n in config.steps_per_level:
        found = []
        for seed in config.seeds:
            generator = torch.Generator().manual_seed(seed)
            start = SCHEDULE.sigma_max * torch.randn(config.n_chains, 2, generator=generator)
            end = annealed_langevin(noisy_score, SCHEDULE, start, times, n, config.step, generator)
            found.append(share(end))
        annealed.append(over_seeds(found))
    return {
        "truth": float(mixture.weights[0]),
        "steps": [every * i for i in range(config.n_records + 1)],
        "paths": {name: torch.tensor(p).mean(0).tolist() for name, p in plain.items()},
        "plain": {name: over_seeds([p[-1] for p in paths]) for name, paths in plain.items()},
        "steps_per_level": list(config.steps_per_level),
        "annealed": annealed,
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.6, ncols=2)
    words = {"light": "start in the light mode", "box": "start everywhere", "heavy": "heavy mode"}
    for name, text in words.items():
        (line,) = axes[0].plot(
            results["steps"], results["paths"][name], **figures.line_style("broken")
        )
        dy = -9 if name == "light" else 9
        figures.label_line(line, text, x=results["steps"][-1], dx=0, dy=dy, ha="right")
    means = [entry["mean"] for entry in results["annealed"]]
    bars = [
        [e["mean"] - e["low"] for e in results["annealed"]],
        [e["high"] - e["mean"] for e in results["annealed"]],
    ]
    axes[1].errorbar(
        results["steps_per_level"],
        means,
        bars,
        marker=figures.marker("model"),
        **figures.line_style("model"),
    )
    axes[1].set(xscale="log", xlabel="annealed: steps per level")
    axes[1].set_xticks(results["steps_per_level"], [str(n) for n in results["steps_per_level"]])
    axes[1].minorticks_off()
    axes[0].set(xlabel="plain: steps", ylim=(-0.05, 1.05))
    for ax in axes:
        ax.axhline(results["truth"], **figures.line_style("data", lw=1))
    axes[0].annotate(
        "truth",
        (results["steps"][1], results["truth"]),
        xytext=(0, 5),
        textcoords="offset points",
        color=figures.color("data"),
    )
    figures.panel_label(axes[0], "share in the light mode", "broken")
    figures.panel_label(axes[1], "the same, annealed", "model")
    return figure
