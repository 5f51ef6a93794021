"""What does a chain draw when each stage has noise and a target of its own?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.autoencoders._common import Digits, Judge, over_seeds, shown, training
from fromnoise import figures
from fromnoise.autoencoders import shrinkage
from fromnoise.batches import noise_like
from fromnoise.denoising_chain import (
    DenoisingChain,
    chain_variances,
    end_to_end_loss,
    stagewise_loss,
)
from fromnoise.training import train

SIGMAS = (4.0, 2.0, 1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_steps: int = 500
    width: int = 128
    judge_steps: int = 200
    n_test: int | None = None
    n_shown: int = 5


SIZES = {
    "full": Config(),
    "smoke": Config((0, 1), n_steps=3, width=8, judge_steps=2, n_test=70),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = Digits.load(config.n_test)
    judge = Judge.trained(data, config.judge_steps)
    variances, directions = torch.linalg.eigh(torch.cov(data.train.T, correction=0))
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    ways: dict[str, list] = {}
    levels: list[dict[str, float]] = []
    gains = torch.zeros(len(SIGMAS), 64)
    images = {}
    for seed in config.seeds:
        settings = training(config.n_steps, seed)
        start = DenoisingChain(64, SIGMAS, config.width, residual=False, seed=seed)
        chain, whole = (
            train(start, loss, (data.train,), settings, folder=workdir / f"{name}{seed}").network
            for name, loss in (("stages", stagewise_loss), ("whole", end_to_end_loss))
        )
        paths = drawn(chain, whole, data.train.mean(0), len(data.test), seed)
        for name, path in paths.items():
            ways.setdefault(name, []).append(judge(path[-1]))
            if seed == config.seeds[0]:
                images[name] = shown(path[-5:, : config.n_shown])
        row, slope = by_level(chain, data, directions, variances, seed)
        levels.append(row)
        gains += slope / len(config.seeds)
    expected = chain_variances(variances, SIGMAS).sum(1) / data.variance
    return {
        "ways": {name: over_seeds(rows) for name, rows in ways.items()},
        "real": judge(data.train[: len(data.test)]),
        "real_test": judge(data.test)["digits"],
        "expected_variance": expected.tolist(),
        "levels": over_seeds(levels),
        "linear": [float((shrinkage(variances, s) * s**2).sum()) / data.variance for s in SIGMAS],
        "expected_rest": [
            float((variances**2 / (2 * variances + s**2)).sum()) / data.variance for s in SIGMAS
        ],
        "information": [float((1 + variances / s**2).log().sum()) / 2 for s in SIGMAS],
        "variances": [round(v, 5) for v in variances.tolist()],
        "gains": [[round(v, 4) for v in row] for row in gains.tolist()],
        "images": images,
    }


@torch.no_grad()
def drawn(chain: DenoisingChain, whole: DenoisingChain, mean, n: int, seed: int) -> dict:
    """The ways from noise to a last answer, all from the same noise.

    A stage with little noise knows only points near digits, so one that works alone starts from
    the mean of the digits.
    """
    generator = torch.Generator().manual_seed(100 + seed)
    eps = torch.randn(n, 64, generator=generator)
    return {
        "noise": chain.path(SIGMAS[0] * eps, generator)[1:],
        "quiet": chain.path(SIGMAS[0] * eps)[1:],
        "end_to_end": whole.path(SIGMAS[0] * eps)[1:],
        **{
            f"only_{name}": one_level(chain, SIGMAS.index(sigma), mean, eps, 25, generator)
            for name, sigma in (("much", 4.0), ("middle", 1.0), ("little", 0.25))
        },
    }


def one_level(chain, k: int, start, eps, n_rounds: int, generator) -> torch.Tensor:
    """One stage alone, again and again, with its own noise put back before each round."""
    x, path = start + SIGMAS[k] * eps, []
    for _ in range(n_rounds):
        x = chain.stages[k](x)
        path.append(x)
        x = x + SIGMAS[k] * noise_like(x, generator)
    return torch.stack(path)


@torch.no_grad()
def by_level(chain, data: Digits, directions, variances, seed: int):
    """Held-out error of each stage, and how much of each principal direction it keeps."""
    generator = torch.Generator().manual_seed(200 + seed)
    row, slopes = {}, []
    for k, (stage, sigma) in enumerate(zip(chain.stages, SIGMAS, strict=True)):
        x_0 = data.test.repeat(10, 1)
        x_t = x_0 + sigma * noise_like(x_0, generator)
        answer = stage(x_t)
        row[f"error{k}"] = float((answer - x_0).square().sum(1).mean()) / data.variance
        a, b = ((part - part.mean(0)) @ directions for part in (answer, x_t))
        slopes.append((a * b).mean(0) / b.square().mean(0))
    return row, torch.stack(slopes)


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.5, ncols=3, sharey=False)
    for ax, name, text, role in (
        (axes[0], "noise", "noise put back", "model"),
        (axes[1], "quiet", "none put back", "broken"),
        (axes[2], "end_to_end", "end to end", "broken"),
    ):
        figures.image_grid(ax, results["images"][name], levels=(0, 16), role=role)
        figures.panel_label(ax, text, role)
    axes[0].text(
        -0.05,
        0.5,
        "stages $\\rightarrow$",
        transform=axes[0].transAxes,
        rotation=270,
        ha="right",
        va="center",
        color=figures.color("muted"),
    )
    return figure
