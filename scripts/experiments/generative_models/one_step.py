"""What does a network draw that must turn a page of noise into a digit in one step?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fromnoise import figures
from fromnoise.datasets import digits, to_levels
from fromnoise.intervals import mean_interval
from fromnoise.networks import MLP
from fromnoise.training import Batch, TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_steps: int = 400
    width: int = 64
    n_judged: int = 500


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_steps=5, width=16, n_judged=20)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    x = data.train.images.flatten(1).to(device)
    labels = data.train.labels.to(device)
    mean = x.mean(0)
    variance = float(x.var(0, correction=0).sum())
    within = sum(float((x[labels == c] - x[labels == c].mean(0)).square().sum()) for c in range(10))
    found: dict[str, dict[str, list[float]]] = {
        name: {"spread": [], "from_mean": [], "error": []} for name in ("blind", "told")
    }
    images = {"real": data.train.images[[int((labels == c).nonzero()[0]) for c in range(10)]]}
    for seed in config.seeds:
        for name, n_classes in (("blind", None), ("told", 10)):
            network = MLP(64, config.width, n_classes=n_classes, seed=seed).to(device)
            settings = TrainingSettings(n_steps=config.n_steps, seed=seed)
            pairs = (x, labels) if n_classes else (x,)
            trained = train(
                network, one_step_loss, pairs, settings, folder=workdir / f"{name}-{seed}"
            ).network
            generator = torch.Generator(device).manual_seed(1000 + seed)
            eps = torch.randn(config.n_judged, 64, generator=generator, device=device)
            classes = torch.arange(config.n_judged, device=device) % 10
            t = torch.ones(len(eps), device=device)
            with torch.no_grad():
                drawn = trained(eps, t, classes if n_classes else None)
            target = mean
            if n_classes:
                target = torch.stack([x[labels == c].mean(0) for c in range(10)])[classes]
            row = found[name]
            row["spread"].append(float(drawn.var(0).sum()) / variance)
            # Root mean square over pixels, in gray levels (1/8 of a unit each).
            row["from_mean"].append(float((drawn - target).square().mean().sqrt()) * 8)
            truth = x[torch.randint(len(x), (len(drawn),), generator=generator, device=device)]
            if not n_classes:
                row["error"].append(float((drawn - truth).square().sum(-1).mean()) / variance)
            if seed == config.seeds[0]:
                images[name] = drawn[:10]
    images["mean"] = mean.expand(10, 64)
    return {
        "variance": variance,
        "variance_within_classes": within / len(x) / variance,
        **{
            name: {
                key: {**mean_interval(values), "per_seed": values}
                for key, values in row.items()
                if values
            }
            for name, row in found.items()
        },
        "images": {n: to_levels(i.cpu()).view(10, 8, 8).tolist() for n, i in images.items()},
    }


# --8<-- [start:one_step_loss]
def one_step_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Squared error of a digit drawn from pure noise, the class given or not."""
    x, *label = batch
    eps = torch.randn(x.shape, generator=generator, device=x.device)
    drawn = network(eps, torch.ones(len(x), device=x.device), *label)
    return (drawn - x).square().mean()


# --8<-- [end:one_step_loss]


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.9, nrows=3, sharex=False)
    for ax, name, role, text in (
        (axes[0], "real", "data", "what it was shown"),
        (axes[1], "blind", "broken", "what it draws, from ten different pages of noise"),
        (axes[2], "told", "broken", "what it draws when it is told the class"),
    ):
        figures.image_grid(ax, results["images"][name], levels=(0, 16), role=role)
        figures.panel_label(ax, text, role)
    return figure
