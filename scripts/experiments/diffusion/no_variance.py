"""What do samples become if each step takes the posterior's mean and forgets its variance?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.diffusion._common import N_DIMS, SCHEDULE, digit_mixture, over_seeds
from fromnoise import figures
from fromnoise.diffusion import posterior
from fromnoise.oracles import denoiser
from fromnoise.samplers import ancestral_step, sample, uniform_times

needs = ("diffusion/digits",)


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: tuple[int, ...] = (2, 8, 32, 128)
    n_samples: int = 100


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_steps=(2, 4), n_samples=8)}


def mean_only_step(denoiser, schedule, x_t, t, s, generator=None):
    """The ancestral step without its noise."""
    x_0_hat = denoiser(x_t, t.to(x_t).expand(len(x_t)))
    return posterior(x_t, x_0_hat, schedule(t), schedule(s))[0]


STEPS = {"whole": ancestral_step, "broken": mean_only_step}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    mixture = digit_mixture()
    total = mixture.covariance.diagonal().sum()
    results = {"n_steps": list(config.n_steps), "exact": {}}
    for name, step in STEPS.items():
        rows = []
        for n_steps in config.n_steps:
            shares = []
            for seed in range(config.seed, config.seed + config.n_seeds):
                generator = torch.Generator().manual_seed(seed)
                x_1 = torch.randn(
                    (config.n_samples, N_DIMS), generator=generator, dtype=torch.float64
                )
                times = uniform_times(n_steps)
                found = sample(denoiser(mixture, SCHEDULE), SCHEDULE, x_1, times, step, generator)
                shares.append((found.var(0).sum() / total).item())
            rows.append(over_seeds(shares))
        results["exact"][name] = rows
    trained = needed["diffusion/digits"]
    results["whole"] = {key: trained["whole"][key] for key in ("images", "spread", "frechet")}
    results["broken"] = {
        key: trained["no_variance"][key] for key in ("images", "spread", "frechet")
    }
    return results


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, middle, right) = figures.figure(
        2.2, ncols=3, sharey=False, width_ratios=[1, 1, 1.25]
    )
    for ax, name, role, text in (
        (left, "whole", "model", "mean and variance"),
        (middle, "broken", "broken", "mean only"),
    ):
        figures.image_grid(ax, results[name]["images"][:20], levels=(0, 16), ncols=5, role=role)
        figures.panel_label(ax, text, role)
    for name, role in (("whole", "model"), ("broken", "broken")):
        values = [row["mean"] for row in results["exact"][name]]
        (line,) = right.semilogx(
            results["n_steps"], values, marker=figures.marker(role), **figures.line_style(role)
        )
        figures.label_line(
            line,
            {"whole": "whole", "broken": "mean only"}[name],
            x=9,
            dy=9,
            dx=4,
        )
    right.set(xlabel="steps", ylim=(-0.04, 1.1))
    figures.panel_label(right, "spread, share of the real")
    return figure
