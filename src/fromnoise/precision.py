"""Choose the precision of training by trying it: real steps in float32 and under bfloat16.

Source:
    Micikevicius et al. 2018, <https://arxiv.org/abs/1710.03740>, for training at two precisions.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import nn

from fromnoise.training import Batch, Loss, TrainingSettings, advance, start


@dataclass(frozen=True)
class Probe:
    """What the trial found; times are medians, in seconds per step."""

    dtype: torch.dtype | None
    """For `TrainingSettings.autocast_dtype`: bfloat16 where it pays, else None."""
    float32_seconds: float
    bfloat16_seconds: float

    @property
    def speedup(self) -> float:
        """Time of a step in float32 over that of one under bfloat16."""
        return self.float32_seconds / self.bfloat16_seconds


def probe_precision(
    network: nn.Module,
    loss: Loss,
    data: Batch,
    settings: TrainingSettings,
    *,
    n_trials: int = 7,
    least_speedup: float = 1.1,
    clock: Callable[[], float] = time.perf_counter,
) -> Probe:
    """Time whole steps of training both ways, by turns, on copies of the network.

    By turns, so that a machine that slows down meanwhile slows both. The first steps, which
    allocate memory, are not timed. Weights, gradients and random states are left as they were.

    Args:
        network: The network to be trained, on its device.
        loss: Mean loss of a batch.
        data: As for `fromnoise.training.train`.
        settings: Those of the run to come; its own `autocast_dtype` is not looked at.
        n_trials: Timed steps of each kind.
        least_speedup: How many times faster a step under bfloat16 must be to be chosen.
        clock: Tells the time in seconds.

    Raises:
        ValueError: If `n_trials` < 1 or `least_speedup` <= 0, or a step took no time.
        NonFiniteLoss: A step in either precision gave a loss that is not finite.
    """
    if n_trials < 1 or not least_speedup > 0:
        raise ValueError(
            f"need n_trials >= 1 and least_speedup > 0, got {n_trials} and {least_speedup}"
        )
    device = next(network.parameters()).device
    data = tuple(part.to(device) for part in data)
    ways = [replace(settings, autocast_dtype=dtype) for dtype in (None, torch.bfloat16)]
    states = [start(network, way, data) for way in ways]
    seconds: list[list[float]] = [[], []]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for trial in range(n_trials + 1):
            for way, state, found in zip(ways, states, seconds, strict=True):
                begun = clock()
                advance(state, state.network, loss, data, way)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if trial > 0:
                    found.append(clock() - begun)
    full, half = (median(found) for found in seconds)
    if not (full > 0 and half > 0):
        raise ValueError(f"a step took no time by this clock: {full} s and {half} s")
    dtype = torch.bfloat16 if full / half >= least_speedup else None
    return Probe(dtype, full, half)
