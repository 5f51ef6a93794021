"""How do the data and the noisy value share the say about the step between them?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from fromnoise import figures
from fromnoise.diffusion import posterior, transition
from fromnoise.schedules import Cosine


@dataclass(frozen=True)
class Config:
    x_0: float = 1.0
    x_t: float = -0.35
    s: float = 0.4
    t: float = 0.6
    n_points: int = 241


SIZES = {"full": Config(), "smoke": Config(n_points=11)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    at_s, at_t = (Cosine()(torch.tensor(v, dtype=torch.float64)) for v in (config.s, config.t))
    x_s = torch.linspace(-2, 2.5, config.n_points, dtype=torch.float64)
    alpha_ts, var_ts = transition(at_t, at_s)
    x_t = torch.tensor([config.x_t], dtype=torch.float64)
    x_0 = torch.tensor([config.x_0], dtype=torch.float64)
    mean, var = posterior(x_t, x_0, at_t, at_s)
    return {
        "x_s": x_s.tolist(),
        # As functions of x_s: the first is a density, the second a likelihood.
        "from_data": bell(x_s, at_s.alpha_t * config.x_0, at_s.sigma_t.square()),
        "from_noisy": bell(x_s, config.x_t / alpha_ts, var_ts / alpha_ts.square()),
        "both": bell(x_s, mean, var),
        "x_0": config.x_0,
        "x_t": config.x_t,
    }


def bell(x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor) -> list[float]:
    density = torch.exp(-(x - mean).square() / (2 * var)) / (2 * np.pi * var).sqrt()
    return density.round(decimals=5).tolist()


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, ax = figures.figure(2.0)
    words = {
        "from_data": ("what the data says: $q(x_s \\mid x_0)$", "data", 1.0),
        "from_noisy": ("what $x_t$ says: $q(x_t \\mid x_s)$", "noise", -0.75),
        "both": ("both: $q(x_s \\mid x_t, x_0)$", "ink", 0.25),
    }
    for key, (text, role, x) in words.items():
        (line,) = ax.plot(results["x_s"], results[key], **figures.line_style(role))
        shift = {"from_data": (10, 6), "from_noisy": (-10, 8), "both": (-8, 4)}[key]
        figures.label_line(
            line,
            text,
            x=x,
            dx=shift[0],
            dy=shift[1],
            ha="left" if key == "from_data" else "right",
        )
    for key, role in (("x_0", "data"), ("x_t", "noise")):
        ax.plot([results[key]], [0], figures.marker(role), color=figures.color(role), clip_on=False)
        ax.annotate(
            f"${key}$",
            (results[key], 0),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            color=figures.color(role),
        )
    ax.set(xlabel="$x_s$", ylim=(0, None), xlim=(-2, 2.5))
    figures.panel_label(ax, "density")
    return figure
