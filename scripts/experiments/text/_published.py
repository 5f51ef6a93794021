"""The networks that budget and distances publish, as the pages run them."""

from pathlib import Path

from experiments.text._common import grammar, network
from fromnoise.provenance import load_tensors
from fromnoise.transformer import Transformer


def load_masked(path: str | Path) -> Transformer:
    """The network that fills in hidden characters, in evaluation mode."""
    return _loaded(path, rotary=True)


def load_without_distances(path: str | Path) -> Transformer:
    """The one that was trained without the turn of questions and keys."""
    return _loaded(path, rotary=False)


def _loaded(path: str | Path, rotary: bool) -> Transformer:
    model = network(len(grammar().vocabulary), causal=False, seed=0, rotary=rotary)
    model.load_state_dict(load_tensors(path)[0])
    return model.eval().requires_grad_(False)
