"""What does each level of noise teach a denoiser, direction by direction?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.autoencoders.chain_noise import SIGMAS
from fromnoise import figures

needs = ("autoencoders/chain_noise",)


@dataclass(frozen=True)
class Config:
    n_directions: int = 40  # the rest have hardly any variance


SIZES = {"full": Config(), "smoke": Config(n_directions=5)}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    found = needed["autoencoders/chain_noise"]
    n = config.n_directions
    variances = np.array(found["variances"][:n])
    gains = np.array(found["gains"])[:, :n]
    exact = variances / (variances + np.array(SIGMAS)[:, None] ** 2)
    return {
        "variances": variances.tolist(),
        "gains": gains.tolist(),
        "largest_miss": np.abs(gains - exact).max(1).tolist(),
        "mean_miss": np.abs(gains - exact).mean(1).tolist(),
        "linear": found["linear"],
        "error": [found["levels"][f"error{k}"] for k in range(len(SIGMAS))],
        "information": found["information"],
    }


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.9, ncols=2, sharey=False, width_ratios=[1.25, 1])
    variances = np.array(results["variances"])
    line = np.geomspace(variances.min(), variances.max(), 100)
    for sigma, gains, tint in zip(
        SIGMAS, results["gains"], figures.shades("model", len(SIGMAS)), strict=True
    ):
        (curve,) = left.plot(line, line / (line + sigma**2), color=tint, linestyle="-", lw=1.2)
        left.plot(variances, gains, "o", ms=2.5, color=tint)
        figures.label_line(curve, f"{sigma:g}")
    left.set(xscale="log", xlabel="variance of the direction", ylabel="share kept", ylim=(0, 1.02))
    left.text(0.02, 0.98, "$\\sigma$ at the right end", transform=left.transAxes, va="top")
    linear, error = results["linear"], [row["mean"] for row in results["error"]]
    for values, role, text, shift in (
        (linear, "ink", "linear, exact", 9),
        (error, "model", "network", -9),
    ):
        (curve,) = right.plot(
            SIGMAS, values, **figures.line_style(role, marker=figures.marker(role))
        )
        figures.label_line(
            curve,
            text,
            x=0.9,
            dx=6 if shift < 0 else -6,
            dy=shift,
            ha="left" if shift < 0 else "right",
        )
    right.set(xscale="log", xlabel="$\\sigma$", ylabel="error, share of variance", ylim=(0, 1))
    right.set_xticks(SIGMAS, [f"{s:g}" for s in SIGMAS])
    right.minorticks_off()
    return figure
