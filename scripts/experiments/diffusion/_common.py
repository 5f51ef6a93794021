"""What the experiments of this chapter share: one small denoiser of digits, and exact ones."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fromnoise.datasets import Split, digits
from fromnoise.diffusion import simple_loss
from fromnoise.generative_models import dequantize, fit_class_gaussians
from fromnoise.intervals import mean_interval
from fromnoise.mixtures import GaussianMixture
from fromnoise.networks import UNet
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Cosine
from fromnoise.targets import PredictV
from fromnoise.training import Loss, TrainingSettings, train

LEVELS = torch.linspace(-1, 1, 17)
N_DIMS = 64
SCHEDULE = Cosine()
TARGET = PredictV()


def flat(split: Split, n: int | None = None) -> Tensor:
    """Images as rows of pixels."""
    return split.images[:n].flatten(1)


def over_seeds(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [round(value, 6) for value in values]}


def pixels(images: Tensor) -> list:
    """Images as gray levels 0 to 16 with one digit of fraction, to be drawn later."""
    return ((images.reshape(-1, 8, 8).clamp(-1, 1) + 1) * 8).round(decimals=1).tolist()


def even_times(n: int, generator: torch.Generator) -> Tensor:
    """One time per example, spread evenly over [0, 1] from one random shift."""
    return (torch.rand(1, generator=generator) + torch.arange(n) / n) % 1


def uniform_loss(network: nn.Module, batch: tuple, generator: torch.Generator) -> Tensor:
    """The simple loss at every time alike."""
    x_0 = batch[0]
    eps = torch.randn(x_0.shape, generator=generator)
    t = even_times(len(x_0), generator)
    return simple_loss(network, TARGET, SCHEDULE, x_0, t, eps).mean()


def fit(loss: Loss, n_steps: int, seed: int, folder: Path, time_embedding: bool = True) -> Denoiser:
    """Train a small U-Net on the digits; flat images in, estimates of the clean ones out."""
    settings = TrainingSettings(
        n_steps=n_steps,
        # Small batches: in a few seconds, more steps teach more than smoother ones.
        batch_size=32,
        learning_rate=4e-3,
        ema_decay=0.98,
        seed=seed,
    )
    network = UNet(8, channels=16, time_embedding=time_embedding, seed=seed)
    trained = train(network, loss, (digits().train.images,), settings, folder=folder).network

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        output = trained(x_t.reshape(-1, 1, 8, 8), t).flatten(1)
        return TARGET.x_0_hat(output, x_t, SCHEDULE(t.double()))

    return denoise


def digit_mixture(seed: int = 0) -> GaussianMixture:
    """Ten Gaussians fitted to the training digits: real enough, and every answer is known."""
    train_split = digits().train
    generator = torch.Generator().manual_seed(seed)
    # Spread over their own width, the gray levels make no covariance singular.
    x = dequantize(flat(train_split).double(), 1 / 8, generator)
    return fit_class_gaussians(x, train_split.labels, shrinkage=0.02)
