"""What does it cost to believe that a measurement is better, or worse, than it is?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from scipy import stats

from experiments.inverse._common import F64, digit_gaussian, digit_tasks, normal, transposed
from fromnoise import figures
from fromnoise.inverse import linear_posterior
from fromnoise.linear_operators import as_matrix


@dataclass(frozen=True)
class Config:
    n_seeds: int = 4
    n_truths: int = 400
    noise_std: float = 0.2
    beliefs: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_truths=5, beliefs=(0.1, 1.0, 10.0))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    prior = digit_gaussian()
    matrix = as_matrix(digit_tasks()["blur"], (1, 8, 8))
    half = float(stats.norm.ppf(0.95))
    rows: dict[str, list[dict]] = {}
    for seed in range(config.n_seeds):
        truth = prior.sample(config.n_truths, torch.Generator().manual_seed(100 + seed))
        noise = config.noise_std * normal((config.n_truths, len(matrix)), 200 + seed, F64)
        y = truth @ matrix.mT + noise
        for i, factor in enumerate(config.beliefs):
            # The mean is affine in y: the answers at 0 and at each unit give all of them.
            zero = torch.zeros(len(matrix), dtype=F64)
            answer = linear_posterior(prior, matrix, zero, factor * config.noise_std)
            gain = answer.covariance @ matrix.mT / (factor * config.noise_std) ** 2
            error = answer.mean + y @ gain.mT - truth
            std = answer.covariance.diagonal().sqrt()
            rows.setdefault(f"belief{i}", []).append(
                {
                    "error": float(error.square().mean().sqrt()),
                    "claimed": float(std.square().mean().sqrt()),
                    "coverage": float((error.abs() <= half * std).double().mean()),
                }
            )
    return {name: transposed(found) for name, found in rows.items()} | {
        "beliefs": list(config.beliefs)
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.6, ncols=2, sharey=False)
    beliefs = results["beliefs"]
    rows = [results[f"belief{i}"] for i in range(len(beliefs))]
    for key, role, text in (("error", "broken", "true error"), ("claimed", "model", "claimed")):
        axes[0].plot(
            beliefs,
            [row[key]["mean"] for row in rows],
            **figures.line_style(role),
            marker=figures.marker(role),
            label=text,
        )
    axes[0].set(xscale="log", yscale="log", ylabel="error per pixel")
    axes[0].legend(fontsize=8)
    axes[1].plot(
        beliefs,
        [row["coverage"]["mean"] for row in rows],
        **figures.line_style("model"),
        marker=figures.marker("model"),
    )
    axes[1].axhline(0.9, color=figures.color("data"), linewidth=1)
    axes[1].set(xscale="log", ylim=(0, 1.03), ylabel="share of truths covered")
    for ax in axes:
        ax.set_xlabel("believed noise over true")
        ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
        ax.minorticks_off()
    return figure
