"""How much of a point survives noise up to time t and the way back, exactly?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from experiments.applications._common import at_time, over
from fromnoise import figures
from fromnoise.applications import renoise
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ancestral_step, ddim_step, uniform_times
from fromnoise.schedules import Rectified


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_points: int = 2000
    n_steps: int = 60
    std: float = 0.3
    n_lines: int = 97


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_points=50, n_steps=3, n_lines=9)}
SCHEDULE = Rectified()
TIMES = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STEPS = {"ancestral": ancestral_step, "flow": ddim_step}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    means = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    bells = GaussianMixture.isotropic(means, config.std)
    found: dict = {
        "times": list(TIMES),
        "lines": lines(bells, config),
    }
    for name, step in STEPS.items():
        stays: dict[str, list] = {at_time(t): [] for t in TIMES}
        moved: dict[str, list] = {at_time(t): [] for t in TIMES}
        for seed in range(config.n_seeds):
            generator = torch.Generator().manual_seed(seed)
            x_0 = bells.sample(config.n_points, generator)
            for t in TIMES:
                # The same share of steps for every start, down to clean data.
                grid = uniform_times(max(2, round(t * config.n_steps)), t)
                back = renoise(denoiser(bells, SCHEDULE), SCHEDULE, x_0, grid, generator, step)
                stays[at_time(t)].append(float((back.sign() == x_0.sign()).double().mean()))
                moved[at_time(t)].append(float((back - x_0).square().mean()))
        found[name] = {
            "stays": {t: over(values) for t, values in stays.items()},
            "moved": {t: over(values) for t, values in moved.items()},
        }
    return found


def lines(bells: GaussianMixture, config: Config) -> dict:
    """Exact shares and distances, by integrals over x_t."""
    t = torch.linspace(0.02, 0.98, config.n_lines, dtype=torch.float64)
    x = torch.linspace(-8, 8, 8001, dtype=torch.float64)[:, None]
    found: dict[str, list] = {"ancestral": [], "flow": [], "moved": []}
    for at in t:
        scales = SCHEDULE(at)
        noised = bells.noised(scales)
        right = noised.component(1).log_prob(x).exp()
        stays = noised.responsibilities(x)[:, 1]
        width = float(x[1] - x[0])
        found["ancestral"].append(float((right * stays).sum() * width))
        found["flow"].append(float(right[x[:, 0] > 0].sum() * width))
        error = bells.posterior_covariance(x, scales)[:, 0, 0]
        found["moved"].append(float(2 * (noised.log_prob(x).exp() * error).sum() * width))
    return {"t": rounded(t)} | {name: rounded(values) for name, values in found.items()}


def rounded(values: Tensor | list) -> list[float]:
    return [round(float(value), 5) for value in values]


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.7, ncols=2, sharey=False)
    exact = results["lines"]
    for name, role in (("flow", "model"), ("ancestral", "ink")):
        left.plot(exact["t"], exact[name], **figures.line_style(role))
        values = [results[name]["stays"][at_time(t)]["mean"] for t in results["times"]]
        left.plot(results["times"], values, figures.marker(role), color=figures.color(role))
        values = [results[name]["moved"][at_time(t)]["mean"] for t in results["times"]]
        right.plot(results["times"], values, figures.marker(role), color=figures.color(role))
    left.text(0.56, 0.86, "flow", color=figures.color("model"))
    left.text(0.17, 0.72, "ancestral", color=figures.color("ink"))
    right.plot(exact["t"], exact["moved"], **figures.line_style("ink"))
    left.set(xlabel="noised up to t", ylim=(0.45, 1.02))
    right.set(xlabel="noised up to t", ylim=(0, None))
    figures.panel_label(left, "share that stays in its bell")
    figures.panel_label(right, "mean squared way")
    return figure
