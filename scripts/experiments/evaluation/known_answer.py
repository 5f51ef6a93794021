"""Do precision and recall give the right answer where the right answer is known?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.evaluation._common import over
from fromnoise import figures
from fromnoise.evaluation import train_classifier
from fromnoise.glyphs import glyphs
from fromnoise.sample_measures import expected_coverage, neighbor_measures


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n: int = 240
    n_pool: int = 1100
    k: int = 5
    size: int = 16
    n_judge: int = 1000
    judge_steps: int = 300
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n=24, n_pool=90, k=2, size=8, n_judge=40, judge_steps=2, shares=(0.0, 0.5)
    ),
}
REAL = "ACEHKMRX"
FOREIGN = "2345679S"


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    everything = REAL + FOREIGN
    generator = torch.Generator().manual_seed(99)
    shown, why = glyphs(config.n_judge, generator, config.size, characters=everything)
    classifier = train_classifier(shown, why.character, n_steps=config.judge_steps)
    spaces = {"features": classifier.judge, "pixels": lambda x: x.flatten(1)}
    fields = ("precision", "recall", "density", "coverage")
    found: dict = {}
    rows: dict = {}
    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        real, _ = glyphs(config.n, generator, config.size, characters=REAL)
        pool, why = glyphs(config.n_pool, generator, config.size, characters=REAL)
        foreign, _ = glyphs(config.n, generator, config.size, characters=FOREIGN)
        for share in config.shares:
            kept = why.character < round(len(REAL) * (1 - share))
            n_foreign = round(config.n * share)
            made = {
                "dropped": pool[kept][: config.n],
                "foreign": torch.cat([pool[: config.n - n_foreign], foreign[:n_foreign]]),
            }
            for kind, samples in made.items():
                for space, embed in spaces.items():
                    measured = neighbor_measures(embed(real), embed(samples), config.k)
                    rows.setdefault((kind, share, space), []).append(measured)
    for (kind, share, space), values in rows.items():
        row = found.setdefault(f"{kind}{round(100 * share)}", {"known": 1 - share})
        row[space] = {f: over([getattr(value, f) for value in values]) for f in fields}
    return {
        **found,
        "shares": list(config.shares),
        "best_coverage": expected_coverage(config.n, config.n, config.k),
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.7, ncols=2)
    for ax, kind, wanted, other in (
        (axes[0], "dropped", "recall", "coverage"),
        (axes[1], "foreign", "precision", "density"),
    ):
        known = [1 - share for share in results["shares"]]
        ax.plot([0, 1], [0, 1], color=figures.color("muted"), lw=0.9, ls=figures.dash("muted"))
        for measure, space, role, tone, text in (
            (wanted, "features", "model", "model", f"{wanted}, features"),
            (wanted, "pixels", "noise", "muted", f"{wanted}, pixels"),
            (other, "features", "data", "ink", f"{other}, features"),
        ):
            rows = [results[f"{kind}{round(100 * s)}"][space][measure] for s in results["shares"]]
            middle = [row["mean"] for row in rows]
            error = [
                [row["mean"] - row["low"] for row in rows],
                [row["high"] - row["mean"] for row in rows],
            ]
            ax.errorbar(
                known,
                middle,
                error,
                **figures.line_style(role, color=figures.color(tone)),
                marker=figures.marker(role),
                label=text,
            )
        ax.legend(loc="lower right", fontsize=8, handlelength=1.8)
        ax.set(xlim=(0.2, 1.05), ylim=(0, 1.2))
    axes[0].set(xlabel="share of characters drawn", ylabel="measured")
    axes[1].set(xlabel="share of samples that are real characters")
    figures.panel_label(axes[0], "characters dropped")
    figures.panel_label(axes[1], "foreign ones added")
    return figure
