"""Which training images does a model give back, those seen once or those seen often?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments._flagship import SCHEDULE, TARGET
from experiments.evaluation._common import gray, nearest, over
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.evaluation import nearest_neighbor_ratio
from fromnoise.networks import UNet
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.training import TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_once: int = 60
    n_often: int = 5
    n_times: int = 20
    channels: int = 16
    n_steps: int = 300
    batch_size: int = 32
    n_samples: int = 250
    n_sampling_steps: int = 8
    # Nearer than this share of a held-out image's usual distance counts as given back.
    near: float = 0.5


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1),
        n_once=10,
        n_often=2,
        n_times=3,
        channels=8,
        n_steps=2,
        batch_size=4,
        n_samples=8,
        n_sampling_steps=1,
    ),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    rows: dict[str, list[float]] = {}
    shown: dict = {}
    for seed in config.seeds:
        order = torch.randperm(1000, generator=torch.Generator().manual_seed(seed))
        once = data.train.images[order[: config.n_once]]
        often = data.train.images[order[config.n_once : config.n_once + config.n_often]]
        seen = torch.cat([once, often])
        for name, times in (("clean", 1), ("repeated", config.n_times)):
            images = torch.cat([once, often.repeat(times, 1, 1, 1)])
            # One label for all: the model knows no classes.
            labels = torch.zeros(len(images), dtype=torch.long)
            network = train(
                UNet(8, config.channels, 1, seed=seed),
                denoising_loss(SCHEDULE, TARGET),
                (images, labels),
                TrainingSettings(
                    n_steps=config.n_steps,
                    batch_size=config.batch_size,
                    learning_rate=3e-3,
                    ema_decay=0.98,
                    seed=seed,
                ),
                folder=workdir / f"{name}{seed}",
            ).network
            generator = torch.Generator().manual_seed(seed)
            x_1 = torch.randn((config.n_samples, 1, 8, 8), generator=generator)
            denoiser = as_denoiser(
                network, SCHEDULE, TARGET, torch.zeros(config.n_samples, dtype=torch.long)
            )
            with torch.no_grad():
                x = sample(
                    denoiser, SCHEDULE, x_1, uniform_times(config.n_sampling_steps), heun_step
                )
            distance, which = nearest(x, seen)
            usual = nearest(data.test.images, seen)[0].median()
            copied = distance < config.near * usual
            is_often = which >= config.n_once
            found = {
                f"{name}_ratio": nearest_neighbor_ratio(x, seen, data.test.images),
                f"{name}_copied_often": float((copied & is_often).double().mean()),
                f"{name}_copied_once": float((copied & ~is_often).double().mean()),
                f"{name}_drawn_often": float(is_often.double().mean()),
                f"{name}_distance": float((distance / usual).median()),
            }
            for key, value in found.items():
                rows.setdefault(key, []).append(value)
            if seed == config.seeds[0]:
                closest = (distance / usual).argsort()[:10]
                shown[name] = [gray(x[closest]), gray(seen[which[closest]])]
    return {**{key: over(values) for key, values in rows.items()}, "images": shown}


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(1.7, ncols=2)
    for ax, name, text in (
        (left, "clean", "every image once"),
        (right, "repeated", "five of them twenty-fold"),
    ):
        figures.image_grid(ax, results["images"][name], levels=(0, 16), role="model")
        figures.panel_label(ax, text)
    return figure
