"""What the experiments of this chapter share: the digits, their judge, and sums over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fromnoise.datasets import digits, snap_to_levels, to_levels
from fromnoise.evaluation import (
    Classifier,
    frechet_distance,
    nearest_neighbor_ratio,
    train_classifier,
)
from fromnoise.intervals import mean_interval
from fromnoise.probes import fit_probe
from fromnoise.training import TrainingSettings


@dataclass(frozen=True)
class Digits:
    """Flat digits, their classes, and what the training digits vary."""

    train: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor

    @classmethod
    def load(cls, n_test: int | None = None) -> "Digits":
        data = digits()
        return cls(
            data.train.images.flatten(1),
            data.train.labels,
            data.test.images.flatten(1)[:n_test],
            data.test.labels[:n_test],
        )

    @property
    def variance(self) -> float:
        """Variance of the training digits, summed over pixels."""
        return float(self.train.var(0, correction=0).sum())

    def error(self, answer: Tensor) -> float:
        """Mean squared distance from the test digits, as a share of the variance."""
        return float((answer - self.test).square().sum(1).mean()) / self.variance


def training(n_steps: int, seed: int) -> TrainingSettings:
    """The settings of the whole chapter, chosen on the validation split."""
    return TrainingSettings(n_steps=n_steps, batch_size=128, learning_rate=1e-2, seed=seed)


@dataclass(frozen=True)
class Judge:
    """Says which images pass for digits, and how far a set of them is from the test digits."""

    digits: Digits
    classifier: Classifier
    farthest: float
    least_sure: float

    @classmethod
    def trained(cls, data: Digits, n_steps: int) -> "Judge":
        """Train the classifier on the validation split; 95 % of test digits pass each test."""
        validation = digits().validation
        classifier = train_classifier(validation.images, validation.labels, n_steps)
        judge = cls(data, classifier, 0.0, 0.0)
        distance, sureness = judge.marks(data.test)
        farthest, least_sure = float(distance.quantile(0.95)), float(sureness.quantile(0.05))
        return cls(data, classifier, farthest, least_sure)

    @torch.no_grad()
    def marks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest training digit, and the probability of the likeliest class."""
        x = snap_to_levels(x)
        sureness = self.classifier(x.view(-1, 1, 8, 8)).softmax(1).amax(1)
        return torch.cdist(x, self.digits.train).amin(1), sureness

    @torch.no_grad()
    def __call__(self, x: Tensor) -> dict[str, float]:
        """Judge images, cut to the range of pixels."""
        x = x.clamp(-1, 1)
        distance, sureness = self.marks(x)
        passed = (distance <= self.farthest) & (sureness >= self.least_sure)
        features = [
            self.classifier.judge(snap_to_levels(part).view(-1, 1, 8, 8))
            for part in (x, self.digits.test)
        ]
        return {
            "digits": float(passed.double().mean()),
            "frechet": frechet_distance(*features),
            "variance": float(x.var(0, correction=0).sum()) / self.digits.variance,
            "neighbor": nearest_neighbor_ratio(x, self.digits.train, self.digits.test),
        }


def class_readout(a: Tensor, labels: Tensor, b: Tensor, test_labels: Tensor) -> float:
    """Share of classes that a linear probe, fitted on `a`, reads from `b`."""
    scale = a.std().clamp(min=1e-6)
    targets = F.one_hot(labels, 10).float()
    probe = fit_probe(a / scale, targets, penalty=100.0)
    return float((probe(b / scale).argmax(1) == test_labels).double().mean())


def over_seeds(rows: Sequence[dict[str, float]]) -> dict[str, dict]:
    """For each quantity: mean, 95 % interval over seeds, and the value of every seed."""
    return {
        key: {
            **mean_interval([row[key] for row in rows]),
            "values": [round(row[key], 5) for row in rows],
        }
        for key in rows[0]
    }


def shown(x: Tensor) -> list:
    """Images in gray levels, ready to be drawn; what lies outside is cut."""
    return to_levels(x).view(*x.shape[:-1], 8, 8).tolist()
