"""What does a negative prompt buy over guidance with the blank one, and what does it sample?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments._flagship import NULL
from experiments._judge import load_judge
from experiments.guidance._common import (
    PLANE,
    SCHEDULE,
    TARGET,
    Judge,
    draw_digits,
    gray,
    judge_for,
    labels_for,
    load_network,
    over,
    spread,
    unsnapped,
)
from experiments.sde._common import distance
from fromnoise import figures
from fromnoise.datasets import Split, digits
from fromnoise.denoising import as_denoiser
from fromnoise.evaluation import frechet_distance
from fromnoise.inverse import linear_posterior
from fromnoise.oracles import denoiser
from fromnoise.samplers import Denoiser, heun_step, sample, uniform_times
from fromnoise.steering import avoiding

needs = ("training/digits",)

# On the plane the prompts are two readings of the first coordinate, with the same noise.
MATRIX = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
WANTED, AVOIDED, NOISE_STD = 0.3, -0.5, 0.8


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    weights: tuple[float, ...] = (0.5, 2.0, 8.0)
    any_weights: tuple[float, ...] = (0.5,)
    shown: float = 2.0
    n_samples: int = 300
    n_steps: int = 10
    n_splits: int = 30
    n_images: int = 10
    plane_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    plane_weights: tuple[float, ...] = (0.0, 1.0, 3.0)
    plane_shown: float = 1.0
    n_points: int = 2000
    n_plane_steps: int = 64
    n_drawn: int = 250


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1),
        weights=(2.0, 8.0),
        any_weights=(2.0,),
        n_samples=20,
        n_steps=2,
        n_splits=2,
        plane_seeds=(0, 1),
        plane_weights=(0.0, 1.0),
        n_points=60,
        n_plane_steps=4,
        n_drawn=20,
    ),
}


@torch.no_grad()
def rivals(judge: Judge, images: Split) -> Tensor:
    """For each class the other one that the judge holds likeliest, on images it never saw."""
    shares = judge.classifier(images.images).softmax(dim=1)
    found = torch.stack([shares[images.labels == c].mean(0) for c in range(10)])
    return found.fill_diagonal_(0.0).argmax(dim=1)


@torch.no_grad()
def looked_at(images: Tensor, wanted: Tensor, avoided: Tensor, judge: Judge) -> dict:
    """What is read in the samples, how much they differ, how near they are to real digits."""
    shown = images.clamp(-1, 1)
    features = judge.classifier.judge(shown)
    read = judge.classifier(shown).argmax(dim=1)
    real, of = judge.held_out_features, judge.held_out.labels
    near = [frechet_distance(features[wanted == c], real[of == c]) for c in range(10)]
    return {
        "wanted": float((read == wanted).double().mean()),
        "avoided": float((read == avoided).double().mean()),
        "spread": spread(features, wanted) / spread(real, of),
        "frechet": judge.frechet(shown),
        "within": sum(near) / len(near),
        # A twentieth of a gray level beyond black or white is forgiven.
        "outside": float(((images.abs() - 1) > 0.05 / 8).double().mean()),
    }


def on_digits(config: Config, weights: dict[str, str]) -> dict:
    """A class with its rival avoided, and any digit with one class avoided, each class in turn."""
    network, data, n = load_network(weights["model"]), digits(), config.n_samples
    classifier = load_judge(weights["judge"])
    judge = judge_for(data, n, classifier, config.n_splits)
    rival, labels = rivals(judge, data.train), labels_for(n)

    def asked(classes: Tensor) -> Denoiser:
        return as_denoiser(network, SCHEDULE, TARGET, classes)

    wanted, blank = asked(labels), asked(torch.full((n,), NULL))
    away = asked(rival[labels])
    # Any digit but c: no sample wants a class, and the classes to avoid are all equally frequent.
    runs = {"plain": (wanted, rival[labels]), "any": (blank, labels)}
    for weight in config.weights:
        runs[f"blank_{weight:g}"] = (avoiding(wanted, blank, weight), rival[labels])
        runs[f"negative_{weight:g}"] = (avoiding(wanted, away, weight), rival[labels])
    for weight in config.any_weights:
        runs[f"any_{weight:g}"] = (avoiding(blank, wanted, weight), labels)
    shown = ("plain", f"blank_{config.shown:g}", f"negative_{config.shown:g}")
    shown = (*shown, f"negative_{config.weights[-1]:g}")
    results: dict = {"rival": rival.tolist(), "floor": judge.floor, "images": {}}
    for name, (ask, avoided) in runs.items():
        rows = []
        for seed in config.seeds:
            images = draw_digits(ask, n, uniform_times(config.n_steps), seed, snap=unsnapped)
            row = looked_at(images, labels, avoided, judge)
            if name.startswith("any"):  # nothing is wanted there
                row = {key: row[key] for key in ("avoided", "frechet", "outside")}
            rows.append(row)
            if seed == config.seeds[0] and name in shown:
                results["images"][name] = gray(images[: config.n_images])
        results[name] = {key: over([row[key] for row in rows]) for key in rows[0]}
    # The break that is none: what is wanted is avoided too.
    times, seed = uniform_times(config.n_steps), config.seeds[0]
    twice = avoiding(wanted, wanted, config.weights[-1])
    images = [draw_digits(ask, n, times, seed, snap=unsnapped) for ask in (wanted, twice)]
    results["same_difference"] = float((images[0] - images[1]).abs().max())
    return results


def on_the_plane(config: Config) -> dict:
    r"""Exact scores, and the product $p(x \mid y)^{1 + \omega} / p(x \mid y')^\omega$ itself.

    The likelihoods are Gaussian with one variance, so their powers multiply to the likelihood of
    the reading $y + \omega (y - y')$, with that variance: the product is a mixture again.
    """
    results: dict = {"weights": list(config.plane_weights)}
    reading = {
        name: linear_posterior(PLANE, MATRIX, torch.tensor([y], dtype=torch.float64), NOISE_STD)
        for name, y in (("wanted", WANTED), ("avoided", AVOIDED))
    }
    for weight in config.plane_weights:
        y = torch.tensor([WANTED + weight * (WANTED - AVOIDED)], dtype=torch.float64)
        truth = linear_posterior(PLANE, MATRIX, y, NOISE_STD)
        ask = avoiding(*(denoiser(part, SCHEDULE) for part in reading.values()), weight)
        found: dict[str, list[float]] = {"distance": [], "floor": [], "right": []}
        points: dict = {}
        for seed in config.plane_seeds:
            g = torch.Generator().manual_seed(seed)
            x_1 = torch.randn(config.n_points, 2, generator=g, dtype=torch.float64)
            drawn = sample(ask, SCHEDULE, x_1, uniform_times(config.n_plane_steps), heun_step)
            found["distance"].append(distance(drawn, truth, g))
            found["floor"].append(distance(truth.sample(config.n_points, g), truth, g))
            right = PLANE.responsibilities(drawn).argmax(-1) == 2
            found["right"].append(float(right.double().mean()))
            if seed == config.plane_seeds[0] and weight == config.plane_shown:
                exact = truth.sample(config.n_drawn, g)
                points["product"] = exact.round(decimals=3).tolist()
                points["sampled"] = drawn[: config.n_drawn].round(decimals=3).tolist()
        if points:
            results["points"] = points
        results[f"w{weight:g}"] = {
            **{name: over(values) for name, values in found.items()},
            "right_truth": float(truth.weights[2]),
        }
    return results


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    return {
        "weights": list(config.weights),
        **on_digits(config, needed["training/digits"]["weights"]),
        "plane": on_the_plane(config),
    }


def draw(results: dict) -> Figure:
    figure, grid_of_axes = figures.figure(4.0, nrows=2, ncols=2, sharex=False, sharey=False)
    axes = grid_of_axes.ravel()
    figures.image_grid(axes[0], list(results["images"].values()), levels=(0, 16), role="model")
    figures.panel_label(axes[0], "the wanted class")
    places = range(len(results["weights"]) + 1)
    for kind, changes in (("negative", {}), ("blank", {"linestyle": (0, (1.5, 1.5))})):
        names = ["plain"] + [f"{kind}_{weight:g}" for weight in results["weights"]]
        found = [results[name]["frechet"] for name in names]
        means, role = [row["mean"] for row in found], "model"
        (line,) = axes[1].plot(places, means, **{**figures.line_style(role), **changes})
        axes[1].fill_between(
            places,
            [row["low"] for row in found],
            [row["high"] for row in found],
            color=figures.color(role),
            alpha=0.2,
            linewidth=0,
        )
        at, dx, dy = {"negative": (2, -6, 10), "blank": (len(places) - 1, 2, -16)}[kind]
        figures.label_line(line, kind, x=min(at, len(places) - 1), dx=dx, dy=dy, ha="right")
    axes[1].axhline(results["floor"]["mean"], color=figures.color("data"), linewidth=0.8)
    axes[1].set_xticks(list(places), ["0", *(f"{weight:g}" for weight in results["weights"])])
    axes[1].set(ylim=(0, None), xlabel="guidance scale")
    figures.panel_label(axes[1], "Fréchet distance")
    axis = np.linspace(-3, 3, 121)
    xx, yy = np.meshgrid(axis, axis)
    grid = torch.tensor(np.stack([xx.ravel(), yy.ravel()], 1))
    density = PLANE.log_prob(grid).exp().reshape(xx.shape).numpy()
    levels = density.max() * np.array([0.02, 0.2, 0.6])
    for ax, name, role, text in (
        (axes[2], "product", "data", "the product promised"),
        (axes[3], "sampled", "model", "what is sampled"),
    ):
        ax.contour(xx, yy, density, levels=levels, colors=figures.color("muted"), linewidths=0.6)
        points = np.array(results["plane"]["points"][name])
        ax.scatter(*points.T, s=3, color=figures.color(role), linewidths=0)
        ax.set(xlim=(-2.6, 2.6), ylim=(-2.2, 2.4), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        ax.set_aspect("equal")
        figures.panel_label(ax, text, role)
    return figure
