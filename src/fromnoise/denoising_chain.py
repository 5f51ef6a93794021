r"""Denoisers in a row, from much noise to little: three ways to train them, and a way to draw.

A stage is asked for $x_0$. Trained end to end, only the last answer counts, and what the stages
before it pass on is left to chance. Trained stage by stage, each has noise of its own, $x_0 +
\sigma_k \epsilon$, and a target of its own; with the noise of the next stage put back between two
stages the chain is a sampler.

Points are flat, `(batch, dim)`. Errors are squared distances, summed over dimensions.

Source:
    Alain and Bengio 2014, <https://arxiv.org/abs/1211.4246>.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.autoencoders import (
    SETTINGS,
    Points,
    perceptron,
    reconstruction_error,
    shrinkage,
)
from fromnoise.batches import noise_like, require_counts
from fromnoise.networks import seeded, zeroed
from fromnoise.training import Batch, Loss, TrainingSettings, train


class DenoisingChain(nn.Module):
    """Denoisers in a row, the first for the most noise: each takes what the one before gives."""

    def __init__(
        self,
        n_dims: int,
        sigmas: Sequence[float],
        width: int = 64,
        *,
        residual: bool = True,
        seed: int = 0,
    ) -> None:
        """Draw the weights from `seed` alone.

        Args:
            n_dims: Entries of a point.
            sigmas: Noise scale at the input of each stage, strictly falling.
            width: Hidden units of each layer.
            residual: Each stage adds to its input, and untrained passes it on. Without this a stage
                is a plain perceptron, and untrained answers at random.
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
            self.stages = nn.ModuleList(
                _Residual(n_dims, width) if residual else perceptron(n_dims, width, n_dims)
                for _ in self.sigmas
            )

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

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        weight = next(self.parameters())
        shape = (n_samples, self.n_dims)
        z = torch.randn(shape, generator=generator, dtype=weight.dtype, device=weight.device)
        return self.path(self.sigmas[0] * z, generator if renoise else None)[-1]


class _Residual(nn.Module):
    """Input plus what a perceptron with two hidden layers adds to it; at the start, nothing."""

    def __init__(self, n_dims: int, width: int) -> None:
        super().__init__()
        self.network = perceptron(n_dims, width, n_dims)
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        zeroed(last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.network(x)


# --8<-- [start:chain_losses]
def stagewise_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    r"""Each stage on its own noise: $\sum_k \Vert r_k(x_0 + \sigma_k \epsilon) - x_0 \Vert^2$.

    Raises:
        ValueError: If there is no generator.
    """
    (x_0,) = batch
    assert isinstance(network, DenoisingChain)
    errors = [
        reconstruction_error(stage, x_0, noise_like(x_0, generator), sigma).mean()
        for stage, sigma in zip(network.stages, network.sigmas, strict=True)
    ]
    return torch.stack(errors).sum()


def end_to_end_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Noise once, then all stages in a row; only the last answer counts.

    Raises:
        ValueError: If there is no generator.
    """
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
    residual: bool = True,
) -> DenoisingChain:
    """Train a chain of denoisers.

    Args:
        data: Clean data.
        sigmas: As in `DenoisingChain`.
        loss: `stagewise_loss`, or `end_to_end_loss`.
        width: Hidden units of each layer.
        settings: Of the training; its seed also draws the first weights.
        residual: As in `DenoisingChain`.
    """
    seed = settings.seed
    model = DenoisingChain(data.shape[1], sigmas, width, residual=residual, seed=seed).to(data)
    trained = train(model, loss, (data,), settings).network
    assert isinstance(trained, DenoisingChain)
    return trained


# --8<-- [start:chain_variances]
def chain_variances(
    variances: Float[Tensor, " dim"], sigmas: Sequence[float]
) -> Float[Tensor, "stages dim"]:
    r"""Variance of what a chain of the best linear denoisers draws, after each stage.

    $V_k = g_k^2\, (V_{k-1} + \sigma_k^2)$ with $g_k = c / (c + \sigma_k^2)$ and $V_0 = 0$:
    the chain starts from noise alone, and noise is put back between two stages.

    Args:
        variances: $c$ of the clean data along each principal direction, at least 0.
        sigmas: Noise scale of each stage, positive.

    Raises:
        ValueError: If there is no stage, a variance is negative or a scale is not positive.
    """
    if len(sigmas) == 0:
        raise ValueError("a chain needs at least one stage")
    v, rows = torch.zeros_like(variances), []
    for sigma in sigmas:
        v = shrinkage(variances, sigma).square() * (v + sigma**2)
        rows.append(v)
    return torch.stack(rows)


# --8<-- [end:chain_variances]
