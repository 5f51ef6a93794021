"""What does the network of any order pay in one order, and how much of its cost is the bound's?"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.text._common import LENGTH, LN2, grammar, network, over, split
from fromnoise import figures
from fromnoise.provenance import load_tensors

needs = ("text/budget",)


@dataclass(frozen=True)
class Config:
    n_train: int = 60_000  # as in text/budget: the rows are held out there too
    n_rows: int = 48
    n_orders: int = 24


SIZES = {"full": Config(), "smoke": Config(n_train=600, n_rows=2, n_orders=2)}


@torch.no_grad()
def paid(model, rows: Tensor, orders: Tensor) -> Tensor:
    """Bits per character of each row, written in an order of its own."""
    every = torch.arange(len(rows))
    seen, total = torch.full_like(rows, grammar().blank), torch.zeros(len(rows)).double()
    for place in orders.T:
        truth = rows[every, place]
        total -= model(seen)[every, place].double().log_softmax(-1)[every, truth]
        seen[every, place] = truth
    return total / LENGTH / LN2


def together(costs: Tensor) -> Tensor:
    """Bits per character if all these orders count: the surprise of the mean probability."""
    log_p = -costs * LENGTH * LN2
    return -(log_p.logsumexp(0) - math.log(len(costs))) / LENGTH / LN2


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    source = grammar()
    model = network(len(source.vocabulary), False, 0)
    model.load_state_dict(load_tensors(needed["text/budget"]["weights"]["masked"])[0])
    model.eval()
    _, rows = split(config.n_train, config.n_rows)
    generator = torch.Generator().manual_seed(0)
    costs = torch.stack(
        [
            paid(model, rows, torch.rand(rows.shape, generator=generator).argsort(-1))
            for _ in range(config.n_orders)
        ]
    )
    forward = torch.arange(LENGTH).expand(len(rows), -1)
    found = {
        "bound": costs.mean(0),
        "together": together(costs),
        "slack": costs.mean(0) - together(costs),
        "left_to_right": paid(model, rows, forward),
        "right_to_left": paid(model, rows, forward.flip(1)),
        "truth": -source.log_prob(rows).mean(1) / LN2,
    }
    return {name: over(values.tolist()) for name, values in found.items()} | {
        "n_orders": config.n_orders,
        "n_rows": config.n_rows,
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.5, width=0.85)
    bars = (
        ("bound", "random orders, one each", "model"),
        ("together", f"{results['n_orders']} random orders together", "model"),
        ("left_to_right", "left to right", "model"),
        ("right_to_left", "right to left", "model"),
    )
    for row, (name, _, role) in enumerate(bars):
        value = results[name]
        ax.barh(row, value["mean"], height=0.6, color=figures.color(role))
        ax.plot([value["low"], value["high"]], [row, row], color=figures.color("ink"), ls="-", lw=1)
    ax.axvline(results["truth"]["mean"], color=figures.color("data"), ls="-", lw=1.2)
    ax.text(results["truth"]["mean"], -0.65, " the truth", color=figures.color("data"), va="center")
    ax.set_yticks(range(len(bars)), [text for _, text, _ in bars])
    ax.set(xlabel="bits per character", ylim=(len(bars) - 0.5, -1), xlim=(0, None))
    return figure
