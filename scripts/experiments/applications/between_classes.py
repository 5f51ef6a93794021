"""What is drawn half way between two classes, and at which noise is the class decided?"""

import copy
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from torch import Tensor

from experiments._flagship import SCHEDULE
from experiments.applications._common import (
    GRAY,
    ask,
    at_time,
    digit_model,
    levels,
    noise,
    reader,
    summed_up,
)
from fromnoise import figures
from fromnoise.applications import spherical_mix
from fromnoise.datasets import digits, snap_to_levels
from fromnoise.evaluation import Classifier
from fromnoise.networks import UNet
from fromnoise.samplers import Denoiser, heun_step, sample, uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    n_seeds: int = 5
    n_draws: int = 10  # of noise, for each pair
    pairs: tuple[tuple[int, int], ...] = ((3, 8), (4, 9), (0, 6), (1, 7), (2, 5))  # each class once
    n_steps: int = 8
    n_stops: int = 9
    n_switch_steps: int = 10  # so that every tenth of the time is a place to switch
    switches: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    sure: float = 0.8  # what the reader must give its first class to be called sure
    reader_steps: int = 400
    n_shown: int = 2


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        n_draws=2,
        pairs=((3, 8),),
        n_steps=2,
        n_stops=3,
        n_switch_steps=2,
        switches=(0.5,),
        reader_steps=2,
        n_shown=1,
    ),
}
WAYS = {"embedding": "embeddings mixed", "answers": "answers mixed", "noise": "noises mixed"}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network, data = digit_model(needed), digits()
    judge, real = reader(config.reader_steps), data.test.images
    shares = np.linspace(0, 1, config.n_stops).tolist()
    times = uniform_times(config.n_steps)
    fine = uniform_times(config.n_switch_steps)
    first, second = (
        torch.tensor([pair[i] for pair in config.pairs]).repeat_interleave(config.n_draws)
        for i in range(2)
    )
    rows: list[dict] = []
    pictures: dict[str, list] = {}
    for seed in range(config.n_seeds):
        x_1, other = (noise(len(first), 1000 + 2 * seed + i) for i in range(2))
        drawn: dict[str, dict[str, Tensor]] = {name: {} for name in (*WAYS, "pixels", "switch")}
        for share in shares:
            asked = between(network, first, second, share)
            drawn["embedding"][stop(share)] = draw_from(asked, x_1, times)
        ends = [drawn["embedding"][stop(share)] for share in (0, 1)]
        # At its ends a mix of answers is the answer of one class.
        drawn["answers"] = {stop(share): image for share, image in zip((0, 1), ends, strict=True)}
        for share in shares[1:-1]:
            asked = mixed_answers(ask(network, first), ask(network, second), share)
            drawn["answers"][stop(share)] = draw_from(asked, x_1, times)
        middle = spherical_mix(x_1, other, 0.5)
        drawn["noise"][stop(0.5)] = draw_from(ask(network, first), middle, times)
        drawn["pixels"][stop(0.5)] = torch.lerp(*ends, 0.5)
        for t in config.switches:
            k = round((1 - t) * config.n_switch_steps)
            x_t = sample(ask(network, first), SCHEDULE, x_1, fine[: k + 1], heun_step)
            drawn["switch"][at_time(t)] = draw_from(ask(network, second), x_t, fine[k:])
        rows.append(
            {
                way: {
                    name: measures(images, first, second, judge, config.sure)
                    | {"distance": nearest(images, real)}
                    for name, images in stops.items()
                }
                for way, stops in drawn.items()
            }
        )
        if seed == 0:
            # The first draw of each of the first pairs, whatever it looks like.
            for at in range(0, len(first), config.n_draws)[: config.n_shown]:
                one = slice(at, at + 1)
                mixes = [spherical_mix(x_1[one], other[one], share) for share in shares]
                alike = ask(network, first[one].expand(len(shares)))
                shown = {
                    way: torch.cat([drawn[way][stop(share)][one] for share in shares])
                    for way in ("embedding", "answers")
                } | {"noise": draw_from(alike, torch.cat(mixes), times)}
                for way, images in shown.items():
                    pictures.setdefault(way, []).append(levels(images))
    return summed_up(rows) | {
        "real": {
            "unsure": float((certainty(judge, real) < config.sure).double().mean()),
            "distance": nearest(real, real, own=True),
        },
        "shares": shares,
        "switches": list(config.switches),
        "pictures": pictures,
    }


def between(network: UNet, first: Tensor, second: Tensor, share: float) -> Denoiser:
    """The denoiser for conditions on the straight line between the embeddings of two classes."""
    moved = copy.deepcopy(network)
    table = network.condition.label.weight
    # Each class is the first one of one pair at most, so its row can hold that pair's mix.
    moved.condition.label.weight[first] = torch.lerp(table[first], table[second], share)
    return ask(moved, first)


def mixed_answers(a: Denoiser, b: Denoiser, share: float) -> Denoiser:
    """Both denoisers' answers, mixed; their scores are then mixed with the same shares."""
    return lambda x_t, t: torch.lerp(a(x_t, t), b(x_t, t), share)


def draw_from(denoiser: Denoiser, x_t: Tensor, times: Tensor) -> Tensor:
    return snap_to_levels(sample(denoiser, SCHEDULE, x_t, times, heun_step))


@torch.no_grad()
def certainty(judge: Classifier, images: Tensor) -> Tensor:
    """What the reader gives the class that it finds likeliest."""
    return judge(images).softmax(1).amax(1)


@torch.no_grad()
def measures(
    images: Tensor, first: Tensor, second: Tensor, judge: Classifier, sure: float
) -> dict[str, float]:
    """How often the reader is sure of the first class, of the second, of a third, of none."""
    read, is_sure = judge(images).argmax(1), certainty(judge, images) >= sure
    found = {
        "first": is_sure & (read == first),
        "second": is_sure & (read == second),
        "third": is_sure & (read != first) & (read != second),
        "unsure": ~is_sure,
    }
    found["neither"] = found["third"] | found["unsure"]
    return {name: float(which.double().mean()) for name, which in found.items()}


def nearest(images: Tensor, real: Tensor, own: bool = False) -> float:
    """Root mean square difference to the nearest real digit in gray levels, mean over images.

    With `own`, the images are the real ones, and none is its own neighbor.
    """
    apart = torch.cdist(images.flatten(1).double(), real.flatten(1).double())
    if own:
        apart.fill_diagonal_(float("inf"))
    return GRAY * float(apart.amin(1).mean()) / images[0].numel() ** 0.5


def stop(share: float) -> str:
    """Name of a place on the path in the results: m50 for half way."""
    return f"m{round(100 * share)}"


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, _ = figures.figure(4.3)
    figure.clear()
    grid = figure.add_gridspec(4, 6, height_ratios=[1, 1, 1, 4])
    for row, (way, text) in enumerate(WAYS.items()):
        drawn = results["pictures"][way]
        for column, images in enumerate(drawn):
            width = 6 // len(drawn)
            ax = figure.add_subplot(grid[row, column * width : (column + 1) * width])
            figures.image_grid(ax, np.array(images), levels=(0, 160), role="model")
            figures.panel_label(ax, "" if column else text)
    axes = [figure.add_subplot(grid[3, 2 * column : 2 * column + 2]) for column in range(3)]
    panels = (
        ("embedding", WAYS["embedding"], "share of the second", results["shares"], stop),
        ("answers", WAYS["answers"], "share of the second", results["shares"], stop),
        ("switch", "first class, then second", "switched at t", results["switches"], at_time),
    )
    for ax, (way, title, xlabel, xs, name) in zip(axes, panels, strict=True):
        for key, style, mark in (
            ("first", figures.line_style("ink"), "ink"),
            ("second", figures.line_style("ink", linestyle=figures.dash("muted")), "muted"),
            ("neither", figures.line_style("broken"), "broken"),
        ):
            rows = [results[way][name(x)][key] for x in xs]
            means = [row["mean"] for row in rows]
            ax.fill_between(
                xs,
                [row["low"] for row in rows],
                [row["high"] for row in rows],
                color=style["color"],
                alpha=0.15,
                linewidth=0,
            )
            ax.plot(xs, means, marker=figures.marker(mark), markersize=3.5, **style)
        figures.panel_label(ax, title)
        ax.set(xlabel=xlabel, ylim=(-0.04, 1.04))
    for ax in axes[1:]:
        ax.set_yticklabels([])
    axes[0].set_ylabel("share read as")
    for x, y, text, role, ha in (
        (0.0, 0.74, "first", "ink", "left"),
        (1.0, 0.66, "second", "ink", "right"),
        (0.0, 0.22, "neither", "broken", "left"),
    ):
        axes[0].text(x, y, text, color=figures.color(role), ha=ha)
    return figure
