"""Which sampler draws from the posterior where the posterior is known?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from experiments.inverse._common import (
    F64,
    covered,
    line_prior,
    normal,
    round_covariance,
    spots_prior,
    transposed,
)
from fromnoise import figures
from fromnoise.gaussians import Gaussian
from fromnoise.inverse import dps, linear_posterior, measurement_guided, repaint
from fromnoise.linear_operators import Dense
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ancestral_step, sample, uniform_times
from fromnoise.schedules import Cosine

Prior = Gaussian | GaussianMixture
SCHEDULE = Cosine()


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_truths: int = 60
    n_draws: int = 39  # nine tenths of 40 ranks lie between the second and the last but one
    n_steps: int = 80
    n_repeats: int = 10
    length: int = 16
    noise_std: float = 0.1
    dps_steps: tuple[float, ...] = (0.1, 0.3)


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_truths=4, n_steps=5, n_repeats=2, length=6, dps_steps=(0.1,)),
}
NAMES = {
    "replacement": "replacement",
    "repaint": "RePaint",
    "dps0": "DPS, step small",
    "dps1": "DPS, step larger",
    "sure": "guided, V = 0",
    "round": "guided, V round",
    "true": "guided, V true",
    "control": "posterior itself",
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    worlds: dict[str, Prior] = {"line": line_prior(config.length), "spots": spots_prior()}
    found: dict = {}
    for world, prior in worlds.items():
        rows: dict[str, list] = {}
        for seed in range(config.n_seeds):
            for name, measured in one_seed(config, prior, seed).items():
                rows.setdefault(name, []).append(measured)
        found[world] = {name: transposed(values) for name, values in rows.items()}
    return found


def one_seed(config: Config, prior: Prior, seed: int) -> dict[str, dict[str, float]]:
    """Every sampler on the same truths and measurements: the first half, seen with noise."""
    dim, n, m = prior.dim, config.n_truths, config.n_draws
    seen = dim // 2
    matrix, mask = torch.eye(dim, dtype=F64)[:seen], torch.arange(dim) < seen
    truth = prior.sample(n, torch.Generator().manual_seed(100 + seed))
    y = truth[:, :seen] + config.noise_std * normal((n, seen), 200 + seed, F64)
    answers = [linear_posterior(prior, matrix, row, config.noise_std) for row in y]
    generator = torch.Generator().manual_seed(300 + seed)
    control = torch.stack([answer.sample(m, generator) for answer in answers], 1)
    right = (torch.stack([a.mean for a in answers]), torch.stack([variance(a) for a in answers]))
    rows = y.expand(m, n, seen).reshape(-1, seen)
    filled = torch.cat([rows, torch.zeros(m * n, dim - seen, dtype=F64)], 1)
    estimate, operator = denoiser(prior, SCHEDULE), Dense(matrix)
    pieces = (estimate, SCHEDULE, operator, rows, config.noise_std)
    steps: dict[str, tuple] = {
        "replacement": (estimate, repaint(ancestral_step, mask, filled, 1)),
        "repaint": (estimate, repaint(ancestral_step, mask, filled, config.n_repeats)),
        "sure": (measurement_guided(*pieces), ancestral_step),
        "round": (measurement_guided(*pieces, round_covariance), ancestral_step),
        "true": (measurement_guided(*pieces, true_covariance(prior)), ancestral_step),
    }
    for i, size in enumerate(config.dps_steps):
        steps[f"dps{i}"] = (estimate, dps(ancestral_step, operator, rows, size))
    times = uniform_times(config.n_steps, 0.999)
    found = {"control": measure(control, truth, right, seen)}
    for name, (model, step) in steps.items():
        x_1 = normal((m * n, dim), 400 + seed, F64)
        generator = torch.Generator().manual_seed(500 + seed)
        draws = sample(model, SCHEDULE, x_1, times, step, generator).nan_to_num(0.0)
        found[name] = measure(draws.reshape(m, n, dim).clamp(-1e3, 1e3), truth, right, seen)
    return found


def true_covariance(prior: Prior) -> Callable:
    def covariance(x_t: Tensor, scales) -> Tensor:
        if isinstance(prior, Gaussian):  # the same for all points of one time
            scales = type(scales)(*(part.reshape(-1)[:1] for part in scales))
            return prior.posterior_covariance(prior.mean[None], scales)
        return prior.posterior_covariance(x_t, scales)

    return covariance


def variance(answer: Prior) -> Tensor:
    return answer.covariance.diagonal()


def measure(
    draws: Tensor, truth: Tensor, right: tuple[Tensor, Tensor], seen: int
) -> dict[str, float]:
    """Of the hidden entries: error of the mean, spread, and how often the truth is covered."""
    mean, var = right[0][:, seen:], right[1][:, seen:]
    hidden = draws[..., seen:]
    own = hidden.var(0)
    # The mean of a few draws is off by their own chance; that part is taken out.
    gap = ((hidden.mean(0) - mean).square() - own / len(draws)) / var
    return {
        "bias": float(gap.mean().clamp(min=0).sqrt()),
        "spread": float((own.mean() / var.mean()).sqrt()),
        "coverage": float(covered(hidden, truth[:, seen:]).mean()),
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(3.1, ncols=2)
    names = [name for name in NAMES if name in results["line"]]
    least, most = 0.01, 10.0
    for ax, world, text in ((axes[0], "line", "smooth line"), (axes[1], "spots", "four spots")):
        for row, name in enumerate(reversed(names)):
            value = results[world][name]["bias"]
            role = "data" if name == "control" else "model" if value["mean"] < 0.2 else "broken"
            low, high, mid = (min(max(value[key], least), most) for key in ("low", "high", "mean"))
            ax.plot([low, high], [row, row], color=figures.color(role), linestyle="-", linewidth=2)
            mark = ">" if value["mean"] > most else figures.marker(role)
            ax.plot(mid, row, mark, color=figures.color(role), clip_on=False)
        ax.set(xscale="log", xlim=(least, most), xlabel="error of the mean")
        ax.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
        ax.minorticks_off()
        figures.panel_label(ax, text)
    axes[0].set_yticks(range(len(names)), [NAMES[name] for name in reversed(names)])
    return figure
