r"""One readable training loop: seeded, averaged, resumable to the same bits.

A loss is any function `loss(network, batch, generator)` that returns the mean loss of a batch, a
scalar; all its random draws come from `generator`. Data are whole tensors that share their first
dimension. `train` stops after a number of steps and never by the clock, so equal seeds, threads and
hardware give equal weights, whether or not the run was killed on the way and started again.

Source:
    The optimizer is AdamW, Loshchilov and Hutter 2019, <https://arxiv.org/abs/1711.05101>.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.checkpoints import TrainingState, identity_of
from fromnoise.distributed import (
    SharedNetwork,
    is_lead,
    n_processes,
    require_agreement,
    wait_for_all,
)

Batch = tuple[Tensor, ...]
Network = Callable[..., Tensor]
"""`network(x_t, t, label)`: a module of `fromnoise.networks`, or any function of that form."""
Loss = Callable[[nn.Module, Batch, torch.Generator], Tensor]
Measure = Callable[[nn.Module], dict[str, float]]


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient became NaN or infinite; the run stops and keeps nothing."""

    def __init__(self, step: int, loss: float, gradient_norm: float) -> None:
        super().__init__(
            f"training stopped at step {step}: loss {loss:g}, gradient norm {gradient_norm:g}"
        )
        self.step = step


@dataclass(frozen=True)
class TrainingSettings:
    """The choices of a training run that do not depend on the network or the loss.

    Attributes:
        gradient_clip: Largest norm of a step's gradient.
        weight_decay: Of AdamW.

    Raises:
        ValueError: If a number is out of its range.
    """

    n_steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 2e-3
    """Base rate $h$: a linear warm-up times half a cosine down, so the peak stays below it."""
    final_share: float = 0.0
    """Share of it at which the cosine ends; 1 keeps the rate constant after the warm-up."""
    warmup_steps: int = 50
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    """Of AdamW. Runs of a few hundred steps want a second moment that forgets sooner than 0.999."""
    gradient_clip: float = 1.0
    ema_decay: float = 0.99
    """The average looks back over about 1 / (1 - ema_decay) steps; 0 keeps the last weights."""
    seed: int = 0
    autocast_dtype: torch.dtype | None = None
    """bfloat16 is faster for some networks, slower for others: `fromnoise.precision` tries it."""

    def __post_init__(self) -> None:
        if self.n_steps < 0 or self.batch_size < 1:
            raise ValueError(
                f"n_steps must be >= 0 and batch_size >= 1, got {self.n_steps}, {self.batch_size}"
            )
        require_counts(0, warmup_steps=self.warmup_steps)
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")
        if not 0 <= self.final_share <= 1:
            raise ValueError(f"final_share must lie in [0, 1], got {self.final_share}")
        if not (self.learning_rate > 0 and self.gradient_clip > 0):
            raise ValueError(
                f"learning_rate and gradient_clip must be positive, got {self.learning_rate}, "
                f"{self.gradient_clip}"
            )


@dataclass(frozen=True)
class Progress:
    """What a progress callback is told after each step.

    Attributes:
        seconds_left: Estimate from the pace so far.
    """

    step: int
    n_steps: int
    loss: float
    seconds_left: float

    def __str__(self) -> str:
        return (
            f"step {self.step}/{self.n_steps}, loss {self.loss:.4f}, {self.seconds_left:.0f} s left"
        )


@dataclass(frozen=True)
class TrainedModel:
    """What training leaves: the averaged network to use, the last weights, and the record."""

    network: nn.Module
    """The moving average of the weights, in evaluation mode."""
    last: nn.Module
    """The weights of the last step, in evaluation mode."""
    records: list[dict[str, float]] = field(default_factory=list)
    """One entry per measurement: `step`, mean training `loss` since the entry before, measures."""


# --8<-- [start:learning_rate_at]
def learning_rate_at(step: int, settings: TrainingSettings) -> float:
    r"""Learning rate of step n = 1, 2, ..., N: linear warm-up, then half a cosine.

    $h_n = h \min(1, n / n_w)\, (\kappa + (1 - \kappa) \tfrac12 (1 + \cos \pi \tfrac{n-1}{N}))$ with
    warm-up $n_w$ and final share $\kappa$.

    Raises:
        ValueError: If `step` is below 1.
    """
    require_counts(step=step)
    warmup = min(1.0, step / max(1, settings.warmup_steps))
    wave = 0.5 * (1 + math.cos(math.pi * (step - 1) / max(1, settings.n_steps)))
    return (
        settings.learning_rate * warmup * (settings.final_share + (1 - settings.final_share) * wave)
    )


# --8<-- [end:learning_rate_at]


# --8<-- [start:update_average]
@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    r"""Moving average of the weights without the bias of its start.

    $\bar\theta_n = \bar\theta_{n-1} + \frac{1-d}{1-d^n}(\theta_n - \bar\theta_{n-1})$, the mean of
    $\theta_1,\dots,\theta_n$ with weights $d^{n-i}$: the first call copies the weights, and nothing
    of the untrained network stays.

    Args:
        average: Network that holds the average; changed in place.
        network: Network being trained.
        step: Number n of this update, from 1.
        decay: Decay d in [0, 1) of an old weight's share per step.

    Raises:
        ValueError: If `step` < 1 or `decay` lies outside [0, 1).
    """
    if step < 1 or not 0 <= decay < 1:
        raise ValueError(f"need step >= 1 and decay in [0, 1), got {step} and {decay}")
    share = (1 - decay) / (1 - decay**step)
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), share)
    for kept, new in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(new)


# --8<-- [end:update_average]


def train(
    network: nn.Module,
    loss: Loss,
    data: Batch,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    checkpoint_seconds: float = 20.0,
    measure: Measure | None = None,
    measure_every: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> TrainedModel:
    r"""Minimize the mean loss over `data`; the caller's network is left as it was.

    Where a process group of `torch.distributed` was started, its processes train together, as in
    `fromnoise.distributed`: all call `train` with the same arguments, and the first one writes.

    Args:
        network: The network at its start; a copy is trained on the device of its weights.
        loss: Mean loss of a batch in the units of the caller's choice.
        data: Tensors with the same first dimension; batches are drawn with replacement.
        settings: Length, batch, learning rate, averaging, seed.
        folder: Where the checkpoint lives. A run that finds its own checkpoint there goes on
            from it to the same bits; a finished run returns at once.
        checkpoint_seconds: A checkpoint is written when this time has passed since the last.
        measure: Numbers to record of the averaged network, such as a held-out bound.
        measure_every: Steps between records (0: one record, at the end).
        progress: Called after each step.

    Raises:
        NonFiniteLoss: The loss or the gradient's norm is NaN or infinite; names the step. The
            checkpoint is removed.
        ValueError: The data are empty or disagree in length, `measure_every` is negative, the
            checkpoint belongs to a run with other settings, other data or another network, or the
            processes of a group disagree.
    """
    _check(data)
    require_counts(0, measure_every=measure_every)
    device = next(network.parameters()).device
    data = tuple(part.to(device) for part in data)
    state = start(network, settings, data)
    path = None if folder is None else Path(folder) / "checkpoint.safetensors"
    if path is not None and path.exists():
        state.restore(path)
    model = state.network
    if n_processes() > 1:
        require_agreement(state)
        model = SharedNetwork(state.network)
    writes = is_lead()

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        state.set_global_rng(settings.seed)
        saved_at = started_at = time.monotonic()
        first = state.step
        while state.step < settings.n_steps:
            try:
                value = advance(state, model, loss, data, settings)
            except NonFiniteLoss:
                if path is not None and writes:
                    path.unlink(missing_ok=True)
                raise
            finished = state.step == settings.n_steps
            if finished or (measure_every and state.step % measure_every == 0):
                state.record({} if measure is None else measure(state.average))
            now = time.monotonic()
            if path is not None and writes and (finished or now - saved_at >= checkpoint_seconds):
                state.save(path)
                saved_at = time.monotonic()
            if progress is not None:
                left = (now - started_at) / (state.step - first) * (settings.n_steps - state.step)
                progress(Progress(state.step, settings.n_steps, value, left))

    wait_for_all()  # whoever looks for the checkpoint next must find it
    return TrainedModel(state.average.eval(), state.network.eval(), state.records)


def start(network: nn.Module, settings: TrainingSettings, data: Batch) -> TrainingState:
    """A run before its first step; it holds copies, and leaves `network` as it was."""
    device = next(network.parameters()).device
    trained = copy.deepcopy(network).train()
    return TrainingState(
        network=trained,
        average=copy.deepcopy(network).eval().requires_grad_(False),
        # One fused kernel per step instead of several per tensor.
        optimizer=torch.optim.AdamW(
            trained.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        ),
        generator=torch.Generator(device).manual_seed(settings.seed),
        identity=identity_of(network, asdict(settings), data),
    )


def advance(
    state: TrainingState, network: nn.Module, loss: Loss, data: Batch, settings: TrainingSettings
) -> float:
    """One step: a batch, its loss, the gradient, the new weights, their average.

    Args:
        state: The run; changed in place.
        network: What the loss is given: `state.network`, or a module around it.
        loss: Mean loss of a batch.
        data: Tensors on the device of the weights.
        settings: Those the state was started with.

    Returns:
        The loss before the step.

    Raises:
        NonFiniteLoss: The loss or the gradient's norm is NaN or infinite.
    """
    device = state.generator.device
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate_at(state.step + 1, settings)
    size = (settings.batch_size,)
    rows = torch.randint(len(data[0]), size, generator=state.generator, device=device)
    batch = tuple(part[rows] for part in data)
    dtype = settings.autocast_dtype
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        value = loss(network, batch, state.generator)
    state.optimizer.zero_grad()
    value.backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip)
    if not torch.isfinite(value + norm):
        raise NonFiniteLoss(state.step + 1, value.item(), norm.item())
    state.optimizer.step()
    state.step += 1
    update_average(state.average, state.network, state.step, settings.ema_decay)
    state.loss_sum += value.item()
    state.loss_count += 1
    return value.item()


def _check(data: Batch) -> None:
    if not data or len(data[0]) == 0:
        raise ValueError("there are no data to train on")
    if len({len(part) for part in data}) > 1:
        raise ValueError(f"data disagree in length: {[len(part) for part in data]}")
