"""How many steps do the ancestral sampler and Euler's method need on digits?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments._flagship import SCHEDULE, TARGET, load_network
from experiments._judge import load_judge
from experiments.samplers._common import MAKE, line, over, ticks
from experiments.training._common import draw_digits, judge_for, levels
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.denoising import as_denoiser
from fromnoise.samplers import uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_samples: int = 300
    n_splits: int = 30
    n_steps: tuple[int, ...] = (2, 4, 8, 16, 32)


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n_samples=20, n_splits=2, n_steps=(2, 4)),
}
STEPS = ("ancestral", "ddim")


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = load_network(needed["training/digits"]["weights"]["model"])
    classifier = load_judge(needed["training/digits"]["weights"]["judge"])
    judge = judge_for(digits(), config.n_samples, classifier, config.n_splits)
    labels = torch.arange(config.n_samples) % 10
    ask = as_denoiser(network, SCHEDULE, TARGET, labels)
    results: dict = {"n_steps": list(config.n_steps), "floor": judge.floor, "images": {}}
    for name in STEPS:
        results[name] = {}
        for n in config.n_steps:
            frechet, accuracy = [], []
            for seed in config.seeds:
                times = uniform_times(n)
                images = draw_digits(ask, config.n_samples, times, seed, step=MAKE[name]())
                frechet.append(judge.frechet(images))
                accuracy.append(judge.classifier.accuracy(images, labels))
                if seed == config.seeds[0]:
                    results["images"].setdefault(name, {})[str(n)] = levels(images[:10])
            results[name][f"steps_{n}"] = {"frechet": over(frechet), "accuracy": over(accuracy)}
    return results


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.5, ncols=2, sharey=False, width_ratios=[1.1, 1])
    n_steps = results["n_steps"]
    shown = [results["images"]["ancestral"][str(n)] for n in n_steps]
    figures.image_grid(left, shown, levels=(0, 16), role="model")
    figures.panel_label(left, "ancestral, 2 to 32 steps", "model")
    for name, role, text, dy in (
        ("ancestral", "model", "ancestral", 8),
        ("ddim", "ink", "Euler", -9),
    ):
        rows = [results[name][f"steps_{n}"]["frechet"] for n in n_steps]
        drawn = line(right, n_steps, rows, role)
        figures.label_line(drawn, text, x=n_steps[1], dx=6, dy=dy)
    right.axhline(results["floor"]["mean"], **figures.line_style("data", lw=1))
    right.set(yscale="linear", ylim=(0, None))
    ticks(right, n_steps)
    right.set(xlabel="steps")
    figures.panel_label(right, "Fréchet distance")
    return figure
