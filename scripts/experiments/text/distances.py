"""What happens when attention knows places but not how far apart they are?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.text._common import (
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
from fromnoise.masked_diffusion import any_order_loss
from fromnoise.provenance import save_tensors
from fromnoise.text import log_prob, next_character_loss
from fromnoise.transformer import Transformer

needs = ("text/weights",)  # holds the network that is not cut
publishes = ("masked_cut",)


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_train: int = 60_000
    n_test: int = 512
    n_steps: int = 400  # as in text/weights
    n_draws: int = 4


SIZES = {"full": Config(), "smoke": Config(2, 400, 8, 2)}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    source = grammar()
    text, test = split(config.n_train, config.n_test)
    found: dict[str, list] = {}
    for seed in range(config.n_seeds):
        for name, causal, rotary in (
            ("causal", True, True),
            ("causal_cut", True, False),
            ("masked_cut", False, False),
        ):
            trained = fit(
                network(len(source.vocabulary), causal, seed, rotary),
                next_character_loss if causal else any_order_loss,
                windows(text),
                config.n_steps,
                seed,
                workdir / f"{name}{seed}",
            ).network
            assert isinstance(trained, Transformer)
            with torch.no_grad():
                bits = (
                    -log_prob(trained, test).mean().item() / LN2
                    if causal
                    else hidden_costs(trained, test, config.n_draws, 0)[0].mean().item()
                )
            found.setdefault(name, []).append(bits)
            if name == "masked_cut" and seed == 0:
                save_tensors(workdir / "masked_cut.safetensors", dict(trained.state_dict()))
    shares = torch.bincount(text, minlength=len(source.vocabulary)).double() / len(text)
    return {
        **{name: over(values) for name, values in found.items()},
        "masked": needed["text/weights"]["bits"]["any_order"],
        "single": float(-torch.special.xlogy(shares, shares).sum()) / LN2,
        "truth": (-source.log_prob(test).mean() / LN2).item(),
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.4)
    rows = [
        ("left to right", "model", "causal"),
        ("left to right, cut", "broken", "causal_cut"),
        ("any order", "model", "masked"),
        ("any order, cut", "broken", "masked_cut"),
    ]
    for place, (_, role, key) in enumerate(rows):
        ax.barh(place, results[key]["mean"], 0.62, color=figures.color(role))
        ax.plot(
            results[key]["values"],
            [place] * len(results[key]["values"]),
            ls="",
            marker="o",
            ms=3,
            color=figures.color("ink"),
        )
    ax.axvline(results["truth"], color=figures.color("data"), ls="-", lw=1.2)
    ax.axvline(results["single"], color=figures.color("muted"), lw=1.2)
    ax.text(
        results["single"], -0.62, "single characters ", ha="right", color=figures.color("muted")
    )
    ax.text(results["truth"], -0.62, " the truth", color=figures.color("data"))
    figures.sequence_axis(ax, [row[0] for row in rows], axis="y")
    ax.set(ylim=(3.5, -0.8), xlabel="bits per character")
    return figure
