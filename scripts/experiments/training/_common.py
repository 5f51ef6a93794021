"""What the experiments of this chapter share: the frame's three choices, and one way to judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fromnoise.datasets import Split, Splits, snap_to_levels
from fromnoise.denoising import as_denoiser
from fromnoise.diffusion import perturb, prior_kl
from fromnoise.diffusion_bounds import level_reconstruction
from fromnoise.evaluation import (
    Classifier,
    c2st,
    frechet_distance,
    nearest_neighbor_ratio,
    real_against_real,
)
from fromnoise.information import bits_per_dim
from fromnoise.intervals import mean_interval
from fromnoise.samplers import Denoiser, Step, ddim_step, sample
from fromnoise.schedules import Rectified, Schedule
from fromnoise.targets import PredictVelocity, Target

SCHEDULE = Rectified()
TARGET = PredictVelocity()
LEVELS = torch.linspace(-1, 1, 17)
N_DIMS = 64
HERE = torch.device("cpu")
# Where the bound starts and ends. Above 6.5 a gray level is told by the noisy pixel alone; the
# value was chosen on validation images. Below -10 nothing is left of the data.
LOG_SNR_MAX, LOG_SNR_MIN = 6.5, -10.0


@dataclass(frozen=True)
class Judge:
    """The classifier, trained on the validation images, and what it says of real digits."""

    classifier: Classifier
    held_out: Split
    held_out_features: Tensor
    floor: dict
    """Frechet distance of training images from held-out ones, at the size of a sample set."""

    def frechet(self, images: Tensor) -> float:
        return frechet_distance(self.classifier.judge(images), self.held_out_features)


def judge_for(data: Splits, n_samples: int, classifier: Classifier, n_splits: int = 100) -> Judge:
    """A judge that never saw the training images, nor the test images samples are held against.

    Its floor is for sets of `n_samples`: distances of other sizes must not be held against it.

    Args:
        data: The digits.
        n_samples: Size of the sets of samples.
        classifier: Trained on the validation images.
        n_splits: Draws for the floor.
    """
    features = classifier.judge(data.test.images)
    floor = real_against_real(
        classifier.judge(data.train.images[:n_samples]),
        data.train.labels[:n_samples],
        features,
        data.test.labels,
        n_splits=n_splits,
    )
    return Judge(classifier, data.test, features, floor)


def judged(
    images: Tensor, labels: Tensor, judge: Judge, training: Tensor, seed: int, n_folds: int = 5
) -> dict:
    """All that is measured of one set of samples, one number each."""
    frechet = judge.frechet(images)
    return {
        "frechet": frechet,
        "ratio": frechet / judge.floor["mean"],
        "c2st": c2st(images, judge.held_out.images, n_folds, seed),
        "accuracy": judge.classifier.accuracy(images, labels),
        "neighbor_ratio": nearest_neighbor_ratio(images, training, judge.held_out.images),
    }


def draw_digits(
    denoiser: Denoiser,
    n: int,
    times: Tensor,
    seed: int,
    *,
    schedule: Schedule = SCHEDULE,
    step: Step = ddim_step,
    snap: Callable[[Tensor], Tensor] = snap_to_levels,
    device: torch.device = HERE,
) -> Tensor:
    """Samples on the gray levels of real digits; equal seeds start from equal noise.

    The denoiser works on `device`; noise and samples are on the processor.
    """
    generator = torch.Generator().manual_seed(seed)
    x_1 = torch.randn((n, 1, 8, 8), generator=generator)
    # A single time meets data shaped like them, so it must lie where they do.
    found = sample(denoiser, schedule, x_1.to(device), times, step, generator).cpu()
    return snap(found.nan_to_num(0.0))


@torch.no_grad()
def bits_per_pixel(
    network: nn.Module,
    split: Split,
    n_draws: int,
    seed: int = 0,
    schedule: Schedule = SCHEDULE,
    target: Target = TARGET,
) -> Tensor:
    """Bound on the bits per pixel of each image given its class, at times even in log-SNR.

    The steps cost the integral of SNR / 2 |x_0 - x_0_hat|^2 over log-SNR, whatever the schedule.
    """
    generator = torch.Generator().manual_seed(seed)
    images, labels = split
    denoiser = as_denoiser(network, schedule, target, labels)
    width, n = LOG_SNR_MAX - LOG_SNR_MIN, len(images)
    steps = torch.zeros(n)
    for _ in range(n_draws):
        shift = torch.rand((), generator=generator, dtype=torch.float64)
        order = torch.randperm(n, generator=generator)
        t = schedule.time_at(LOG_SNR_MIN + width * ((shift + order / n) % 1))
        scales = schedule(t)
        x_t = perturb(images, torch.randn(images.shape, generator=generator), scales)
        distance = (images - denoiser(x_t, t.float())).square().flatten(1).sum(1)
        steps += width * scales.snr_t.float() / 2 * distance / n_draws
    ends = torch.tensor([LOG_SNR_MIN, LOG_SNR_MAX], dtype=torch.float64)
    first, last = (schedule(schedule.time_at(end)) for end in ends)
    x_s = perturb(images, torch.randn(images.shape, generator=generator), last)
    nats = prior_kl(images, first) + steps + level_reconstruction(LEVELS)(images, x_s, last)
    return bits_per_dim(nats, N_DIMS)


def over(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [round(float(value), 6) for value in values]}


def transposed(rows: list[dict]) -> dict:
    """From one dictionary per seed to one interval per measure."""
    return {key: over([row[key] for row in rows]) for key in rows[0]}


def levels(images: Tensor) -> list:
    """Images as whole gray levels 0 to 16."""
    return ((images.reshape(-1, 8, 8).clamp(-1, 1) + 1) * 8).round().int().tolist()


def of_each_class(labels: Tensor, n: int) -> Tensor:
    """Rows of the first n of each class, in the order of the classes."""
    rows = [(labels == c).nonzero()[:n, 0] for c in range(10)]
    return torch.cat(rows)


def denoiser_of(
    network: nn.Module, labels: Tensor, schedule: Schedule = SCHEDULE, target: Target = TARGET
) -> Denoiser:
    return as_denoiser(network, schedule, target, labels)


def grid(images: list, n_rows: int) -> np.ndarray:
    """A flat list of images as rows of images."""
    pixels = np.array(images)
    return pixels.reshape(n_rows, -1, 8, 8)
