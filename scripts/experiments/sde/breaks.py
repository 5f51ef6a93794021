"""What do samples become without the score, with half of it, with its sign flipped?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.sde._common import (
    PLANE,
    SCHEDULE,
    digit_mixture,
    distance,
    exact_score,
    noise,
    over_seeds,
    pixels,
    times_down,
)
from fromnoise import figures
from fromnoise.sde import reverse_sde, simulate


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 5
    n_points: int = 2000
    n_steps: int = 300
    n_digits: int = 120
    n_digit_steps: int = 100
    n_images: int = 15


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_points=40, n_steps=10, n_digits=15, n_digit_steps=4),
}
# The score multiplied by a number; the noise of the reverse equation stays as it is.
GAINS = {"whole": 1.0, "half": 0.5, "none": 0.0, "flipped": -1.0}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    spaces = {
        "plane": (PLANE, config.n_points, times_down(config.n_steps)),
        "digits": (digit_mixture(), config.n_digits, times_down(config.n_digit_steps)),
    }
    results: dict = {}
    for space, (truth, n, times) in spaces.items():
        score = exact_score(truth, SCHEDULE)
        seeds = range(config.seed, config.seed + config.n_seeds)
        floors = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(1000 + seed)
            floors.append(distance(truth.sample(n, generator), truth, generator))
        results[space] = {"floor": over_seeds(floors)}
        for name, gain in GAINS.items():
            dynamics = reverse_sde(lambda x, t, c=gain, s=score: c * s(x, t), SCHEDULE)
            far, rms = [], []
            for seed in seeds:
                generator = torch.Generator().manual_seed(seed)
                found = simulate(dynamics, noise(n, truth.dim, generator), times, generator)
                far.append(distance(found, truth, generator))
                rms.append(float(found.square().mean().sqrt()))
                if seed == config.seed and space == "digits":
                    results.setdefault("images", {})[name] = pixels(found[: config.n_images])
            results[space][name] = {"distance": over_seeds(far), "rms": over_seeds(rms)}
    return results


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(1.9, ncols=4, sharey=False)
    for ax, name, role, text in (
        (axes[0], "whole", "model", "whole"),
        (axes[1], "half", "broken", "half the score"),
        (axes[2], "none", "broken", "no score"),
        (axes[3], "flipped", "broken", "sign flipped"),
    ):
        figures.image_grid(ax, results["images"][name], levels=(0, 16), ncols=3, role=role)
        figures.panel_label(ax, text, role)
    return figure
