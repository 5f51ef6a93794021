"""What does a digit look like of which half is hidden, or that is coarse, or blurred?"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from experiments._flagship import SCHEDULE, load_network
from experiments._judge import load_judge
from experiments.inverse._common import (
    N_PIXELS,
    SIDE,
    covered,
    digit_gaussian,
    digit_tasks,
    fitted_covariance,
    flat_denoiser,
    flat_matrix,
    gray,
    guided_draws,
    normal,
    transposed,
)
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.evaluation import Classifier
from fromnoise.gaussians import Gaussian
from fromnoise.inverse import dps, linear_posterior, repaint
from fromnoise.linear_operators import Dense
from fromnoise.samplers import ancestral_step, sample, uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3  # each with its own truths
    n_images: int = 12
    n_draws: int = 9  # of 10 ranks, 8 lie between the first and the last draw
    first: int = 100  # the images before were looked at while the settings were chosen
    n_steps: int = 24
    noise_std: float = 0.1  # four fifths of a gray level
    dps_size: float = 0.3
    n_repeats: int = 3
    ridge: float = 0.1  # kept on every axis of V; `thin` keeps a tenth of it
    n_shown: int = 4


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_images=2, n_steps=2, n_repeats=2, n_shown=2),
}
METHODS = {
    "half": ("replacement", "repaint", "dps", "thin", "fitted", "gaussian"),
    "twice": ("fitted", "gaussian"),
    "four": ("fitted", "gaussian"),
    "blur": ("fitted", "gaussian"),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    network = load_network(needed["training/digits"]["weights"]["model"])
    judge = load_judge(needed["training/digits"]["weights"]["judge"])
    prior = digit_gaussian()
    found: dict = {"images": {}}
    for task, operator in digit_tasks().items():
        matrix = flat_matrix(operator)
        rows: dict[str, list] = {}
        for seed in range(config.n_seeds):
            first = config.first + seed * config.n_images
            part = slice(first, first + config.n_images)
            truth = data.test.images[part].flatten(1)
            labels = data.test.labels[part]
            noise = config.noise_std * normal((len(truth), len(matrix)), 100 + seed)
            y = truth @ matrix.mT + noise
            shown: dict = {"truth": gray(truth[: config.n_shown])}
            shown["seen"] = gray((y @ back(matrix).mT)[: config.n_shown])
            for method in METHODS[task]:
                draws = draw_with(method, config, network, prior, matrix, y, seed)
                row = measure(draws, truth, labels, y, matrix, config.noise_std, judge)
                rows.setdefault(method, []).append(row)
                shown[method] = [gray(draws[:4, i]) for i in range(config.n_shown)]
                shown[f"{method}_mean"] = gray(draws.mean(0)[: config.n_shown])
            rows.setdefault("truth", []).append(
                {"accuracy": judge.accuracy(truth.reshape(-1, 1, SIDE, SIDE), labels)}
            )
            if seed == 0:
                found["images"][task] = shown
        found[task] = {name: transposed(values) for name, values in rows.items()}
    return found


def back(matrix: Tensor) -> Tensor:
    """The pseudoinverse of what is seen; small singular values are left out, they are noise."""
    return torch.linalg.pinv(matrix.double(), rtol=0.2).float()


def draw_with(
    method: str, config: Config, network, prior: Gaussian, matrix: Tensor, y: Tensor, seed: int
) -> Tensor:
    """Draws for every row of y: (draws, rows, pixels)."""
    m, (n, seen) = config.n_draws, y.shape
    rows, times = y.expand(m, n, seen).reshape(-1, seen), uniform_times(config.n_steps, 0.999)
    if method == "gaussian":
        generator = torch.Generator().manual_seed(300 + seed)
        answers = [
            linear_posterior(prior, matrix.double(), one.double(), config.noise_std) for one in y
        ]
        return torch.stack([answer.sample(m, generator).float() for answer in answers], 1)
    if method in ("fitted", "thin"):
        ridge = config.ridge if method == "fitted" else config.ridge / 10
        covariance = fitted_covariance(digit_gaussian(ridge))
        found = guided_draws(network, matrix, rows, config.noise_std, covariance, times, 300 + seed)
        # What has blown up is kept finite, so that it can be counted.
        found = found.clamp(-1e6, 1e6)
    else:
        known, mask = rows @ matrix, matrix.sum(0) > 0
        step = {
            "replacement": partial(repaint, n_repeats=1),
            "repaint": partial(repaint, n_repeats=config.n_repeats),
        }
        if method == "dps":
            move = dps(ancestral_step, Dense(matrix), rows, config.dps_size)
        else:
            move = step[method](ancestral_step, mask, known)
        x_1 = normal((len(rows), N_PIXELS), 300 + seed)
        generator = torch.Generator().manual_seed(301 + seed)
        ask = flat_denoiser(network, len(rows))
        found = sample(ask, SCHEDULE, x_1, times, move, generator).nan_to_num(0.0)
    return found.reshape(m, n, N_PIXELS)


@torch.no_grad()
def measure(
    draws: Tensor,
    truth: Tensor,
    labels: Tensor,
    y: Tensor,
    matrix: Tensor,
    noise_std: float,
    judge: Classifier,
) -> dict[str, float]:
    """How well draws fit the measurement, the truth, and each other."""

    def read(images: Tensor) -> Tensor:
        return judge(images.reshape(-1, 1, SIDE, SIDE)).softmax(-1)

    each = read(draws.flatten(0, 1)).reshape(len(draws), len(truth), -1)
    mean = draws.mean(0)
    # Entries that the measurement does not fix: the null space of its matrix.
    inside = torch.linalg.pinv(matrix) @ matrix
    inside = torch.eye(N_PIXELS) - inside
    null_var = (draws - mean).matmul(inside).square().sum(-1).mean()
    # Pixels that no measurement touches, if there are any: replacement gives no spread to others.
    unseen = matrix.abs().sum(0) == 0
    asked = unseen if unseen.any() else ~unseen
    return {
        "misfit": float(((y - draws @ matrix.mT) / noise_std).square().mean().sqrt()),
        "accuracy": float((each.argmax(-1) == labels).double().mean()),
        "vote": float((each.mean(0).argmax(-1) == labels).double().mean()),
        "mean_accuracy": float((read(mean).argmax(-1) == labels).double().mean()),
        "confidence": float(each.amax(-1).mean()),
        "mean_confidence": float(read(mean).amax(-1).mean()),
        "agreement": float(each.mean(0).amax(-1).mean()),
        "draw_error": 8 * float((draws - truth).square().mean().sqrt()),
        "mean_error": 8 * float((mean - truth).square().mean().sqrt()),
        "spread": 8 * float(draws.var(0).mean().sqrt()),
        "null_share": float(null_var / (draws - mean).square().sum(-1).mean()),
        "coverage": float(covered(draws.clamp(-1, 1)[..., asked], truth[:, asked]).mean()),
        "disagree": float(disagreement(each)),
    }


def disagreement(each: Tensor) -> Tensor:
    """Share of pairs of draws that are read as different digits."""
    classes = each.argmax(-1)
    return (classes[:, None] != classes[None]).double().mean() * len(each) / (len(each) - 1)


def draw(results: dict) -> matplotlib.figure.Figure:
    titles = {"half": "upper half", "twice": "2 by 2 means", "four": "4 by 4 means", "blur": "blur"}
    figure, axes = figures.figure(3.9, ncols=2, nrows=2, sharex=False, sharey=False)
    for ax, (task, title) in zip(axes.flat, titles.items(), strict=True):
        shown = results["images"][task]
        rows = [
            [shown["seen"][i], *shown["fitted"][i], shown["truth"][i]]
            for i in range(min(3, len(shown["truth"])))
        ]
        figures.image_grid(ax, rows, levels=(0, 16))
        figures.panel_label(ax, title)
    return figure
