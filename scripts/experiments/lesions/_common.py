"""What the experiments of this chapter share: three small networks, their parts, and one loss."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from experiments._flagship import NULL, SCHEDULE, TARGET, digit_network, load_network
from fromnoise.datasets import Split, Splits
from fromnoise.denoising import denoising_loss
from fromnoise.diffusion import perturb
from fromnoise.intervals import mean_interval
from fromnoise.lesions import Lesion, recorded
from fromnoise.networks import UNet
from fromnoise.training import TrainingSettings, train

NETWORKS = ("net0", "net1", "net2")
"""The seeds that `lesions/blocks` trains and publishes."""

# What a block adds to its input, not its whole output: a block that is cut whole takes all that
# passes through it along, and any block in the only path would look like the seat of everything.
PARTS = {
    "down, fine": "down.0.0.conv_out",
    "down, coarse": "down.1.0.conv_out",
    "middle, in": "middle_in.conv_out",
    "attention": "attention.to_out",
    "middle, out": "middle_out.conv_out",
    "up, coarse": "up.1.0.conv_out",
    "up, fine": "up.0.0.conv_out",
}
SKIPS = {"skip, coarse": "up.1.0", "skip, fine": "up.0.0"}

LossAt = Callable[[Tensor], Tensor]


def fitted(seed: int, channels: int, n_steps: int, data: Splits, folder: Path) -> UNet:
    """A small network by the flagship's recipe; a tenth of the labels hidden."""
    settings = TrainingSettings(
        n_steps=n_steps, batch_size=32, learning_rate=7e-3, ema_decay=0.97, seed=seed
    )
    loss = denoising_loss(SCHEDULE, TARGET, label_dropout=0.1, null_label=NULL)
    trained = train(
        digit_network(channels, seed=seed), loss, tuple(data.train), settings, folder=folder
    )
    return trained.network.eval().requires_grad_(False)


def small_networks(needed: dict) -> list[UNet]:
    """The three published networks."""
    weights = needed["lesions/blocks"]["weights"]
    return [load_network(weights[name]) for name in NETWORKS]


def noisy(split: Split, t: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy images at one time, what the network is asked for, and the time of each."""
    generator = torch.Generator().manual_seed(seed)
    images = split.images
    times = torch.full((len(images),), float(t))
    scales = SCHEDULE(times)
    eps = torch.randn(images.shape, generator=generator)
    return perturb(images, eps, scales), TARGET.true(images, eps, scales), times


def loss_of(network: UNet, split: Split, seed: int, told: bool = True) -> LossAt:
    """Squared error per pixel of each image; equal times meet equal noise."""

    def loss(t: Tensor) -> Tensor:
        x_t, wanted, times = noisy(split, float(t), seed)
        labels = split.labels if told else torch.full_like(split.labels, NULL)
        return (network(x_t, times, labels) - wanted).square().flatten(1).mean(1)

    return loss


@torch.no_grad()
def activity(
    network: UNet,
    module: str,
    split: Split,
    t: float,
    seed: int,
    *,
    at_input: bool = False,
    told: bool = True,
) -> Tensor:
    """What one module says of noisy images at one time."""
    x_t, _, times = noisy(split, t, seed)
    labels = split.labels if told else torch.full_like(split.labels, NULL)
    with recorded(network, module, at_input) as found:
        network(x_t, times, labels)
    return torch.cat(found)


def skip_units(network: UNet, module: str) -> tuple[int, ...]:
    """Channels of a block's input that come over the skip connection: the second half."""
    n = dict(network.named_modules())[module].norm_in.num_channels
    return tuple(range(n // 2, n))


def lesion(
    network: UNet,
    name: str,
    replacement: Callable[[Tensor], Tensor],
    units: tuple[int, ...] | None = None,
) -> Lesion:
    """The lesion of a named part; `units` in place of a skip's own give a control."""
    if name in PARTS:
        return Lesion(PARTS[name], replacement, units)
    module = SKIPS[name]
    return Lesion(module, replacement, units or skip_units(network, module), at_input=True)


def place(name: str) -> tuple[str, bool]:
    """Module of a part, and whether it is lesioned at its input."""
    return (PARTS[name], False) if name in PARTS else (SKIPS[name], True)


def first(split: Split, n: int) -> Split:
    return Split(split.images[:n], split.labels[:n])


def over(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over the networks, and the value of each."""
    return {**mean_interval(values), "values": [round(float(value), 5) for value in values]}
