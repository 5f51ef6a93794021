"""How many steps does each way back need, with the exact score?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.sde._common import (
    PLANE,
    SCHEDULE,
    T_MIN,
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
    n_steps: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320)


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_samples=40, n_steps=(5, 10, 20))}
WAYS = {"flow": 0.0, "churn": 1.0, "more": 1.5}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    score = exact_score(PLANE, SCHEDULE)
    seeds = range(config.seed, config.seed + config.n_seeds)
    results: dict = {"n_steps": list(config.n_steps), "t_min": T_MIN}
    for name, eta in WAYS.items():
        dynamics = reverse_sde(score, SCHEDULE, eta)
        rows = []
        for n in config.n_steps:
            far = []
            for seed in seeds:
                generator = torch.Generator().manual_seed(seed)
                start = noise(config.n_samples, 2, generator)
                found = simulate(dynamics, start, times_down(n), generator)
                far.append(distance(found, PLANE, generator))
            rows.append(over_seeds(far))
        results[name] = {f"steps_{n}": row for n, row in zip(config.n_steps, rows, strict=True)}
    results["floor"] = over_seeds(
        [
            distance(PLANE.sample(config.n_samples, generator), PLANE, generator)
            for generator in (torch.Generator().manual_seed(1000 + seed) for seed in seeds)
        ]
    )
    return results


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.7)
    n = results["n_steps"]
    # No churn is broken: grays beside the flow, told apart by dashes.
    for name, role, tone, text, dy in (
        ("more", "broken", "muted", "η = 1.5", 10),
        ("churn", "noise", "ink", "η = 1", 10),
        ("flow", "model", "model", "η = 0, the flow", -13),
    ):
        rows = [results[name][f"steps_{k}"] for k in n]
        (line,) = ax.loglog(
            n,
            [row["mean"] for row in rows],
            marker=figures.marker(role),
            **figures.line_style(role, color=figures.color(tone)),
        )
        place = min({"more": 1, "churn": 0, "flow": 2}[name], len(n) - 2)
        figures.label_line(line, text, x=n[place], dy=dy, dx=6)
        low = [max(row["low"], 0.5 * row["mean"]) for row in rows]
        high = [row["high"] for row in rows]
        ax.fill_between(n, low, high, color=figures.color(tone), alpha=0.15, lw=0)
    ax.axhline(results["floor"]["mean"], **figures.line_style("data", lw=1))
    ax.annotate(
        "fresh draws of the truth", (n[0], results["floor"]["mean"]), xytext=(0, -3),
        textcoords="offset points", va="top", color=figures.color("data"),
    )  # fmt: skip
    ax.set(xlabel="steps")
    ax.set_xticks(n, [str(k) for k in n])
    ax.minorticks_off()
    figures.panel_label(ax, "distance to the truth")
    return figure
