"""How many images does it take before a table of unit ablations can be trusted?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor

from experiments.lesions._common import LossAt, activity, first, loss_of, over, small_networks
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.lesions import Lesion, Replacement, lesioned, to_mean
from fromnoise.networks import UNet

needs = ("lesions/blocks",)
MODULE = "middle_in.dropout"


@dataclass(frozen=True)
class Config:
    time: float = 0.5
    n_recorded: int = 250
    n_images: int = 497  # of the test split; half of it is the judge of the other half
    sizes: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 248)
    n_draws: int = 40


SIZES = {
    "full": Config(),
    "smoke": Config(n_recorded=20, n_images=40, sizes=(2, 8), n_draws=4),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    images = first(data.test, config.n_images)
    ranks = {n: [] for n in config.sizes}
    signs = {n: [] for n in config.sizes}
    for network in small_networks(needed):
        recording = activity(
            network, MODULE, first(data.validation, config.n_recorded), config.time, 2
        )
        loss, mean = loss_of(network, images, seed=1), to_mean(recording)
        effects = unit_effects(network, recording.shape[1], mean, loss, config.time)
        generator = torch.Generator().manual_seed(3)
        for n in config.sizes:
            found = [], []
            for _ in range(config.n_draws):
                order = torch.randperm(effects.shape[1], generator=generator)
                half = len(order) // 2
                judge = effects[:, order[half:]].mean(1)
                small = effects[:, order[: min(n, half)]].mean(1)
                found[0].append(spearmanr(small.numpy(), judge.numpy()).statistic)
                found[1].append(float(((small < 0) & (judge > 0)).double().mean()))
            for kept, values in zip((ranks, signs), found, strict=True):
                kept[n].append(float(torch.tensor(values).mean()))

    def table(values: dict) -> dict:
        return {f"n{n}": over(rows) for n, rows in values.items()}

    return {
        "sizes": list(config.sizes),
        "rank": table(ranks),
        "sign": table(signs),
    }


@torch.no_grad()
def unit_effects(
    network: UNet, n_units: int, mean: Replacement, loss: LossAt, time: float
) -> Tensor:
    """Rise of the loss of each image when a unit is held at its mean: units x images."""
    t = torch.tensor(time)
    whole, rows = loss(t), []
    for unit in range(n_units):
        with lesioned(network, Lesion(MODULE, mean, (unit,))):
            rows.append(loss(t) - whole)
    return torch.stack(rows)


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.6, ncols=2, sharey=False)
    sizes = results["sizes"]
    for ax, key, role, text in (
        (left, "rank", "model", "rank correlation"),
        (right, "sign", "broken", "harm taken for help"),
    ):
        values = [results[key][f"n{n}"] for n in sizes]
        ax.plot(
            sizes,
            [v["mean"] for v in values],
            **figures.line_style(role, marker=figures.marker(role)),
        )
        ax.fill_between(
            sizes,
            [max(v["low"], -0.1) for v in values],
            [min(v["high"], 1) for v in values],
            color=figures.color(role),
            alpha=0.15,
            linewidth=0,
        )
        ax.set_xscale("log", base=2)
        ax.set_xticks([2, 8, 32, 128], ["2", "8", "32", "128"])
        ax.set(xlabel="images", ylim=(-0.1, 1))
        figures.panel_label(ax, text, role)
    return figure
