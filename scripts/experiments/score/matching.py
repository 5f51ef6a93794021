"""Do four objectives lead the same network to the same score, and at what cost?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from experiments.score._common import (
    clean,
    near_modes,
    over_seeds,
    relative_error,
    small_network,
)
from fromnoise import figures
from fromnoise.diffusion import perturb
from fromnoise.schedules import VE
from fromnoise.score import (
    denoising_score_matching,
    explicit_score_matching,
    implicit_score_matching,
    rademacher_like,
    sliced_score_matching,
)
from fromnoise.training import Batch, Loss, TrainingSettings, train

NAMES = ("explicit", "implicit", "sliced", "denoising")


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    sigma: float = 0.4  # all four aim at the score of data with this much noise
    n_points: int = 100_000
    n_steps: int = 900
    measure_every: int = 90
    dims: tuple[int, ...] = (2, 4, 8, 16, 32, 64)


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n_points=200, n_steps=4, measure_every=2, dims=(2, 4)),
}


def objective(name: str, sigma: float) -> Loss:
    """One of the four on the same noisy points; each uses only what it is allowed to know."""
    scales = VE(sigma_min=sigma)(torch.zeros(()))
    exact = near_modes().noised(scales)

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        x_0, field = batch[0], clean(network)
        eps = torch.randn(x_0.shape, generator=generator)
        x_t = perturb(x_0, eps, scales)
        if name == "explicit":
            return explicit_score_matching(field, exact.score, x_t).mean()
        if name == "implicit":
            return implicit_score_matching(field, x_t).mean()
        if name == "sliced":
            return sliced_score_matching(field, x_t, rademacher_like(x_t, generator)).mean()
        return denoising_score_matching(field, x_0, eps, scales).mean()

    return loss


class Work(TorchDispatchMode):
    """Adds up what torch's own formulas say of the matrix products run inside it."""

    # Its FlopCounterMode watches modules as well, and cannot watch a gradient inside a loss.
    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=found)
        return found


def matmul_work(name: str, n_dims: int, sigma: float) -> int:
    """Floating-point operations in the matrix products of one loss and its gradient."""
    generator = torch.Generator().manual_seed(0)
    network = small_network(n_dims, 0)
    x_0 = torch.randn(16, n_dims, generator=generator)
    eps = torch.randn(x_0.shape, generator=generator)
    scales = VE(sigma_min=sigma)(torch.zeros(()))
    field = clean(network)
    with Work() as counter:
        if name == "explicit":
            value = explicit_score_matching(field, torch.neg, x_0)
        elif name == "implicit":
            value = implicit_score_matching(field, x_0)
        elif name == "sliced":
            value = sliced_score_matching(field, x_0, rademacher_like(x_0, generator))
        else:
            value = denoising_score_matching(field, x_0, eps, scales)
        value.mean().backward()
    return counter.total


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    mixture = near_modes()
    points = mixture.sample(config.n_points, torch.Generator().manual_seed(100))
    scales = VE(sigma_min=config.sigma)(torch.zeros(()))
    noisy = mixture.noised(scales)
    held_out = noisy.sample(4000, torch.Generator().manual_seed(101))
    exact = noisy.score(held_out)

    @torch.no_grad()
    def measure(network: nn.Module) -> dict[str, float]:
        return {"error": relative_error(clean(network)(held_out), exact)}

    curves: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    steps: list[int] = []
    for name in NAMES:
        for seed in config.seeds:
            settings = TrainingSettings(n_steps=config.n_steps, learning_rate=4e-3, seed=seed)
            trained = train(
                small_network(2, seed),
                objective(name, config.sigma),
                (points,),
                settings,
                folder=workdir / f"{name}{seed}",
                measure=measure,
                measure_every=config.measure_every,
            )
            curves[name].append([record["error"] for record in trained.records])
            steps = [int(record["step"]) for record in trained.records]
    work = {name: [matmul_work(name, n, config.sigma) for n in config.dims] for name in NAMES}
    return {
        "steps": steps,
        "curves": {n: np.median(c, axis=0).round(6).tolist() for n, c in curves.items()},
        "error": {n: over_seeds([curve[-1] for curve in c]) for n, c in curves.items()},
        "clean_gap": relative_error(mixture.score(held_out), exact),
        "dims": list(config.dims),
        "work": {n: [w / e for w, e in zip(work[n], work["explicit"], strict=True)] for n in NAMES},
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.7, ncols=2, sharey=False)
    # Three ways to learn a score, and nothing is broken: one color, told apart by dashes.
    dashes = dict(zip(NAMES, ("ink", "broken", "noise", "model"), strict=True))
    styles = {
        name: {
            **figures.line_style(dash),
            "color": figures.color("ink" if name == "explicit" else "model"),
        }
        for name, dash in dashes.items()
    }
    for name in NAMES:
        (curve,) = axes[0].plot(results["steps"], results["curves"][name], **styles[name])
        if name == "explicit":
            figures.label_line(curve, name, dx=-6, dy=12, ha="right")
        (line,) = axes[1].plot(
            results["dims"],
            results["work"][name],
            marker=figures.marker(dashes[name]),
            **styles[name],
        )
        label = "explicit, denoising" if name == "denoising" else name
        if name != "explicit":
            dy = -11 if name == "denoising" else 10
            figures.label_line(line, label, dx=-6, dy=dy, ha="right")
    axes[0].set(yscale="log", xlabel="training steps")
    axes[1].set(xscale="log", yscale="log", ylim=(0.6, 50), xlabel="dimensions of the data")
    axes[1].set_xticks(results["dims"], [str(n) for n in results["dims"]])
    axes[1].minorticks_off()
    figures.panel_label(axes[0], "relative error of the score")
    figures.panel_label(axes[1], "work per step, explicit = 1")
    return figure
