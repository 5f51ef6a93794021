"""What does a denoiser know that was trained at a single noise level?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from fromnoise import figures

needs = ("diffusion/digits",)


@dataclass(frozen=True)
class Config:
    # The log-SNR of the one time that training used, t = 1/2 of the cosine schedule.
    log_snr: float = 0.0


SIZES = {"full": Config(), "smoke": Config()}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    trained = needed["diffusion/digits"]
    results = {
        name: {key: trained[name][key] for key in ("images", "bound", "frechet", "curve")}
        for name in ("whole", "one_time")
    }
    curves = {name: results[name]["curve"] for name in ("whole", "one_time")}
    place = curves["whole"]["log_snr"].index(config.log_snr)
    results["cost_at_its_time"] = {name: found["mean"][place] for name, found in curves.items()}
    results["cost_elsewhere"] = {name: found["mean"][-1] for name, found in curves.items()}
    return results


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, middle, right) = figures.figure(
        2.2, ncols=3, sharey=False, width_ratios=[1, 1, 1.25]
    )
    for ax, name, role, text in (
        (left, "whole", "model", "every t"),
        (middle, "one_time", "broken", "t = 1/2 only"),
    ):
        figures.image_grid(ax, results[name]["images"][:20], levels=(0, 16), ncols=5, role=role)
        figures.panel_label(ax, text, role)
        found = results[name]["curve"]
        right.plot(found["log_snr"], found["mean"], **figures.line_style(role))
    right.axvline(0, color=figures.color("muted"), lw=0.8, zorder=0)
    right.set(xlabel="log-SNR", ylim=(0, None), xlim=(-6, 6))
    figures.panel_label(right, "cost by noise level")
    return figure
