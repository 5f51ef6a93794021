"""What does guidance do with a network that never learned to do without the condition?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.guidance._common import PLANE, over
from experiments.sde._common import distance
from fromnoise import figures
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.gaussians import Gaussian
from fromnoise.guidance import classifier_free
from fromnoise.mixtures import GaussianMixture
from fromnoise.networks import MLP
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.schedules import Rectified
from fromnoise.targets import PredictVelocity
from fromnoise.training import TrainingSettings, train

SCHEDULE, TARGET = Rectified(), PredictVelocity()
NULL = 3


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    dropouts: tuple[float, ...] = (0.0, 0.1)
    weight: float = 1.0
    n_train: int = 4000
    train_steps: int = 800
    batch_size: int = 256
    width: int = 64
    n_samples: int = 1000
    n_steps: int = 20
    n_drawn: int = 250


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n_train=40, train_steps=2, batch_size=8, n_samples=40, n_steps=2, n_drawn=20
    ),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    x, label = PLANE.sample_with_component(config.n_train, torch.Generator().manual_seed(0))
    wanted = torch.zeros(config.n_samples, dtype=torch.long)
    # All components are round and equally wide: with exact scores, guidance to one of them would
    # end near it and stay as narrow. The condition alone is the measure.
    truth = _alone(PLANE, 0)
    results: dict = {"points": {}}
    for dropout in config.dropouts:
        name = f"drop{dropout:g}"
        rows = []
        for seed in config.seeds:
            network = train(
                MLP(2, config.width, n_classes=3, seed=seed),
                denoising_loss(SCHEDULE, TARGET, label_dropout=dropout, null_label=NULL),
                (x.float(), label),
                TrainingSettings(
                    n_steps=config.train_steps, batch_size=config.batch_size, seed=seed
                ),
            ).network.eval()
            g = torch.Generator().manual_seed(100 + seed)
            x_1 = torch.randn(config.n_samples, 2, generator=g)
            plain = as_denoiser(network, SCHEDULE, TARGET, wanted)
            none = as_denoiser(network, SCHEDULE, TARGET, torch.full_like(wanted, NULL))
            times = uniform_times(config.n_steps)
            drawn = {
                "plain": sample(plain, SCHEDULE, x_1, times, heun_step),
                "none": sample(none, SCHEDULE, x_1, times, heun_step),
                "guided": sample(
                    classifier_free(plain, none, config.weight), SCHEDULE, x_1, times, heun_step
                ),
            }
            rows.append(
                {
                    "plain": distance(drawn["plain"].double(), truth, g),
                    "none": distance(drawn["none"].double(), PLANE, g),
                    "guided": distance(drawn["guided"].double(), truth, g),
                    "home": float(
                        (drawn["guided"] - truth.mean.float()).norm(dim=1).lt(0.9).double().mean()
                    ),
                }
            )
            if seed == config.seeds[0]:
                results["points"][name] = {
                    key: points[: config.n_drawn].double().round(decimals=3).tolist()
                    for key, points in drawn.items()
                }
        results[name] = {key: over([row[key] for row in rows]) for key in rows[0]}
    return results


def _alone(mixture: GaussianMixture, k: int) -> GaussianMixture:
    part: Gaussian = mixture.component(k)
    return GaussianMixture(torch.ones(1).to(part.mean), part.mean[None], part.covariance[None])


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.9, ncols=3)
    name = "drop0"
    for ax, key, role, text in (
        (axes[0], "plain", "model", "asked for one class"),
        (axes[1], "none", "broken", "asked for none"),
        (axes[2], "guided", "broken", "guided"),
    ):
        centers = PLANE.components.mean.numpy()
        for center in centers:
            ring = np.linspace(0, 2 * np.pi, 60)
            ax.plot(
                center[0] + 0.6 * np.cos(ring),
                center[1] + 0.6 * np.sin(ring),
                color=figures.color("muted"),
                linestyle="-",
                linewidth=0.8,
            )
        points = np.array(results["points"][name][key])
        ax.scatter(*points.T, s=4, color=figures.color(role), linewidths=0)
        ax.set(xlim=(-4, 4), ylim=(-3.6, 3.6), xticks=[-3, 0, 3], yticks=[-3, 0, 3])
        ax.set_aspect("equal")
        figures.panel_label(ax, text, role)
    return figure
