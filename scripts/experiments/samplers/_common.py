"""What the experiments of this chapter share: exact and learned denoisers, walks, and counting."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from matplotlib.axes import Axes
from torch import Tensor

from experiments.sde._common import PLANE
from fromnoise import figures
from fromnoise.intervals import mean_interval
from fromnoise.multistep import DPMSolverMultistep, UniPC
from fromnoise.oracles import denoiser
from fromnoise.samplers import Denoiser, Step, ancestral_step, ddim_step, heun_step, sample
from fromnoise.schedules import Rectified

SCHEDULE = Rectified()
EXACT = denoiser(PLANE, SCHEDULE)
# Makes a fresh step: those that remember must not share their memories.
MAKE: dict[str, Callable[[], Step]] = {
    "ancestral": lambda: ancestral_step,
    "ddim": lambda: ddim_step,
    "heun": lambda: heun_step,
    "multistep_2": lambda: DPMSolverMultistep(2),
    "multistep_3": lambda: DPMSolverMultistep(3),
    "unipc": UniPC,
}
TEXT = {
    "ancestral": "ancestral",
    "ddim": "DDIM",
    "heun": "Heun",
    "multistep_2": "multistep 2",
    "multistep_3": "multistep 3",
    "unipc": "UniPC",
}
# Dash and marker of a sampler, and its color: no sampler is data, noise or broken.
ROLE = {"ddim": "ink", "heun": "data", "multistep_2": "model", "unipc": "noise"}
COLOR = {"ddim": "ink", "heun": "muted", "multistep_2": "model", "unipc": "model"}

walk = partial(sample, schedule=SCHEDULE)


def normal(n: int, n_dims: int, seed: int) -> Tensor:
    """The noise that a walk starts from."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_dims, generator=generator, dtype=torch.float64)


def counted(ask: Denoiser) -> tuple[Denoiser, list[int]]:
    """The same denoiser, and a list that grows with each call."""
    calls: list[int] = []

    def asked(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append(1)
        return ask(x_t, t)

    return asked, calls


def apart(x: Tensor, y: Tensor) -> float:
    """Root mean square distance of points that started from the same noise."""
    return float((x - y).square().flatten(1).sum(1).mean().sqrt())


def over(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [float(f"{value:.5g}") for value in values]}


def line(ax: Axes, x: Sequence[float], rows: Sequence[dict], role: str, **style: object) -> object:
    """Means over seeds joined by a line, with their intervals as a band."""
    means = [row["mean"] for row in rows]
    (drawn,) = ax.loglog(x, means, marker=figures.marker(role), **figures.line_style(role, **style))
    low = [max(row["low"], 0.5 * row["mean"]) for row in rows]
    ax.fill_between(
        x, low, [row["high"] for row in rows], color=drawn.get_color(), alpha=0.15, lw=0
    )
    return drawn


def ticks(ax: Axes, values: Sequence[int]) -> None:
    ax.set_xticks(list(values), [str(value) for value in values])
    ax.minorticks_off()
