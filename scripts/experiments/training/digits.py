"""Does a U-Net trained for about a minute write digits that pass for real ones?"""

import copy
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor, nn

from experiments._flagship import NULL, digit_network, save_network
from experiments._judge import save_judge
from experiments.training._common import (
    SCHEDULE,
    TARGET,
    Judge,
    bits_per_pixel,
    denoiser_of,
    draw_digits,
    grid,
    judge_for,
    judged,
    levels,
    of_each_class,
    over,
    transposed,
)
from fromnoise import figures
from fromnoise.datasets import Split, Splits, digits, snap_to_levels
from fromnoise.denoising import denoising_loss
from fromnoise.evaluation import c2st, train_classifier
from fromnoise.generative_models import fit_class_gaussians
from fromnoise.intervals import bootstrap_interval
from fromnoise.networks import n_parameters
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.training import TrainingSettings, train

publishes = ("model", "judge")


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_steps: int = 700
    batch_size: int = 128
    learning_rate: float = 3e-3
    # Averages over about 100 steps, a seventh of the run: longer windows remember bad weights.
    ema_decay: float = 0.99
    channels: int = 32
    # On 1000 images it lowers the held-out bound and keeps samples from leaning on training ones.
    dropout: float = 0.1
    # A tenth of the labels is hidden, so that the same network also knows digits of no class:
    # guidance needs both.
    label_dropout: float = 0.1
    measure_every: int = 100
    n_draws: int = 16
    n_sample_sets: int = 3
    n_samples: int = 1000
    n_sampling_steps: int = 10
    judge_steps: int = 600
    n_splits: int = 100
    n_per_class: int = 10


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_steps=3,
        batch_size=8,
        channels=8,
        measure_every=2,
        n_draws=1,
        n_sample_sets=2,
        n_samples=40,
        n_sampling_steps=2,
        judge_steps=2,
        n_splits=2,
        n_per_class=2,
    ),
    # Twenty times the steps, nothing else: where do the two curves of the bound lead, and does a
    # model that has seen each image 1800 times begin to repeat them? The same network, so that
    # its weights may be published too; pages load those of `full` only.
    "gpu": Config(n_steps=14_000, ema_decay=0.999, measure_every=1000),
}

TRAJECTORY_TIMES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()

    def measure(network: nn.Module) -> dict[str, float]:
        """Bounds on images seen and not seen, with the same noise at every record."""
        network = copy.deepcopy(network).cpu()  # where the noise of the judging comes from
        n = len(data.validation.images)
        seen = Split(data.train.images[:n], data.train.labels[:n])
        draws = max(1, config.n_draws // 4)
        return {
            "train_bits": bits_per_pixel(network, seen, draws).mean().item(),
            "validation_bits": bits_per_pixel(network, data.validation, draws).mean().item(),
        }

    trained = train(
        digit_network(config.channels, config.dropout, config.seed).to(device),
        denoising_loss(SCHEDULE, TARGET, label_dropout=config.label_dropout, null_label=NULL),
        tuple(data.train),
        TrainingSettings(
            n_steps=config.n_steps,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            ema_decay=config.ema_decay,
            seed=config.seed,
        ),
        folder=workdir,
        measure=measure,
        measure_every=config.measure_every,
    )
    network = trained.network.cpu()
    save_network(network, config.channels, workdir / "model.safetensors")

    classifier = train_classifier(*data.validation, n_steps=config.judge_steps)
    save_judge(classifier, workdir / "judge.safetensors")
    judge = judge_for(data, config.n_samples, classifier, config.n_splits)
    # The training labels hold the classes in their real proportions.
    labels = data.train.labels[: config.n_samples]
    times = uniform_times(config.n_sampling_steps)
    denoiser = denoiser_of(network, labels)
    sets = [
        draw_digits(denoiser, len(labels), times, seed=config.seed + i, step=heun_step)
        for i in range(config.n_sample_sets)
    ]
    bits = bits_per_pixel(network, data.test, config.n_draws)
    real = data.test.images
    shown = of_each_class(labels, config.n_per_class)
    return {
        **transposed(
            [judged(images, labels, judge, data.train.images, i) for i, images in enumerate(sets)]
        ),
        "floor": judge.floor,
        "real": {
            "c2st": over(
                [
                    c2st(data.train.images[: config.n_samples], data.test.images, seed=i)
                    for i in range(config.n_sample_sets)
                ]
            ),
            "accuracy": judge.classifier.accuracy(*data.test),
        },
        "controls": controls(data, judge, config.n_samples),
        "bits": bootstrap_interval(lambda b: float(b.mean()), bits),
        "bits_train": bits_per_pixel(network, data.train, 4).mean().item(),
        "curve": {
            key: [round(record[key], 5) for record in trained.records]
            for key in ("step", "loss", "train_bits", "validation_bits")
        },
        "n_parameters": n_parameters(network),
        "images": levels(sets[0][shown]),
        "real_images": levels(real[of_each_class(data.test.labels, config.n_per_class)]),
        "neighbors": neighbors(sets[0], data.train.images, shown[:: config.n_per_class]),
        "trajectory": trajectory(network, config.seed),
    }


def controls(data: Splits, judge: Judge, n: int) -> dict:
    """Samplers whose faults are known, under the same measures."""
    images, labels = data.train
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=generator)
    fitted = fit_class_gaussians(images.flatten(1).double(), labels, shrinkage=0.02)
    gaussian = torch.empty_like(images)
    for c in range(10):
        rows = labels == c
        drawn = fitted.component(c).sample(int(rows.sum()), generator)
        gaussian[rows] = drawn.float().reshape(-1, 1, 8, 8)
    made = {
        "copies": images,
        "noisy_copies": snap_to_levels(images + 0.4 / 8 * noise),
        "gaussians": snap_to_levels(gaussian),
    }
    return {
        name: judged(found[:n], labels[:n], judge, images, seed=0) for name, found in made.items()
    }


def neighbors(samples: Tensor, training: Tensor, rows: Tensor) -> dict:
    """One sample of each class beside the training image nearest to it."""
    distances = torch.cdist(samples[rows].flatten(1), training.flatten(1))
    return {"samples": levels(samples[rows]), "nearest": levels(training[distances.argmin(1)])}


def trajectory(network: nn.Module, seed: int) -> dict:
    """One digit of each class on its way, and the same noise when the time is kept from it."""
    labels = torch.arange(10)
    x_1 = torch.randn((10, 1, 8, 8), generator=torch.Generator().manual_seed(seed + 100))
    # Five steps between frames.
    fine = torch.linspace(1, 0, 5 * (len(TRAJECTORY_TIMES) - 1) + 1, dtype=torch.float64)
    found = {}
    for name, told_the_time in (("whole", True), ("broken", False)):
        network.condition.time_embedding = told_the_time
        path = sample(denoiser_of(network, labels), SCHEDULE, x_1, fine, return_path=True)[::5]
        found[name] = [levels(image) for image in path.transpose(0, 1)]
    network.condition.time_embedding = True
    return {
        "labels": labels.tolist(),
        "times": list(TRAJECTORY_TIMES),
        "removed": "the time embedding",
        **found,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    n_rows = 10
    figure, (left, right) = figures.figure(3.3, ncols=2)
    figures.image_grid(left, grid(results["real_images"], n_rows), levels=(0, 16), role="data")
    figures.image_grid(right, grid(results["images"], n_rows), levels=(0, 16), role="model")
    figures.panel_label(left, "held-out digits", "data")
    figures.panel_label(right, "samples of the model", "model")
    return figure
