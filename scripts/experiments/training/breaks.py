"""What is each part of the recipe for? Take one away at a time, with everything else held."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from torch import Tensor, nn

from experiments.training._common import (
    SCHEDULE,
    TARGET,
    denoiser_of,
    draw_digits,
    grid,
    judge_for,
    judged,
    levels,
    of_each_class,
    transposed,
)
from fromnoise import figures
from fromnoise.datasets import Splits, digits, snap_to_levels
from fromnoise.denoising import denoising_loss
from fromnoise.diffusion import perturb
from fromnoise.dit import DiT
from fromnoise.evaluation import train_classifier
from fromnoise.intervals import mean_interval
from fromnoise.networks import UNet, n_parameters
from fromnoise.samplers import uniform_times
from fromnoise.schedules import Schedule, VPLinear
from fromnoise.targets import PredictEps, PredictV, Target
from fromnoise.training import TrainedModel, TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    # A small network for a few seconds: enough to see a part missing, and to repeat with seeds.
    channels: int = 16
    n_steps: int = 220
    batch_size: int = 32
    learning_rate: float = 7e-3
    ema_decay: float = 0.97
    # The transformer's step costs less: these numbers take the same time, and its own best rate of
    # those tried on validation images.
    transformer_steps: int = 370
    transformer_rate: float = 1e-2
    n_samples: int = 500
    n_sampling_steps: int = 10
    judge_steps: int = 600
    n_splits: int = 100
    n_folds: int = 2


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        channels=8,
        n_steps=2,
        batch_size=8,
        transformer_steps=2,
        n_samples=20,
        n_sampling_steps=2,
        judge_steps=2,
        n_splits=2,
        n_folds=2,
    ),
    # Does the table say what the parts are for, or what they are for in a few seconds? Networks as
    # wide as the flagship's, 40 times the images, and enough seeds to part factors near 1.
    "gpu": Config(
        n_seeds=8,
        channels=32,
        n_steps=2200,
        batch_size=128,
        learning_rate=3e-3,
        ema_decay=0.99,
        transformer_steps=3700,
        transformer_rate=3e-3,
    ),
}


@dataclass(frozen=True)
class Variant:
    """The recipe with one part changed."""

    network: Callable[[Config, int], nn.Module] = lambda config, seed: UNet(
        8, config.channels, 10, seed=seed
    )
    schedule: Schedule = SCHEDULE
    target: Target = TARGET
    gray_levels: bool = False
    """Train on gray levels 0 to 16 instead of [-1, 1]."""
    settings: dict = field(default_factory=dict)
    # eps-prediction cannot start at zero signal; 0.998 is the latest time that chapter 7's linear
    # chain knows too.
    t_max: float = 1.0


VARIANTS = {
    "whole": Variant(),
    "constant_rate": Variant(settings={"final_share": 1.0}),
    "no_time": Variant(lambda c, seed: UNet(8, c.channels, 10, time_embedding=False, seed=seed)),
    "no_skips": Variant(lambda c, seed: UNet(8, c.channels, 10, skip_connections=False, seed=seed)),
    "linear": Variant(schedule=VPLinear(), target=PredictV()),
    "eps": Variant(target=PredictEps(), t_max=0.998),
    "gray_levels": Variant(gray_levels=True),
    "transformer": Variant(lambda c, seed: DiT(8, 64, 10, n_blocks=2, seed=seed)),
}
ERROR_TIMES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.998)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    classifier = train_classifier(*data.validation, n_steps=config.judge_steps)
    judge = judge_for(data, config.n_samples, classifier, config.n_splits)
    labels = data.train.labels[: config.n_samples]
    times = uniform_times(config.n_sampling_steps)
    rows: dict[str, list[dict]] = {}
    images, errors, counts = {}, {"whole": [], "eps": []}, {}

    for seed in range(config.seed, config.seed + config.n_seeds):

        def measured(name, network, variant=VARIANTS["whole"], grid=times, seed=seed):
            """Samples of a network from the noise of this seed, and what is measured of them."""
            found = samples(network, variant, labels, grid, seed)
            row = judged(found, labels, judge, data.train.images, seed, config.n_folds)
            rows.setdefault(name, []).append({key: row[key] for key in MEASURES})
            images.setdefault(name, levels(found[of_each_class(labels, 1)]))

        for name, variant in VARIANTS.items():
            trained = fitted(name, variant, config, seed, data, device, workdir / f"{name}{seed}")
            measured(name, trained.network, variant, clipped(times, variant.t_max))
            counts[name] = n_parameters(trained.network)
            if name == "constant_rate":
                measured("constant_rate_last", trained.last)
            if name in errors:
                errors[name].append(error_curve(trained.network, variant, data))
            if name == "whole":
                measured("last", trained.last)
                measured("two_levels", trained.network, grid=uniform_times(2))
                trained.network.condition.time_embedding = False
                measured("time_cut", trained.network)
                trained.network.condition.time_embedding = True
                trained.network.skip_connections = False
                measured("skips_cut", trained.network)

    measured_rows = {name: transposed(found) for name, found in rows.items()}
    for name, found in rows.items():
        measured_rows[name]["factor"] = factor_of(found, rows["whole"])
    return {
        **measured_rows,
        "floor": judge.floor,
        "images": images,
        "n_parameters": counts,
        "errors": {
            "t": list(ERROR_TIMES),
            **{name: curve_over_seeds(curves) for name, curves in errors.items()},
        },
    }


def factor_of(rows: list[dict], whole: list[dict]) -> dict:
    """How many times the whole recipe's Frechet distance, with an interval on the log scale.

    Paired: a seed's batches, noise and first weights are the same for every variant.
    """
    pairs = zip(rows, whole, strict=True)
    logs = [math.log(row["frechet"] / reference["frechet"]) for row, reference in pairs]
    return {key: math.exp(value) for key, value in mean_interval(logs).items()}


MEASURES = ("frechet", "ratio", "c2st", "accuracy")


def fitted(
    name: str,
    variant: Variant,
    config: Config,
    seed: int,
    data: Splits,
    device: torch.device,
    folder: Path,
) -> TrainedModel:
    """Train one variant; the batches, the noise and the first weights follow the seed alone."""
    is_transformer = name == "transformer"
    images, labels = data.train
    settings = TrainingSettings(
        n_steps=config.transformer_steps if is_transformer else config.n_steps,
        batch_size=config.batch_size,
        learning_rate=config.transformer_rate if is_transformer else config.learning_rate,
        ema_decay=config.ema_decay,
        seed=seed,
        **variant.settings,
    )
    trained = train(
        variant.network(config, seed).to(device),
        denoising_loss(variant.schedule, variant.target),
        (8 * (images + 1) if variant.gray_levels else images, labels),
        settings,
        folder=folder,
    )
    for network in (trained.network, trained.last):
        network.cpu()  # judging takes little time, and its noise comes from the processor
    return trained


def samples(
    network: nn.Module, variant: Variant, labels: Tensor, times: Tensor, seed: int
) -> Tensor:
    """Digits in [-1, 1], whatever scale the network was trained on."""
    denoiser = denoiser_of(network, labels, variant.schedule, variant.target)
    snap = gray_levels_to_pixels if variant.gray_levels else snap_to_levels
    return draw_digits(denoiser, len(labels), times, seed, schedule=variant.schedule, snap=snap)


def gray_levels_to_pixels(images: Tensor) -> Tensor:
    return snap_to_levels(images / 8 - 1)


def clipped(times: Tensor, t_max: float) -> Tensor:
    return times.clamp(max=t_max)


@torch.no_grad()
def error_curve(network: nn.Module, variant: Variant, data: Splits) -> list[float]:
    """Mean squared error of the clean pixels on validation images, time by time."""
    generator = torch.Generator().manual_seed(0)
    images, labels = data.validation
    denoiser = denoiser_of(network, labels, variant.schedule, variant.target)
    found = []
    for time in ERROR_TIMES:
        t = torch.full((len(images),), time)
        noise = torch.randn(images.shape, generator=generator)
        x_t = perturb(images, noise, variant.schedule(t))
        found.append((denoiser(x_t, t) - images).square().mean().item())
    return found


def curve_over_seeds(curves: list[list[float]]) -> dict:
    intervals = [mean_interval(values) for values in zip(*curves, strict=True)]
    return {key: [round(i[key], 6) for i in intervals] for key in ("mean", "low", "high")}


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, ax = figures.figure(4.4)
    sheet = np.stack([grid(results["images"][name], 1)[0] for name in SHOWN]).astype(float)
    is_whole = np.array([name == "whole" for name in SHOWN])
    for role, rows in (("model", is_whole), ("broken", ~is_whole)):
        # Two inks on one sheet: what is not drawn yet stays empty.
        figures.image_grid(
            ax, np.where(rows[:, None, None, None], sheet, np.nan), levels=(0, 16), role=role
        )
        for row in np.flatnonzero(rows):
            label = list(SHOWN.values())[row]
            ax.text(-3, 9 * row + 4, label, ha="right", va="center", color=figures.color(role))
    ax.set_xlim(-29, None)  # room for the labels
    return figure


SHOWN = {
    "whole": "whole",
    "eps": "asked for the noise",
    "linear": "linear schedule",
    "gray_levels": "gray levels 0 to 16",
    "two_levels": "two noise levels",
    "no_skips": "built without skips",
    "skips_cut": "skips cut later",
    "no_time": "never told the time",
    "time_cut": "time hidden later",
}
