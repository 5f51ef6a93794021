"""What does a lesion cost if the network may learn again without the part, and if it may not?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

from experiments.survivorship._common import classifier, fit, right
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.intervals import mean_interval
from fromnoise.lesions import Lesion, lesioned, recorded, to_mean, zero
from fromnoise.networks import seeded


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 5
    n_steps: int = 250
    n_images: int | None = None


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_steps=4, n_images=60)}
TOP = tuple(range(32))  # the upper half of the image
HALF = tuple(range(16))  # half of the hidden units


def linear(seed: int) -> nn.Sequential:
    """The classifier without its bend."""
    with seeded(seed):
        return nn.Sequential(nn.Linear(64, 32), nn.Identity(), nn.Linear(32, 10))


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    x, y = data.train.images.flatten(1), data.train.labels
    test = data.test.images.flatten(1)[: config.n_images], data.test.labels[: config.n_images]
    covered = x.clone()
    covered[:, TOP] = 0
    rows: dict = {}

    def keep(part: str, how: str, network: nn.Module) -> None:
        rows.setdefault(part, {}).setdefault(how, []).append(float(right(network, *test).mean()))

    for seed in range(config.seed, config.seed + config.n_seeds):
        whole = fit(classifier(seed), (x, y), config.n_steps, seed, workdir / f"whole{seed}")
        keep("whole", "whole", whole)
        with torch.no_grad(), recorded(whole, "1") as activities:
            whole(x)
        mean_hidden, mean_pixels = to_mean(activities[0]), to_mean(x)
        parts = {
            "top": ("0", TOP, True, mean_pixels, classifier(seed), covered),
            "half": ("1", HALF, False, mean_hidden, classifier(seed, 16), x),
        }
        for part, (module, units, at_input, mean, fresh, seen) in parts.items():
            for how, replacement in (("zero", zero), ("mean", mean)):
                cut = Lesion(module, replacement, units, at_input=at_input)
                with lesioned(whole, cut):
                    keep(part, how, whole)
            again = fit(fresh, (seen, y), config.n_steps, seed, workdir / f"{part}{seed}")
            # A network that never saw the upper half must not see it in the test either.
            blind = Lesion("0", zero, TOP if part == "top" else (), at_input=True)
            with lesioned(again, blind):
                keep(part, "retrained", again)
        bend = nn.Sequential(whole[0], nn.Identity(), whole[2])
        keep("bend", "zero", bend)
        straight = fit(linear(seed), (x, y), config.n_steps, seed, workdir / f"bend{seed}")
        keep("bend", "retrained", straight)
    results = {
        part: {how: {**mean_interval(found), "values": found} for how, found in hows.items()}
        for part, hows in rows.items()
    }
    reference = rows["whole"]["whole"]
    for part in ("top", "half", "bend"):
        for how, found in rows[part].items():
            costs = [w - f for w, f in zip(reference, found, strict=True)]
            results[part][f"cost_{how}"] = mean_interval(costs)
    return results


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.6)
    parts = {
        "top": "upper half\nof the image",
        "half": "half of the\nhidden units",
        "bend": "the bend\n(ReLU)",
    }
    # Marker, color: both cuts are lesions.
    ways = {
        "zero": ("broken", "broken", "cut, not retrained"),
        "mean": ("noise", "broken", "set to its mean, not retrained"),
        "retrained": ("model", "model", "trained without it"),
    }
    for place, part in enumerate(parts):
        for shift, (how, (role, tone, text)) in zip((-0.2, 0.0, 0.2), ways.items(), strict=True):
            if how in results[part]:
                values = [100 * value for value in results[part][how]["values"]]
                ax.plot(
                    values,
                    [place + shift] * len(values),
                    ls="",
                    marker=figures.marker(role),
                    color=figures.color(tone),
                    label=text if place == 0 else None,
                )
    ax.axvline(
        100 * results["whole"]["whole"]["mean"], ls="-", color=figures.color("muted"), lw=0.9
    )
    figures.sequence_axis(ax, list(parts.values()), axis="y")
    ax.set_ylim(len(parts) - 0.5, -0.5)
    ax.set_xlim(0, 101)
    ax.set_xlabel("test accuracy (%); the line is the whole network")
    ax.legend(loc="lower left")
    return figure
