r"""Autoregressive density: one number at a time, each given those before it.

The chain rule holds for every density and every order of the dimensions:
$p(x) = \prod_i p(x_{o_i} \mid x_{o_1}, \dots, x_{o_{i-1}})$. Each factor is a mixture of Gaussians
in one dimension. One small network writes all of them: it is shown a point with the later entries
hidden, and told which entry comes next. The log density is exact; sampling takes one pass per
dimension. Log densities are in nats, summed over dimensions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.networks import seeded
from fromnoise.training import Batch, TrainingSettings, train

Points = Float[Tensor, "batch dim"]
PerPoint = Float[Tensor, " batch"]
SETTINGS = TrainingSettings(n_steps=600, batch_size=256, learning_rate=5e-3)


class Conditionals(NamedTuple):
    """Mixtures of Gaussians in one dimension, components last.

    Attributes:
        stds: Standard deviation of each component.
    """

    log_weights: Float[Tensor, "*batch components"]
    """Normalized: their exponentials sum to 1."""
    means: Float[Tensor, "*batch components"]
    stds: Float[Tensor, "*batch components"]

    # --8<-- [start:conditional_log_prob]
    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""Log density, $\log \sum_k w_k\, \mathcal N(x; \mu_k, \sigma_k^2)$, nats."""
        z = (x[..., None] - self.means) / self.stds
        log_bells = -0.5 * z.square() - self.stds.log() - 0.5 * math.log(2 * math.pi)
        return (self.log_weights + log_bells).logsumexp(-1)

    # --8<-- [end:conditional_log_prob]

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch"]:
        """One number from each mixture: a component, then a point of its bell."""
        shape, like = self.means.shape[:-1], self.means
        flat = self.log_weights.exp().reshape(-1, self.means.shape[-1])
        k = torch.multinomial(flat, 1, generator=generator).reshape(*shape, 1)
        eps = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        return self.means.gather(-1, k)[..., 0] + self.stds.gather(-1, k)[..., 0] * eps


class Autoregressive(nn.Module):
    r"""The chain rule with a network in it, for points of a few dimensions.

    Source:
        Uria, Murray and Larochelle 2013, <https://arxiv.org/abs/1306.0186>.
    """

    shift: Tensor
    scale: Tensor
    visible: Tensor

    def __init__(
        self,
        n_dims: int,
        order: Sequence[int] | None = None,
        n_components: int = 8,
        width: int = 64,
        *,
        seed: int = 0,
    ) -> None:
        """Draw the weights from `seed` alone.

        Args:
            n_dims: Entries of a point.
            order: The entries in the order in which they are drawn; 0, 1, 2, ... unless given.
            n_components: Bells of each mixture.
            width: Hidden units of each of the two layers.
            seed: Of the weights.

        Raises:
            ValueError: If a size is below 1 or `order` does not name every entry once.
        """
        super().__init__()
        if min(n_dims, n_components, width) < 1:
            raise ValueError(f"sizes must be at least 1, got {n_dims}, {n_components}, {width}")
        self.order = tuple(range(n_dims)) if order is None else tuple(order)
        if sorted(self.order) != list(range(n_dims)):
            raise ValueError(f"order must name each of 0..{n_dims - 1} once, got {self.order}")
        self.n_dims = n_dims
        place = torch.empty(n_dims, dtype=torch.long)
        place[list(self.order)] = torch.arange(n_dims)
        # Row i: the entries that entry i may see.
        self.register_buffer("visible", place[None, :] < place[:, None])
        self.register_buffer("shift", torch.zeros(n_dims))
        self.register_buffer("scale", torch.ones(n_dims))
        with seeded(seed):
            last = nn.Linear(width, 3 * n_components)
            self.network = nn.Sequential(
                nn.Linear(2 * n_dims, width),
                nn.SiLU(),
                nn.Linear(width, width),
                nn.SiLU(),
                last,
            )
        # Bells that start at one place would stay there: all would have the same gradient.
        with torch.no_grad():
            last.bias[n_components : 2 * n_components] = torch.linspace(-1.5, 1.5, n_components)

    def conditional(self, x: Points, entry: int) -> Conditionals:
        r"""The mixture $p(x_i \mid \text{entries before } i)$ of each point; the rest is hidden.

        Args:
            x: Points; only the entries before `entry` in the order are read.
            entry: Which entry is drawn, $i$.

        Raises:
            ValueError: If there is no such entry.
        """
        if not 0 <= entry < self.n_dims:
            raise ValueError(f"entry must lie in 0..{self.n_dims - 1}, got {entry}")
        u = (x - self.shift) / self.scale
        # Not a product with the mask: a hidden NaN would pass through it.
        seen = torch.where(self.visible[entry], u, torch.zeros_like(u))
        which = torch.zeros_like(u)
        which[:, entry] = 1
        logits, means, log_stds = self.network(torch.cat([seen, which], 1)).chunk(3, -1)
        # Within e^5 of the data's own width: a bell on a single point would have no limit.
        stds = (5 * torch.tanh(log_stds / 5)).exp()
        scale = self.scale[entry]
        return Conditionals(logits.log_softmax(-1), self.shift[entry] + scale * means, scale * stds)

    # --8<-- [start:log_prob]
    def log_prob(self, x: Points) -> PerPoint:
        r"""Log density by the chain rule, $\sum_i \log p(x_{o_i} \mid x_{o_1}, \dots)$, nats.

        Raises:
            ValueError: If the points have another number of dimensions.
        """
        if x.shape[-1] != self.n_dims:
            raise ValueError(f"points must have {self.n_dims} entries, got {x.shape[-1]}")
        parts = [self.conditional(x, i).log_prob(x[:, i]) for i in self.order]
        return torch.stack(parts).sum(0)

    # --8<-- [end:log_prob]

    # --8<-- [start:sample]
    @torch.no_grad()
    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        """New points: each entry in turn, given those already drawn.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        x = self.shift.new_zeros(n_samples, self.n_dims)
        for i in self.order:
            x[:, i] = self.conditional(x, i).sample(generator)
        return x

    # --8<-- [end:sample]


# --8<-- [start:fit]
def fit(
    data: Float[Tensor, "n dim"],
    order: Sequence[int] | None = None,
    n_components: int = 8,
    width: int = 64,
    settings: TrainingSettings = SETTINGS,
) -> Autoregressive:
    """Maximum likelihood: minimize the mean negative log density of the data.

    Args:
        data: Training points, at least two different ones.
        order: As in `Autoregressive`.
        n_components: Bells of each mixture.
        width: Hidden units of each layer.
        settings: Of the training; its seed also draws the first weights.

    Raises:
        ValueError: If an entry of the data does not vary.
    """
    model = Autoregressive(data.shape[1], order, n_components, width, seed=settings.seed).to(data)
    scale = data.std(0, correction=0)
    if not bool((scale > 0).all()):
        raise ValueError(f"every entry of the data must vary, got deviations {scale.tolist()}")
    model.shift.copy_(data.mean(0))
    model.scale.copy_(scale)

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        assert isinstance(network, Autoregressive)
        return -network.log_prob(batch[0]).mean()

    trained = train(model, loss, (data,), settings).network
    assert isinstance(trained, Autoregressive)
    return trained


# --8<-- [end:fit]
