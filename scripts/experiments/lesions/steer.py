"""Can a digit be written by adding a direction to an activity, and does any direction do?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from experiments._flagship import NULL, SCHEDULE
from experiments.lesions._common import activity, first, over, small_networks
from experiments.training._common import denoiser_of, draw_digits, levels
from fromnoise import figures
from fromnoise.datasets import Split, digits
from fromnoise.evaluation import train_classifier
from fromnoise.lesions import Lesion, lesioned
from fromnoise.networks import UNet
from fromnoise.provenance import save_tensors
from fromnoise.samplers import uniform_times

needs = ("lesions/blocks",)
publishes = ("judge",)
MODULES = {"class": "up.1.0", "random": "up.1.0", "last": "up.0.0", "unit": "up.1.0"}
"""Where each kind is added: the class, a random direction, the class at the last block, a unit."""
COMPARED = (("unit", "lots"), ("unit", "random"), ("class", "unit"))


@dataclass(frozen=True)
class Config:
    n_recorded: int = 400
    record_times: tuple[float, ...] = (0.5, 0.7, 0.9)  # averaged: one direction for the whole walk
    strengths: tuple[float, ...] = (0.0, 4.0, 8.0, 16.0, 32.0)
    n_per_class: int = 10
    n_steps: int = 12
    judge_steps: int = 400
    shown_class: int = 3
    n_shown: int = 8
    n_lots: int = 2  # units by lot, drawn anew for every class


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_recorded=40,
        strengths=(0.0, 2.0),
        n_per_class=2,
        n_steps=2,
        judge_steps=2,
        n_lots=1,
    ),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    judge = train_classifier(*data.validation, n_steps=config.judge_steps, seed=0)
    save_tensors(workdir / "judge.safetensors", dict(judge.state_dict()))
    wanted = torch.arange(10).repeat_interleave(config.n_per_class)
    recorded_images = first(data.train, config.n_recorded)
    kinds = tuple(MODULES)
    hits: dict = {kind: [] for kind in kinds}
    scores: dict = {kind: [] for kind in kinds}
    spread: list = []
    found_units: dict = {key: [] for key in ("chosen", "by_lot", "length", "differ")}
    lots: list = []
    shown = {}
    for seed, network in enumerate(small_networks(needed)):
        directions = class_means(network, MODULES["class"], recorded_images, config)
        generator = torch.Generator().manual_seed(40 + seed)
        noise = torch.randn(directions.shape, generator=generator)
        # Of the same length as the class's own direction: a control of equal size.
        random = noise * (lengths(directions) / lengths(noise))[:, None, None, None]
        last = class_means(network, MODULES["last"], recorded_images, config)
        selective = selectivity(network, MODULES["unit"], recorded_images, config)
        best = selective.argmax(1)
        table = {
            "class": directions,
            "random": random,
            "last": last,
            "unit": through(directions, best),
        }
        others = torch.randint(1, selective.shape[1], (config.n_lots, 10), generator=generator)
        by_lot = []
        for units in (best + others) % selective.shape[1]:  # never the chosen one
            pushed = through(directions, units)[wanted]
            found = (
                samples(network, MODULES["unit"], pushed * strength, seed, config)
                for strength in config.strengths
            )
            by_lot.append([judge.accuracy(images, wanted) for images in found])
        lots.append([sum(row) / len(row) for row in zip(*by_lot, strict=True)])
        pick = torch.arange(10)
        found_units["chosen"].append(float(selective[pick, best].mean()))
        found_units["by_lot"].append(float(selective.mean()))
        found_units["length"].append(
            float((lengths(directions[pick, best, None]) / lengths(directions)).square().mean())
        )
        found_units["differ"].append(float(len(best.unique())))
        for kind in kinds:
            found = [
                samples(network, MODULES[kind], table[kind][wanted] * strength, seed, config)
                for strength in config.strengths
            ]
            hits[kind].append([judge.accuracy(images, wanted) for images in found])
            with torch.no_grad():
                sure = [judge(images).softmax(1).amax(1).mean().item() for images in found]
            scores[kind].append(sure)
            if seed == 0:
                rows = (wanted == config.shown_class).nonzero()[: config.n_shown, 0]
                shown[kind] = [levels(images[rows]) for images in found]
        spread.append(float(lengths(directions).mean()))
    hits["lots"] = lots
    return {
        "strengths": list(config.strengths),
        "hit": {kind: rates(values, config) for kind, values in hits.items()},
        "units": {
            "n": selective.shape[1],
            **{key: over(values) for key, values in found_units.items()},
            **{f"{a}_over_{b}": rates(more(hits[a], hits[b]), config) for a, b in COMPARED},
        },
        "sure": {kind: rates(values, config) for kind, values in scores.items()},
        "length": over(spread),
        "n_samples": len(wanted),
        "shown_class": config.shown_class,
        "shown": shown,
    }


def rates(values: list[list[float]], config: Config) -> dict:
    return {
        f"by{strength:g}": over([row[i] for row in values])
        for i, strength in enumerate(config.strengths)
    }


def more(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    """How much more often, network by network and strength by strength."""
    return [[x - y for x, y in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def lengths(directions: Tensor) -> Tensor:
    return directions.flatten(1).norm(dim=1)


def class_means(network: UNet, module: str, split: Split, config: Config) -> Tensor:
    """Difference of each class's mean activity from the overall mean, place by place."""
    found = []
    for t in config.record_times:
        acts = activity(network, module, split, t, 41, told=False)
        means = torch.stack([acts[split.labels == c].mean(0) for c in range(10)])
        found.append(means - acts.mean(0))
    return torch.stack(found).mean(0)


def selectivity(network: UNet, module: str, split: Split, config: Config) -> Tensor:
    """Of each unit's variance, place by place, how far each class stands off: classes x units."""
    found = []
    for t in config.record_times:
        acts = activity(network, module, split, t, 41, told=False)
        means = torch.stack([acts[split.labels == c].mean(0) for c in range(10)])
        apart = (means - acts.mean(0)).square().flatten(2).sum(2)
        found.append(apart / acts.var(0, correction=0).flatten(1).sum(1))
    return torch.stack(found).mean(0)


def through(directions: Tensor, units: Tensor) -> Tensor:
    """What each class's direction has in one unit, stretched to the length of the whole."""
    kept = torch.zeros_like(directions)
    rows = torch.arange(len(directions))
    kept[rows, units] = directions[rows, units]
    return kept * (lengths(directions) / lengths(kept))[:, None, None, None]


@torch.no_grad()
def samples(network: UNet, module: str, add: Tensor, seed: int, config: Config) -> Tensor:
    """Digits drawn without a class, with something added to an activity at every step."""
    denoiser = denoiser_of(network, torch.full((len(add),), NULL), SCHEDULE)
    with lesioned(network, Lesion(module, lambda a: a + add)):
        return draw_digits(denoiser, len(add), uniform_times(config.n_steps), seed)


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(3.4, ncols=2, sharey=False, width_ratios=[1.1, 1])
    sheet = torch.tensor(results["shown"]["class"]).reshape(-1, 8, 8)
    figures.image_grid(
        left, sheet.tolist(), levels=(0, 16), ncols=sheet.shape[0] // len(results["strengths"])
    )
    figures.panel_label(left, f"toward {results['shown_class']}, stronger downward")
    names = {"class": "class means", "unit": "one unit", "random": "random", "last": "last block"}
    roles = {"class": "model", "unit": "ink", "random": "muted", "last": "broken"}
    for kind, role in roles.items():
        values = list(results["hit"][kind].values())
        right.errorbar(
            results["strengths"],
            [v["mean"] for v in values],
            [[v["mean"] - v["low"] for v in values], [v["high"] - v["mean"] for v in values]],
            **figures.line_style(role, marker=figures.marker(role)),
        )
        right.annotate(
            names[kind],
            (results["strengths"][-1], values[-1]["mean"]),
            (0, -10 if kind == "last" else 8),
            textcoords="offset points",
            color=figures.color(role),
            ha="right",
        )
    right.set(xlabel="strength", ylim=(0, 1.02))
    figures.panel_label(right, "read as the wanted digit")
    return figure
