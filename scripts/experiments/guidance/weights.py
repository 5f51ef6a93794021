"""What does guidance buy on digits, and what does it cost?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments._judge import load_judge
from experiments.guidance._common import both, gray, judge_for, load_network, measured, over
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.guidance import classifier_free

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    weights: tuple[float, ...] = (-1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
    shown: tuple[float, ...] = (-1.0, 0.0, 1.0, 8.0)
    n_samples: int = 300
    n_steps: int = 10
    n_splits: int = 30
    n_images: int = 10


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1),
        weights=(-1.0, 0.0, 8.0),
        shown=(-1.0, 8.0),
        n_samples=20,
        n_steps=2,
        n_splits=2,
    ),
    # The network that trained twenty times as long, fine steps, more samples and seeds: is the
    # best guidance still none, and is what half a unit gains in classes more than chance?
    "gpu": Config(seeds=tuple(range(10)), n_samples=1000, n_steps=50, n_splits=100),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = load_network(needed["training/digits"]["weights"]["model"]).to(device)
    data = digits()
    classifier = load_judge(needed["training/digits"]["weights"]["judge"])
    judge = judge_for(data, config.n_samples, classifier, config.n_splits)
    conditional, unconditional = both(network, config.n_samples)
    results: dict = {
        "weights": list(config.weights),
        "floor": judge.floor,
        "real_accuracy": judge.classifier.accuracy(*data.test),
        "images": {},
    }
    for weight in config.weights:
        ask = classifier_free(conditional, unconditional, weight)
        if weight == 0:
            ask = conditional
        rows = []
        for seed in config.seeds:
            row = measured(ask, config.n_samples, config.n_steps, seed, judge, device)
            images = row.pop("images")
            rows.append(row)
            if seed == config.seeds[0] and weight in config.shown:
                results["images"][f"w{weight:g}"] = gray(images[: config.n_images])
        results[f"w{weight:g}"] = {key: over([row[key] for row in rows]) for key in rows[0]}
    return results


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.5, ncols=3, sharey=False, width_ratios=[1.25, 1, 1])
    shown = list(results["images"])
    rows = [results["images"][name] for name in shown]
    figures.image_grid(axes[0], rows, levels=(0, 16), role="model")
    figures.panel_label(axes[0], "$\\omega$ = " + ", ".join(name[1:] for name in shown))
    # Without the condition nothing is obeyed, and diversity is that of all digits.
    weights = [weight for weight in results["weights"] if weight >= 0]
    places = range(len(weights))
    for ax, keys in ((axes[1], ("accuracy", "spread", "outside")), (axes[2], ("frechet",))):
        for key, role, text in (
            ("accuracy", "model", "class read"),
            ("spread", "data", "diversity"),
            ("outside", "broken", "out of range"),
            ("frechet", "model", ""),
        ):
            if key not in keys:
                continue
            found = [results[f"w{weight:g}"][key] for weight in weights]
            # Diversity is of samples, not of the data: its dash, in ink.
            tone = figures.color("ink" if key == "spread" else role)
            style = figures.line_style(role, color=tone)
            (line,) = ax.plot(places, [row["mean"] for row in found], **style)
            ax.fill_between(
                places,
                [row["low"] for row in found],
                [row["high"] for row in found],
                color=tone,
                alpha=0.2,
                linewidth=0,
            )
            if text:
                at = {"accuracy": 2, "spread": 0, "outside": 3}[key]
                shift = {"accuracy": -9, "spread": -16, "outside": 12}[key]
                figures.label_line(line, text, x=min(at, len(places) - 1), dx=-6, dy=shift)
        ax.set_xticks(list(places), [f"{weight:g}" for weight in weights])
        ax.set(xlabel="guidance scale")
    axes[1].set(ylim=(0, None))
    axes[2].axhline(results["floor"]["mean"], color=figures.color("data"), linewidth=0.8)
    axes[2].set(ylim=(0, None))
    figures.panel_label(axes[1], "shares")
    figures.panel_label(axes[2], "Fréchet distance")
    return figure
