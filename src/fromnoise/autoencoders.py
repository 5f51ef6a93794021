r"""Autoencoders: through a narrow code and back, or from a noisy point back to the clean one.

A denoising autoencoder is a function $r(x_t)$ that is asked for $x_0$, given
$x_t = x_0 + \sigma \epsilon$. The best one is the posterior mean $E[x_0 \mid x_t]$, and
$(r(x_t) - x_t) / \sigma^2$ is then the score of the noisy data. A plain autoencoder has a code, but
no distribution to draw it from. `fromnoise.denoising_chain` puts denoisers in a row.

    denoiser(x_t) -> x_0_hat          one noise level, shaped like x_t

Points are flat, `(batch, dim)`. Errors are squared distances, summed over dimensions.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.networks import seeded
from fromnoise.schedules import Scales
from fromnoise.targets import score_from_x_0
from fromnoise.training import Batch, TrainingSettings, train

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
    r"""A denoiser that is a matrix: $r(x_t) = \mu + A (x_t - \mu)$."""

    mean: Float[Tensor, " dim"]
    matrix: Float[Tensor, "dim dim"]

    def __call__(self, x_t: Points) -> Points:
        """The estimate of the clean points."""
        return self.mean + (x_t - self.mean) @ self.matrix.mT


def fit_linear_denoiser(data: Float[Tensor, "n dim"], sigma: float) -> LinearDenoiser:
    r"""The best linear denoiser of the data: $A = C (C + \sigma^2 I)^{-1}$, $C$ their covariance.

    Along a direction of variance $c$ it keeps the share $c / (c + \sigma^2)$. For
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


# --8<-- [start:shrinkage]
def shrinkage(variances: Float[Tensor, " dim"], sigma: float) -> Float[Tensor, " dim"]:
    r"""Share of each principal direction that the best linear denoiser keeps.

    $g_j = c_j / (c_j + \sigma^2)$. The error it leaves there is $g_j \sigma^2$.

    Args:
        variances: $c_j$ of the clean data, at least 0.
        sigma: Noise scale.

    Raises:
        ValueError: If a variance is negative or `sigma` is not positive.
    """
    if not bool((variances >= 0).all()):
        raise ValueError(f"variances must be at least 0, got {variances.min():.3g}")
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be positive and finite, got {sigma}")
    return variances / (variances + sigma**2)


# --8<-- [end:shrinkage]


# --8<-- [start:Autoencoder]
class Autoencoder(nn.Module):
    r"""A code and back, $z = \mathrm{enc}(x)$ and $\hat x = \mathrm{dec}(z)$.

    Where the codes lie is left to chance.
    """

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
                nn.Linear(n_dims, n_latents) if linear else perceptron(n_dims, width, n_latents)
            )
            self.decoder: nn.Module = (
                nn.Linear(n_latents, n_dims) if linear else perceptron(n_latents, width, n_dims)
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
        """Points of standard normal codes. Nothing in the training made codes lie like this.

        Args:
            n_samples: How many.
            generator: Source of the draws.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
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


def perceptron(n_inputs: int, width: int, n_outputs: int) -> nn.Sequential:
    """Two hidden layers of SiLU units.

    Args:
        n_inputs: Entries of an input.
        width: Units of each hidden layer.
        n_outputs: Entries of an output.

    Raises:
        ValueError: If a size is below 1.
    """
    if min(n_inputs, width, n_outputs) < 1:
        raise ValueError(f"sizes must be at least 1, got {n_inputs}, {width}, {n_outputs}")
    return nn.Sequential(
        nn.Linear(n_inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, n_outputs),
    )
