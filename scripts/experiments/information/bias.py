"""By how much does a divergence from few samples come out too large?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.information import kl_divergence
from fromnoise.intervals import mean_interval


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 20
    n_outcomes: int = 64
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024, 4096)


SIZES = {"full": Config(), "smoke": Config(n_seeds=3, n_outcomes=8, sizes=(16, 256))}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    n = config.n_outcomes
    # Two sources: shares fall by a factor of 4 and of 30 from the first outcome to the last.
    fall = torch.linspace(0, 1, n, dtype=torch.float64)
    q, p = ((-fall * torch.tensor(factor).double().log()).softmax(0) for factor in (4.0, 30.0))
    truth = float(kl_divergence(q, p))
    found: dict = {"known": [], "same": [], "both": []}
    for size in config.sizes:
        values: dict = {name: [] for name in found}
        for seed in range(config.seed, config.seed + config.n_seeds):
            g = torch.Generator().manual_seed(seed)
            of_q, again, of_p = (shares(source, size, g) for source in (q, q, p))
            values["known"].append(float(kl_divergence(of_q, p)))
            # Two samples of one source: the truth is zero.
            values["same"].append(float(kl_divergence(again, q)))
            values["both"].append(float(torch.isinf(kl_divergence(of_q, of_p))))
        for name, row in values.items():
            found[name].append(mean_interval(row))
    return {
        "truth": truth,
        "sizes": list(config.sizes),
        "predicted": [truth + (n - 1) / (2 * size) for size in config.sizes],
        **found,
        "first": found["known"][0],
        "at_256": found["known"][config.sizes.index(256)],
        "last": found["known"][-1],
        "infinite_at_256": found["both"][config.sizes.index(256)],
        "same_at_256": found["same"][config.sizes.index(256)],
        "times_truth_at_256": found["known"][config.sizes.index(256)]["mean"] / truth,
    }


def shares(source: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Shares counted in a sample."""
    drawn = torch.multinomial(source, size, replacement=True, generator=generator)
    return torch.bincount(drawn, minlength=len(source)).double() / size


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8)
    sizes = results["sizes"]
    for key, role, text in (  # both draw from sources: one color, two dashes
        ("known", "data", "two sources"),
        ("same", "noise", "one source: truth 0"),
    ):
        rows = results[key]
        low, high = ([row[end] for row in rows] for end in ("low", "high"))
        ax.fill_between(sizes, low, high, color=figures.color("data"), alpha=0.2, lw=0)
        (line,) = ax.plot(
            sizes,
            [row["mean"] for row in rows],
            **figures.line_style(role, color=figures.color("data"), marker=figures.marker(role)),
        )
        figures.label_line(
            line, text, x=sizes[-1], dx=-4, dy=12 if key == "known" else 6, ha="right"
        )
    ax.plot(sizes, results["predicted"], color=figures.color("muted"), lw=1.0, ls="-")
    ax.axhline(results["truth"], color=figures.color("ink"), lw=0.9, ls="-")
    ax.set(xscale="log", yscale="log", xlabel="samples", ylabel="divergence (nats)")
    return figure
