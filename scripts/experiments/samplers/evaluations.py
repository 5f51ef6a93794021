"""Which sampler makes the best digits from few evaluations of the network?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments._flagship import SCHEDULE, TARGET, load_network
from experiments._judge import load_judge
from experiments.samplers._common import COLOR, MAKE, ROLE, TEXT, counted, line, over, ticks
from experiments.training._common import draw_digits, judge_for
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
    n_evals: tuple[int, ...] = (5, 9, 17)


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n_samples=20, n_splits=2, n_evals=(5,)),
}
STEPS = ("ddim", "heun", "multistep_2", "unipc")


def n_steps_for(name: str, n_evals: int) -> int:
    """Steps that cost so many evaluations; Heun's method asks twice except in its last step."""
    return (n_evals + 1) // 2 if name == "heun" else n_evals


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = load_network(needed["training/digits"]["weights"]["model"])
    classifier = load_judge(needed["training/digits"]["weights"]["judge"])
    judge = judge_for(digits(), config.n_samples, classifier, config.n_splits)
    labels = torch.arange(config.n_samples) % 10
    results: dict = {"n_evals": list(config.n_evals), "floor": judge.floor}
    for name in STEPS:
        results[name] = {}
        for n in config.n_evals:
            times = uniform_times(n_steps_for(name, n))
            frechet = []
            for seed in config.seeds:
                ask, calls = counted(as_denoiser(network, SCHEDULE, TARGET, labels))
                images = draw_digits(ask, config.n_samples, times, seed, step=MAKE[name]())
                if len(calls) != n:
                    raise RuntimeError(f"{name} asked {len(calls)} times, not {n}")
                frechet.append(judge.frechet(images))
            results[name][f"evals_{n}"] = over(frechet)
    return results


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(3.0)
    n_evals = results["n_evals"]
    for name, dx, dy in (
        ("ddim", 8, 9),
        ("heun", 8, 9),
        ("multistep_2", 75, 7),
        ("unipc", 8, -15),
    ):
        rows = [results[name][f"evals_{n}"] for n in n_evals]
        drawn = line(ax, n_evals, rows, ROLE[name], color=figures.color(COLOR[name]))
        figures.label_line(drawn, TEXT[name], x=n_evals[0], dx=dx, dy=dy)
    ax.axhline(results["floor"]["mean"], **figures.line_style("data", lw=1))
    ax.set(yscale="linear", ylim=(0.8, None))
    ticks(ax, n_evals)
    ax.set(xlabel="evaluations of the network")
    figures.panel_label(ax, "Fréchet distance")
    return figure
