"""What does score matching do to digits as they are, with no noise to give them a density?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.score._common import clean, over_seeds, small_network
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.score import rademacher_like, sliced_score_matching
from fromnoise.training import Batch, Loss, TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    sigmas: tuple[float, ...] = (0.0, 0.3)
    n_steps: int = 1000
    measure_every: int = 100


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_steps=4, measure_every=2)}


def sliced(sigma: float) -> Loss:
    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        x = batch[0] + sigma * torch.randn(batch[0].shape, generator=generator)
        return sliced_score_matching(clean(network), x, rademacher_like(x, generator)).mean()

    return loss


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    x = digits().train.images.flatten(1)
    never_inked = int((x.amax(0) == x.amin(0)).sum())
    curves: dict[str, dict] = {}
    for sigma in config.sigmas:
        runs, steps = [], []
        for seed in config.seeds:
            # The gradient is clipped and the rate constant: what falls, falls at an even pace.
            settings = TrainingSettings(n_steps=config.n_steps, final_share=1.0, seed=seed)
            trained = train(
                small_network(64, seed, 96),
                sliced(sigma),
                (x,),
                settings,
                folder=workdir / f"{sigma:g}-{seed}",
                measure=lambda network: {},
                measure_every=config.measure_every,
            )
            runs.append([record["loss"] for record in trained.records])
            steps = [int(record["step"]) for record in trained.records]
        n_last = max(1, len(steps) * 3 // 10)
        curves[f"sigma{sigma:g}"] = {
            "steps": steps,
            "mean": torch.tensor(runs).mean(0).tolist(),
            # Single records are noisy: the mean of the last three tenths of training.
            "last": over_seeds([float(torch.tensor(r[-n_last:]).mean()) for r in runs]),
        }
    noisy = config.sigmas[-1]
    return {
        **curves,
        "sigma": noisy,
        "bound": -x.shape[1] / (2 * noisy**2),
        "never_inked": never_inked,
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.4)
    for name, role, text, dy in (
        ("sigma0", "broken", "digits as they are", 40),
        (f"sigma{results['sigma']:g}", "model", f"with noise, σ = {results['sigma']:g}", 9),
    ):
        found = results[name]
        (line,) = ax.plot(found["steps"], found["mean"], **figures.line_style(role))
        figures.label_line(line, text, dx=-4, dy=dy, ha="right")
    ax.axhline(results["bound"], **figures.line_style("muted", lw=1))
    ax.annotate(
        "bound with noise",
        (found["steps"][0], results["bound"]),
        xytext=(0, -11),
        textcoords="offset points",
        color=figures.color("muted"),
    )
    ax.set(xlabel="training steps")
    figures.panel_label(ax, "sliced objective")
    return figure
