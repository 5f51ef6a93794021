"""The judge of digits that training/digits publishes, as other experiments read it."""

from pathlib import Path

from fromnoise.evaluation import Classifier
from fromnoise.provenance import load_tensors, save_tensors


def save_judge(judge: Classifier, path: Path) -> None:
    """Write the weights of a classifier of digits."""
    save_tensors(path, dict(judge.state_dict()))


def load_judge(path: str | Path) -> Classifier:
    """The classifier, in evaluation mode.

    Example: `load_judge(needed["training/digits"]["weights"]["judge"])`.
    """
    tensors, _ = load_tensors(path)
    judge = Classifier(image_size=8, n_classes=10)
    judge.load_state_dict(tensors)
    return judge.eval().requires_grad_(False)
