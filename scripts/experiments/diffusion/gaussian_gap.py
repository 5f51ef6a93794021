"""With a perfect denoiser, how far is the bound from the likelihood, and how fast does it close?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.diffusion._common import N_DIMS, SCHEDULE, flat
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.diffusion_bounds import gaussian_reconstruction, three_term_bound
from fromnoise.generative_models import dequantize, fit_gaussian
from fromnoise.information import bits_per_dim
from fromnoise.oracles import denoiser


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    simulated: tuple[int, ...] = (4, 16, 64)
    n_samples: int = 2000
    # The ends of the chain in log-SNR, far enough out that what they cost is invisible here.
    log_snr_max: float = 12.0
    log_snr_min: float = -12.0


SIZES = {"full": Config(), "smoke": Config(n_steps=(1, 4), simulated=(4,), n_samples=10)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    generator = torch.Generator().manual_seed(config.seed)
    x = dequantize(flat(digits().train).double(), 1 / 8, generator)
    gaussian = fit_gaussian(x, shrinkage=0.02)
    results = {"n_steps": list(config.n_steps), "gap": {}, "simulated": {}}
    for name, grid in GRIDS.items():
        results["gap"][name] = [
            gap(grid(n_steps, config), gaussian.eigenvalues) for n_steps in config.n_steps
        ]
    x_0 = gaussian.sample(config.n_samples, generator)
    exact = -gaussian.log_prob(x_0)
    for n_steps in config.simulated:
        bound = three_term_bound(
            denoiser(gaussian, SCHEDULE),
            SCHEDULE,
            x_0,
            GRIDS["log_snr"](n_steps, config),
            gaussian_reconstruction,
            generator,
        )
        excess = bits_per_dim(bound.total - exact, N_DIMS)
        results["simulated"][str(n_steps)] = {
            "mean": excess.mean().item(),
            "error": (excess.std() / len(excess) ** 0.5).item(),
        }
    for n_steps in (16, 64, 256):
        if n_steps in config.n_steps:
            place = config.n_steps.index(n_steps)
            by_grid = {name: values[place] for name, values in results["gap"].items()}
            results[f"steps{n_steps}"] = by_grid
    return results


def even_in_log_snr(n_steps: int, config: Config) -> torch.Tensor:
    ends = (config.log_snr_min, config.log_snr_max)
    return SCHEDULE.time_at(torch.linspace(*ends, n_steps + 1, dtype=torch.float64))


def even_in_time(n_steps: int, config: Config) -> torch.Tensor:
    last, first = SCHEDULE.time_at(
        torch.tensor([config.log_snr_max, config.log_snr_min], dtype=torch.float64)
    ).tolist()
    return torch.linspace(first, last, n_steps + 1, dtype=torch.float64)


GRIDS = {"log_snr": even_in_log_snr, "time": even_in_time}


def gap(times: torch.Tensor, variances: torch.Tensor) -> float:
    """Expected bound minus entropy of a Gaussian, in closed form, bits per dimension."""
    scales = SCHEDULE(times)
    snr = scales.snr_t
    squared_error = variances / (1 + variances * snr[:-1, None])
    steps = (snr.diff()[:, None] / 2 * squared_error).sum(0)
    first = scales.alpha_t[0] ** 2 * variances + scales.sigma_t[0] ** 2
    prior = (first - 1 - (scales.sigma_t[0] ** 2).log()) / 2
    # Terms of log(2 pi e) cancel between the reconstruction and the entropy.
    reconstruction = -snr[-1].log() / 2
    entropy = variances.log() / 2
    total = (prior + steps + reconstruction - entropy).sum()
    return float(bits_per_dim(total, N_DIMS))


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, ax = figures.figure(2.4)
    labels = {"log_snr": "equal steps in log-SNR", "time": "equal steps in t"}
    for name, role in (("log_snr", "model"), ("time", "muted")):
        (line,) = ax.loglog(results["n_steps"], results["gap"][name], **figures.line_style(role))
        figures.label_line(line, labels[name], x=24 if name == "log_snr" else 90, dx=6, dy=10)
    for n_steps, found in results["simulated"].items():
        ax.plot([int(n_steps)], [found["mean"]], "o", color=figures.color("ink"), ms=5)
    if results["simulated"]:
        n_steps, found = next(iter(results["simulated"].items()))
        ax.annotate(
            "simulated",
            (int(n_steps), found["mean"]),
            xytext=(-8, -4),
            textcoords="offset points",
            ha="right",
            va="top",
        )
    ax.set(xlabel="number of steps K")
    figures.panel_label(ax, "bound above the true value, bits per pixel")
    return figure
