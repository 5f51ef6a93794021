"""What does the weight of the masked cost do to its noise, to the training and to the number?"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.text._common import (
    LENGTH,
    LN2,
    fit,
    grammar,
    hidden_costs,
    network,
    over,
    split,
    windows,
)
from fromnoise import figures
from fromnoise.masked_diffusion import (
    Conditional,
    LinearMask,
    any_order_cost,
    any_order_loss,
    masked_cost,
    masked_diffusion_loss,
    surprises,
)
from fromnoise.training import Batch
from fromnoise.transformer import Transformer


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_train: int = 60_000
    n_test: int = 512
    n_steps: int = 400
    n_draws: int = 4
    n_noise: int = 6


SIZES = {"full": Config(), "smoke": Config(2, 400, 8, 2, 1, 1)}


def unweighted_loss(model: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Mean cost of the hidden characters over the length, at random times, with no weight."""
    x_0 = batch[0]
    t = (torch.arange(1, len(x_0) + 1) - torch.rand((), generator=generator)) / len(x_0)
    hidden = torch.rand(x_0.shape, generator=generator) < t[:, None]
    return surprises(cast(Conditional, model), x_0, hidden).sum(-1).mean() / x_0.shape[1]


def unweighted_bits(model: Conditional, rows: Tensor, n_draws: int, seed: int) -> float:
    """What the cost without its weight would report as bits per character."""
    costs, shares = hidden_costs(model, rows, n_draws, seed)
    return (costs * shares).mean().item()


def one_draw_noise(model: Conditional, test: Tensor, n_times: int) -> dict[str, dict]:
    """Mean, standard deviation and largest of single draws of both costs, in bits per character."""
    generator = torch.Generator().manual_seed(9)
    draws: dict[str, list] = {"any_order": [], "one_over_t": []}
    for _ in range(n_times):
        u = torch.rand(test.shape, generator=generator)
        t = 1 - torch.rand(len(test), generator=generator)
        n_hidden = torch.randint(1, LENGTH + 1, (len(test),), generator=generator)
        draws["one_over_t"].append(masked_cost(model, test, t, u, LinearMask()))
        draws["any_order"].append(any_order_cost(model, test, n_hidden, u))
    found = {}
    for name, values in draws.items():
        bits = torch.cat(values).double() / LENGTH / LN2
        found[name] = {
            "mean": bits.mean().item(),
            "std": bits.std().item(),
            "largest": bits.max().item(),
            "n": len(bits),
        }
    return found


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    source = grammar()
    text, test = split(config.n_train, config.n_test)
    losses = {
        "any_order": any_order_loss,
        "one_over_t": masked_diffusion_loss(LinearMask()),
        "unweighted": unweighted_loss,
    }
    bits: dict[str, list] = {name: [] for name in losses}
    wrong, large = [], {name: [] for name in losses}
    for seed in range(config.n_seeds):
        for name, loss in losses.items():
            start = network(len(source.vocabulary), False, seed)
            folder = workdir / f"{name}{seed}"
            trained = fit(start, loss, windows(text), config.n_steps, seed, folder).network
            assert isinstance(trained, Transformer)
            costs, shares = hidden_costs(trained, test, config.n_draws, 0)
            bits[name].append(costs.mean().item())
            few = shares <= 0.25
            large[name].append(costs[few].mean().item())
            if name == "any_order":
                wrong.append(unweighted_bits(trained, test, config.n_draws, 0))
    untrained = network(len(source.vocabulary), False, 0).requires_grad_(False)
    noise = {
        "exact": one_draw_noise(source, test, config.n_noise),
        "untrained": one_draw_noise(untrained, test, 4 * config.n_noise),
    }
    return {
        "bits": {name: over(values) for name, values in bits.items()},
        "few_hidden": {name: over(values) for name, values in large.items()},
        "reported": over(wrong),
        "reported_truth": unweighted_bits(source, test, config.n_draws, 0),
        "truth": (-source.log_prob(test).mean() / LN2).item(),
        "paired": {
            name: over([a - b for a, b in zip(bits[name], bits["any_order"], strict=True)])
            for name in ("one_over_t", "unweighted")
        },
        "noise": noise,
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.5)
    # Name, marker, color.
    names = {
        "any_order": ("any order", "model", "model"),
        "one_over_t": ("weight 1/t", "noise", "model"),
        "unweighted": ("no weight", "broken", "broken"),
    }
    for place, (name, (_, role, tone)) in enumerate(names.items()):
        found = results["bits"][name]
        ax.plot(
            found["values"],
            [place] * len(found["values"]),
            ls="",
            ms=5,
            alpha=0.6,
            marker=figures.marker(role),
            color=figures.color(tone),
        )
        ax.plot(
            [found["low"], found["high"]],
            [place + 0.18] * 2,
            ls="-",
            lw=2,
            color=figures.color(tone),
        )
    ax.axvline(results["truth"], color=figures.color("data"), ls="-", lw=1.2)
    ax.text(results["truth"], -0.42, " the truth", color=figures.color("data"), va="center")
    value = results["reported"]["mean"]
    ax.plot([value], [2.0], ls="", marker="x", ms=8, mew=1.8, color=figures.color("broken"))
    ax.text(value, 1.72, "what no weight reports", ha="left", color=figures.color("broken"))
    figures.sequence_axis(ax, [text for text, *_ in names.values()], axis="y")
    ax.set(ylim=(2.5, -0.7), xlim=(0, None), xlabel="bits per character")
    return figure
