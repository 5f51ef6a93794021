"""What do three distances say when two distributions no longer overlap?"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.information import jensen_shannon, kl_divergence


@dataclass(frozen=True)
class Config:
    n_cells: int = 64  # cells per unit of length
    shifts: tuple[float, ...] = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


SIZES = {"full": Config(), "smoke": Config(n_cells=8, shifts=(0.0, 0.5, 2.0))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    n = config.n_cells
    width = 4 * n
    found: dict = {"divergence": [], "js": [], "transport": []}
    for shift in config.shifts:
        q, p = (box(round(start * n), n, width) for start in (0.0, shift))
        divergence = float(kl_divergence(q, p))
        # JSON knows no infinity.
        found["divergence"].append(divergence if math.isfinite(divergence) else -1.0)
        found["js"].append(float(jensen_shannon(q, p)))
        found["transport"].append(float((q.cumsum(0) - p.cumsum(0)).abs().sum() / n))
    far = config.shifts.index(2.0)
    near = config.shifts.index(0.5)
    return {
        "shifts": list(config.shifts),
        **found,
        "n_infinite": sum(value < 0 for value in found["divergence"]),
        "js_at_2": found["js"][far],
        "js_at_half": found["js"][near],
        "transport_at_2": found["transport"][far],
        "log_2": math.log(2),
    }


def box(start: int, n: int, width: int) -> torch.Tensor:
    """Uniform on n cells."""
    p = torch.zeros(width, dtype=torch.float64)
    p[start : start + n] = 1 / n
    return p


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.7)
    for key, role, tone, text, dy in (
        ("js", "model", "muted", "Jensen-Shannon", 9),
        ("transport", "data", "ink", "transport (W₁)", 9),
    ):
        style = figures.line_style(role, color=figures.color(tone), marker=figures.marker(role))
        (line,) = ax.plot(results["shifts"], results[key], **style)
        x = 1.6 if key == "js" else 1.5
        figures.label_line(
            line,
            text,
            x=x,
            dx=0 if key == "js" else -8,
            dy=dy,
            ha="center" if key == "js" else "right",
        )
    infinite = [
        s for s, value in zip(results["shifts"], results["divergence"], strict=True) if value < 0
    ]
    ax.plot(
        infinite,
        [2.15] * len(infinite),
        ls="",
        marker="X",
        color=figures.color("broken"),
        clip_on=False,
    )
    ax.text(0.1, 1.97, "KL: infinite", color=figures.color("broken"), va="top")
    ax.plot([0], [0], ls="", marker="X", color=figures.color("broken"), zorder=3)
    ax.set(xlabel="shift of the second box", ylabel="distance", ylim=(-0.05, 2.2))
    return figure
