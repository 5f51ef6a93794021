"""Does an image that the model finds likely belong to its data?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from experiments._flagship import NULL
from experiments._flagship import SCHEDULE as DIGIT_SCHEDULE
from experiments.applications._common import ask, digit_model, summed_up
from fromnoise import figures
from fromnoise.datasets import digits, from_levels, snap_to_levels, to_levels
from fromnoise.denoising import as_denoiser
from fromnoise.diffusion import perturb, simple_loss
from fromnoise.diffusion_bounds import level_reconstruction
from fromnoise.networks import MLP
from fromnoise.progressive_coding import progressive_code, zlib_bits
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Cosine, Schedule
from fromnoise.targets import PredictV
from fromnoise.training import TrainingSettings, train

needs = ("training/digits",)
SCHEDULE, TARGET = Cosine(), PredictV()
LEVELS = torch.linspace(-1, 1, 17)
HIDDEN = 9
LN2 = float(np.log(2))


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_steps: int = 800
    width: int = 128
    n_images: int = 160
    n_levels: int = 50
    sensor_noise: float = 2.0  # gray levels
    n_bins: int = 25
    bits_range: tuple[float, float] = (2.4, 4.4)
    n_clean: int = 60
    n_clean_levels: int = 40


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2, n_steps=2, width=8, n_images=6, n_levels=4, n_clean=2, n_clean_levels=3
    ),
}
SETS = ("nines", "shuffled", "half_the_noise", "no_noise", "blurred", "low_contrast", "blank")
SCORES = ("surprise", "typicality", "complexity")


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    known = [part.images[part.labels != HIDDEN] for part in (data.train, data.validation)]
    inside = data.test.labels != HIDDEN
    usual, nines = (data.test.images[rows][: config.n_images] for rows in (inside, ~inside))
    generator = torch.Generator().manual_seed(100)
    seen, held_out = (camera(x, config.sensor_noise, generator) for x in known)
    sets = {"digits": camera(usual, config.sensor_noise, generator)}
    sets |= strange(usual, nines, sets["digits"], config, generator)
    rows, bits_of = [], {}
    for seed in range(config.n_seeds):
        network = train(
            MLP(64, config.width, seed=seed),
            loss,
            (seen.flatten(1),),
            TrainingSettings(n_steps=config.n_steps, batch_size=128, seed=seed),
            folder=workdir / str(seed),
        ).network
        denoiser = as_denoiser(network, SCHEDULE, TARGET)

        def bits(images: Tensor, denoiser=denoiser, seed=seed) -> Tensor:
            return surprise(denoiser, SCHEDULE, images.flatten(1), config.n_levels, seed)

        # What is typical is read from images that the model was not fitted to.
        typical = bits(held_out[: config.n_images]).mean()
        found = {name: bits(images) for name, images in sets.items()}
        rows.append({"auc": told_apart(found, typical, sets), "bits": per_pixel(found)})
        if seed == 0:
            bits_of = found
    edges = np.linspace(*config.bits_range, config.n_bins + 1)
    return summed_up(rows) | {
        "edges": edges.round(4).tolist(),
        "histograms": {
            name: (np.histogram(bits / 64, edges)[0] / len(bits)).round(4).tolist()
            for name, bits in bits_of.items()
        },
        "zlib": per_pixel({name: zlib_bits(to_levels(part)) for name, part in sets.items()}),
        "n": {name: len(part) for name, part in sets.items()},
        "pictures": {name: to_levels(part[:4, 0]).tolist() for name, part in sets.items()},
        "clean": clean(config, usual[: config.n_clean], needed),
    }


def camera(x: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Digits in the middle half of the gray levels, under the noise of a sensor."""
    levels = 4 + to_levels(x).double() / 2
    noisy = levels + std * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return from_levels(noisy.round().clamp(0, 16).long())


def strange(
    x: Tensor, nines: Tensor, photographs: Tensor, config: Config, generator: torch.Generator
) -> dict[str, Tensor]:
    """What is no photograph of a digit from 0 to 8, on the same gray levels."""
    order = torch.randperm(64, generator=generator)
    std = config.sensor_noise
    paper = camera(torch.full((1, 1, 8, 8), -1.0), 0.0, generator)
    return {
        "nines": camera(nines, std, generator),
        "shuffled": camera(x.flatten(1)[:, order].reshape(x.shape), std, generator),
        "half_the_noise": camera(x, std / 2, generator),
        "no_noise": camera(x, 0.0, generator),
        "blurred": blurred(photographs),
        # Half way to the paper.
        "low_contrast": snap_to_levels((photographs + paper) / 2),
        "blank": paper.expand(x.shape),
    }


def blurred(x: Tensor) -> Tensor:
    return snap_to_levels(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1))


def clean(config: Config, usual: Tensor, needed: dict) -> dict:
    """The digit model on the scanned digits, which have no noise: is the simple likely there?"""
    network = digit_model(needed)
    denoiser = ask(network, torch.full((len(usual),), NULL))
    sets = {
        "digits": usual,
        "blurred": blurred(usual),
        "low_contrast": snap_to_levels((usual - 1) / 2),
        "blank": torch.full_like(usual, -1.0),
    }
    found = {
        name: surprise(denoiser, DIGIT_SCHEDULE, images, config.n_clean_levels, 0)
        for name, images in sets.items()
    }
    told = {name: auc(found["digits"], bits) for name, bits in found.items() if name != "digits"}
    return {"bits": per_pixel(found), "auc": told}


def per_pixel(bits: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(found.mean()) / 64 for name, found in bits.items()}


def told_apart(bits: dict[str, Tensor], typical: Tensor, sets: dict[str, Tensor]) -> dict:
    """For each score and set, the probability that a strange image scores above a usual one."""
    scores = {name: scored(bits[name], typical, images) for name, images in sets.items()}
    return {
        score: {name: auc(scores["digits"][score], scores[name][score]) for name in SETS}
        for score in SCORES
    }


def loss(network: nn.Module, batch: tuple, generator: torch.Generator) -> Tensor:
    x_0 = batch[0]
    # Even in log-SNR: the bound pays for every noise level alike.
    shift = torch.rand((), generator=generator, dtype=torch.float64)
    u = (shift + torch.randperm(len(x_0), generator=generator) / len(x_0)) % 1
    t = SCHEDULE.time_at(-9.0 + 16.0 * u)
    eps = torch.randn(x_0.shape, generator=generator)
    return simple_loss(network, TARGET, SCHEDULE, x_0, t.float(), eps).mean()


@torch.no_grad()
def surprise(denoiser: Denoiser, schedule: Schedule, x: Tensor, n_levels: int, seed: int) -> Tensor:
    """Bound on -log2 p of each image, bits."""
    generator = torch.Generator().manual_seed(seed)
    log_snrs = torch.linspace(-9.0, 6.5, n_levels, dtype=torch.float64)
    sent = progressive_code(denoiser, schedule, x, log_snrs, generator).rate[-1]
    last = schedule(schedule.time_at(log_snrs[-1]))
    x_s = perturb(x, torch.randn(x.shape, generator=generator), last)
    return (sent + level_reconstruction(LEVELS)(x, x_s, last)) / LN2


def scored(bits: Tensor, usual: Tensor, images: Tensor) -> dict[str, Tensor]:
    """Three scores that should be larger for what is strange."""
    return {
        "surprise": bits,
        "typicality": (bits - usual).abs(),
        "complexity": bits - zlib_bits(to_levels(images)),
    }


def auc(usual: Tensor, strange: Tensor) -> float:
    """Probability that a strange image scores higher than a usual one; ties count half."""
    truth = [0] * len(usual) + [1] * len(strange)
    return float(roc_auc_score(truth, torch.cat([usual, strange]).tolist()))


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(3.0, ncols=2, sharey=False, width_ratios=[1, 1.1])
    edges = np.array(results["edges"])
    names = (("digits", "data", 3.75, 0.75), ("blurred", "ink", 2.42, 0.75),
             ("blank", "muted", 3.3, 1.02))  # fmt: skip
    top = max(max(results["histograms"][name]) for name, *_ in names)
    for name, role, x, y in names:
        left.stairs(results["histograms"][name], edges, lw=1.4, **figures.line_style(role))
        left.text(x, y * top, name, color=figures.color(role))
    left.set(xlabel="surprise, bits per pixel", yticks=[])
    left.spines["left"].set_visible(False)
    places = np.arange(len(SETS))
    for shift, (score, role) in zip(
        (-0.22, 0.0, 0.22),
        (("surprise", "broken"), ("typicality", "ink"), ("complexity", "model")),
        strict=True,
    ):
        found = [results["auc"][score][name] for name in SETS]
        middle = np.array([row["mean"] for row in found])
        ends = np.clip([[row["low"], row["high"]] for row in found], 0, 1).T
        right.errorbar(
            middle, places + shift, xerr=np.abs(ends - middle), fmt=figures.marker(role),
            color=figures.color(role), label=score,
        )  # fmt: skip
    right.axvline(0.5, color=figures.color("muted"), lw=0.8, zorder=0)
    figures.sequence_axis(right, [name.replace("_", " ") for name in SETS], axis="y")
    right.set(xlim=(-0.03, 1.03), xlabel="told from digits (AUC)")
    right.invert_yaxis()
    right.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, handletextpad=0.1,
                 columnspacing=0.8, borderpad=0)  # fmt: skip
    return figure
