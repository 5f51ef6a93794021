"""How many bits does the model need for a digit at each error, beside codes that learn less?"""

import lzma
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from experiments._flagship import SCHEDULE
from experiments.applications._common import GRAY, ask, digit_model, levels
from fromnoise import figures
from fromnoise.datasets import digits, to_levels
from fromnoise.diffusion import perturb
from fromnoise.diffusion_bounds import level_reconstruction
from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import dequantize
from fromnoise.intervals import bootstrap_interval
from fromnoise.progressive_coding import (
    dct_levels,
    from_dct_levels,
    gaussian_rate,
    progressive_code,
)

needs = ("training/digits",)
LN2, N_DIMS, N_CLASSES, N_LEVELS = math.log(2), 64, 10, 17
LABEL_BITS = math.log2(N_CLASSES) / N_DIMS


@dataclass(frozen=True)
class Config:
    n_images: int = 300
    n_levels: int = 50
    # The clean end was chosen on validation images, in the chapter on training.
    log_snr_min: float = -10.0
    log_snr_max: float = 6.5
    steps: tuple[float, ...] = (8.0, 5.0, 3.5, 2.5, 1.8, 1.3, 0.9, 0.6, 0.4, 0.25)
    shown: tuple[int, ...] = (6, 24, 30, 36, 42)


SIZES = {
    "full": Config(),
    "smoke": Config(n_images=6, n_levels=4, steps=(2.0, 0.5), shown=(1, 2)),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    images, labels = (part[: config.n_images] for part in data.test)
    denoiser = ask(digit_model(needed), labels)
    generator = torch.Generator().manual_seed(0)
    log_snrs = torch.linspace(
        config.log_snr_min, config.log_snr_max, config.n_levels, dtype=torch.float64
    )
    sent = progressive_code(denoiser, SCHEDULE, images, log_snrs, generator)
    last = SCHEDULE(SCHEDULE.time_at(log_snrs[-1]))
    x_s = perturb(images, torch.randn(images.shape, generator=generator), last)
    gray = torch.linspace(-1, 1, N_LEVELS)
    rest = level_reconstruction(gray)(images, x_s, last)
    lossless = (sent.rate[-1] + rest).double() / (LN2 * N_DIMS) + LABEL_BITS
    return {
        "model": {
            "bits": rounded(sent.rate.double().mean(1) / (LN2 * N_DIMS) + LABEL_BITS),
            "error": rounded(GRAY * (sent.distortion.double().mean(1) / N_DIMS).sqrt()),
            "log_snr": rounded(log_snrs),
        },
        "dct": dct_curve(data.train.images, images, config),
        "gaussian": gaussian_curves(data.train.images, log_snrs),
        "lossless": {
            "model": bootstrap_interval(lambda b: float(b.mean()), lossless),
            "steps": float(sent.rate[-1].mean() / (LN2 * N_DIMS)),
            "last_step": float(rest.mean() / (LN2 * N_DIMS)),
            "label": LABEL_BITS,
            **plain(to_levels(data.train.images), to_levels(images)),
        },
        "first_half": half_way(sent.rate.mean(1), sent.distortion.mean(1)),
        "shown": shown(denoiser, images[:1], labels[:1], log_snrs, config, needed),
    }


def rounded(values: Tensor) -> list[float]:
    return [round(float(value), 5) for value in values]


def half_way(rate: Tensor, distortion: Tensor) -> dict:
    """What is seen once half of the bits of the steps are sent, in gray levels."""
    k = int((rate >= rate[-1] / 2).nonzero()[0, 0])
    root = GRAY * (distortion / N_DIMS).sqrt()
    return {"error": float(root[k]), "blank_error": float(root[0]), "last_error": float(root[-1])}


def symbol_bits(counted: Tensor, coded: Tensor) -> Tensor:
    """Bits of each row, with each column's frequencies taken from `counted`, plus one each."""
    low = min(int(counted.min()), int(coded.min()))
    n = max(int(counted.max()), int(coded.max())) - low + 1
    bits = torch.zeros(len(coded), dtype=torch.float64)
    for column in range(counted.shape[1]):
        counts = 1 + torch.bincount(counted[:, column] - low, minlength=n).double()
        p = counts / counts.sum()
        bits -= p[coded[:, column] - low].log2()
    return bits


def dct_curve(train: Tensor, images: Tensor, config: Config) -> dict:
    """Cosine coefficients in equal steps; each coefficient has its own ideal code."""
    found: dict[str, list] = {"bits": [], "error": [], "step": list(config.steps)}
    # The mean image is known to both ends, as frequencies are.
    mean = train.mean(0)
    for step in config.steps:
        counted, coded = (dct_levels(part - mean, step).flatten(1) for part in (train, images))
        back = mean + from_dct_levels(coded.reshape(-1, 1, 8, 8), step)
        found["bits"].append(round(float(symbol_bits(counted, coded).mean()) / N_DIMS, 5))
        error = (back - images).square().mean().sqrt()
        found["error"].append(round(GRAY * float(error), 5))
    return found


def gaussian_curves(train: Tensor, log_snrs: Tensor) -> dict:
    """One Gaussian fitted to digits: Shannon's least rate, and that of the diffusion code."""
    x = dequantize(train.flatten(1).double(), 1 / 8, torch.Generator().manual_seed(0))
    c = Gaussian(x.mean(0), torch.cov(x.T)).eigenvalues
    snr = log_snrs.exp()[:, None]
    distortion = (c / (1 + c * snr)).sum(1)
    diffusion = (1 + c * snr).log().sum(1) / 2
    best = torch.tensor([gaussian_rate(c, float(d)) for d in distortion])
    excess = (diffusion - best) / (LN2 * N_DIMS)
    return {
        "error": rounded(GRAY * (distortion / N_DIMS).sqrt()),
        "diffusion": rounded(diffusion / (LN2 * N_DIMS)),
        "best": rounded(best / (LN2 * N_DIMS)),
        "largest_excess": float(excess.max()),
        "last_excess": float(excess[-1]),
    }


def plain(train: Tensor, coded: Tensor) -> dict[str, float]:
    """Bits per pixel of codes without a network: all images in one file, a byte for each pixel."""
    rows, known = coded.flatten(1), train.flatten(1)
    raw = bytes(rows.flatten().tolist())
    # What PNG does first: each pixel less its left neighbor.
    left = (rows.reshape(-1, 8).diff(dim=1, prepend=torch.zeros(len(rows) * 8, 1).long())) % 256
    filtered = bytes(left.flatten().tolist())
    strongest = lzma.PRESET_EXTREME | 9
    before = bytes(known.flatten().tolist())
    helped = len(lzma.compress(before + raw, preset=strongest)) - len(
        lzma.compress(before, preset=strongest)
    )
    n = len(raw)
    return {
        "raw": math.log2(N_LEVELS),
        "zlib": 8 * len(zlib.compress(raw, 9)) / n,
        "filtered_zlib": 8 * len(zlib.compress(filtered, 9)) / n,
        "xz": 8 * len(lzma.compress(raw, preset=strongest)) / n,
        "xz_helped": 8 * helped / n,
        "pixel_counts": float(symbol_bits(known, rows).mean()) / N_DIMS,
    }


@torch.no_grad()
def shown(denoiser, images, labels, log_snrs, config: Config, needed: dict) -> dict:
    """One digit as it is received: what the code carries, and the estimate made of it."""
    one = ask(digit_model(needed), labels)
    x_1 = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    guesses = []
    for k in config.shown:
        t = SCHEDULE.time_at(log_snrs[k])
        x_t = perturb(images, x_1, SCHEDULE(t))
        guesses.append(one(x_t, t.float().expand(1)))
    return {"guesses": levels(torch.cat(guesses)), "source": levels(images), "at": config.shown}


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (top, bottom) = figures.figure(4.1, nrows=2, sharex=False, height_ratios=[1, 3.4])
    pictures = results["shown"]
    figures.image_grid(top, pictures["guesses"] + pictures["source"], levels=(0, 160), role="model")
    bits = [results["model"]["bits"][k] for k in pictures["at"]]
    text = ", ".join(f"{value:.2f}" for value in bits)
    figures.panel_label(top, f"after {text} bits per pixel, and the original")
    curves = (
        ("model", "model", "diffusion model", 0.07, 0.35, "left"),
        ("dct", "ink", "cosine transform", 1.3, 2.1, "left"),
        ("gaussian", "muted", "one Gaussian, at best", 0.92, 1.36, "left"),
    )
    for name, role, text, x, y, ha in curves:
        bits = results[name]["best" if name == "gaussian" else "bits"]
        bottom.plot(bits, results[name]["error"], **figures.line_style(role))
        bottom.text(x, y, text, color=figures.color(role), ha=ha)
    bottom.set(xlabel="bits per pixel", ylabel="error, gray levels", xlim=(0, 3), ylim=(0, None))
    return figure
