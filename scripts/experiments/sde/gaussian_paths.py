"""For Gaussian data: do simulated ways back remember their noise as much as the formula says?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.sde._common import SCHEDULE, exact_score, over_seeds, times_down
from fromnoise import figures
from fromnoise.gaussians import Gaussian
from fromnoise.sde import reverse_sde, simulate


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_paths: int = 4000
    n_steps: int = 500
    etas: tuple[float, ...] = (0.0, 0.3, 0.5, 1.0, 1.7)
    mean: float = 0.7
    var: float = 0.36
    every: int = 10


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_paths=60, n_steps=40)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = Gaussian(
        torch.tensor([config.mean], dtype=torch.float64),
        torch.tensor([[config.var]], dtype=torch.float64),
    )
    times = times_down(config.n_steps)
    at = SCHEDULE(times)
    var_t = at.alpha_t.square() * config.var + at.sigma_t.square()
    base = at.alpha_t[0] / at.alpha_t * (var_t / var_t[0]).sqrt()
    shown = list(range(0, config.n_steps + 1, config.every))
    results: dict = {"t": [round(float(times[i]), 4) for i in shown], "etas": list(config.etas)}
    for eta in config.etas:
        dynamics = reverse_sde(exact_score(data, SCHEDULE), SCHEDULE, eta)
        curves, means, stds = [], [], []
        for seed in range(config.seed, config.seed + config.n_seeds):
            generator = torch.Generator().manual_seed(seed)
            start = data.noised(SCHEDULE(times[0])).sample(config.n_paths, generator)
            path = simulate(dynamics, start, times, generator, return_path=True)[shown][..., 0]
            centered = path - path.mean(1, keepdim=True)
            covariance = (centered * centered[0]).mean(1)
            rho = covariance / (path.std(1, correction=0) * path[0].std(correction=0))
            curves.append(rho)
            means.append(float(path[-1].mean()))
            stds.append(float(path[-1].std() / var_t[-1].sqrt()))
        exact = base ** (eta**2)
        gap = max(float((rho - exact[shown]).abs().max()) for rho in curves)
        results[key(eta)] = {
            "exact": [round(float(r), 5) for r in exact[shown]],
            "simulated": [round(float(r), 5) for r in torch.stack(curves).mean(0)],
            "largest_gap": gap,
            "mean": over_seeds(means),
            "std": over_seeds(stds),
            "at_half": over_seeds([float(rho[len(shown) // 2]) for rho in curves]),
        }
    results["largest_gap"] = max(results[key(eta)]["largest_gap"] for eta in config.etas)
    return results


def key(eta: float) -> str:
    return f"eta{eta:.1f}".replace(".", "_")


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8)
    places = {0.0: 0.3, 0.3: 0.33, 0.5: 0.42, 1.0: 0.72, 1.7: 0.93}
    shades = figures.shades("model", len(results["etas"]))
    for eta, shade in zip(results["etas"], shades, strict=True):
        found = results[key(eta)]
        (line,) = ax.plot(results["t"], found["exact"], "-", color=shade, lw=1.8)
        ax.plot(results["t"][::2], found["simulated"][::2], "o", color=shade, ms=3.5)
        figures.label_line(line, f"η = {eta:g}", x=places.get(eta, 0.5), dy=7, ha="right")
    ax.set(xlabel="t (walked from right to left)", ylim=(-0.06, 1.1), xlim=(0, 1))
    figures.panel_label(ax, "correlation with the starting noise")
    return figure
