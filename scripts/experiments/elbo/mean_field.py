"""What does a q without correlations cost, and what does the model do to avoid the cost?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.intervals import mean_interval
from fromnoise.linear_elbo import linear_posterior, mean_field_cost
from fromnoise.linear_gaussian import LinearGaussian


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_latents: int = 8
    n_steps: int = 500
    learning_rate: float = 0.03


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_steps=20)}
FAMILIES = ("full", "factorized")


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test = (s.images.flatten(1).double().to(device) for s in (data.train, data.test))
    found: dict = {name: {"log_px": [], "cost": [], "overlap": [], "test": []} for name in FAMILIES}
    parts: dict = {}
    for seed in config.seeds:
        for name in FAMILIES:
            model = fit_parts(train, name == "factorized", config, seed)
            cost = mean_field_cost(linear_posterior(model, train[:1]))[0]
            row = found[name]
            row["log_px"].append(float(model.log_prob(train).mean()))
            row["test"].append(float(model.log_prob(test).mean()))
            row["cost"].append(float(cost))
            row["overlap"].append(overlap(model.loadings))
            if seed == config.seeds[0]:
                parts[name] = by_size(model.loadings)
    lost = {
        split: [
            a - b for a, b in zip(found["full"][split], found["factorized"][split], strict=True)
        ]
        for split in ("log_px", "test")
    }
    # What the factorized bound would gain over staying at the maximum of the likelihood.
    bound = {
        name: [p - c for p, c in zip(found[name]["log_px"], found[name]["cost"], strict=True)]
        for name in FAMILIES
    }
    gained = [a - b for a, b in zip(bound["factorized"], bound["full"], strict=True)]
    return {
        **{
            name: {key: {**mean_interval(v), "per_seed": v} for key, v in row.items()}
            for name, row in found.items()
        },
        "lost_log_px": {**mean_interval(lost["log_px"]), "per_seed": lost["log_px"]},
        "lost_test": {**mean_interval(lost["test"]), "per_seed": lost["test"]},
        "gained_bound": {**mean_interval(gained), "per_seed": gained},
        "parts": parts,
    }


def fit_parts(x: Tensor, factorized: bool, config: Config, seed: int) -> LinearGaussian:
    """Maximize the best bound of a family of q over loadings that may not be negative.

    With a full q the bound is the likelihood. With a factorized one it is the likelihood less
    `mean_field_cost`, which is the same for every x.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    shape = (x.shape[1], config.n_latents)
    loadings = 0.5 * torch.rand(shape, generator=generator, dtype=x.dtype, device=x.device)
    loadings.requires_grad_()
    log_std = x.new_tensor(-0.7).requires_grad_()
    mean = x.mean(0)
    # The likelihood sees the data through their covariance: 64 rows stand for all images.
    covariance = (x - mean).mT @ (x - mean) / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    rows = (vectors * (values.clamp(min=0) * len(values)).sqrt()).mT + mean
    optimizer = torch.optim.Adam([loadings, log_std], lr=config.learning_rate)
    for step in range(config.n_steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - step / config.n_steps)
        model = LinearGaussian(loadings, mean, log_std.exp())
        bound = model.log_prob(rows).mean()
        if factorized:
            bound = bound - factorized_cost(model)
        optimizer.zero_grad()
        (-bound).backward()
        optimizer.step()
        with torch.no_grad():
            loadings.clamp_(min=0)
    return LinearGaussian(loadings.detach(), mean, log_std.detach().exp())


def factorized_cost(model: LinearGaussian) -> Tensor:
    """`mean_field_cost` of the posterior, differentiable in the model."""
    eye = torch.eye(model.loadings.shape[1]).to(model.loadings)
    precision = model.loadings.mT @ model.loadings / model.noise_std.square() + eye
    return 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))


def overlap(loadings: Tensor) -> float:
    """Mean cosine between two different parts."""
    unit = loadings / loadings.norm(dim=0).clamp(min=1e-12)
    n = loadings.shape[1]
    return float(((unit.mT @ unit).sum() - n) / (n * (n - 1)))


def by_size(loadings: Tensor) -> list:
    """Parts as 8 x 8 images, largest first, in thousandths of the largest entry."""
    order = loadings.norm(dim=0).argsort(descending=True)
    images = loadings.mT[order].reshape(-1, 8, 8)
    return (1000 * images / images.amax()).round().int().tolist()


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.2, nrows=2, sharex=False)
    for ax, name, role, text in (
        (axes[0], "full", "model", "q with correlations"),
        (axes[1], "factorized", "broken", "q without"),
    ):
        # Each part on its own scale: the question is its shape.
        parts = [[[v / max(map(max, p)) for v in r] for r in p] for p in results["parts"][name]]
        figures.image_grid(ax, parts, levels=(0, 1), role=role)
        figures.panel_label(ax, text, role)
    return figure
