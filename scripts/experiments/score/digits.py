"""Can a learned score draw digits, and where does it need the levels of noise?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from experiments.score._common import (
    Field,
    all_levels,
    anchored_score,
    over_seeds,
    rounded,
    scaled_score,
    small_network,
)
from fromnoise import figures
from fromnoise.datasets import digits, snap_to_levels
from fromnoise.evaluation import frechet_distance, real_against_real, train_classifier
from fromnoise.langevin import annealed_langevin, langevin
from fromnoise.schedules import VE
from fromnoise.score import TimeScore
from fromnoise.training import Loss, TrainingSettings, train

SCHEDULE = VE(sigma_min=0.1, sigma_max=6.0)
WAYS = ("annealed", "last_level", "last_level_plain")


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_steps: int = 1500
    width: int = 256
    n_samples: int = 300
    n_levels: int = 20
    steps_per_level: int = 15
    step: float = 0.2
    judge_steps: int = 300
    n_splits: int = 30


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1),
        n_steps=2,
        width=16,
        n_samples=70,
        n_levels=2,
        steps_per_level=2,
        judge_steps=2,
        n_splits=2,
    ),
}


def at_last(score: TimeScore) -> Field:
    """The field at the last level, the time 0."""
    return lambda x: score(x, torch.zeros(len(x)))


@torch.no_grad()
def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train_x = data.train.images.flatten(1)
    with torch.enable_grad():
        judge = train_classifier(*data.validation, n_steps=config.judge_steps)
    features = judge.judge(data.test.images)
    floor = real_against_real(
        judge.judge(data.train.images[: config.n_samples]),
        data.train.labels[: config.n_samples],
        features,
        data.test.labels,
        n_splits=config.n_splits,
    )
    n_evals = config.n_levels * config.steps_per_level
    times = torch.linspace(1, 0, config.n_levels)
    smallest = SCHEDULE.sigma_min**2 * config.step
    frechet: dict[str, list[float]] = {way: [] for way in WAYS}
    images = {"real": rounded(train_x[:10], 2)}
    for seed in config.seeds:
        settings = TrainingSettings(n_steps=config.n_steps, ema_decay=0.995, seed=seed)

        def fit(loss: Loss, name: str, settings=settings, seed=seed) -> nn.Module:
            with torch.enable_grad():
                network = small_network(64, seed, config.width)
                folder = workdir / f"{name}{seed}"
                return train(network, loss, (train_x,), settings, folder=folder).network

        # Each level's error counts as that of a network output of order one.
        both = all_levels(SCHEDULE, anchored_score, lambda sigma: sigma**2 * (1 + sigma**2))
        anchored = anchored_score(fit(both, "anchored"), SCHEDULE)
        plain = scaled_score(fit(all_levels(SCHEDULE), "plain"), SCHEDULE)
        generator = torch.Generator().manual_seed(100 + seed)
        start = SCHEDULE.sigma_max * torch.randn(config.n_samples, 64, generator=generator)
        ends = {
            "annealed": annealed_langevin(
                anchored, SCHEDULE, start, times, config.steps_per_level, config.step, generator
            ),
            "last_level": langevin(at_last(anchored), start, n_evals, smallest, generator),
            "last_level_plain": langevin(at_last(plain), start, n_evals, smallest, generator),
        }
        for way in WAYS:
            field = at_last(plain if way == "last_level_plain" else anchored)
            # The last level still carries its noise; one step of Tweedie takes it out.
            x = ends[way] + SCHEDULE.sigma_min**2 * field(ends[way])
            pixels = snap_to_levels(x.nan_to_num(0.0).clamp(-1, 1)).view(-1, 1, 8, 8)
            frechet[way].append(frechet_distance(judge.judge(pixels), features))
            if seed == config.seeds[0]:
                images[way] = rounded(pixels[:10].flatten(1), 3)
    return {
        "frechet": {way: over_seeds(values) for way, values in frechet.items()},
        "floor": floor,
        "n_evals": n_evals,
        "images": images,
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(3.9, nrows=4, sharex=False)
    for ax, name, role, text in (
        (axes[0], "real", "data", "real digits"),
        (axes[1], "annealed", "model", "all levels walked"),
        (axes[2], "last_level", "broken", "only the last level walked"),
        (axes[3], "last_level_plain", "broken", "only the last level walked, another network"),
    ):
        pixels = np.array(results["images"][name]).reshape(-1, 8, 8)
        figures.image_grid(ax, pixels, levels=(-1, 1), role=role)
        figures.panel_label(ax, text, role)
    return figure
