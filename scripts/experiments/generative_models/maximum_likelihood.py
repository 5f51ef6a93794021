"""Is the parameter of highest likelihood the one of smallest KL divergence from the data?"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fromnoise import figures
from fromnoise.gaussians import Gaussian
from fromnoise.intervals import mean_interval
from fromnoise.mixtures import GaussianMixture


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = tuple(range(20))
    sizes: tuple[int, ...] = (30, 300, 3000)
    n_points: int = 61
    grid: int = 4001  # points of the integrals


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), sizes=(30, 300), n_points=9, grid=401)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    weights = torch.tensor([0.35, 0.65], dtype=torch.float64, device=device)
    means = torch.tensor([[-1.6], [1.0]], dtype=torch.float64, device=device)
    widths = torch.tensor([0.45, 0.7], dtype=torch.float64, device=device)
    q_data = GaussianMixture(weights, means, widths.square().view(2, 1, 1))
    x = torch.linspace(-9, 9, config.grid, dtype=torch.float64, device=device)[:, None]
    dx = float(x[1, 0] - x[0, 0])
    log_q = q_data.log_prob(x)
    entropy = float(-(log_q.exp() * log_q).sum() * dx)
    std = float(q_data.covariance.sqrt())

    centers = torch.linspace(-2, 2.2, config.n_points, dtype=torch.float64, device=device)
    log_p = torch.stack([model(float(c), std, x) for c in centers])
    kl = ((log_q.exp() * (log_q - log_p)).sum(-1) * dx).tolist()

    costs, errors = {}, {}
    for n in config.sizes:
        found = []
        for seed in config.seeds:
            sample = q_data.sample(n, torch.Generator(device).manual_seed(seed))
            nll = torch.stack([-model(float(c), std, sample).mean() for c in centers])
            if seed == config.seeds[0]:
                costs[f"n_{n}"] = nll.tolist()
            found.append(abs(float(sample.mean() - q_data.mean)))
        errors[f"n_{n}"] = mean_interval(found)
    shown = torch.linspace(-4, 4, 161, dtype=torch.float64, device=device)[:, None]
    return {
        "entropy": entropy,
        "kl_at_best": min(kl),
        "best_center": float(q_data.mean),
        "centers": centers.tolist(),
        "kl": kl,
        "costs": costs,
        "errors": errors,
        "x": shown[:, 0].tolist(),
        "q_data": q_data.log_prob(shown).exp().tolist(),
        "p_model": model(float(q_data.mean), std, shown).exp().tolist(),
    }


def model(center: float, std: float, x: Tensor) -> Tensor:
    """Log density of the family: one Gaussian, of which only the center may move."""
    return Gaussian(x.new_tensor([center]), x.new_tensor([[std**2]])).log_prob(x)


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.8, ncols=2, sharey=False)
    x = results["x"]
    left.fill_between(x, results["q_data"], color=figures.color("data"), alpha=0.15, linewidth=0)
    left.plot(x, results["q_data"], **figures.line_style("data"))
    left.plot(x, results["p_model"], **figures.line_style("model"))
    left.text(1.75, 0.33, "data", color=figures.color("data"))
    left.text(-3.9, 0.13, "best model", color=figures.color("model"))
    left.set_ylim(bottom=0)
    left.set_xlabel("x")
    left.set_ylabel("density")
    centers, entropy = results["centers"], results["entropy"]
    cross = [k + entropy for k in results["kl"]]
    right.plot(centers, cross, **figures.line_style("data"))
    sizes = list(results["costs"])
    for name, shade in zip(sizes, figures.shades("model", len(sizes)), strict=True):
        (line,) = right.plot(centers, results["costs"][name], ":", color=shade)
        if name == sizes[0]:
            figures.label_line(line, f"{name[2:]} samples", x=1.35, dx=6, dy=-6)
    right.axhline(entropy, **figures.line_style("muted"))
    right.text(centers[0], entropy + 0.03, "entropy of the data", color=figures.color("muted"))
    best = results["best_center"]
    right.annotate(
        "",
        (best, entropy),
        (best, entropy + results["kl_at_best"]),
        arrowprops={"arrowstyle": "<->", "color": figures.color("ink"), "linewidth": 0.8},
    )
    right.text(best + 0.12, entropy + 0.5 * results["kl_at_best"], "KL", va="center")
    right.set_xlabel("center of the model")
    right.set_ylabel("mean of $-\\log p$, nats")
    right.set_ylim(entropy - 0.1, max(cross) + 0.1 * math.copysign(1, max(cross)))
    return figure
