"""What happens to brightness when training stops before the data is gone, and sampling does not?"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.figure
import torch

from experiments.diffusion._common import N_DIMS, SCHEDULE, digit_mixture, over_seeds
from fromnoise import figures
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ancestral_step, ddim_step, sample, uniform_times
from fromnoise.schedules import VPLinear


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    alphas: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)
    # Standard deviation of the exposure added to each image; pixels run from -1 to 1.
    exposure: float = 0.5
    n_samples: int = 300
    n_steps: int = 48


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, alphas=(0.0, 0.4), n_samples=8, n_steps=2)}
STEPS = {"ancestral": ancestral_step, "ddim": ddim_step}


def exposed_digits(exposure: float) -> GaussianMixture:
    """Digits, each as a whole made brighter or darker by a normal amount."""
    plain = digit_mixture()
    flat = torch.ones(N_DIMS, N_DIMS, dtype=torch.float64)
    covariance = plain.components.covariance + exposure**2 * flat
    return GaussianMixture(plain.weights, plain.components.mean, (covariance + covariance.mT) / 2)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    mixture = exposed_digits(config.exposure)
    real = (mixture.covariance.sum() / N_DIMS**2).sqrt().item()
    results = {"alphas": list(config.alphas), "real_std": real, "ratio": {}}
    pictures = {}
    for name, step in STEPS.items():
        rows = []
        for alpha in config.alphas:
            ratios = []
            for seed in range(config.seed, config.seed + config.n_seeds):
                found = drawn(mixture, alpha, step, config, seed)
                ratios.append(found.mean(1).std().item() / real)
                if name == "ddim" and seed == config.seed:
                    pictures[alpha] = found[:20]
            rows.append(over_seeds(ratios))
        results["ratio"][name] = rows
        results[f"worst_{name}"] = rows[-1]
        results[f"zero_{name}"] = rows[0]
    results["predicted"] = [shrink(alpha, real, N_DIMS) for alpha in config.alphas]
    # The same formula for a large image and DDPM's schedule: not run here.
    end = VPLinear()(torch.ones(1, dtype=torch.float64)).alpha_t.item()
    results["large"] = {"alpha": end, "predicted": shrink(end, real, 512**2)}
    for key, alpha in (("whole", config.alphas[0]), ("broken", config.alphas[-1])):
        # From dark to bright, so that the range can be seen.
        images = pictures[alpha][pictures[alpha].mean(1).argsort()].reshape(-1, 8, 8)
        results[key] = {"images": images.round(decimals=2).tolist()}
    return results


def shrink(alpha: float, spread: float, n_pixels: int) -> float:
    """Spread of brightness after DDIM from pure noise, as a share of the real one."""
    noise = 1 / n_pixels
    return math.sqrt(noise / (alpha**2 * spread**2 + (1 - alpha**2) * noise))


def drawn(mixture, alpha: float, step, config: Config, seed: int) -> torch.Tensor:
    """Samples from pure noise at the time where alpha of the data is left."""
    generator = torch.Generator().manual_seed(seed)
    x_1 = torch.randn((config.n_samples, N_DIMS), generator=generator, dtype=torch.float64)
    t_max = 2 / math.pi * math.acos(alpha)
    times = uniform_times(config.n_steps, t_max)
    go = partial(sample, denoiser(mixture, SCHEDULE), SCHEDULE)
    return go(x_1, times, step, generator)


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, middle, right) = figures.figure(
        2.2, ncols=3, sharey=False, width_ratios=[1, 1, 1.25]
    )
    for ax, name, role, text in (
        (left, "whole", "model", "$\\alpha_1 = 0$"),
        (middle, "broken", "broken", f"$\\alpha_1 = {results['alphas'][-1]}$"),
    ):
        figures.image_grid(ax, results[name]["images"], levels=(-2, 2), ncols=5, role=role)
        figures.panel_label(ax, text, role)
    for name, dash, text in (("ancestral", "noise", "ancestral"), ("ddim", "broken", "DDIM")):
        values = [row["mean"] for row in results["ratio"][name]]
        # Both samplers start wrong: one color, told apart by dashes.
        style = {**figures.line_style(dash), "color": figures.color("broken")}
        (line,) = right.plot(results["alphas"], values, marker=figures.marker(dash), **style)
        figures.label_line(line, text, x=0.3, dy=9 if name == "ancestral" else -10, dx=0)
    right.plot(results["alphas"], results["predicted"], lw=0.9, color=figures.color("ink"))
    right.axhline(1, color=figures.color("grid"), zorder=0)
    right.set(xlabel="$\\alpha_1$", ylim=(0, 1.15), xlim=(0, None))
    figures.panel_label(right, "brightness spread / real")
    return figure
