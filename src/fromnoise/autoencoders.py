r"""Autoencoders: through a narrow code and back, or from a noisy point back to the clean one.

A denoising autoencoder is a function $r(x_t)$ that is asked for $x_0$, given
$x_t = x_0 + \sigma \epsilon$. The best one is the posterior mean $E[x_0 \mid x_t]$, and
$(r(x_t) - x_t) / \sigma^2$ is then the score of the noisy data. A chain of denoisers, from much
noise to little, is a sampler. A plain autoencoder has a code, but no distribution to draw it from.

    denoiser(x_t) -> x_0_hat          one noise level, shaped like x_t

Points are flat, `(batch, dim)`. Errors are squared distances, summed over dimensions.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.batches import noise_like
from fromnoise.networks import seeded
from fromnoise.schedules import Scales
from fromnoise.targets import score_from_x_0
from fromnoise.training import Batch, Loss, TrainingSettings, train

Points = Float[Tensor, "batch dim"]
PerPoint = Float[Tensor, " batch"]
PointDenoiser = Callable[[Tensor], Tensor]
"""Maps noisy points of one noise level to estimates of the clean ones."""
SETTINGS = TrainingSettings(n_steps=600, batch_size=256, learning_rate=5e-3)


# --8<-- [start:reconstruction_error]
def reconstruction_error(
    denoiser: PointDenoiser, x_0: Points, eps: Points, sigma: float
) -> PerPoint:
    r"""What a denoiser is trained on: $\Vert r(x_0 + \sigma \epsilon) - x_0 \Vert^2$.

    Args:
        denoiser: The function in training, $r$.
        x_0: Clean data.
        eps: Standard normal noise, shaped like `x_0`.
        sigma: Noise scale, at least 0; at 0 there is nothing to learn but the identity.

    Raises:
        ValueError: If `sigma` is negative or the shapes differ.

    Source:
        Vincent et al. 2008, <https://doi.org/10.1145/1390156.1390294>.
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma must be at least 0 and finite, got {sigma}")
    if eps.shape != x_0.shape:
        raise ValueError(f"eps must have shape {tuple(x_0.shape)}, got {tuple(eps.shape)}")
    return (denoiser(x_0 + sigma * eps) - x_0).square().sum(1)


# --8<-- [end:reconstruction_error]


# --8<-- [start:score_of_denoiser]
def score_of_denoiser(denoiser: PointDenoiser, x_t: Points, sigma: float) -> Points:
    r"""The score that a denoiser implies, $(r(x_t) - x_t) / \sigma^2$.

    For the best denoiser it is the score of the noisy data, exactly. As $\sigma \to 0$ it becomes
    that of the data, with an error of order $\sigma^2$.

    Args:
        denoiser: $r$.
        x_t: Noisy points.
        sigma: Noise scale that the denoiser is for.

    Raises:
        ValueError: If `sigma` is not positive.

    Source:
        Alain and Bengio 2014, <https://arxiv.org/abs/1211.4246>.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be positive and finite, got {sigma}")
    one, zero = x_t.new_ones(()), x_t.new_zeros(())
    return score_from_x_0(denoiser(x_t), x_t, Scales(one, sigma * one, zero, zero))


# --8<-- [end:score_of_denoiser]


# --8<-- [start:LinearDenoiser]
class LinearDenoiser(NamedTuple):
    r"""A denoiser that is a matrix: $r(x_t) = \mu + W (x_t - \mu)$."""

    mean: Float[Tensor, " dim"]
    matrix: Float[Tensor, "dim dim"]

    def __call__(self, x_t: Points) -> Points:
        """The estimate of the clean points."""
        return self.mean + (x_t - self.mean) @ self.matrix.mT


def fit_linear_denoiser(data: Float[Tensor, "n dim"], sigma: float) -> LinearDenoiser:
    r"""The best linear denoiser of the data: $W = C (C + \sigma^2 I)^{-1}$, $C$ their covariance.

    Along a direction of variance $\lambda$ it keeps the share $\lambda / (\lambda + \sigma^2)$. For
    Gaussian data no denoiser is better.

    Args:
        data: Clean data.
        sigma: Noise scale.

    Raises:
        ValueError: If there are no data or `sigma` is not positive.
    """
    if len(data) == 0:
        raise ValueError("there are no data to fit to")
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be positive and finite, got {sigma}")
    mean = data.mean(0)
    covariance = (data - mean).mT @ (data - mean) / len(data)
    noisy = covariance + sigma**2 * torch.eye(data.shape[1]).to(data)
    # The two matrices commute, so the solution is the transpose of the product, and the product.
    return LinearDenoiser(mean, torch.linalg.solve(noisy, covariance))


# --8<-- [end:LinearDenoiser]


class DenoisingChain(nn.Module):
    """Denoisers in a row, the first for the most noise: each takes what the one before gives."""

    def __init__(
        self, n_dims: int, sigmas: Sequence[float], width: int = 64, *, seed: int = 0
    ) -> None:
        """Draw the weights from `seed` alone; untrained, every stage passes its input on.

        Args:
            n_dims: Entries of a point.
            sigmas: Noise scale at the input of each stage, strictly falling.
            width: Hidden units of each layer.
            seed: Of the weights.

        Raises:
            ValueError: If a size is below 1, there is no stage, or the scales do not fall to a
                positive one.
        """
        super().__init__()
        if min(n_dims, width) < 1:
            raise ValueError(f"sizes must be at least 1, got {n_dims}, {width}")
        self.n_dims, self.sigmas = n_dims, tuple(sigmas)
        ends = (math.inf, *self.sigmas, 0.0)
        if not self.sigmas or any(not a > b for a, b in pairwise(ends)):
            raise ValueError(f"sigmas must fall strictly and stay positive, got {self.sigmas}")
        with seeded(seed):
            self.stages = nn.ModuleList(_Residual(n_dims, width) for _ in self.sigmas)

    # --8<-- [start:path]
    def path(
        self, x_t: Points, generator: torch.Generator | None = None
    ) -> Float[Tensor, "points batch dim"]:
        """All estimates on the way, the input first and the last stage's answer last.

        Args:
            x_t: Points with the noise of the first stage.
            generator: Source of the noise put back between two stages, at the scale that the next
                one is for. Without it nothing is put back.
        """
        path = [x_t]
        for k, stage in enumerate(self.stages):
            if k > 0 and generator is not None:
                z = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype, device=x_t.device)
                x_t = x_t + self.sigmas[k] * z
            x_t = stage(x_t)
            path.append(x_t)
        return torch.stack(path)

    # --8<-- [end:path]

    @torch.no_grad()
    def sample(
        self, n_samples: int, generator: torch.Generator, renoise: bool = True
    ) -> Float[Tensor, "n_samples dim"]:
        """New points, from noise of the first scale around zero.

        Args:
            n_samples: How many.
            generator: Source of the noise.
            renoise: Put noise back between two stages. Without it each stage is shown points that
                have less noise than those it was trained on.
        """
        weight = next(self.parameters())
        shape = (n_samples, self.n_dims)
        z = torch.randn(shape, generator=generator, dtype=weight.dtype, device=weight.device)
        return self.path(self.sigmas[0] * z, generator if renoise else None)[-1]


class _Residual(nn.Module):
    """Input plus what a perceptron with two hidden layers adds to it; at the start, nothing."""

    def __init__(self, n_dims: int, width: int) -> None:
        super().__init__()
        self.network = _mlp(n_dims, width, n_dims)
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.network(x)


# --8<-- [start:chain_losses]
def stagewise_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    r"""Each stage on its own noise: $\sum_k \Vert r_k(x_0 + \sigma_k \epsilon) - x_0 \Vert^2$."""
    (x_0,) = batch
    assert isinstance(network, DenoisingChain)
    errors = [
        reconstruction_error(stage, x_0, noise_like(x_0, generator), sigma).mean()
        for stage, sigma in zip(network.stages, network.sigmas, strict=True)
    ]
    return torch.stack(errors).sum()


def end_to_end_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Noise once, then all stages in a row; only the last answer counts."""
    (x_0,) = batch
    assert isinstance(network, DenoisingChain)
    x_t = x_0 + network.sigmas[0] * noise_like(x_0, generator)
    return (network.path(x_t)[-1] - x_0).square().sum(1).mean()


# --8<-- [end:chain_losses]


def fit_chain(
    data: Float[Tensor, "n dim"],
    sigmas: Sequence[float],
    loss: Loss = stagewise_loss,
    width: int = 64,
    settings: TrainingSettings = SETTINGS,
) -> DenoisingChain:
    """Train a chain of denoisers.

    Args:
        data: Clean data.
        sigmas: As in `DenoisingChain`.
        loss: `stagewise_loss`, or `end_to_end_loss`.
        width: Hidden units of each layer.
        settings: Of the training; its seed also draws the first weights.
    """
    model = DenoisingChain(data.shape[1], sigmas, width, seed=settings.seed).to(data)
    trained = train(model, loss, (data,), settings).network
    assert isinstance(trained, DenoisingChain)
    return trained


# --8<-- [start:Autoencoder]
class Autoencoder(nn.Module):
    r"""A code and back: $z = f(x)$, $\hat x = g(z)$. Where codes lie is left to chance."""

    def __init__(
        self, n_dims: int, n_latents: int, width: int = 64, *, linear: bool = False, seed: int = 0
    ) -> None:
        """Draw the weights from `seed` alone.

        Args:
            n_dims: Entries of a point.
            n_latents: Entries of the code.
            width: Hidden units of each layer.
            linear: Encoder and decoder without hidden layers: the best of these is PCA.
            seed: Of the weights.

        Raises:
            ValueError: If a size is below 1.
        """
        super().__init__()
        if min(n_dims, n_latents, width) < 1:
            raise ValueError(f"sizes must be at least 1, got {n_dims}, {n_latents}, {width}")
        self.n_latents = n_latents
        with seeded(seed):
            self.encoder: nn.Module = (
                nn.Linear(n_dims, n_latents) if linear else _mlp(n_dims, width, n_latents)
            )
            self.decoder: nn.Module = (
                nn.Linear(n_latents, n_dims) if linear else _mlp(n_latents, width, n_dims)
            )

    def encode(self, x: Points) -> Float[Tensor, "batch latents"]:
        """The code of each point."""
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "batch latents"]) -> Points:
        """The point of each code."""
        return self.decoder(z)

    def error(self, x: Points) -> PerPoint:
        """Squared distance of each point from its way through the code."""
        return (self.decode(self.encode(x)) - x).square().sum(1)

    @torch.no_grad()
    def sample(self, n_samples: int, generator: torch.Generator) -> Float[Tensor, "n_samples dim"]:
        """Points of standard normal codes. Nothing in the training made codes lie like this."""
        weight = next(self.parameters())
        shape = (n_samples, self.n_latents)
        z = torch.randn(shape, generator=generator, dtype=weight.dtype, device=weight.device)
        return self.decode(z)


# --8<-- [end:Autoencoder]


def fit_autoencoder(
    data: Float[Tensor, "n dim"],
    n_latents: int,
    width: int = 64,
    linear: bool = False,
    settings: TrainingSettings = SETTINGS,
) -> Autoencoder:
    """Train an autoencoder on the mean of its error.

    Args:
        data: Training points.
        n_latents: Entries of the code.
        width: Hidden units of each layer.
        linear: As in `Autoencoder`.
        settings: Of the training; its seed also draws the first weights.
    """
    seed = settings.seed
    model = Autoencoder(data.shape[1], n_latents, width, linear=linear, seed=seed).to(data)

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        assert isinstance(network, Autoencoder)
        return network.error(batch[0]).mean()

    trained = train(model, loss, (data,), settings).network
    assert isinstance(trained, Autoencoder)
    return trained


def _mlp(n_inputs: int, width: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, n_outputs),
    )
