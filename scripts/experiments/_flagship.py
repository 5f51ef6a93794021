"""The digit model that training/digits publishes, as other experiments and the pages read it."""

import json
from pathlib import Path

from fromnoise.networks import UNet
from fromnoise.provenance import load_tensors, save_tensors
from fromnoise.schedules import Rectified
from fromnoise.targets import PredictVelocity

SCHEDULE = Rectified()
TARGET = PredictVelocity()
N_CLASSES = 10
NULL = N_CLASSES
"""The label that stands for no condition; training hides a tenth of the labels behind it."""


def digit_network(channels: int, dropout: float = 0.0, seed: int = 0) -> UNet:
    """The network before training."""
    return UNet(8, channels, N_CLASSES, dropout=dropout, seed=seed)


def save_network(network: UNet, channels: int, path: Path) -> None:
    """Write the weights, and what `load_network` must know to build the network."""
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    save_tensors(path, tensors, {"network": json.dumps({"channels": channels})})


def load_network(path: str | Path) -> UNet:
    """The trained network, in evaluation mode.

    Example: `load_network(needed["training/digits"]["weights"]["model"])`.
    """
    tensors, metadata = load_tensors(path)
    network = digit_network(**json.loads(metadata["network"]))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
