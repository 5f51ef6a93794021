"""Do double dissociations appear in a network that was built without modules?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.survivorship._common import classifier, fit, right
from fromnoise import figures
from fromnoise.datasets import Split, digits
from fromnoise.intervals import mean_interval
from fromnoise.lesions import Lesion, lesioned, zero


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 5
    n_steps: int = 250
    n_hidden: int = 16
    n_wide: int = 32  # does the finding outlive a network that spreads its work wider?
    harm: float = 0.2  # a class is hit if it loses more than a fifth of its accuracy
    spared: float = 0.05  # and spared if it loses less than a twentieth


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_steps=20)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train = (data.train.images.flatten(1), data.train.labels)
    found, kept, examples = [], [], []
    for seed in range(config.seed, config.seed + config.n_seeds):
        network = fit(
            classifier(seed, config.n_hidden), train, config.n_steps, seed, workdir / str(seed)
        )
        chosen, judged = (losses(network, split) for split in (data.validation, data.test))
        pairs = double_dissociations(chosen, config)
        again = [pair for pair in pairs if holds(judged, pair, config)]
        found.append(len(pairs))
        kept.append(len(again))
        if seed == config.seed:
            examples = judged.tolist()
            best = max(pairs, key=lambda pair: strength(chosen, pair), default=(0, 1, 0, 1))
    wide = []
    for seed in range(config.seed, config.seed + config.n_seeds):
        network = classifier(seed, config.n_wide)
        network = fit(network, train, config.n_steps, seed, workdir / f"wide{seed}")
        wide.append(len(double_dissociations(losses(network, data.validation), config)))
    unit_a, unit_b, class_a, class_b = best
    return {
        "found": {**mean_interval([float(n) for n in found]), "values": found},
        "total": sum(found),
        "wide": {"total": sum(wide), "networks": sum(n > 0 for n in wide), "values": wide},
        "kept": sum(kept),
        "networks": sum(n > 0 for n in found),
        "loss": [[round(value, 4) for value in row] for row in examples],
        "best": {
            "units": [unit_a, unit_b],
            "classes": [class_a, class_b],
            "a_on_a": examples[unit_a][class_a],
            "a_on_b": examples[unit_a][class_b],
            "b_on_a": examples[unit_b][class_a],
            "b_on_b": examples[unit_b][class_b],
        },
    }


def losses(network: nn.Module, split: Split) -> Tensor:
    """Accuracy lost by each class when each hidden unit is silenced: units x classes."""
    x, y = split.images.flatten(1), split.labels
    whole = right(network, x, y)
    rows = []
    for unit in range(network[0].out_features):
        with lesioned(network, Lesion("1", zero, (unit,))):
            lost = whole - right(network, x, y)
        rows.append(torch.stack([lost[y == c].mean() for c in range(10)]))
    return torch.stack(rows)


def double_dissociations(loss: Tensor, config: Config) -> list[tuple[int, int, int, int]]:
    """Units a, b and classes c, d: a harms c and spares d, b harms d and spares c."""
    hit, spared = loss > config.harm, loss < config.spared
    units, classes = range(loss.shape[0]), range(loss.shape[1])
    return [
        (a, b, c, d)
        for a in units
        for b in units
        for c in classes
        for d in range(c + 1, len(classes))
        if hit[a, c] and spared[a, d] and hit[b, d] and spared[b, c]
    ]


def holds(loss: Tensor, pair: tuple[int, int, int, int], config: Config) -> bool:
    """Whether a pair that was chosen on other images shows the same crossing here, at any size."""
    a, b, c, d = pair
    return bool(loss[a, c] > loss[b, c] and loss[b, d] > loss[a, d])


def strength(loss: Tensor, pair: tuple[int, int, int, int]) -> float:
    """The smaller of the two harms."""
    a, b, c, d = pair
    return float(torch.minimum(loss[a, c], loss[b, d]))


def draw(results: dict) -> Figure:
    figure, (left, right_) = figures.figure(2.5, ncols=2, sharey=False, width_ratios=[1, 1.6])
    best = results["best"]
    # Both lines are lesions: one color, told apart by dashes.
    for unit, role, values in (
        ("a", "model", (best["a_on_a"], best["a_on_b"])),
        ("b", "broken", (best["b_on_a"], best["b_on_b"])),
    ):
        (line,) = left.plot(
            [0, 1],
            [100 * value for value in values],
            marker=figures.marker(role),
            **figures.line_style(role, color=figures.color("broken")),
        )
        first = unit == "a"
        figures.label_line(
            line,
            f"unit {best['units'][0 if first else 1]}",
            x=0 if first else 1,
            dx=8 if first else -8,
            dy=2,
            ha="left" if first else "right",
        )
    figures.sequence_axis(left, [f"digit {c}" for c in best["classes"]])
    left.set_xlim(-0.25, 1.25)
    left.set_ylabel("accuracy lost (points)")
    grid = torch.tensor(results["loss"]).T.clamp(min=0)
    figures.image_grid(right_, grid[None].tolist(), levels=(0, 1), role="broken")
    figures.panel_label(right_, "accuracy lost: digits 0 to 9, 16 units", "broken")
    return figure
