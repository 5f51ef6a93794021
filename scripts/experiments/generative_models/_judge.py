"""The classifier in whose features this chapter compares samples with held-out digits."""

from dataclasses import dataclass

from torch import Tensor

from fromnoise.datasets import Splits, snap_to_levels
from fromnoise.evaluation import Classifier, frechet_distance, train_classifier


@dataclass(frozen=True)
class Judge:
    classifier: Classifier
    held_out: Tensor

    @classmethod
    def trained(cls, data: Splits, n_steps: int) -> "Judge":
        """Train it on the validation split, which neither models nor comparisons use."""
        classifier = train_classifier(data.validation.images, data.validation.labels, n_steps)
        return cls(classifier, data.test.images)

    def distance(self, samples: Tensor) -> float:
        """Frechet distance of flat samples, snapped to gray levels, to the held-out digits."""
        images = snap_to_levels(samples.float()).view(-1, 1, 8, 8)
        return frechet_distance(self.classifier.judge(images), self.classifier.judge(self.held_out))
