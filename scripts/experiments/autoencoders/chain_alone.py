"""In a chain of denoisers that only the last answer trains, which stage does the work?"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.autoencoders._common import Digits, class_readout, over_seeds, shown, training
from fromnoise import figures
from fromnoise.batches import noise_like
from fromnoise.denoising_chain import DenoisingChain, end_to_end_loss
from fromnoise.probes import fit_probe
from fromnoise.training import Batch, train

# Only the first scale is used: no noise enters between two stages.
SIGMAS = (1.0, 0.75, 0.5, 0.25)
CHAINS = {  # from noise alone?, stages that add to their input?
    "nothing_plain": (True, False),
    "nothing_residual": (True, True),
    "noisy_plain": (False, False),
    "noisy_residual": (False, True),
}


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_steps: int = 400
    width: int = 64
    n_copies: int = 4
    n_test: int | None = None


SIZES = {"full": Config(), "smoke": Config((0, 1), n_steps=3, width=8, n_copies=1, n_test=40)}


def loss_from_noise(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """The input is noise alone; only the last answer counts."""
    (x_0,) = batch
    return (network.path(noise_like(x_0, generator))[-1] - x_0).square().sum(1).mean()


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = Digits.load(config.n_test)
    results: dict = {}
    for name, (from_noise, residual) in CHAINS.items():
        loss = loss_from_noise if from_noise else end_to_end_loss
        rows = []
        for seed in config.seeds:
            start = DenoisingChain(64, SIGMAS, config.width, residual=residual, seed=seed)
            settings = training(config.n_steps, seed)
            folder = workdir / f"{name}{seed}"
            chain = train(start, loss, (data.train,), settings, folder=folder).network
            row, images = measured(chain, start, data, from_noise, config.n_copies, seed)
            rows.append(row)
            if seed == config.seeds[0]:
                results[name] = {"images": images}
        results[name] |= over_seeds(rows)
    return results


@torch.no_grad()
def measured(chain, start, data: Digits, from_noise: bool, n_copies: int, seed: int):
    """After each stage: distance to the digits, and what can be read. Then the lesions."""
    generator = torch.Generator().manual_seed(100 + seed)
    copies, labels = data.train.repeat(n_copies, 1), data.labels.repeat(n_copies)
    eps = noise_like(copies, generator)
    path = chain.path(eps if from_noise else copies + SIGMAS[0] * eps)
    eps = noise_like(data.test, generator)
    test_path = chain.path(eps if from_noise else data.test + SIGMAS[0] * eps)
    row = {}
    for k, (a, b) in enumerate(zip(path, test_path, strict=True)):
        row[f"pixels{k}"] = data.error(b)
        row[f"class{k}"] = class_readout(a, labels, b, data.test_labels)
        scale = a.std().clamp(min=1e-6)
        read = fit_probe(a / scale, copies, penalty=100.0)(b / scale)
        row[f"read{k}"] = data.error(read)
    final = row[f"pixels{len(SIGMAS)}"]
    for k, lesioned in enumerate(rewound(chain, start), start=1):
        row[f"cost{k}"] = data.error(lesioned.path(test_path[0])[-1]) - final
    total = sum(row[f"cost{k}"] for k in range(1, len(SIGMAS) + 1))
    row["last_share"] = row[f"cost{len(SIGMAS)}"] / total
    return row, shown(test_path[:, :4])


def rewound(chain: DenoisingChain, start: DenoisingChain) -> Iterator[DenoisingChain]:
    """The chain with one stage put back to its first weights, for each stage."""
    for k, stage in enumerate(start.stages):
        lesioned = copy.deepcopy(chain)
        lesioned.stages[k].load_state_dict(stage.state_dict())
        yield lesioned


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(
        5.4, ncols=4, nrows=2, sharex=False, sharey=False, height_ratios=[1.25, 1]
    )
    words = {
        "nothing_plain": ("noise alone,\nplain stages", "broken"),
        "nothing_residual": ("noise alone,\nstages that add", "muted"),
        "noisy_plain": ("noisy digits,\nplain stages", "ink"),
        "noisy_residual": ("noisy digits,\nstages that add", "model"),
    }
    grid = axes[0, 0].get_gridspec()
    for ax in axes[1]:
        ax.remove()
    left, right = figure.add_subplot(grid[1, :2]), figure.add_subplot(grid[1, 2:])
    stages = range(1, len(SIGMAS) + 1)
    for (name, (text, role)), ax in zip(words.items(), axes[0], strict=True):
        found = results[name]
        figures.image_grid(ax, found["images"], levels=(0, 16), role=role)
        figures.panel_label(ax, text, role)
        style = figures.line_style(role, marker=figures.marker(role))
        left.plot(stages, [found[f"cost{k}"]["mean"] for k in stages], **style)
        right.plot([0, *stages], [found[f"class{k}"]["mean"] for k in (0, *stages)], **style)
    axes[0, 0].text(
        -0.08,
        0.5,
        "stages $\\rightarrow$",
        transform=axes[0, 0].transAxes,
        rotation=270,
        ha="right",
        va="center",
        color=figures.color("muted"),
    )
    left.set(
        xlabel="stage put back", ylabel="rise of the error", xticks=list(stages), ylim=(-0.15, None)
    )
    right.set(xlabel="after stage", ylabel="classes read", xticks=[0, *stages], ylim=(0, 0.8))
    return figure
