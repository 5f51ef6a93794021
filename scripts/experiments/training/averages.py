"""How far should the average of the weights look back, and what if it remembers its start?"""

import copy
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import nn

from experiments.training._common import SCHEDULE, TARGET, over
from fromnoise import figures
from fromnoise.datasets import Splits, digits
from fromnoise.denoising import denoising_loss
from fromnoise.networks import UNet
from fromnoise.training import TrainingSettings, train, update_average

DECAYS = (0.8, 0.9, 0.97, 0.99, 0.999, 0.9999)


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    channels: int = 16
    n_steps: int = 220
    batch_size: int = 32
    learning_rate: float = 7e-3
    n_rounds: int = 4


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, channels=8, n_steps=2, n_rounds=1)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    corrected: list[list[float]] = [[] for _ in DECAYS]
    plain: list[list[float]] = [[] for _ in DECAYS]
    last = []
    for seed in range(config.seed, config.seed + config.n_seeds):
        losses = one_run(config, seed, data)
        last.append(losses["last"])
        for index in range(len(DECAYS)):
            corrected[index].append(losses["corrected"][index])
            plain[index].append(losses["plain"][index])
    found = {
        "decay": list(DECAYS),
        "corrected": [over(values) for values in corrected],
        "plain": [over(values) for values in plain],
        "last": over(last),
    }
    means = [interval["mean"] for interval in found["corrected"]]
    best = min(range(len(DECAYS)), key=means.__getitem__)
    window = 1 / (1 - DECAYS[best])
    found["best"] = {"decay": DECAYS[best], "window": window, **found["corrected"][best]}
    found["slowest"] = {"corrected": found["corrected"][-1], "plain": found["plain"][-1]}
    return found


def one_run(config: Config, seed: int, data: Splits) -> dict:
    """One training at a constant rate; every average of its weights is taken on the way."""
    start = UNet(8, config.channels, 10, seed=seed)
    corrected = [copy.deepcopy(start) for _ in DECAYS]
    plain = [copy.deepcopy(start) for _ in DECAYS]
    step = 0

    def follow(network: nn.Module) -> dict[str, float]:
        nonlocal step
        step += 1
        for decay, slow, biased in zip(DECAYS, corrected, plain, strict=True):
            update_average(slow, network, step, decay)
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(biased.parameters()), list(network.parameters()), 1 - decay
                )
        return {}

    trained = train(
        start,
        denoising_loss(SCHEDULE, TARGET),
        tuple(data.train),
        TrainingSettings(
            n_steps=config.n_steps,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            final_share=1.0,
            ema_decay=0.0,  # so that `follow` is handed the weights themselves
            seed=seed,
        ),
        measure=follow,
        measure_every=1,
    )

    @torch.no_grad()
    def held_out(network: nn.Module) -> float:
        """Loss on the validation images, at the same times and noise for every network."""
        generator = torch.Generator().manual_seed(0)
        loss = denoising_loss(SCHEDULE, TARGET)
        rounds = [
            loss(network.eval(), tuple(data.validation), generator) for _ in range(config.n_rounds)
        ]
        return float(torch.stack(rounds).mean())

    return {
        "corrected": [held_out(network) for network in corrected],
        "plain": [held_out(network) for network in plain],
        "last": held_out(trained.last),
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.3, ncols=2, sharey=False)
    windows = [1 / (1 - decay) for decay in results["decay"]]
    for ax, names in ((left, ("plain", "corrected")), (right, ("corrected",))):
        for name in names:
            role = "broken" if name == "plain" else "model"
            low, mean, high = ([i[key] for i in results[name]] for key in ("low", "mean", "high"))
            ax.fill_between(windows, low, high, color=figures.color(role), alpha=0.25, lw=0)
            line = ax.plot(windows, mean, **figures.line_style(role))[0]
            if name == "plain":
                figures.label_line(line, "started untrained", dx=-24, dy=-2, ha="right")
            else:
                figures.label_line(line, "corrected", dx=-4, dy=9, ha="right")
        ax.set(xscale="log", xlabel="window, 1 / (1 - d) steps")
    last = results["last"]["mean"]
    right.axhline(last, **figures.line_style("muted", lw=1.0))
    right.text(1.6, last, "last weights", va="bottom", color=figures.color("muted"))
    right.set_xlim(1.4, None)
    figures.panel_label(left, "loss on held-out images")
    figures.panel_label(right, "the same, closer")
    return figure
