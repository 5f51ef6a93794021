"""What if the clock of the noising equation is simply turned back?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.sde._common import SCHEDULE, T_MIN, exact_score, over_seeds, times_down
from fromnoise import figures
from fromnoise.mixtures import GaussianMixture
from fromnoise.sde import Dynamics, forward_sde, reverse_sde, simulate


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_paths: int = 2000
    n_steps: int = 500
    n_drawn: int = 14
    every: int = 5


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_paths=40, n_steps=20)}
PAIR = GaussianMixture.isotropic(torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 0.1)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    up, down = times_down(config.n_steps).flip(0), times_down(config.n_steps)
    forward = forward_sde(SCHEDULE)
    without_noise = Dynamics(forward.drift, None)
    ways = {
        "clock": forward,
        "quiet": without_noise,
        "reverse": reverse_sde(exact_score(PAIR, SCHEDULE), SCHEDULE),
    }
    results: dict = {"t": [round(float(t), 4) for t in up[:: config.every]]}
    rms: dict[str, list[float]] = {name: [] for name in ways}
    near: dict[str, list[float]] = {name: [] for name in ways}
    first = PAIR.noised(SCHEDULE(torch.tensor(T_MIN, dtype=torch.float64)))
    for seed in range(config.seed, config.seed + config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        there = simulate(
            forward, first.sample(config.n_paths, generator), up, generator, return_path=True
        )
        if seed == config.seed:
            results["there"] = thin(there, config)
        for name, dynamics in ways.items():
            # A fresh draw of the noise: only the law of the forward walk is kept, not its ends.
            start = torch.randn(there[-1].shape, generator=generator, dtype=torch.float64)
            back = simulate(dynamics, start, down, generator, return_path=True)
            rms[name].append(float(back[-1].square().mean().sqrt()))
            near[name].append(float(((back[-1].abs() - 1).abs() < 0.3).double().mean()))
            if seed == config.seed:
                results[name] = {"paths": thin(back.flip(0), config)}
    for name in ways:
        results[name] |= {"rms": over_seeds(rms[name]), "near": over_seeds(near[name])}
    alpha_s, alpha_t = SCHEDULE(down[[-1, 0]]).alpha_t
    results["clock"]["rms_exact"] = float((2 * (alpha_s / alpha_t) ** 2 - 1).sqrt())
    return results


def thin(path: torch.Tensor, config: Config) -> list:
    rows = path[:: config.every, : config.n_drawn, 0].T
    return [[float(f"{float(x):.4g}") for x in row] for row in rows]


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.6, ncols=3, sharey=False)
    for ax, rows, role, text in (
        (axes[0], results["there"], "data", "forward: data to noise"),
        (axes[1], results["clock"]["paths"], "broken", "the clock turned back"),
        (axes[2], results["reverse"]["paths"], "model", "with the score"),
    ):
        for row in rows:
            ax.plot(results["t"], row, "-", color=figures.color(role), lw=0.6)
        ax.set(xlabel="t", xticks=[0, 0.5, 1])
        figures.panel_label(ax, text, role)
    for ax in (axes[0], axes[2]):
        ax.set(ylim=(-3.5, 3.5))
    return figure
