"""What does a small diffusion model of real digits learn, and what if t is hidden or fixed?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.diffusion._common import (
    LEVELS,
    N_DIMS,
    SCHEDULE,
    TARGET,
    fit,
    flat,
    over_seeds,
    pixels,
    uniform_loss,
)
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.diffusion import perturb, posterior, simple_loss
from fromnoise.diffusion_bounds import continuous_bound, level_reconstruction, three_term_bound
from fromnoise.evaluation import frechet_distance
from fromnoise.information import bits_per_dim
from fromnoise.samplers import ancestral_step, sample, uniform_log_snr_times, uniform_times

ONE_TIME = 0.5


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 300
    n_images: int = 497
    n_draws: int = 6
    # Bounds of finite chains and costs by noise level make curves, not judgments: fewer images.
    n_curve_images: int = 200
    n_samples: int = 200
    n_sampling_steps: int = 24
    # Below this time a gray level is told by the noisy pixel alone; chosen on validation images.
    t_min: float = 0.04


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=2, n_images=8, n_draws=1, n_samples=8, n_sampling_steps=2),
}


def one_time_loss(network, batch, generator) -> torch.Tensor:
    """The simple loss at a single noise level."""
    x_0 = batch[0]
    eps = torch.randn(x_0.shape, generator=generator)
    t = torch.full((len(x_0),), ONE_TIME)
    return simple_loss(network, TARGET, SCHEDULE, x_0, t, eps).mean()


def mean_only_step(denoiser, schedule, x_t, t, s, generator=None):
    """The ancestral step without its noise: the break of this chapter's first frame."""
    x_0_hat = denoiser(x_t, t.to(x_t).expand(len(x_t)))
    return posterior(x_t, x_0_hat, schedule(t), schedule(s))[0]


VARIANTS = {
    "whole": (uniform_loss, True),
    "no_time": (uniform_loss, False),
    "one_time": (one_time_loss, True),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    test = flat(data.test, config.n_images)
    rows = {name: [] for name in (*VARIANTS, "no_variance")}
    for seed in range(config.seed, config.seed + config.n_seeds):
        for name, (loss, time_embedding) in VARIANTS.items():
            folder = workdir / f"{name}{seed}"
            denoiser = fit(loss, config.n_steps, seed, folder, time_embedding)
            rows[name].append(measured(denoiser, test, config, seed))
            if name == "whole":
                rows[name][-1]["chains"] = chain_bounds(denoiser, test, config, seed)
                found = samples_of(denoiser, config, seed, mean_only_step)
                rows["no_variance"].append(judged(found, test))
    results = {name: summed_up(values) for name, values in rows.items()}
    train = flat(data.train)
    results["floor"] = {"frechet": frechet_distance(train[: config.n_samples], test)}
    results["real"] = {"images": pixels(test[:24]), "spread": spread(test)}
    return results


def samples_of(denoiser, config: Config, seed: int, step=ancestral_step) -> torch.Tensor:
    """Samples from the same noise for every model of a seed."""
    generator = torch.Generator().manual_seed(seed)
    x_1 = torch.randn((config.n_samples, N_DIMS), generator=generator)
    times = uniform_times(config.n_sampling_steps)
    return sample(denoiser, SCHEDULE, x_1, times, step, generator)


def measured(denoiser, test: torch.Tensor, config: Config, seed: int) -> dict:
    """Held-out bound in bits per pixel, its parts, where they are paid, and the samples."""
    generator = torch.Generator().manual_seed(seed)
    reconstruct = level_reconstruction(LEVELS)
    bound = continuous_bound(
        denoiser,
        SCHEDULE,
        test,
        reconstruct,
        generator,
        n_draws=config.n_draws,
        t_min=config.t_min,
    )
    return {
        "bound": bits(bound.total),
        "steps": bits(bound.steps),
        "reconstruction": bits(bound.reconstruction),
        "curve": curve(denoiser, test[: config.n_curve_images], generator),
        **judged(samples_of(denoiser, config, seed), test),
    }


def chain_bounds(denoiser, test: torch.Tensor, config: Config, seed: int) -> dict:
    """Bound of chains with few steps, on part of the images."""
    generator = torch.Generator().manual_seed(seed)
    reconstruct = level_reconstruction(LEVELS)
    part = test[: config.n_curve_images]
    found = {}
    for n_steps in (4, 16, 64):
        times = chain_times(n_steps, config.t_min)
        total = three_term_bound(denoiser, SCHEDULE, part, times, reconstruct, generator).total
        found[str(n_steps)] = bits(total)
    return found


def chain_times(n_steps: int, t_min: float) -> torch.Tensor:
    """Equal steps in log-SNR down to the cleanest time, and pure noise before them."""
    inner = uniform_log_snr_times(n_steps, SCHEDULE, 0.97, t_min)[:-1]
    return torch.cat([torch.ones(1, dtype=torch.float64), inner])


@torch.no_grad()
def curve(denoiser, test: torch.Tensor, generator) -> list[float]:
    """Cost at each log-SNR: bits per pixel for one unit of log-SNR."""
    costs = []
    for log_snr in log_snrs():
        t = SCHEDULE.time_at(log_snr).expand(len(test))
        scales = SCHEDULE(t)
        x_t = perturb(test, torch.randn(test.shape, generator=generator), scales)
        distance = (test - denoiser(x_t, t.float())).square().sum(1)
        costs.append(bits(scales.snr_t / 2 * distance))
    return costs


def log_snrs() -> torch.Tensor:
    return torch.linspace(-6, 6, 13, dtype=torch.float64)


def judged(found: torch.Tensor, test: torch.Tensor) -> dict:
    return {
        "frechet": frechet_distance(found, test),
        "spread": spread(found) / spread(test),
        "images": pixels(found[:24]),
    }


def spread(images: torch.Tensor) -> float:
    """Total variance: summed over pixels."""
    return images.var(0).sum().item()


def bits(nats: torch.Tensor) -> float:
    return float(bits_per_dim(nats.double().mean(), N_DIMS))


def summed_up(rows: list[dict]) -> dict:
    """Intervals over seeds; pictures of the first."""
    found = {"images": rows[0]["images"]}
    for key in ("bound", "steps", "reconstruction", "frechet", "spread"):
        if key in rows[0]:
            found[key] = over_seeds([row[key] for row in rows])
    if "curve" in rows[0]:
        curves = np.array([row["curve"] for row in rows])
        found["curve"] = {
            "log_snr": log_snrs().tolist(),
            "mean": curves.mean(0).round(5).tolist(),
            "low": curves.min(0).round(5).tolist(),
            "high": curves.max(0).round(5).tolist(),
        }
        fine = float(np.trapezoid(curves.mean(0), log_snrs()))
        above = log_snrs() >= 3
        found["bits_above_3"] = float(
            np.trapezoid(curves.mean(0)[above.numpy()], log_snrs()[above]) / fine
        )
    if "chains" in rows[0]:
        found["chains"] = {
            key: over_seeds([row["chains"][key] for row in rows]) for key in rows[0]["chains"]
        }
    return found


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.3, ncols=2, sharey=False, width_ratios=[1, 1.15])
    figures.image_grid(left, results["whole"]["images"], levels=(0, 16), ncols=8, role="model")
    figures.panel_label(left, "samples", "model")
    found = results["whole"]["curve"]
    right.fill_between(
        found["log_snr"],
        found["low"],
        found["high"],
        color=figures.color("model"),
        alpha=0.25,
        lw=0,
    )
    right.plot(found["log_snr"], found["mean"], **figures.line_style("model"))
    right.axvspan(3, 6, color=figures.color("grid"), lw=0, zorder=0)
    right.text(4.5, 0.02, "details", ha="center", color=figures.color("muted"))
    right.text(-4.5, 0.02, "noise", ha="center", color=figures.color("muted"))
    right.text(0.8, 0.02, "shape", ha="center", color=figures.color("muted"))
    right.set(xlabel="log-SNR", xlim=(-6, 6), ylim=(0, None))
    figures.panel_label(right, "cost, bits per pixel and unit of log-SNR")
    return figure
