"""How many samples does it take until two models are seen to differ?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fromnoise import figures
from fromnoise.evaluation import frechet_distance
from fromnoise.power import classifier_power, measured_power, n_to_tell_means_apart, t_test_power
from fromnoise.sample_measures import gaussian_kernel, mmd_squared


@dataclass(frozen=True)
class Config:
    shift: float = 0.5
    sizes: tuple[int, ...] = (10, 20, 40, 80, 160)
    n_trials: int = 80
    n_permutations: int = 39
    seed: int = 0


SIZES = {"full": Config(), "smoke": Config(sizes=(6, 12), n_trials=2, n_permutations=19)}


def mean_gap(a: Tensor, b: Tensor) -> float:
    return float((a[:, 0].mean() - b[:, 0].mean()).abs())


def kernel_gap(a: Tensor, b: Tensor) -> float:
    return mmd_squared(a, b, gaussian_kernel)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    def at(shift: float):
        def draw_rows(n: int, generator: torch.Generator) -> Tensor:
            x = torch.randn((n, 2), generator=generator, dtype=torch.float64)
            x[:, 0] += shift
            return x

        return draw_rows

    found: dict = {}
    for name, statistic in (
        ("mean", mean_gap),
        ("frechet", frechet_distance),
        ("kernel", kernel_gap),
    ):
        found[name], found[f"{name}_alarms"] = {}, {}
        for n in config.sizes:
            for key, other in ((name, at(config.shift)), (f"{name}_alarms", at(0.0))):
                if key != name and n != config.sizes[1]:
                    continue
                found[key][f"n{n}"] = measured_power(
                    statistic,
                    at(0.0),
                    other,
                    n,
                    n_trials=config.n_trials,
                    n_permutations=config.n_permutations,
                    seed=config.seed,
                )
    best = 0.5 + 0.5 * float(torch.erf(torch.tensor(config.shift / 8**0.5)))
    return {
        **found,
        "sizes": list(config.sizes),
        "shift": config.shift,
        "t": {f"n{n}": t_test_power(config.shift, n) for n in config.sizes},
        "classifier": {f"n{n}": classifier_power(best, n) for n in config.sizes},
        "best_accuracy": best,
        "n_80": n_to_tell_means_apart(config.shift),
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.7)
    sizes = results["sizes"]
    # A test is neither data nor noise: one color, told apart by dashes and markers.
    for name, role in (("mean", "data"), ("kernel", "model"), ("frechet", "noise")):
        y = [results[name][f"n{n}"] for n in sizes]
        ax.plot(
            sizes,
            y,
            **figures.line_style(role, color=figures.color("ink")),
            marker=figures.marker(role),
        )
    t = [results["t"][f"n{n}"] for n in sizes]
    c = [results["classifier"][f"n{n}"] for n in sizes]
    ax.plot(sizes, t, color=figures.color("muted"), lw=0.9)
    ax.plot(sizes, c, **figures.line_style("broken", color=figures.color("muted")))
    ax.legend(
        [
            "difference of means",
            "kernel distance",
            "Fréchet distance",
            "t test, in theory",
            "best classifier, in theory",
        ],
        loc="upper left",
        fontsize=8.5,
    )
    ax.axhline(0.8, color=figures.color("grid"), lw=0.9)
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()
    ax.set(xlabel="samples of each model", ylabel="share of differences found", ylim=(0, 1.03))
    return figure
