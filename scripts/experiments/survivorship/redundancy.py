"""Can every single lesion be harmless in a network that two of them together kill?"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.survivorship._common import fit
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.intervals import mean_interval
from fromnoise.lesions import Lesion, lesioned, zero
from fromnoise.networks import seeded
from fromnoise.survivorship import TwoWay

WAIST = "waist"


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 400
    n_hidden: int = 32
    n_images: int | None = None


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_steps=4, n_hidden=4, n_images=60)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    x, odd = data.train.images.flatten(1), (data.train.labels % 2).float()
    test = data.test.images.flatten(1)[: config.n_images]
    answer = data.test.labels[: config.n_images] % 2 == 1
    results: dict = {}
    for name, forget in (("forgetful", True), ("plain", False)):
        rows = []
        for seed in range(config.seed, config.seed + config.n_seeds):
            with seeded(seed):
                network = TwoWay(64, config.n_hidden, forget=forget)
            folder = workdir / f"{name}{seed}"
            network = fit(network, (x, odd), config.n_steps, seed, folder, yes_or_no)
            row, shown = lesion_all(network, test, answer, config.n_hidden)
            rows.append(row)
            if seed == config.seed:
                results[f"shown_{name}"] = shown
        results[name] = {
            key: {**mean_interval([row[key] for row in rows]), "values": [row[key] for row in rows]}
            for key in rows[0]
        }
    return results


def yes_or_no(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Mean surprise of the true answer, nats."""
    return F.binary_cross_entropy_with_logits(network(batch[0]), batch[1])


@torch.no_grad()
def lesion_all(network: TwoWay, x: Tensor, answer: Tensor, n_hidden: int) -> tuple[dict, dict]:
    """Accuracy lost by every single lesion and by every pair, among all units of the network."""
    units = [("hidden", i) for i in range(n_hidden)] + [(WAIST, 0), (WAIST, 1)]
    whole = float(((network(x) > 0) == answer).float().mean())

    def cost(*cut: tuple[str, int]) -> float:
        with lesioned(network, *(Lesion(module, zero, (unit,)) for module, unit in cut)):
            return whole - float(((network(x) > 0) == answer).float().mean())

    singles = {unit: cost(unit) for unit in units}
    pairs = {pair: cost(*pair) for pair in combinations(units, 2)}
    waist = pairs.pop(((WAIST, 0), (WAIST, 1)))
    row = {
        "accuracy": whole,
        "worst_single": max(singles.values()),
        "waist_single": max(singles[(WAIST, 0)], singles[(WAIST, 1)]),
        "waist_pair": waist,
        "accuracy_of_pair": whole - waist,
        "worst_other_pair": max(pairs.values()),
        "n_pairs": float(len(pairs) + 1),
        "n_units": float(len(units)),
    }
    shown = {
        "singles": sorted(round(value, 4) for value in singles.values()),
        "pairs": sorted(round(value, 4) for value in (*pairs.values(), waist)),
    }
    return row, shown


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.6, ncols=2, width_ratios=[1, 1.6])
    shown = results["shown_forgetful"]
    for ax, name, text in (
        (left, "singles", "one unit silenced"),
        (right, "pairs", "two units silenced"),
    ):
        values = 100 * np.array(shown[name])
        killed = values > 20
        for chosen, role in ((~killed, "model"), (killed, "broken")):
            ax.plot(
                np.arange(1, len(values) + 1)[chosen],
                values[chosen],
                ls="",
                marker=figures.marker(role),
                color=figures.color(role),
                ms=7 if role == "broken" else 3,
            )
        figures.panel_label(ax, text)
        ax.set_xlabel(f"all {len(values)}, by cost")
    left.set_ylabel("accuracy lost (points)")
    left.set_ylim(-5, 55)
    right.annotate(
        "both units of the waist",
        (len(shown["pairs"]), 100 * shown["pairs"][-1]),
        xytext=(-10, -2),
        textcoords="offset points",
        ha="right",
        color=figures.color("broken"),
    )
    return figure
