"""Does each sampler have the order that its derivation promises?"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.samplers._common import EXACT, PLANE, SCHEDULE, counted, ticks
from fromnoise import figures
from fromnoise.adaptive import adaptive_sample
from fromnoise.exponential import combine, exponential_weights, step_ends
from fromnoise.multistep import DPMSolverMultistep, UniPC
from fromnoise.samplers import Denoiser, ddim_step, heun_step, sample
from fromnoise.schedules import Schedule
from fromnoise.solvers import dpm_solver_2_step, dpm_solver_3_step


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_points: int = 100
    n_steps: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    # Away from both ends, where log-SNR is infinite: an order is a statement about small steps.
    t_max: float = 0.95
    t_min: float = 0.05
    tolerances: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
    reference: float = 1e-11


SIZES = {
    "full": Config(),
    "smoke": Config(n_points=5, n_steps=(16, 32), tolerances=(1e-2, 1e-3), reference=1e-8),
}


class HalfBend:
    """Multistep 3 as common programs have it: half of m_2 in the bend, a start of order one."""

    def __init__(self) -> None:
        self.known: list[tuple[Tensor, Tensor]] = []

    def __call__(
        self,
        denoiser: Denoiser,
        schedule: Schedule,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        at_t, at_s, h = step_ends(schedule, t, s)
        self.known.insert(0, (at_t.log_snr_t, denoiser(x_t, t.expand(len(x_t)))))
        del self.known[3:]
        nodes = [((log_snr - at_t.log_snr_t) / (2 * h)).item() for log_snr, _ in self.known]
        weights = exponential_weights(h, nodes)
        if len(nodes) == 3:
            straight = torch.cat([exponential_weights(h, nodes[:2]), torch.zeros(1).double()])
            # The rest is the bend's part, in proportion to its weight m_2 - c_1 m_1. The moments
            # are those of a line through 0 and 1 and of a parabola through 0, 1 and 4.
            m_1 = exponential_weights(h, [0.0, 1.0])[1]
            _, at_one, at_two = exponential_weights(h, [0.0, 1.0, 2.0])
            m_2, c_1 = at_one + 4 * at_two, nodes[1]
            share = (m_2 / 2 - c_1 * m_1) / (m_2 - c_1 * m_1)
            weights = straight + share * (weights - straight)
        return combine(x_t, at_t, at_s, [estimate for _, estimate in self.known], weights)


SOLVERS = {
    "ddim": (lambda: ddim_step, 1),
    "heun": (lambda: heun_step, 2),
    "single_2": (lambda: dpm_solver_2_step, 2),
    "multistep_2": (lambda: DPMSolverMultistep(2), 2),
    "half_bend": (HalfBend, 2),
    "single_3": (lambda: dpm_solver_3_step, 3),
    "multistep_3": (lambda: DPMSolverMultistep(3), 3),
    "unipc": (UniPC, 3),
}


def typical(x: Tensor, y: Tensor) -> float:
    """Median distance: a mean would follow the few points whose path passes near a fork."""
    return float((x - y).norm(dim=1).median())


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    start = torch.tensor(config.t_max, dtype=torch.float64)
    x_1 = PLANE.noised(SCHEDULE(start)).sample(
        config.n_points, torch.Generator().manual_seed(config.seed)
    )
    adaptive = partial(adaptive_sample, EXACT, SCHEDULE, x_1, config.t_max, config.t_min)
    exact = adaptive(rtol=config.reference, atol=config.reference).x
    ends = SCHEDULE(torch.tensor([config.t_max, config.t_min], dtype=torch.float64)).log_snr_t
    results: dict = {"n_steps": list(config.n_steps), "solvers": {}}
    for name, (make, order) in SOLVERS.items():
        errors, calls = [], []
        for n in config.n_steps:
            even = torch.linspace(ends[0], ends[1], n + 1, dtype=torch.float64)
            times = SCHEDULE.time_at(even)
            ask, called = counted(EXACT)
            errors.append(typical(sample(ask, SCHEDULE, x_1, times, make()), exact))
            calls.append(len(called))
        finer = config.n_steps[-1] / config.n_steps[-2]
        measured = math.log(errors[-2] / errors[-1]) / math.log(finer)
        results["solvers"][name] = {
            "promised": order,
            "order": measured,
            "n_evals": calls,
            "error": errors,
        }
    walks = [adaptive(rtol=tolerance, atol=tolerance) for tolerance in config.tolerances]
    results["adaptive"] = {
        "tolerance": list(config.tolerances),
        "n_evals": [walk.n_evals for walk in walks],
        "error": [typical(walk.x, exact) for walk in walks],
        "steps": (-walks[0].times.diff()).tolist(),
    }
    gaps = [abs(found["order"] - found["promised"]) for found in results["solvers"].values()]
    results["largest_gap"] = max(gaps)
    return results


LINES = {
    # Dash and marker, color, name, place. Only half the bend is broken.
    "ddim": ("ink", "ink", "DDIM", 1, 9),
    "heun": ("data", "muted", "Heun", 2, 9),
    "multistep_2": ("model", "model", "multistep 2", 3, 9),
    "half_bend": ("broken", "broken", "half the bend", 3, -11),
    "multistep_3": ("noise", "model", "multistep 3", 3, -11),
}


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(3.4, ncols=2)
    for ax, x in zip(axes, ("n_steps", "n_evals"), strict=True):
        for name, (role, tone, text, place, dy) in LINES.items():
            found = results["solvers"][name]
            xs = results["n_steps"] if x == "n_steps" else found["n_evals"]
            style = figures.line_style(role, color=figures.color(tone))
            (line,) = ax.loglog(xs, found["error"], marker=figures.marker(role), **style)
            # Two lines lie close to multistep 2; each is named in the panel with room for it.
            here = "n_steps" if name != "heun" else "n_evals"
            if (x == here and name != "half_bend") or (name == "half_bend" and x == "n_evals"):
                label = f"{text} ({found['order']:.1f})"
                dx = -58 if dy < 0 else 6
                figures.label_line(line, label, x=xs[min(place, len(xs) - 1)], dx=dx, dy=dy)
    found = results["adaptive"]
    (line,) = axes[1].loglog(
        found["n_evals"], found["error"], **figures.line_style("muted"), marker="x"
    )
    figures.label_line(line, "adaptive", dx=-40, dy=-12)
    for ax, shown in zip(axes, ((16, 64, 256), (32, 128, 512)), strict=True):
        ticks(ax, shown)
    axes[0].set(xlabel="steps")
    axes[1].set(xlabel="calls of the denoiser")
    figures.panel_label(axes[0], "distance to the exact flow")
    return figure
