"""What does each schedule leave of a digit at each time?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.diffusion._common import flat
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.diffusion import perturb
from fromnoise.schedules import Cosine, Rectified, VPLinear


@dataclass(frozen=True)
class Config:
    seed: int = 0
    image: int = 3
    n_times: int = 9
    n_points: int = 101


SIZES = {"full": Config(), "smoke": Config(n_times=3, n_points=9)}
SCHEDULES = {"cosine": Cosine(), "rectified": Rectified(), "linear β": VPLinear()}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    x_0 = flat(digits().test)[config.image].expand(config.n_times, 64)
    generator = torch.Generator().manual_seed(config.seed)
    eps = torch.randn(64, generator=generator).expand(config.n_times, 64)
    times = torch.linspace(0, 1, config.n_times, dtype=torch.float64)
    # The log-SNR is infinite at the ends of two of the three.
    inner = torch.linspace(0.005, 0.995, config.n_points, dtype=torch.float64)
    results = {"times": times.tolist(), "inner": inner.tolist(), "schedules": {}}
    for name, schedule in SCHEDULES.items():
        x_t = perturb(x_0, eps, schedule(times)).reshape(-1, 8, 8)
        results["schedules"][name] = {
            "images": x_t.double().round(decimals=2).tolist(),
            "log_snr": schedule(inner).log_snr_t.round(decimals=3).tolist(),
        }
    end = VPLinear()(torch.ones(1, dtype=torch.float64))
    results["linear_end"] = {"alpha": end.alpha_t.item(), "log_snr": end.log_snr_t.item()}
    return results


def draw(results: dict) -> matplotlib.figure.Figure:
    names = list(results["schedules"])
    figure, axes = figures.figure(2.5, ncols=2, sharey=False, width_ratios=[1.7, 1])
    left, right = axes
    rows = [results["schedules"][name]["images"] for name in names]
    figures.image_grid(left, rows, levels=(-1.6, 1.6))
    for row, name in enumerate(names):
        left.text(-2, 9 * row + 3.5, name, ha="right", va="center")
    times = results["times"]
    for column in range(0, len(times), max(1, len(times) // 4)):
        left.text(
            9 * column + 3.5, 9 * len(names) + 0.5, f"{times[column]:.2g}", ha="center", va="top"
        )
    left.text(-2, 9 * len(names) + 0.5, "t", ha="right", va="top")
    # A schedule is no data and no model: grays, told apart by dashes.
    dashes, tones = ("model", "data", "noise"), ("muted", "ink", "muted")
    for name, dash, tone in zip(names, dashes, tones, strict=True):
        (line,) = right.plot(
            results["inner"],
            results["schedules"][name]["log_snr"],
            **figures.line_style(dash, color=figures.color(tone)),
        )
        figures.label_line(
            line,
            name,
            x={"cosine": 0.52, "rectified": 0.1, "linear β": 0.6}[name],
            dy={"cosine": 8, "rectified": 8, "linear β": -9}[name],
            ha={"cosine": "left", "rectified": "left", "linear β": "right"}[name],
        )
    right.set(xlabel="t", ylim=(-11, 11), xlim=(0, 1))
    figures.panel_label(right, "log-SNR")
    return figure
