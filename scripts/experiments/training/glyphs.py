"""Which known causes do samples of larger images keep, and does it help to noise them harder?"""

import math
import string
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from torch import Tensor, nn

from experiments.training._common import transposed
from fromnoise import figures
from fromnoise.batches import noise_like
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.evaluation import Classifier, frechet_distance, real_against_real, train_classifier
from fromnoise.glyphs import Glyphs, draw_factors, render
from fromnoise.intervals import mean_interval
from fromnoise.networks import UNet, n_parameters
from fromnoise.samplers import sample, uniform_times
from fromnoise.schedules import Rectified, Scales, Schedule
from fromnoise.targets import PredictVelocity
from fromnoise.training import TrainingSettings, train

CHARACTERS = string.digits
TARGET = PredictVelocity()
ZOOM = 1.8  # the digits fill the image, as those of the other experiments do
SMALL = 8
"""Side of the images that the straight line was chosen for."""


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    size: int = 16
    n_train: int = 2000
    n_test: int = 500
    n_judge: int = 1000
    channels: int = 16
    multipliers: tuple[int, ...] = (1, 2, 2)
    n_steps: int = 200
    batch_size: int = 32
    learning_rate: float = 7e-3
    ema_decay: float = 0.97
    n_samples: int = 300
    n_sampling_steps: int = 10
    judge_steps: int = 200
    n_splits: int = 30


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        size=8,
        n_train=40,
        n_test=40,
        n_judge=40,
        channels=8,
        multipliers=(1, 2),
        n_steps=2,
        batch_size=8,
        n_samples=40,
        n_sampling_steps=2,
        judge_steps=2,
        n_splits=2,
    ),
    # Four times the pixels of the full size, 120 times its draws in training, more seeds.
    "gpu": Config(
        n_seeds=5,
        size=32,
        n_train=50_000,
        n_test=2000,
        n_judge=10_000,
        channels=64,
        n_steps=3000,
        batch_size=256,
        learning_rate=2e-3,
        ema_decay=0.995,
        n_samples=1000,
        n_sampling_steps=50,
        judge_steps=1000,
        n_splits=100,
    ),
}


@dataclass(frozen=True)
class Shifted(Schedule):
    r"""The straight line with its time bent so that $2 \log s$ is taken from its log-SNR."""

    s: float

    def scales(self, t: Tensor) -> Scales:
        below = 1 + (self.s - 1) * t
        sigma_t, speed = self.s * t / below, self.s / below.square()
        return Scales(1 - sigma_t, sigma_t, -speed, speed)

    def time(self, log_snr: Tensor) -> Tensor:
        return Rectified().time(log_snr + 2 * math.log(self.s))


def alike(scales: Scales) -> Tensor:
    """The velocity of the line counts alike at all times, however fast the time runs there."""
    return scales.d_sigma_t.square().reciprocal()


@dataclass(frozen=True)
class Judge:
    """What samples are held against: a reader of glyphs, and real ones that it never saw."""

    reader: Classifier
    real: Glyphs
    features: Tensor
    floor: dict


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    rng = torch.Generator().manual_seed(0)

    def draw_glyphs(n: int) -> Glyphs:
        factors = draw_factors(n, rng, n_characters=len(CHARACTERS))
        factors = factors._replace(scale=ZOOM * factors.scale)
        return Glyphs(render(factors, config.size, characters=CHARACTERS), factors)

    training, test, for_judge = map(draw_glyphs, (config.n_train, config.n_test, config.n_judge))
    judge = judge_for(config, training, test, for_judge)
    labels = torch.arange(config.n_samples) % len(CHARACTERS)
    schedules = {"straight": Rectified(), "shifted": Shifted(config.size / SMALL)}
    rows: dict[str, list] = {name: [] for name in schedules}
    pictures = {}
    for seed in range(config.n_seeds):
        for name, schedule in schedules.items():
            network = trained(config, schedule, seed, training, device, workdir / f"{name}{seed}")
            images = drawn(config, network, schedule, labels, seed, device)
            rows[name].append(judged(images, labels, judge))
            if seed == 0:
                pictures[name] = gray(images[:20])
    logs = [
        math.log(harder["frechet"] / plain["frechet"])
        for plain, harder in zip(rows["straight"], rows["shifted"], strict=True)
    ]
    return {
        **{name: transposed(found) for name, found in rows.items()},
        "factor": {key: math.exp(value) for key, value in mean_interval(logs).items()},
        "floor": judge.floor,
        "real_accuracy": judge.reader.accuracy(test.images, test.factors.character),
        "reads": reads(test),
        "images": {**pictures, "real": gray(test.images[of_each(test.factors.character, 2)])},
        "n_parameters": n_parameters(network),
        "shift": 2 * math.log(config.size / SMALL),
        "n_seen": config.n_steps * config.batch_size,
        "size": config.size,
    }


def judge_for(config: Config, training: Glyphs, test: Glyphs, for_judge: Glyphs) -> Judge:
    """The reader sees glyphs of its own, and samples are held against others."""
    reader = train_classifier(
        for_judge.images, for_judge.factors.character, n_steps=config.judge_steps
    )
    features = reader.judge(test.images)
    n = config.n_samples
    floor = real_against_real(
        reader.judge(training.images[:n]),
        training.factors.character[:n],
        features,
        test.factors.character,
        n_splits=config.n_splits,
    )
    return Judge(reader, test, features, floor)


def trained(
    config: Config,
    schedule: Schedule,
    seed: int,
    data: Glyphs,
    device: torch.device,
    folder: Path,
) -> nn.Module:
    """The same network, batches and noise for both schedules of a seed."""
    settings = TrainingSettings(
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        ema_decay=config.ema_decay,
        seed=seed,
    )
    network = UNet(
        config.size,
        config.channels,
        len(CHARACTERS),
        multipliers=config.multipliers,
        seed=seed,
    ).to(device)
    loss = denoising_loss(schedule, TARGET, weight=alike)
    return train(
        network, loss, (data.images, data.factors.character), settings, folder=folder
    ).network


@torch.no_grad()
def drawn(
    config: Config,
    network: nn.Module,
    schedule: Schedule,
    labels: Tensor,
    seed: int,
    device: torch.device,
) -> Tensor:
    """Samples for the labels, from noise that depends on the seed alone."""
    empty = torch.empty((len(labels), 1, config.size, config.size))
    x_1 = noise_like(empty, torch.Generator().manual_seed(seed)).to(device)
    denoiser = as_denoiser(network, schedule, TARGET, labels.to(device))
    # A single time meets data shaped like them, so it must lie where they do.
    times = uniform_times(config.n_sampling_steps)
    found = sample(denoiser, schedule, x_1, times)
    return found.nan_to_num(0.0).clamp(-1, 1).cpu()


def judged(images: Tensor, labels: Tensor, judge: Judge) -> dict[str, float]:
    """Distance to real glyphs, obedience, and the variety of each look beside the real."""
    frechet = frechet_distance(judge.reader.judge(images), judge.features)
    real = spread(judge.real.images, judge.real.factors.character)
    return {
        "frechet": frechet,
        "ratio": frechet / judge.floor["mean"],
        "accuracy": judge.reader.accuracy(images, labels),
        **{name: value / real[name] for name, value in spread(images, labels).items()},
    }


def looks(images: Tensor) -> dict[str, Tensor]:
    """What can be measured of a glyph without knowing it: five moments of its ink.

    The shifts and the height are shares of the image's side; the lean is that of the line which
    the ink follows from row to row.
    """
    ink = (images[:, 0].double() + 1) / 2 + 1e-9
    size = ink.shape[-1]
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    total = ink.sum((1, 2))
    across, down = ink.sum(1) @ place / total, ink.sum(2) @ place / total
    x, y = place[None] - across[:, None], place[None] - down[:, None]
    variance = (ink.sum(2) * y.square()).sum(1) / total
    together = (ink * y[:, :, None] * x[:, None, :]).sum((1, 2)) / total
    return {
        "lean": -together / variance,
        "height": variance.sqrt(),
        "across": across,
        "down": down,
        "ink": total / size**2,
    }


def spread(images: Tensor, labels: Tensor) -> dict[str, float]:
    """Standard deviation of each look among images of one character, over all characters."""
    return {
        name: float(within(values, labels).square().mean().sqrt())
        for name, values in looks(images).items()
    }


def within(values: Tensor, labels: Tensor) -> Tensor:
    """What is left of the values when each character's mean is taken out."""
    left = values.clone().double()
    for character in labels.unique():
        rows = labels == character
        left[rows] -= left[rows].mean()
    return left


def reads(real: Glyphs) -> dict[str, float]:
    """How well each look follows the cause it stands for: their correlation on real glyphs."""
    causes = {
        "lean": real.factors.slant,
        "height": real.factors.scale,
        "across": real.factors.position[:, 0],
        "down": real.factors.position[:, 1],
        "ink": real.factors.weight + real.factors.thickness / 0.04,
    }
    labels = real.factors.character
    found = {}
    for name, values in looks(real.images).items():
        pair = torch.stack([within(values, labels), within(causes[name].double(), labels)])
        found[name] = float(torch.corrcoef(pair)[0, 1])
    return found


def of_each(labels: Tensor, n: int) -> Tensor:
    """Rows of the first n of each character: all characters once, then all again."""
    firsts = [(labels == c).nonzero()[:n, 0] for c in range(len(CHARACTERS))]
    return torch.stack([rows[i % len(rows)] for i in range(n) for rows in firsts])


def gray(images: Tensor) -> list:
    """Images as whole gray levels 0 to 16."""
    return ((images[:, 0].clamp(-1, 1) + 1) * 8).round().int().tolist()


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(3.1, nrows=3, sharex=False)
    for ax, name, role, text in (
        (axes[0], "real", "data", "real glyphs"),
        (axes[1], "straight", "model", "the recipe"),
        (axes[2], "shifted", "model", "noised harder"),
    ):
        images = np.array(results["images"][name])
        rows = images.reshape(2, -1, *images.shape[1:])
        figures.image_grid(ax, rows, levels=(0, 16), role=role)
        figures.panel_label(ax, text, role)
    return figure
