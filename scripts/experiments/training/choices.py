"""What do the schedule, the loss weight and the batch size decide, with the budget held?"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor, nn

from experiments.training._common import (
    SCHEDULE,
    TARGET,
    bits_per_pixel,
    denoiser_of,
    draw_digits,
    judge_for,
    judged,
    transposed,
)
from fromnoise import figures
from fromnoise.datasets import Splits, digits
from fromnoise.denoising import denoising_loss
from fromnoise.diffusion import elbo_weight, perturb
from fromnoise.evaluation import train_classifier
from fromnoise.intervals import mean_interval
from fromnoise.learned_schedule import LearnedSchedule, MonotoneLogSNR
from fromnoise.networks import UNet
from fromnoise.preconditioning import for_target, min_snr_weight, simple_weight
from fromnoise.samplers import uniform_times
from fromnoise.schedules import Cosine, Scales, Schedule, VPLinear
from fromnoise.targets import PredictV, Target
from fromnoise.training import TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    # The recipe of training/breaks, a little shorter: long enough to see a choice matter.
    channels: int = 16
    n_images: int = 180 * 32
    learning_rate: float = 7e-3
    ema_decay: float = 0.97
    n_samples: int = 500
    n_sampling_steps: int = 10
    n_draws: int = 8
    judge_steps: int = 600
    n_splits: int = 100
    n_folds: int = 2
    # Log-SNR at the ends of the learned schedule: nothing of a gray level is left unseen above,
    # nothing of the image is left below.
    log_snr_ends: tuple[float, float] = (9.0, -10.5)
    shape_steps: int = 400


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        channels=8,
        n_images=64,
        n_samples=20,
        n_sampling_steps=2,
        n_draws=1,
        judge_steps=2,
        n_splits=2,
        n_folds=2,
        shape_steps=2,
    ),
    # Each choice with ten times the images and a network twice as wide. The weights of the bound
    # and batches of 128 are the ones that may only have been too slow.
    "gpu": Config(n_seeds=8, channels=32, n_images=1800 * 32, learning_rate=4e-3, ema_decay=0.99),
}


@dataclass(frozen=True)
class Choice:
    """The recipe with one choice changed."""

    label: str
    schedule: Schedule | None = SCHEDULE
    """None: the learned one."""
    target: Target = TARGET
    weight: Callable[[Scales], Tensor] | None = None
    batch_size: int = 32
    # Earlier times hold weights that grow without bound; a pixel hides nothing there.
    t_min: float = 0.0
    groups: tuple[str, ...] = field(default=())


def _flat(scales: Scales) -> Tensor:
    """The clean image's error counts alike at every time."""
    return torch.ones_like(scales.alpha_t)


CHOICES = {
    "whole": Choice("straight line", groups=("schedule", "weight", "batch")),
    "cosine": Choice("cosine", Cosine(), PredictV(), groups=("schedule",)),
    "linear": Choice("linear variance", VPLinear(), PredictV(), groups=("schedule",)),
    "learned": Choice("learned", None, PredictV(), groups=("schedule",)),
    "elbo": Choice("bound", weight=for_target(elbo_weight, TARGET), t_min=0.02, groups=("weight",)),
    "simple": Choice(
        "noise alike", weight=for_target(simple_weight, TARGET), t_min=0.001, groups=("weight",)
    ),
    "min_snr": Choice(
        "capped at 5", weight=for_target(min_snr_weight, TARGET), t_min=0.001, groups=("weight",)
    ),
    "clean": Choice(
        "image alike", weight=for_target(_flat, TARGET), t_min=0.001, groups=("weight",)
    ),
    "batch_8": Choice("8", batch_size=8, groups=("batch",)),
    "batch_128": Choice("128", batch_size=128, groups=("batch",)),
}
BASE_BATCH = 32


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    classifier = train_classifier(*data.validation, n_steps=config.judge_steps)
    judge = judge_for(data, config.n_samples, classifier, config.n_splits)
    labels = data.train.labels[: config.n_samples]
    times = uniform_times(config.n_sampling_steps)
    rows: dict[str, list[dict]] = {name: [] for name in CHOICES}
    shapes = []

    for seed in range(config.seed, config.seed + config.n_seeds):
        learned: Schedule = SCHEDULE
        for name, choice in CHOICES.items():
            schedule = choice.schedule or learned
            folder = workdir / f"{name}{seed}"
            trained = fitted(choice, schedule, config, seed, data, device, folder)
            if name == "whole":
                learned, shape = learned_from(trained, data, config, seed)
                shapes.append(shape)
            denoiser = denoiser_of(trained, labels, schedule, choice.target)
            found = draw_digits(denoiser, len(labels), times, seed, schedule=schedule)
            row = judged(found, labels, judge, data.train.images, seed, config.n_folds)
            bits = bits_per_pixel(
                trained, data.validation, config.n_draws, 0, schedule, choice.target
            )
            rows[name].append(
                {
                    "bits": bits.mean().item(),
                    **{key: row[key] for key in ("frechet", "ratio", "c2st", "accuracy")},
                }
            )

    results = {name: transposed(found) for name, found in rows.items()}
    for name, found in rows.items():
        results[name] |= against(found, rows["whole"])
    return {**results, "shape": shapes[0], "spread": spreads(shapes), "floor": judge.floor}


def fitted(
    choice: Choice,
    schedule: Schedule,
    config: Config,
    seed: int,
    data: Splits,
    device: torch.device,
    folder: Path,
) -> nn.Module:
    """As many images as the others saw; the rate follows the square root of the batch."""
    settings = TrainingSettings(
        n_steps=max(1, config.n_images // choice.batch_size),
        batch_size=choice.batch_size,
        learning_rate=config.learning_rate * math.sqrt(choice.batch_size / BASE_BATCH),
        # An average over the same number of images, and a warm-up as long.
        ema_decay=config.ema_decay ** (choice.batch_size / BASE_BATCH),
        warmup_steps=50 * BASE_BATCH // choice.batch_size,
        seed=seed,
    )
    weight = choice.weight and of_mean_one(choice.weight, schedule, choice.t_min)
    there = schedule_on(device, schedule)
    loss = denoising_loss(there, choice.target, weight=weight, t_min=choice.t_min)
    network = UNet(8, config.channels, 10, seed=seed).to(device)
    # Judged on the processor, where the noise of the judging comes from.
    return train(network, loss, tuple(data.train), settings, folder=folder).network.cpu()


def schedule_on(device: torch.device, schedule: Schedule) -> Schedule:
    """The schedule for times on a device: a learned one holds weights, the others nothing."""
    if isinstance(schedule, LearnedSchedule):
        return LearnedSchedule(copy.deepcopy(schedule.log_snr).to(device))
    return schedule


def of_mean_one(
    weight: Callable[[Scales], Tensor], schedule: Schedule, t_min: float
) -> Callable[[Scales], Tensor]:
    """The same weight with mean 1 over the times of training: its shape alone is compared."""
    t = t_min + (1 - t_min) * (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    mean = weight(schedule(t)).mean().item()
    return lambda scales: weight(scales) / mean


@torch.no_grad()
def cost_curve(network: nn.Module, data: Splits, log_snr: Tensor, seed: int) -> Tensor:
    """What each unit of log-SNR adds to the bound, nats per image: SNR / 2 |x_0 - x_0_hat|^2."""
    images, labels = data.train  # the schedule is a choice of training, so test data stay out
    denoiser = denoiser_of(network, labels)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for value in log_snr:
        t = SCHEDULE.time_at(value).expand(len(images))
        scales = SCHEDULE(t)
        x_t = perturb(images, torch.randn(images.shape, generator=generator), scales)
        distance = (images - denoiser(x_t, t.float())).square().flatten(1).sum(1)
        found.append((value.exp() / 2 * distance.double()).mean())
    return torch.stack(found)


def learned_from(
    network: nn.Module, data: Splits, config: Config, seed: int
) -> tuple[LearnedSchedule, dict]:
    """The shape under which every time costs alike: the estimate of the bound varies least."""
    first, last = config.log_snr_ends
    places = torch.linspace(last, first, 40, dtype=torch.float64)
    costs = cost_curve(network, data, places, seed)
    shape = MonotoneLogSNR(first, last)
    optimizer = torch.optim.Adam(shape.parameters(), lr=0.05)
    t = (torch.arange(200, dtype=torch.float64) + 0.5) / 200

    def spread(log_snr: Tensor, slope: Tensor) -> Tensor:
        """Standard deviation over time of the cost per unit of time, in units of its mean."""
        cost = interpolated(places, costs, log_snr) * -slope
        return cost.std() / cost.mean()

    for _ in range(config.shape_steps):
        optimizer.zero_grad()
        spread(*shape(t)).backward()
        optimizer.step()
    shape.requires_grad_(False)

    found = LearnedSchedule(shape)
    times = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    curves, spread_of = {}, {}
    for name, schedule in (
        ("learned", found),
        ("whole", SCHEDULE),
        ("cosine", Cosine()),
        ("linear", VPLinear()),
    ):
        scales = schedule(times)
        kept = (scales.log_snr_t > last) & (scales.log_snr_t < first)
        curves[name] = [round(value, 4) for value in scales.log_snr_t.tolist()]
        inside = schedule(t)
        inside_kept = (inside.log_snr_t > last) & (inside.log_snr_t < first)
        spread_of[name] = spread(
            inside.log_snr_t[inside_kept], inside.d_log_snr_t[inside_kept]
        ).item()
        assert kept.any()
    return found, {
        "t": [round(value, 4) for value in times.tolist()],
        "log_snr": curves,
        "places": [round(value, 4) for value in places.tolist()],
        "costs": [round(value, 4) for value in costs.tolist()],
        "spread": spread_of,
    }


def interpolated(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
    """Straight lines between the points (x, y); differentiable in `at`."""
    right = torch.searchsorted(x, at.detach().contiguous()).clamp(1, len(x) - 1)
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    return y[right - 1] + share * (y[right] - y[right - 1])


def spreads(shapes: list[dict]) -> dict:
    return {
        name: mean_interval([shape["spread"][name] for shape in shapes])
        for name in shapes[0]["spread"]
    }


def against(rows: list[dict], whole: list[dict]) -> dict:
    """Paired with the recipe seed by seed: factor of the distance, difference in bits."""
    pairs = list(zip(rows, whole, strict=True))
    logs = [math.log(row["frechet"] / reference["frechet"]) for row, reference in pairs]
    return {
        "factor": {key: math.exp(value) for key, value in mean_interval(logs).items()},
        "more_bits": mean_interval([row["bits"] - other["bits"] for row, other in pairs]),
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.6, ncols=2, sharey=False)
    left, right = axes
    shape = results["shape"]
    # The given schedules are no data and not broken: grays, told apart by dashes.
    dashes = {"learned": "model", "whole": "ink", "cosine": "noise", "linear": "broken"}
    colors = {"learned": "model", "whole": "ink", "cosine": "muted", "linear": "muted"}
    for name, role in dashes.items():
        label = "straight line" if name == "whole" else CHOICES[name].label
        style = {**figures.line_style(role), "color": figures.color(colors[name])}
        left.plot(shape["t"], shape["log_snr"][name], label=label, **style)
    left.set(xlabel="time", ylim=(-11, 10))
    left.legend(loc="lower left", fontsize="small")
    figures.panel_label(left, "log-SNR")
    right.plot(shape["places"], shape["costs"], **figures.line_style("model"))
    right.set(xlabel="log-SNR", ylim=(0, None))
    right.invert_xaxis()
    figures.panel_label(right, "nats per unit of log-SNR")
    return figure
