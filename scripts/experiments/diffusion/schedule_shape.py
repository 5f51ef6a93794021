"""Does the shape of the schedule change the loss, or only how noisily it is measured?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.diffusion._common import N_DIMS, digit_mixture, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.diffusion import elbo_weight, perturb
from fromnoise.information import bits_per_dim
from fromnoise.oracles import denoiser
from fromnoise.schedules import Cosine, Rectified, Scales, Schedule, VPLinear


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_draws: int = 6000
    n_points: int = 65
    log_snr_max: float = 8.0
    log_snr_min: float = -8.0


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_draws=20, n_points=5)}


class EvenLogSNR(Schedule):
    """The log-SNR falls in a straight line; variance is preserved."""

    def __init__(self, log_snr_max: float, log_snr_min: float) -> None:
        self.top, self.slope = log_snr_max, log_snr_min - log_snr_max

    def scales(self, t: torch.Tensor) -> Scales:
        signal = torch.sigmoid(self.top + self.slope * t)
        alpha_t, sigma_t = signal.sqrt(), (1 - signal).sqrt()
        half = self.slope / 2
        return Scales(alpha_t, sigma_t, half * alpha_t * (1 - signal), -half * sigma_t * signal)

    def time(self, log_snr: torch.Tensor) -> torch.Tensor:
        return (log_snr - self.top) / self.slope


def schedules(config: Config) -> dict[str, Schedule]:
    return {
        "rectified": Rectified(),
        "cosine": Cosine(),
        "linear β": VPLinear(),
        "even log-SNR": EvenLogSNR(config.log_snr_max, config.log_snr_min),
    }


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    test = flat(digits().test).double()
    mixture = digit_mixture()
    ends = torch.tensor([config.log_snr_max, config.log_snr_min], dtype=torch.float64)
    results = {"schedules": {}}
    for name, schedule in schedules(config).items():
        t_min, t_max = schedule.time_at(ends).tolist()
        means, spreads = [], []
        for seed in range(config.seed, config.seed + config.n_seeds):
            generator = torch.Generator().manual_seed(seed)
            rows = torch.randint(len(test), (config.n_draws,), generator=generator)
            uniform = torch.rand(config.n_draws, generator=generator, dtype=torch.float64)
            t = t_min + (t_max - t_min) * uniform
            x_0, scales = test[rows], schedule(t)
            eps = torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
            x_0_hat = denoiser(mixture, schedule)(perturb(x_0, eps, scales), t)
            distance = (x_0 - x_0_hat).square().sum(1)
            draws = bits_per_dim((t_max - t_min) * elbo_weight(scales) * distance, N_DIMS)
            means.append(draws.mean().item())
            spreads.append(draws.std().item())
        results["schedules"][name] = {"loss": over_seeds(means), "std": over_seeds(spreads)}
    stds = [found["std"]["mean"] for found in results["schedules"].values()]
    results["variance_ratio"] = (max(stds) / min(stds)) ** 2
    results["loss_spread"] = float(
        np.ptp([found["loss"]["mean"] for found in results["schedules"].values()])
    )
    results["loss"] = float(
        np.mean([found["loss"]["mean"] for found in results["schedules"].values()])
    )
    results["integrand"] = integrands(config, test, mixture)
    return results


def integrands(config: Config, test: torch.Tensor, mixture) -> dict:
    """Bits per pixel and unit of rescaled time, each schedule over its own range."""
    generator = torch.Generator().manual_seed(config.seed)
    u = torch.linspace(0, 1, config.n_points, dtype=torch.float64)
    found = {"time": u.tolist()}
    for name, schedule in schedules(config).items():
        ends = torch.tensor([config.log_snr_max, config.log_snr_min], dtype=torch.float64)
        t_min, t_max = schedule.time_at(ends).tolist()
        values = []
        for t in (t_min + (t_max - t_min) * u).clamp(t_min, t_max):
            rows = torch.randint(len(test), (64,), generator=generator)
            times = t.expand(len(rows))
            scales = schedule(times)
            eps = torch.randn((len(rows), N_DIMS), generator=generator, dtype=torch.float64)
            x_0_hat = denoiser(mixture, schedule)(perturb(test[rows], eps, scales), times)
            distance = (test[rows] - x_0_hat).square().sum(1)
            cost = (t_max - t_min) * elbo_weight(scales) * distance
            values.append(float(bits_per_dim(cost.mean(), N_DIMS)))
        found[name] = [float(f"{value:.4g}") for value in values]
    return found


def draw(results: dict) -> matplotlib.figure.Figure:
    names = list(results["schedules"])
    figure, axes = figures.figure(2.4, ncols=3, sharey=False, width_ratios=[1.5, 1, 1])
    # A schedule is no data and no model: grays, told apart by dashes and markers.
    dashes = dict(zip(names, ("data", "model", "noise", "broken"), strict=True))
    tones = dict(zip(names, map(figures.color, ("ink", "ink", "muted", "muted")), strict=True))
    for name in names:
        axes[0].semilogy(
            results["integrand"]["time"],
            results["integrand"][name],
            label=name,
            **figures.line_style(dashes[name], color=tones[name]),
        )
    axes[0].set(xlabel="time, over the schedule's range", ylim=(0.01, None))
    axes[0].legend(loc="upper right", fontsize=8, handlelength=2)
    figures.panel_label(axes[0], "cost per unit of time")
    for ax, key, text in ((axes[1], "loss", "mean"), (axes[2], "std", "standard deviation")):
        for place, name in enumerate(names):
            found = results["schedules"][name][key]
            ax.plot([found["low"], found["high"]], [place, place], color=tones[name])
            ax.plot(
                found["values"],
                [place] * len(found["values"]),
                figures.marker(dashes[name]),
                color=tones[name],
            )
        figures.sequence_axis(ax, names if ax is axes[1] else [""] * len(names), axis="y")
        ax.set(xlim=(0, None), ylim=(len(names) - 0.5, -0.5), xlabel="bits per pixel")
        figures.panel_label(ax, text)
    return figure
