"""Can a classifier of clean images steer a sampler through noise?"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments._flagship import NULL
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
from fromnoise.denoising import as_denoiser
from fromnoise.diffusion import perturb
from fromnoise.networks import seeded
from fromnoise.samplers import Denoiser
from fromnoise.schedules import beside
from fromnoise.steering import classifier_guided
from fromnoise.training import TrainingSettings, train

needs = ("training/digits",)
# Where the sampler starts: a classifier cannot steer an image that is not there at all.
T_MAX = 0.99


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    multipliers: tuple[float, ...] = (1.0, 4.0)
    n_samples: int = 300
    n_steps: int = 10
    train_steps: int = 600
    batch_size: int = 128
    width: int = 128
    n_splits: int = 30
    n_images: int = 10
    levels: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)
    slope_level: float = 0.6  # where the two classifiers differ most as readers


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1),
        multipliers=(1.0,),
        n_samples=20,
        n_steps=2,
        train_steps=2,
        batch_size=8,
        width=8,
        n_splits=2,
        levels=(0.0, 0.8),
    ),
}


class Reader(nn.Module):
    """A small classifier of flat images that is told the time, or always told the same."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.layers = nn.Sequential(
                nn.Linear(65, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
            )
            self.last = nn.Linear(width, 10)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        seen = torch.cat([x_t.flatten(1), t.to(x_t)[:, None]], 1)
        return self.last(self.layers(seen)).log_softmax(-1)


def trained(config: Config, noisy: bool, seed: int) -> Reader:
    """Trained on images at all noise levels, or on clean ones alone."""

    def loss(network: nn.Module, batch: tuple, generator: torch.Generator) -> Tensor:
        x_0, label = batch
        t = torch.rand(len(x_0), generator=generator) if noisy else torch.zeros(len(x_0))
        eps = torch.randn(x_0.shape, generator=generator)
        x_t = perturb(x_0, eps, SCHEDULE(t))
        return F.nll_loss(network(x_t, t), label)

    settings = TrainingSettings(
        n_steps=config.train_steps, batch_size=config.batch_size, weight_decay=1e-2, seed=seed
    )
    found = train(Reader(config.width, seed), loss, tuple(digits().train), settings).network
    assert isinstance(found, Reader)
    return found.eval().requires_grad_(False)


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = load_network(needed["training/digits"]["weights"]["model"])
    data = digits()
    classifier = load_judge(needed["training/digits"]["weights"]["judge"])
    judge = judge_for(data, config.n_samples, classifier, config.n_splits)
    _, unconditional = both(network, config.n_samples)
    labels = labels_for(config.n_samples)
    results: dict = {"floor": judge.floor, "levels": list(config.levels), "read": {}, "images": {}}
    readers = {
        name: [trained(config, name == "noisy", seed) for seed in config.seeds]
        for name in ("noisy", "clean")
    }
    slopes = _slopes(network, readers, data.test, config.slope_level)
    results["slope"] = {
        name: {key: over(values) for key, values in rows.items()} for name, rows in slopes.items()
    }
    for name, found in readers.items():
        results["read"][name] = [
            over([_read(reader, data.test, level, name == "noisy") for reader in found])
            for level in config.levels
        ]
        for multiplier in config.multipliers:
            rows = []
            for seed, reader in zip(config.seeds, found, strict=True):
                ask = _steered(unconditional, reader, labels, multiplier, name == "noisy")
                row = measured(ask, config.n_samples, config.n_steps, seed, judge)
                images = row.pop("images")
                rows.append(row)
                if seed == config.seeds[0] and multiplier == config.multipliers[-1]:
                    results["images"][name] = gray(images[: config.n_images])
            key = f"{name}_x{multiplier:g}"
            results[key] = {key: over([row[key] for row in rows]) for key in rows[0]}
    return results


def _steered(
    plain: Denoiser, reader: Reader, labels: Tensor, multiplier: float, told: bool
) -> Denoiser:
    def log_likelihood(x_t: Tensor, t: Tensor) -> Tensor:
        t = t if told else torch.zeros_like(t)
        return reader(x_t, t).gather(1, labels[:, None])[:, 0]

    guided = classifier_guided(plain, log_likelihood, SCHEDULE, multiplier - 1)

    def ask(x_t: Tensor, t: Tensor) -> Tensor:
        # At pure noise there is nothing to read: the first step is plain.
        return plain(x_t, t) if float(t[0]) > T_MAX else guided(x_t, t)

    return ask


@torch.no_grad()
def _read(reader: Reader, split: tuple, level: float, told: bool) -> float:
    """Share of test images that are read rightly at one noise level."""
    images, labels = split
    generator = torch.Generator().manual_seed(9)
    scales = SCHEDULE(torch.tensor(level, dtype=torch.float64))
    eps = torch.randn(images.shape, generator=generator)
    x_t = (
        beside(scales.alpha_t.float(), images) * images + beside(scales.sigma_t.float(), eps) * eps
    )
    t = torch.full((len(images),), level if told else 0.0)
    return float((reader(x_t, t).argmax(1) == labels).double().mean())


def _slopes(network: nn.Module, readers: dict, split: tuple, level: float) -> dict:
    """Slopes of the classifiers on noisy test digits, against the slope in the flagship's scores.

    `length` is the root mean square length over that of the flagship's, `cosine` the mean cosine.
    """
    images, labels = split
    generator = torch.Generator().manual_seed(9)
    t = torch.full((len(images),), level)
    x_t = perturb(images, torch.randn(images.shape, generator=generator), SCHEDULE(t))
    null = torch.full_like(labels, NULL)
    with torch.no_grad():
        asked, plain = (as_denoiser(network, SCHEDULE, TARGET, c)(x_t, t) for c in (labels, null))
    # The score is (alpha x_0_hat - x_t) / sigma^2: only the length needs the factor.
    at = SCHEDULE(torch.tensor(level, dtype=torch.float64))
    own = (float(at.alpha_t / at.sigma_t.square()) * (asked - plain)).flatten(1)
    found: dict = {}
    for name, group in readers.items():
        found[name] = {"length": [], "cosine": []}
        for reader in group:
            leaf = x_t.clone().requires_grad_()
            told = t if name == "noisy" else torch.zeros_like(t)
            read = reader(leaf, told).gather(1, labels[:, None]).sum()
            slope = torch.autograd.grad(read, leaf)[0].flatten(1)
            length = slope.square().sum(1).mean().sqrt() / own.square().sum(1).mean().sqrt()
            found[name]["length"].append(float(length))
            found[name]["cosine"].append(float(F.cosine_similarity(slope, own).mean()))
    return found


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.1, ncols=2, sharey=False, width_ratios=[1.3, 1])
    rows = [results["images"][name] for name in ("noisy", "clean")]
    figures.image_grid(left, rows, levels=(0, 16), role="model")
    figures.panel_label(left, "taught with noise; on clean images")
    for name, role, text in (("noisy", "model", "with noise"), ("clean", "broken", "clean only")):
        found = [row["mean"] for row in results["read"][name]]
        (line,) = right.plot(results["levels"], found, **figures.line_style(role))
        figures.label_line(
            line, text, x=0.6, dx=6 if role == "model" else -62, dy=6 if role == "model" else -7
        )
    right.set(xlabel="t", ylim=(0, 1.02))
    figures.panel_label(right, "test digits read rightly")
    return figure
