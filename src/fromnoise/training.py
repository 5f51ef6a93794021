r"""One readable training loop: seeded, averaged, resumable to the same bits.

A loss is any function `loss(network, batch, generator)` that returns the mean loss of a batch, a
scalar; all its random draws come from `generator`. Data are whole tensors that share their first
dimension. `train` stops after a number of steps and never by the clock, so equal seeds, threads and
hardware give equal weights, whether or not the run was killed on the way and started again.
"""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fromnoise.diffusion import perturb
from fromnoise.provenance import load_tensors, save_tensors
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Scales, Schedule, beside
from fromnoise.targets import Target

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
    """The choices of a training run that do not depend on the network or the loss."""

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
    """bfloat16 is faster for some networks and slower for others: measure before you choose."""

    def __post_init__(self) -> None:
        if self.n_steps < 0 or self.batch_size < 1:
            raise ValueError(
                f"n_steps must be >= 0 and batch_size >= 1, got {self.n_steps}, {self.batch_size}"
            )
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
    """What a progress callback is told after each step."""

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


# --8<-- [start:denoising_loss]
def denoising_loss(
    schedule: Schedule,
    target: Target,
    *,
    weight: Callable[[Scales], Tensor] | None = None,
    label_dropout: float = 0.0,
    null_label: int | None = None,
    t_min: float = 0.0,
    t_max: float = 1.0,
) -> Loss:
    r"""Mean squared error of a prediction target, over random times and noise.

    $w_t\, \lVert f_\theta(x_t, t, c) - y(x_0, \epsilon, t) \rVert^2 / D$ with $t$ uniform,
    averaged over the batch. One random offset places the times of a batch evenly, which takes
    noise out of the gradient and leaves its mean alone.

    Args:
        schedule: Noise schedule.
        target: What the network is asked for.
        weight: Weight $w_t$ as a function of the scales; 1 if not given.
        label_dropout: Share of labels replaced by the null class, for classifier-free guidance.
        null_label: The null class, `n_classes` of the network; needed to drop labels.
        t_min: Earliest time.
        t_max: Latest time.

    Raises:
        ValueError: Unless 0 <= t_min < t_max <= 1 and label_dropout lies in [0, 1] and has a
            null_label.
    """
    if not 0 <= t_min < t_max <= 1:
        raise ValueError(f"need 0 <= t_min < t_max <= 1, got {t_min}, {t_max}")
    if not 0 <= label_dropout <= 1 or (label_dropout > 0 and null_label is None):
        raise ValueError(
            "label_dropout must lie in [0, 1] and needs a null_label, "
            f"got {label_dropout} and {null_label}"
        )

    def loss(network: Network, batch: Batch, generator: torch.Generator) -> Tensor:
        x_0, label = batch[0], batch[1] if len(batch) > 1 else None
        rand = partial(torch.rand, generator=generator, device=x_0.device)
        u = (torch.arange(len(x_0), device=x_0.device) + rand(())) / len(x_0)
        t = t_min + (t_max - t_min) * u.clamp(max=1.0)
        scales = schedule(t)
        eps = torch.randn(x_0.shape, generator=generator, device=x_0.device)
        x_t = perturb(x_0, eps, scales)
        if label is not None and null_label is not None:
            label = torch.where(rand(len(x_0)) < label_dropout, null_label, label)
        error = (network(x_t, t, label) - target.true(x_0, eps, scales)).square()
        return (error if weight is None else beside(weight(scales), error) * error).mean()

    return loss


# --8<-- [end:denoising_loss]


def as_denoiser(
    network: Network, schedule: Schedule, target: Target, label: Tensor | None = None
) -> Denoiser:
    r"""Turn a trained network into $\hat x_0(x_t, t)$, the face that samplers know.

    Args:
        network: Network trained for `target` on `schedule`.
        schedule: That schedule.
        target: That target.
        label: Class of each example, or none.
    """

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        return target.x_0_hat(network(x_t, t, label), x_t, schedule(t))

    return denoiser


# --8<-- [start:learning_rate_at]
def learning_rate_at(step: int, settings: TrainingSettings) -> float:
    r"""Learning rate of step n = 1, 2, ..., N: linear warm-up, then half a cosine.

    $h_n = h \min(1, n / n_w)\, (\kappa + (1 - \kappa) \tfrac12 (1 + \cos \pi \tfrac{n-1}{N}))$ with
    warm-up $n_w$ and final share $\kappa$.
    """
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
        ValueError: The data are empty or disagree in length, or the checkpoint belongs to a run
            with other settings, other data or another network.
    """
    _check(data)
    device = next(network.parameters()).device
    data = tuple(part.to(device) for part in data)
    run = _Run(network, settings, data, device)
    path = None if folder is None else Path(folder) / "checkpoint.safetensors"
    if path is not None and path.exists():
        run.restore(path)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        run.set_global_rng()  # dropout draws from the global state; the fork gives it back
        saved_at = started_at = time.monotonic()
        first = run.step
        while run.step < settings.n_steps:
            try:
                value = run.advance(loss, data)
            except NonFiniteLoss:
                if path is not None:
                    path.unlink(missing_ok=True)
                raise
            finished = run.step == settings.n_steps
            if finished or (measure_every and run.step % measure_every == 0):
                run.record(measure)
            now = time.monotonic()
            if path is not None and (finished or now - saved_at >= checkpoint_seconds):
                run.save(path)
                saved_at = time.monotonic()
            if progress is not None:
                left = (now - started_at) / (run.step - first) * (settings.n_steps - run.step)
                progress(Progress(run.step, settings.n_steps, value, left))

    return TrainedModel(run.average.eval(), run.network.eval(), run.records)


class _Run:
    """Everything that decides the next step, so that saving it saves the run."""

    def __init__(
        self, network: nn.Module, settings: TrainingSettings, data: Batch, device: torch.device
    ) -> None:
        self.settings, self.device = settings, device
        self.network = copy.deepcopy(network).train()
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        # One fused kernel per step instead of several per tensor.
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        self.global_rng: Tensor | None = None
        self.step = 0
        self.records: list[dict[str, float]] = []
        self.loss_sum, self.loss_count = 0.0, 0
        self.identity = _identity(network, settings, data)

    def set_global_rng(self) -> None:
        """Start, or go on with, the stream that dropout draws from."""
        on_gpu = self.device.type == "cuda"
        if self.global_rng is None:
            seed = self.settings.seed + 1  # another stream than the generator's
            if on_gpu:
                torch.cuda.manual_seed(seed)
            else:
                torch.default_generator.manual_seed(seed)
        elif on_gpu:
            torch.cuda.set_rng_state(self.global_rng, self.device)
        else:
            torch.set_rng_state(self.global_rng)

    def advance(self, loss: Loss, data: Batch) -> float:
        """One step: a batch, its loss, the gradient, the new weights, their average."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step + 1, settings)
        rows = torch.randint(
            len(data[0]), (settings.batch_size,), generator=self.generator, device=self.device
        )
        batch = tuple(part[rows] for part in data)
        dtype = settings.autocast_dtype
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            value = loss(self.network, batch, self.generator)
        self.optimizer.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.gradient_clip)
        if not torch.isfinite(value + norm):
            raise NonFiniteLoss(self.step + 1, value.item(), norm.item())
        self.optimizer.step()
        self.step += 1
        update_average(self.average, self.network, self.step, settings.ema_decay)
        self.loss_sum += value.item()
        self.loss_count += 1
        return value.item()

    def record(self, measure: Measure | None) -> None:
        """Add the mean loss since the last record, and what `measure` finds."""
        entry = {"step": float(self.step), "loss": self.loss_sum / max(1, self.loss_count)}
        if measure is not None:
            entry |= measure(self.average)
        self.records.append(entry)
        self.loss_sum, self.loss_count = 0.0, 0

    def save(self, path: Path) -> None:
        """Write all of it at once: weights, average, optimizer, random states, records."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        tensors["generator"] = self.generator.get_state()
        tensors["global_rng"] = (
            torch.cuda.get_rng_state(self.device)
            if self.device.type == "cuda"
            else torch.get_rng_state()
        )
        state = {
            "identity": self.identity,
            "step": self.step,
            "records": self.records,
            "loss": [self.loss_sum, self.loss_count],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        save_tensors(path, tensors, {"run": json.dumps(state)})

    def restore(self, path: Path) -> None:
        """Read it back."""
        tensors, metadata = load_tensors(path)
        state = json.loads(metadata["run"])
        if state["identity"] != self.identity:
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
        self.step, self.records = state["step"], state["records"]
        self.loss_sum, self.loss_count = state["loss"]


def _identity(network: nn.Module, settings: TrainingSettings, data: Batch) -> dict[str, Any]:
    """What must agree before a checkpoint is taken up; the first weights stand for the network."""
    choices = {key: str(value) for key, value in asdict(settings).items()}
    weights = [float(p.detach().double().abs().sum()) for p in network.parameters()]
    contents = [[list(part.shape), float(part.detach().double().sum())] for part in data]
    return {"settings": choices, "weights": weights, "data": contents}


def _check(data: Batch) -> None:
    if not data or len(data[0]) == 0:
        raise ValueError("there are no data to train on")
    if len({len(part) for part in data}) > 1:
        raise ValueError(f"data disagree in length: {[len(part) for part in data]}")
