"""Who forgives a wrong start, the way back with noise or the way back without?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.sde._common import (
    PLANE,
    T_MIN,
    distance,
    exact_score,
    noise,
    over_seeds,
)
from fromnoise import figures
from fromnoise.schedules import VE, Schedule, VPLinear
from fromnoise.sde import reverse_sde, simulate


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 5
    n_samples: int = 1500
    n_steps: int = 150
    factors: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5, 2.0)


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_samples=40, n_steps=20)}
SCHEDULES: dict[str, Schedule] = {"vp": VPLinear(), "ve": VE(0.01, 5.0)}
ETAS = {"flow": 0.0, "churn": 1.0}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    results: dict = {"factors": list(config.factors)}
    seeds = range(config.seed, config.seed + config.n_seeds)
    for name, schedule in SCHEDULES.items():
        # Equal steps in log-SNR: on the exploding schedule that is equal steps in time.
        ends = schedule(torch.tensor([1.0, T_MIN], dtype=torch.float64)).log_snr_t.tolist()
        times = schedule.time_at(torch.linspace(*ends, config.n_steps + 1, dtype=torch.float64))
        results[name] = {}
        for way, eta in ETAS.items():
            dynamics = reverse_sde(exact_score(PLANE, schedule), schedule, eta)
            rows = []
            for factor in config.factors:
                far = []
                for seed in seeds:
                    generator = torch.Generator().manual_seed(seed)
                    start = factor * noise(config.n_samples, 2, generator, schedule)
                    found = simulate(dynamics, start, times, generator)
                    far.append(distance(found, PLANE, generator))
                rows.append(over_seeds(far))
            results[name][way] = rows
            for label, factor in (("double", 2.0), ("right", 1.0), ("quarter", 0.25)):
                results[name][f"{way}_{label}"] = rows[config.factors.index(factor)]
    results["floor"] = over_seeds(
        [
            distance(PLANE.sample(config.n_samples, generator), PLANE, generator)
            for generator in (torch.Generator().manual_seed(1000 + seed) for seed in seeds)
        ]
    )
    return results


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.5, ncols=2)
    factors = results["factors"]
    for ax, name, text in ((axes[0], "vp", "VP"), (axes[1], "ve", "VE")):
        for way, role, label in (
            ("flow", "broken", "flow, η = 0"),
            ("churn", "model", "noise, η = 1"),
        ):
            rows = results[name][way]
            (line,) = ax.plot(
                factors, [row["mean"] for row in rows], marker=figures.marker(role),
                **figures.line_style(role),
            )  # fmt: skip
            low = [max(row["low"], 1e-3) for row in rows]
            ax.fill_between(
                factors, low, [row["high"] for row in rows], color=figures.color(role),
                alpha=0.2, lw=0,
            )  # fmt: skip
            if name == "vp":
                figures.label_line(
                    line, label, x=1.25, dx=0, dy=30 if way == "flow" else -14, ha="center"
                )
        ax.axhline(results["floor"]["mean"], **figures.line_style("data", lw=1))
        ax.set(xlabel="scale of the start, share of the right one", yscale="log")
        ax.set_xticks([0.5, 1, 1.5, 2], ["0.5", "1", "1.5", "2"])
        figures.panel_label(ax, text)
    axes[0].set_ylabel("distance to the truth")
    return figure
