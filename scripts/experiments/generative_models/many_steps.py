"""Do several steps mend what one step blurs, with the same network and the same loss?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.generative_models._judge import Judge
from fromnoise import figures
from fromnoise.datasets import digits, to_levels
from fromnoise.evaluation import nearest_neighbor_ratio
from fromnoise.generative_models import Memorizer
from fromnoise.intervals import mean_interval
from fromnoise.networks import MLP
from fromnoise.samplers import sample, uniform_times
from fromnoise.schedules import Cosine
from fromnoise.training import Batch, TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_training_steps: int = 1200
    width: int = 128
    step_counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    n_judge_steps: int = 250


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n_training_steps=3, width=16, step_counts=(1, 2, 4, 8), n_judge_steps=3
    ),
}
SCHEDULE = Cosine()


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    x = data.train.images.flatten(1).to(device)
    test = data.test.images.flatten(1).to(device)
    judge = Judge.trained(data, config.n_judge_steps)
    memorizer = Memorizer(x)
    kinds = ("learned", "exact")
    distance: dict = {kind: {n: [] for n in config.step_counts} for kind in kinds}
    spread: dict = {kind: {n: [] for n in config.step_counts} for kind in kinds}
    copied: dict = {kind: [] for kind in kinds}
    images: dict = {kind: {} for kind in kinds}
    for seed in config.seeds:
        settings = TrainingSettings(n_steps=config.n_training_steps, seed=seed)
        network = MLP(64, config.width, seed=seed).to(device)
        trained = train(
            network, denoising_loss, (x,), settings, folder=workdir / f"learned-{seed}"
        ).network
        denoisers = {
            "learned": trained,
            "exact": lambda x_t, t: memorizer.posterior_mean(x_t, SCHEDULE(t)),
        }
        generator = torch.Generator(device).manual_seed(1000 + seed)
        x_1 = torch.randn(len(test), 64, generator=generator, device=device)
        for kind, denoiser in denoisers.items():
            for n in config.step_counts:
                x_0 = sample(denoiser, SCHEDULE, x_1, uniform_times(n))
                distance[kind][n].append(judge.distance(x_0.cpu()))
                spread[kind][n].append(float(x_0.var(0).sum() / test.var(0).sum()))
                if seed == config.seeds[0]:
                    images[kind][f"steps_{n}"] = to_levels(x_0[:10].cpu()).view(10, 8, 8).tolist()
            copied[kind].append(nearest_neighbor_ratio(x_0, x, test))
    floor = [
        judge.distance(x[torch.randperm(len(x), generator=generator)[: len(test)]].cpu())
        for generator in (torch.Generator().manual_seed(seed) for seed in config.seeds)
    ]
    return {
        "step_counts": list(config.step_counts),
        "distance": {kind: by_steps(rows) for kind, rows in distance.items()},
        "spread": {kind: by_steps(rows) for kind, rows in spread.items()},
        "neighbor_ratio": {
            kind: {**mean_interval(values), "per_seed": values} for kind, values in copied.items()
        },
        "floor": {**mean_interval(floor), "per_seed": floor},
        "images": images,
    }


# --8<-- [start:denoising_loss]
def denoising_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """The same squared error, but some of the digit still shows through the noise."""
    (x_0,) = batch
    t = torch.rand(len(x_0), generator=generator, device=x_0.device)
    eps = torch.randn(x_0.shape, generator=generator, device=x_0.device)
    scales = Cosine()(t)
    x_t = scales.alpha_t[:, None] * x_0 + scales.sigma_t[:, None] * eps
    return (network(x_t, t) - x_0).square().mean()


# --8<-- [end:denoising_loss]


def by_steps(rows: dict[int, list[float]]) -> dict:
    return {f"steps_{n}": {**mean_interval(v), "per_seed": v} for n, v in rows.items()}


def draw(results: dict) -> Figure:
    counts = results["step_counts"]
    shown = [n for n in counts if n in (1, 2, 4, 32)] or counts
    figure, (top, bottom) = figures.figure(
        4.6, nrows=2, sharex=False, gridspec_kw={"height_ratios": [1.0, 1.35]}
    )
    rows = [results["images"]["learned"][f"steps_{n}"] for n in shown]
    figures.image_grid(top, rows, levels=(0, 16), role="model")
    for i, n in enumerate(shown):
        text = f"{n} step" if n == 1 else f"{n} steps"
        top.text(-2.5, 9 * i + 3.5, text, ha="right", va="center")
    for kind, role, text, x, y in (
        ("learned", "model", "trained network", 8, 8.0),
        ("exact", "broken", "exact denoiser of the training set", 1, 1.7),
    ):
        found = [results["distance"][kind][f"steps_{n}"] for n in counts]
        style = figures.line_style(role, marker=figures.marker(role))
        bottom.plot(counts, [f["mean"] for f in found], **style)
        low, high = ([max(f[end], 1e-2) for f in found] for end in ("low", "high"))
        bottom.fill_between(counts, low, high, color=figures.color(role), alpha=0.2, linewidth=0)
        bottom.text(x, y, text, color=figures.color(role), ha="left", va="center")
    floor = results["floor"]["mean"]
    bottom.axhline(floor, **figures.line_style("data"))
    bottom.text(1, 0.88 * floor, "real against real", va="top", color=figures.color("data"))
    bottom.set_ylim(bottom=0.4)
    bottom.set_xscale("log", base=2)
    bottom.set_xticks(counts, [str(n) for n in counts])
    bottom.set_yscale("log")
    bottom.set_xlabel("steps")
    bottom.set_ylabel("Fréchet distance")
    return figure
