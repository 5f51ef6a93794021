"""What a training run is between two steps, written whole and read back to the same bits.

Source:
    The book's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fromnoise.provenance import load_tensors, save_tensors


@dataclass
class TrainingState:
    """Everything that decides the next step, so that saving it saves the run.

    Attributes:
        records: What was measured so far.
        loss_sum: Sum of the losses since the last record.
        loss_count: Their number.
    """

    network: nn.Module
    """The network being trained."""
    average: nn.Module
    """The moving average of its weights."""
    optimizer: torch.optim.Optimizer
    """Over the parameters of `network`, in their order."""
    generator: torch.Generator
    """Draws the batches, and all that the loss draws; lives on the device of the weights."""
    identity: dict[str, Any]
    """What a checkpoint must agree on before it is taken up, from `identity_of`."""
    global_rng: Tensor | None = None
    """State of the global random stream, from a checkpoint."""
    step: int = 0
    records: list[dict[str, float]] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_count: int = 0

    def set_global_rng(self, seed: int) -> None:
        """Start, or go on with, the stream that dropout draws from; changes the global state.

        Args:
            seed: The run's seed; the stream starts from the one after it, another than the
                generator's.
        """
        device = self.generator.device
        if self.global_rng is None:
            if device.type == "cuda":
                torch.cuda.manual_seed(seed + 1)
            else:
                torch.default_generator.manual_seed(seed + 1)
        elif device.type == "cuda":
            torch.cuda.set_rng_state(self.global_rng, device)
        else:
            torch.set_rng_state(self.global_rng)

    def record(self, measures: Mapping[str, float]) -> None:
        """Add an entry: the step, the mean loss since the last entry, and the measures."""
        mean = self.loss_sum / max(1, self.loss_count)
        self.records.append({"step": float(self.step), "loss": mean, **measures})
        self.loss_sum, self.loss_count = 0.0, 0

    def save(self, path: Path) -> None:
        """Write all of it at once: weights, average, optimizer, random states, records.

        Args:
            path: The file; its folder is made.

        Raises:
            OSError: There is no room, or no permission. The old file stays as it was.
        """
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        device = self.generator.device
        tensors["generator"] = self.generator.get_state()
        tensors["global_rng"] = (
            torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
        )
        run = {
            "identity": self.identity,
            "step": self.step,
            "records": self.records,
            "loss": [self.loss_sum, self.loss_count],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        save_tensors(path, tensors, {"run": json.dumps(run)})

    def restore(self, path: Path) -> None:
        """Read it back; the global stream is set by the next `set_global_rng`.

        Args:
            path: A file of `save`.

        Raises:
            ValueError: The checkpoint belongs to a run with another identity.
            CorruptFile: The file is damaged.
        """
        tensors, metadata = load_tensors(path)
        run = json.loads(metadata["run"])
        if run["identity"] != self.identity:
            raise ValueError(
                f"{path} belongs to a run with other settings, data or network: remove it to start"
            )
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, value in tensors.items():
            head, _, rest = name.partition(".")
            if head in parts:
                parts[head][rest] = value
        self.network.load_state_dict(parts["network"])
        self.average.load_state_dict(parts["average"])
        parameters = list(self.network.parameters())
        optimizer: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            index, _, key = name.partition(".")
            if value.dim():
                # The fused kernel walks memory: states must lie there as their parameter does.
                value = torch.empty_like(parameters[int(index)]).copy_(value)
            optimizer.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer, "param_groups": groups})
        self.generator.set_state(tensors["generator"])
        self.global_rng = tensors["global_rng"]
        self.step, self.records = run["step"], run["records"]
        self.loss_sum, self.loss_count = run["loss"]


def identity_of(
    network: nn.Module, choices: Mapping[str, object], data: tuple[Tensor, ...]
) -> dict[str, Any]:
    """What tells one run from another; sums of the first weights stand for the network.

    Args:
        network: The network at its start.
        choices: Settings of the run, by name.
        data: All tensors it is trained on.
    """
    weights = [float(p.detach().double().abs().sum()) for p in network.parameters()]
    contents = [[list(part.shape), float(part.detach().double().sum())] for part in data]
    return {
        "settings": {key: str(value) for key, value in choices.items()},
        "weights": weights,
        "data": contents,
    }
