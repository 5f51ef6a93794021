"""What moves a density, and what happens in a cell between two points?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from fromnoise import figures
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import heun_step, sample
from fromnoise.schedules import Rectified
from fromnoise.targets import velocity_from_x_0

SCHEDULE = Rectified()


@dataclass(frozen=True)
class Config:
    n_points: int = 201
    n_paths: int = 15
    n_steps: int = 120
    t: float = 0.4
    cell: tuple[float, float] = (0.2, 0.7)
    # Central difference in time: its error is of the order of its square.
    d_t: float = 1e-4


SIZES = {"full": Config(), "smoke": Config(n_points=41, n_paths=5, n_steps=10)}


def data() -> GaussianMixture:
    means = torch.tensor([[-1.3], [1.0]], dtype=torch.float64)
    return GaussianMixture.isotropic(means, 0.3, torch.tensor([0.4, 0.6], dtype=torch.float64))


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    mixture = data()
    ask = denoiser(mixture, SCHEDULE)

    def noised(t: float) -> GaussianMixture:
        return mixture.noised(SCHEDULE(torch.tensor(t, dtype=torch.float64)))

    def velocity(x: Tensor, t: float) -> Tensor:
        times = torch.full((len(x),), t, dtype=torch.float64)
        return velocity_from_x_0(ask(x, times), x, SCHEDULE(times))

    low, high = config.cell
    ends = torch.tensor([[low], [high]], dtype=torch.float64)
    inside = torch.linspace(low, high, 2001, dtype=torch.float64)[:, None]

    def mass(t: float) -> float:
        return torch.trapezoid(noised(t).log_prob(inside).exp(), inside[:, 0]).item()

    flux = noised(config.t).log_prob(ends).exp() * velocity(ends, config.t)[:, 0]
    change = (mass(config.t + config.d_t) - mass(config.t - config.d_t)) / (2 * config.d_t)
    x = torch.linspace(-3, 3, config.n_points, dtype=torch.float64)[:, None]
    levels = (torch.arange(config.n_paths, dtype=torch.float64) + 0.5) / config.n_paths
    eps = torch.special.ndtri(levels)[:, None]
    times = torch.linspace(1, 0, config.n_steps + 1, dtype=torch.float64)
    paths = sample(ask, SCHEDULE, eps, times, heun_step, return_path=True)[..., 0]
    return {
        "x": x[:, 0].tolist(),
        "density": noised(config.t).log_prob(x).exp().tolist(),
        "ends": ends[:, 0].tolist(),
        "end_density": noised(config.t).log_prob(ends).exp().tolist(),
        "velocity": velocity(ends, config.t)[:, 0].tolist(),
        "mass": mass(config.t),
        "change": change,
        "in_minus_out": (flux[0] - flux[1]).item(),
        "t": config.t,
        "times": times.tolist(),
        "paths": [[round(v, 4) for v in path] for path in paths.T.tolist()],
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.7, ncols=2, sharey=False)
    x, density = results["x"], results["density"]
    left.plot(x, density, **figures.line_style("model"))
    low, high = results["ends"]
    inside = [low <= v <= high for v in x]
    left.fill_between(x, density, where=inside, color=figures.color("model"), alpha=0.25, lw=0)
    for end, height, speed in zip(
        results["ends"], results["end_density"], results["velocity"], strict=True
    ):
        left.plot([end, end], [0, height], color=figures.color("ink"), lw=0.9)
        left.annotate(
            "",
            (end + speed, height / 2),
            (end, height / 2),
            arrowprops={"arrowstyle": "->", "color": figures.color("ink"), "lw": 1.4},
        )
    left.set(xlabel="x", ylim=(0, None), ylabel="density")
    figures.panel_label(left, f"density at t = {results['t']:g}", "model")
    for path in results["paths"]:
        right.plot(path, results["times"], color=figures.color("model"), linestyle="-", lw=1.1)
    right.set(xlabel="x", ylabel="time t", ylim=(0, 1), xlim=(-3, 3))
    figures.panel_label(right, "paths of the flow", "model")
    return figure
