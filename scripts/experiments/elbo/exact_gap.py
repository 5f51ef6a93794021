"""Is log p(x) minus the ELBO the KL divergence to the posterior, to the last digit?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.gaussians import Gaussian
from fromnoise.information import gaussian_kl_divergence
from fromnoise.linear_elbo import (
    elbo_gap,
    fit_linear_gaussian,
    linear_elbo,
    linear_posterior,
    standard_normal,
)


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_latents: int = 8
    n_random: int = 20  # random q per test image, for the check of the decomposition
    n_points: int = 41


SIZES = {"full": Config(), "smoke": Config(n_random=2, n_points=5)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, x = (s.images.flatten(1).double().to(device) for s in (data.train, data.test))
    model = fit_linear_gaussian(train, config.n_latents)
    posterior = linear_posterior(model, x)
    covariance = posterior.covariance[0]  # the same for every image
    log_px = model.log_prob(x)

    widths = torch.logspace(-1.3, 0.6, config.n_points, dtype=x.dtype).to(device)
    by_width = [Gaussian(posterior.mean, width * covariance) for width in widths]
    shifts = torch.linspace(-3, 3, config.n_points, dtype=x.dtype).to(device)
    one_std = posterior.eigenvectors[:, -1] * posterior.eigenvalues[0, -1].sqrt()
    by_shift = [Gaussian(posterior.mean + shift * one_std, covariance) for shift in shifts]

    generator = torch.Generator(device).manual_seed(config.seed)
    shape = (len(x), config.n_latents, config.n_latents)
    eye = torch.eye(config.n_latents, dtype=x.dtype, device=device)
    worst = 0.0
    for _ in range(config.n_random):
        root = torch.randn(shape, generator=generator, dtype=x.dtype, device=device)
        step = torch.randn(shape[:2], generator=generator, dtype=x.dtype, device=device)
        q = Gaussian(posterior.mean + step, root @ root.mT + 0.1 * eye)
        total = linear_elbo(model, x, q) + elbo_gap(model, x, q)
        worst = max(worst, float(((total - log_px) / log_px).abs().max()))
    rate = gaussian_kl_divergence(posterior, standard_normal(posterior)).mean()
    return {
        "log_px": float(log_px.mean()),
        "rate": float(rate),
        "distortion": float(-log_px.mean() - rate),
        "widths": widths.tolist(),
        "elbo_by_width": [float(linear_elbo(model, x, q).mean()) for q in by_width],
        "shifts": shifts.tolist(),
        "elbo_by_shift": [float(linear_elbo(model, x, q).mean()) for q in by_shift],
        "worst_relative_error": worst,
        "n_checked": config.n_random * len(x),
    }


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.9, ncols=2)
    log_px = results["log_px"]
    for ax, across in ((left, "width"), (right, "shift")):
        draw_gap(ax, results[f"{across}s"], results[f"elbo_by_{across}"], log_px)
    left.set_xscale("log")
    left.set_xlabel("variance of q over that of the posterior")
    left.set_ylabel("nats per image")
    right.set_xlabel("shift of q, in posterior standard deviations")
    left.set_xticks([0.1, 1, 4], ["0.1", "1", "4"])
    left.minorticks_off()
    top, bottom = log_px, min(results["elbo_by_width"])
    left.text(0.055, top + 0.25, "log p(x)", color=figures.color("data"))
    left.text(0.28, top + 0.5 * (bottom - top), "ELBO", color=figures.color("model"))
    note = "shaded: the KL divergence\nof q to the posterior"
    right.text(0, top + 0.75 * (bottom - top), note, ha="center")
    return figure


def draw_gap(ax: Axes, xs: list[float], bound: list[float], log_px: float) -> None:
    ax.plot([xs[0], xs[-1]], [log_px] * 2, **figures.line_style("data"))
    ax.plot(xs, bound, **figures.line_style("model"))
    ax.fill_between(xs, bound, log_px, color=figures.color("broken"), alpha=0.18, linewidth=0)
