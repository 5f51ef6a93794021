"""Can a model have a high likelihood and bad samples, or perfect samples and no likelihood?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.generative_models._judge import Judge
from fromnoise import figures
from fromnoise.datasets import digits, snap_to_levels, to_levels
from fromnoise.evaluation import c2st
from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import Diluted, Memorizer, dequantize, fit_class_gaussians
from fromnoise.information import bits_per_dim
from fromnoise.intervals import mean_interval


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    level_width: float = 1 / 8
    shrinkage: float = 0.03  # best of a few on the validation split
    share: float = 0.01
    n_dims: int = 64
    n_judged: int = 497  # samples, and held-out digits they are told apart from
    n_judge_steps: int = 250


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_judged=30, n_judge_steps=3)}
NAMES = ("good", "diluted", "memorizer")


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    judge = Judge.trained(data, config.n_judge_steps)
    clean = data.train.images.flatten(1).double()
    noise = Gaussian(torch.zeros(config.n_dims).double(), torch.eye(config.n_dims).double())
    bits: dict = {name: [] for name in NAMES[:2]}
    distance: dict = {name: [] for name in NAMES}
    told_apart: dict = {"good": [], "memorizer": []}
    held_out = data.test.images[: config.n_judged].flatten(1).double()
    known, images = 0, {}
    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        train, test = (
            dequantize(s.images.flatten(1).double(), config.level_width, generator)
            for s in (data.train, data.test)
        )
        good = fit_class_gaussians(train, data.train.labels, config.shrinkage)
        models = {
            "good": good,
            "diluted": Diluted(good, noise, config.share),
            "memorizer": Memorizer(clean),
        }
        for name, model in models.items():
            drawn = snap_to_levels(model.sample(config.n_judged, generator))
            distance[name].append(judge.distance(drawn))
            if name in told_apart:
                told_apart[name].append(c2st(drawn, held_out, seed=seed))
            if name != "memorizer":
                cost = -model.log_prob(test).mean()
                bits[name].append(float(bits_per_dim(cost, config.n_dims, config.level_width)))
            if seed == config.seeds[0]:
                images[name] = to_levels(drawn[:12]).view(12, 8, 8).tolist()
        known = int((models["memorizer"].log_prob(held_out) > -torch.inf).sum())
    lost = [a - b for a, b in zip(bits["diluted"], bits["good"], strict=True)]
    return {
        "bits": {name: {**mean_interval(v), "per_seed": v} for name, v in bits.items()},
        "bits_lost": {**mean_interval(lost), "per_seed": lost},
        "nats_lost": sum(lost) / len(lost) * config.n_dims * 0.6931471805599453,
        "distance": {n: {**mean_interval(v), "per_seed": v} for n, v in distance.items()},
        "c2st": {n: {**mean_interval(v), "per_seed": v} for n, v in told_apart.items()},
        "test_images_the_memorizer_knows": known,
        "n_test": len(held_out),
        "images": images,
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.7, nrows=3, sharex=False)
    for ax, name, role, text in (
        (axes[0], "good", "model", "class Gaussians"),
        (axes[1], "diluted", "broken", "1 % class Gaussians, 99 % noise"),
        (axes[2], "memorizer", "broken", "the training set by heart"),
    ):
        figures.image_grid(ax, results["images"][name], levels=(0, 16), role=role)
        cost = f"{results['bits'][name]['mean']:.2f}" if name in results["bits"] else "infinite"
        figures.panel_label(ax, f"{text}: {cost} bits per pixel", role)
    return figure
