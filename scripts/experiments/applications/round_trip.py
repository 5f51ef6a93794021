"""How well do real digits come back from the noise that encodes them, by number of steps?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments._flagship import SCHEDULE
from experiments.applications._common import ask, digit_model, gray_distance
from fromnoise import figures
from fromnoise.applications import encode
from fromnoise.datasets import digits
from fromnoise.samplers import euler_step, heun_step, sample, uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    n_images: int = 24
    steps: tuple[int, ...] = (4, 8, 16, 32, 64)
    t_min: float = 0.01  # a twelfth of a gray level of noise


SIZES = {"full": Config(), "smoke": Config(n_images=4, steps=(2, 4))}
STEPS = {"euler": euler_step, "heun": heun_step}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = digit_model(needed)
    x_0, labels = (part[: config.n_images] for part in digits().test)
    denoiser = ask(network, labels)
    stop = torch.zeros(1, dtype=torch.float64)
    found: dict = {"steps": list(config.steps)}
    for name, step in STEPS.items():
        errors = {}
        for n in config.steps:
            rising = uniform_times(n, 1.0, config.t_min).flip(0)
            z = encode(denoiser, SCHEDULE, x_0, rising, step)
            back = sample(denoiser, SCHEDULE, z, torch.cat([rising.flip(0), stop]), step)
            errors[str(n)] = gray_distance(back, x_0)
        found[name] = errors
    # The same with the clean end half as far away.
    rising = uniform_times(config.steps[-1], 1.0, config.t_min / 2).flip(0)
    nearer = encode(denoiser, SCHEDULE, x_0, rising, heun_step)
    back = sample(denoiser, SCHEDULE, nearer, torch.cat([rising.flip(0), stop]), heun_step)
    found["nearer"] = gray_distance(back, x_0)
    # The noises of the finest Heun walk: do they look like noise?
    found["norm"] = spread(z)
    generator = torch.Generator().manual_seed(0)
    # Pixels that are never inked have no noise at the start of the walk, and none at its end.
    rising = uniform_times(config.steps[-1], 1.0, config.t_min).flip(0)
    scales = SCHEDULE(rising[0])
    noisy = x_0 + scales.sigma_t / scales.alpha_t * torch.randn(x_0.shape, generator=generator)
    found["noisy_norm"] = spread(encode(denoiser, SCHEDULE, noisy.float(), rising, heun_step))
    found["fresh_norm"] = spread(torch.randn((10_000, 64), generator=generator))
    return found


def spread(z: torch.Tensor) -> dict:
    """Length per root of the dimension: mean, and what 95 of 100 lie between."""
    norms = z.flatten(1).norm(dim=1) / 8
    low, high = norms.quantile(torch.tensor([0.025, 0.975])).tolist()
    return {"mean": float(norms.mean()), "low": low, "high": high}


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, ax = figures.figure(2.7, width=0.75)
    for name, role in (("euler", "ink"), ("heun", "model")):
        errors = [results[name][str(n)] for n in results["steps"]]
        (line,) = ax.loglog(
            results["steps"], errors, marker=figures.marker(role), **figures.line_style(role)
        )
        figures.label_line(line, name.capitalize())
    ax.set(xlabel="steps each way", ylabel="error, gray levels", xticks=results["steps"])
    ax.set_xticklabels([str(n) for n in results["steps"]])
    ax.set_yticks([0.02, 0.1, 0.5, 2], ["0.02", "0.1", "0.5", "2"])
    ax.minorticks_off()
    ax.margins(x=0.12)
    return figure
