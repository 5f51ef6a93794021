"""How much does a code of few numbers lose, when the way there and back is straight or bent?"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.autoencoders._common import Digits, over_seeds, training
from fromnoise import figures
from fromnoise.autoencoders import fit_autoencoder


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    sizes: tuple[int, ...] = (2, 4, 8, 16)
    n_steps: int = 400
    width: int = 128
    n_test: int | None = None


SIZES = {"full": Config(), "smoke": Config((0, 1), (1, 2), n_steps=3, width=8, n_test=40)}


@torch.no_grad()
def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = Digits.load(config.n_test)
    mean = data.train.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov(data.train.T, correction=0))
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    found: dict[str, dict] = {}
    for n in config.sizes:
        rows = []
        for seed in config.seeds:
            row = {}
            for name, linear in (("linear", True), ("bent", False)):
                with torch.enable_grad():
                    settings = training(config.n_steps, seed)
                    if linear:  # so that it gets to its end in as many steps
                        settings = replace(settings, learning_rate=1e-1)
                    model = fit_autoencoder(data.train, n, config.width, linear, settings)
                row[f"{name}_train"] = float(model.error(data.train).mean()) / data.variance
                row[f"{name}_test"] = float(model.error(data.test).mean()) / data.variance
            rows.append(row)
        kept = directions[:, :n]
        back = (data.test - mean) @ kept @ kept.T + mean
        found[f"n{n}"] = over_seeds(rows) | {
            "tail": float(variances[n:].sum()) / data.variance,
            "pca_test": data.error(back),
        }
    tails = 1 - variances.cumsum(0) / variances.sum()
    return {"sizes": list(config.sizes), **found, "tails": [round(v, 5) for v in tails.tolist()]}


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8)
    sizes = results["sizes"]
    tails = [results["tails"][n - 1] for n in range(1, sizes[-1] + 1)]
    (curve,) = ax.plot(range(1, sizes[-1] + 1), tails, **figures.line_style("muted"))
    figures.label_line(curve, "discarded eigenvalues", x=sizes[-1] * 0.45, dx=8, dy=8)
    for key, role, tone, text, dy in (
        ("linear_train", "noise", "ink", "linear, trained", 0),
        ("bent_test", "model", "model", "bent, on new digits", 6),
        ("bent_train", "data", "model", "bent, on its own digits", -8),
    ):
        values = [results[f"n{n}"][key]["mean"] for n in sizes]
        style = figures.line_style(role, color=figures.color(tone), marker=figures.marker(role))
        if key == "linear_train":
            style["linestyle"] = "none"
        (line,) = ax.plot(sizes, values, **style)
        if key == "linear_train":
            figures.label_line(line, text, x=sizes[0], dx=10, dy=6)
        else:
            figures.label_line(line, text, dx=8, dy=dy)
    ax.set(xlabel="numbers in the code", ylabel="error, share of variance", ylim=(0, 0.95))
    ax.set_xticks(sizes)
    return figure
