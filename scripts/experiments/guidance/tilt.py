"""With exact scores, does guidance sample the density that it is said to sample?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.guidance._common import PLANE, over
from experiments.sde._common import distance
from fromnoise import figures
from fromnoise.guidance import classifier_free
from fromnoise.inverse import linear_posterior
from fromnoise.oracles import denoiser
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.schedules import Rectified
from fromnoise.tilting import tilted_by_measurement

SCHEDULE = Rectified()
MATRIX = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
Y = torch.tensor([0.3], dtype=torch.float64)
NOISE_STD = 0.8


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    weights: tuple[float, ...] = (0.0, 1.0, 3.0, 7.0)
    shown: float = 3.0
    n_samples: int = 2000
    n_steps: int = 64
    n_drawn: int = 300


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), weights=(0.0, 3.0), n_samples=60, n_steps=4, n_drawn=20),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    condition = linear_posterior(PLANE, MATRIX, Y, NOISE_STD)
    results: dict = {"weights": list(config.weights), "distance": {}, "floor": {}, "shares": {}}
    for weight in config.weights:
        truth = tilted_by_measurement(PLANE, MATRIX, Y, NOISE_STD, weight)
        ask = classifier_free(denoiser(condition, SCHEDULE), denoiser(PLANE, SCHEDULE), weight)
        found, floor, middle, along = [], [], [], []
        for seed in config.seeds:
            g = torch.Generator().manual_seed(seed)
            x_1 = torch.randn(config.n_samples, 2, generator=g, dtype=torch.float64)
            drawn = sample(ask, SCHEDULE, x_1, uniform_times(config.n_steps), heun_step)
            found.append(distance(drawn, truth, g))
            floor.append(distance(truth.sample(config.n_samples, g), truth, g))
            middle.append(float((PLANE.responsibilities(drawn).argmax(-1) == 1).double().mean()))
            along.append(float(drawn[:, 0].var()))
            if seed == config.seeds[0] and weight == config.shown:
                points = truth.sample(config.n_drawn, g)
                results["points"] = {
                    "condition": condition.sample(config.n_drawn, g).round(decimals=3).tolist(),
                    "tilted": points.round(decimals=3).tolist(),
                    "guided": drawn[: config.n_drawn].round(decimals=3).tolist(),
                }
        name = f"w{weight:g}"
        results["distance"][name], results["floor"][name] = over(found), over(floor)
        results["shares"][name] = {
            "truth": float(truth.weights[1]),
            "guided": over(middle),
            "var_truth": float(truth.covariance[0, 0]),
            "var_guided": over(along),
        }
    return results


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.5, ncols=3)
    axis = np.linspace(-3, 3, 121)
    xx, yy = np.meshgrid(axis, axis)
    grid = torch.tensor(np.stack([xx.ravel(), yy.ravel()], 1))
    density = PLANE.log_prob(grid).exp().reshape(xx.shape).numpy()
    for ax, name, role, text in (
        (axes[0], "condition", "data", "the condition alone"),
        (axes[1], "tilted", "data", "what guidance promises"),
        (axes[2], "guided", "model", "what it samples"),
    ):
        levels = density.max() * np.array([0.02, 0.2, 0.6])
        ax.contour(xx, yy, density, levels=levels, colors=figures.color("muted"), linewidths=0.6)
        points = np.array(results["points"][name])
        ax.scatter(*points.T, s=4, color=figures.color(role), linewidths=0)
        ax.set(xlim=(-2.6, 2.6), ylim=(-2.2, 2.4), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        ax.set_aspect("equal")
        figures.panel_label(ax, text, role)
    return figure
