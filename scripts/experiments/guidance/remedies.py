"""Which remedy for strong guidance gives back the most diversity and contrast?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments._flagship import NULL, digit_network
from experiments._judge import load_judge
from experiments.guidance._common import (
    SCHEDULE,
    TARGET,
    both,
    gray,
    judge_for,
    labels_for,
    load_network,
    measured,
    over,
)
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.guidance import classifier_free
from fromnoise.samplers import Denoiser
from fromnoise.steering import autoguided, limited, rescaled
from fromnoise.training import TrainingSettings, train

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    weight: float = 4.0
    t_min: float = 0.3
    t_max: float = 0.8
    share: float = 0.7
    n_samples: int = 300
    n_steps: int = 10
    # The worse model of autoguidance: half the channels, a third of the steps.
    bad_channels: int = 16
    bad_steps: int = 250
    weak: float = 1.0
    batch_size: int = 128
    n_splits: int = 30
    n_images: int = 10


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1),
        n_samples=20,
        n_steps=2,
        bad_channels=8,
        bad_steps=2,
        batch_size=8,
        n_splits=2,
    ),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = load_network(needed["training/digits"]["weights"]["model"])
    data = digits()
    classifier = load_judge(needed["training/digits"]["weights"]["judge"])
    judge = judge_for(data, config.n_samples, classifier, config.n_splits)
    conditional, unconditional = both(network, config.n_samples)
    bad = train(
        digit_network(config.bad_channels, seed=1),
        denoising_loss(SCHEDULE, TARGET, label_dropout=0.1, null_label=NULL),
        tuple(data.train),
        TrainingSettings(n_steps=config.bad_steps, batch_size=config.batch_size, seed=1),
        folder=workdir,
    ).network.eval()
    worse = as_denoiser(bad, SCHEDULE, TARGET, labels_for(config.n_samples))
    strong = classifier_free(conditional, unconditional, config.weight)
    asked: dict[str, Denoiser] = {
        "plain": conditional,
        "strong": strong,
        "limited": limited(strong, conditional, config.t_min, config.t_max),
        "rescaled": rescaled(strong, conditional, config.share),
        "auto_weak": autoguided(conditional, worse, config.weak),
        "auto": autoguided(conditional, worse, config.weight),
        "worse": worse,
    }
    results: dict = {"floor": judge.floor, "images": {}}
    for name, ask in asked.items():
        rows = []
        for seed in config.seeds:
            row = measured(ask, config.n_samples, config.n_steps, seed, judge)
            images = row.pop("images")
            rows.append(row)
            if seed == config.seeds[0]:
                results["images"][name] = gray(images[: config.n_images])
        results[name] = {key: over([row[key] for row in rows]) for key in rows[0]}
    return results


def draw(results: dict) -> Figure:
    figure, (left, ax) = figures.figure(3.4, ncols=2, width_ratios=[1, 2.6])
    names = {
        "plain": "no guidance",
        "strong": "strong guidance",
        "limited": "in the middle only",
        "rescaled": "rescaled",
        "auto_weak": "autoguidance, weak",
        "auto": "autoguidance, strong",
        "worse": "the worse model",
    }
    rows = [results["images"][name] for name in names]
    figures.image_grid(ax, rows, levels=(0, 16), role="model")
    left.axis("off")
    for i, text in enumerate(names.values()):
        place = 1 - (i + 0.5) / len(names)
        left.text(1, place, text, transform=left.transAxes, ha="right", va="center")
    return figure
