"""What the experiments of this chapter share: training one model, and summing up over seeds."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from fromnoise.datasets import Split
from fromnoise.intervals import mean_interval
from fromnoise.training import Loss, Measure, TrainedModel, TrainingSettings, train


def flat(split: Split, n: int | None = None) -> Tensor:
    """Images as rows of pixels."""
    return split.images[:n].flatten(1)


def fit(
    model: nn.Module,
    loss: Loss,
    x: Tensor,
    n_steps: int,
    seed: int,
    folder: Path,
    learning_rate: float = 3e-3,
    measure: Measure | None = None,
    measure_every: int = 0,
) -> TrainedModel:
    """Train with the settings of the whole chapter, chosen on the validation split."""
    settings = TrainingSettings(
        n_steps=n_steps,
        batch_size=128,
        learning_rate=learning_rate,
        seed=seed,
    )
    return train(
        model, loss, (x,), settings, folder=folder, measure=measure, measure_every=measure_every
    )


def over_seeds(rows: Sequence[dict[str, float]]) -> dict[str, dict]:
    """For each quantity: mean, 95 % interval over seeds, and the value of every seed."""
    return {
        key: {**mean_interval([row[key] for row in rows]), "values": [row[key] for row in rows]}
        for key in rows[0]
    }
