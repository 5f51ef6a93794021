"""How large must the step of DPS be, and what does it draw then?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.inverse._common import F64, line_prior, normal, transposed
from fromnoise import figures
from fromnoise.inverse import dps, linear_posterior
from fromnoise.linear_operators import Dense
from fromnoise.oracles import denoiser
from fromnoise.samplers import ancestral_step, sample, uniform_times
from fromnoise.schedules import Cosine


@dataclass(frozen=True)
class Config:
    n_seeds: int = 4
    n_draws: int = 200
    length: int = 16
    n_steps: int = 80
    noise_std: float = 0.1
    sizes: tuple[float, ...] = (0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.6, 1.0, 3.0)


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_draws=5, n_steps=5, sizes=(0.1, 3.0))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    prior, schedule, seen = line_prior(config.length), Cosine(), config.length // 2
    matrix = torch.eye(config.length, dtype=F64)[:seen]
    estimate = denoiser(prior, schedule)
    times = uniform_times(config.n_steps, 0.999)
    rows: dict[str, list[dict]] = {}
    for seed in range(config.n_seeds):
        truth = prior.sample(1, torch.Generator().manual_seed(100 + seed))[0]
        y = matrix @ truth + config.noise_std * normal((seen,), 200 + seed, F64)
        exact = linear_posterior(prior, matrix, y, config.noise_std)
        std = exact.covariance.diagonal().sqrt()
        for i, size in enumerate(config.sizes):
            step = dps(ancestral_step, Dense(matrix), y.expand(config.n_draws, seen), size)
            x_1 = normal((config.n_draws, config.length), 300 + seed, F64)
            generator = torch.Generator().manual_seed(400 + seed)
            x = sample(estimate, schedule, x_1, times, step, generator)
            rows.setdefault(f"size{i}", []).append(
                {
                    "misfit": rms((y - x @ matrix.mT) / config.noise_std),
                    "bias": rms(((x.mean(0) - exact.mean) / std)[seen:]),
                    "spread": float((x.var(0)[seen:].sum() / std[seen:].square().sum()).sqrt()),
                }
            )
        draws = exact.sample(config.n_draws, torch.Generator().manual_seed(500 + seed))
        rows.setdefault("exact", []).append(
            {
                "misfit": rms((y - draws @ matrix.mT) / config.noise_std),
                "bias": rms(((draws.mean(0) - exact.mean) / std)[seen:]),
                "spread": float((draws.var(0)[seen:].sum() / std[seen:].square().sum()).sqrt()),
            }
        )
    return {name: transposed(found) for name, found in rows.items()} | {"sizes": list(config.sizes)}


def rms(x: torch.Tensor) -> float:
    return float(x.square().mean().sqrt())


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.6, ncols=2, sharey=False)
    sizes = results["sizes"]
    for ax, key, label in (
        (axes[0], "misfit", "misfit over noise"),
        (axes[1], "spread", "spread over the right one"),
    ):
        rows = [results[f"size{i}"][key] for i in range(len(sizes))]
        ax.fill_between(
            sizes,
            [max(row["low"], 0.1) for row in rows],
            [row["high"] for row in rows],
            color=figures.color("model"),
            alpha=0.2,
            linewidth=0,
        )
        ax.plot(sizes, [row["mean"] for row in rows], **figures.line_style("model"), marker="s")
        ax.axhline(results["exact"][key]["mean"], color=figures.color("data"), linewidth=1)
        ax.set(xscale="log", yscale="log", xlabel="step size", ylabel=label)
        ax.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
        ax.minorticks_off()
    axes[0].set_ylim(0.1, 20)
    axes[0].set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes[1].set_yticks([0.9, 1, 1.1, 1.2], ["0.9", "1", "1.1", "1.2"])
    figures.panel_label(axes[0], "what is seen")
    figures.panel_label(axes[1], "what is hidden")
    return figure
