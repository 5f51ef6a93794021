"""How do entropy and density fit together when a real number is cut into bins?"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from scipy import stats

from fromnoise import figures
from fromnoise.information import entropy


@dataclass(frozen=True)
class Config:
    stds: tuple[float, ...] = (1.0, 0.1)
    widths: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625)


SIZES = {"full": Config(), "smoke": Config(widths=(1.0, 0.25))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    results: dict = {"widths": list(config.widths)}
    for std in config.stds:
        found = [binned_entropy(std, width) for width in config.widths]
        differential = 0.5 * math.log(2 * math.pi * math.e * std**2)
        results[f"std_{std:g}".replace(".", "_")] = {
            "bits": [value / math.log(2) for value in found],
            "differential_bits": differential / math.log(2),
            "gap_at_finest": found[-1] + math.log(config.widths[-1]) - differential,
        }
    return results


def binned_entropy(std: float, width: float) -> float:
    """Entropy in nats of a centered Gaussian that is only known up to its bin."""
    n = int(12 * std / width) + 2
    edges = (torch.arange(-n, n + 1, dtype=torch.float64) + 0.5) * width
    p = torch.from_numpy(stats.norm.cdf(edges.numpy() / std)).diff()
    return float(entropy(p / p.sum()))


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8)
    inverse = [1 / width for width in results["widths"]]
    # Two sources: one color, told apart by dashes.
    for key, role, text in (("std_1", "data", "σ = 1"), ("std_0_1", "model", "σ = 0.1")):
        found = results[key]
        style = figures.line_style(role, color=figures.color("data"))
        (line,) = ax.plot(inverse, found["bits"], marker=figures.marker(role), **style)
        figures.label_line(line, text, x=16, dx=0, dy=12, ha="right")
        ends = [inverse[0], inverse[-1]]
        limit = [found["differential_bits"] + math.log2(value) for value in ends]
        ax.plot(ends, limit, color=figures.color("muted"), lw=0.8, ls="-")
        ax.plot([1], [found["differential_bits"]], ls="", marker="D", color=figures.color("ink"))
    ax.axhline(0, color=figures.color("grid"), lw=0.8, ls="-")
    ax.set_xscale("log", base=2)
    ax.set(xlabel="bins per unit of length, 1/Δ", ylabel="entropy (bits)", ylim=(-3, 9))
    return figure
