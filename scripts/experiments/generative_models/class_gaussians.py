"""What does a model of digits gain from being told the class?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.datasets import digits, to_levels
from fromnoise.generative_models import dequantize, fit_class_gaussians, fit_gaussian
from fromnoise.information import bits_per_dim
from fromnoise.intervals import mean_interval


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    level_width: float = 1 / 8
    shrinkage: float = 0.03  # best of a few on the validation split
    n_dims: int = 64


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    labels, test_labels = data.train.labels.to(device), data.test.labels.to(device)
    bits: dict[str, list[float]] = {"one": [], "mixture": [], "told": []}
    accuracy, samples = [], []
    for seed in config.seeds:
        generator = torch.Generator(device).manual_seed(seed)
        train, test = (
            dequantize(s.images.flatten(1).double().to(device), config.level_width, generator)
            for s in (data.train, data.test)
        )
        mixture = fit_class_gaussians(train, labels, config.shrinkage)
        one = fit_gaussian(train, config.shrinkage)
        per_class = torch.stack([mixture.component(c).log_prob(test) for c in range(10)], -1)
        told = per_class.gather(1, test_labels[:, None])[:, 0]
        scores = {"one": one.log_prob(test), "mixture": mixture.log_prob(test), "told": told}
        for name, log_px in scores.items():
            cost = bits_per_dim(-log_px.mean(), config.n_dims, config.level_width)
            bits[name].append(float(cost))
        guess = mixture.responsibilities(test).argmax(-1)
        accuracy.append(float((guess == test_labels).double().mean()))
        if seed == config.seeds[0]:
            samples = [mixture.component(c).sample(1, generator)[0] for c in range(10)]
            blind = one.sample(10, generator)
    first = [int((data.train.labels == c).nonzero()[0]) for c in range(10)]
    rows = {
        "real": data.train.images[first].flatten(1).double(),
        "one": blind,
        "told": torch.stack(samples),
    }
    return {
        "bits": {name: {**mean_interval(v), "per_seed": v} for name, v in bits.items()},
        "accuracy": {**mean_interval(accuracy), "per_seed": accuracy},
        "images": {name: to_levels(x).view(10, 8, 8).tolist() for name, x in rows.items()},
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.9, nrows=3, sharex=False)
    for ax, name, role, text in (
        (axes[0], "real", "data", "real digits"),
        (axes[1], "one", "model", "one Gaussian for all of them"),
        (axes[2], "told", "model", "one Gaussian per class, told which"),
    ):
        figures.image_grid(ax, results["images"][name], levels=(0, 16), role=role)
        figures.panel_label(ax, text, role)
    return figure
