r"""Normalizing flow: bend noise into data by steps that can be undone.

A coupling layer keeps some entries of a point and moves the others, each by an increasing function
whose form depends on the kept ones. It is undone exactly, and its Jacobian is triangular, so the
log-determinant is a sum of log slopes. With $f$ from data to noise,

$$\log p(x) = \log \mathcal N(f(x); 0, I) + \log \lvert \det \partial f / \partial x \rvert.$$

What moves an entry is a transform of `fromnoise.families.transforms`. Log densities are in nats,
summed over dimensions.

Source:
    Dinh, Sohl-Dickstein and Bengio 2017, Real NVP, <https://arxiv.org/abs/1605.08803>.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.families.transforms import Spline, Transform
from fromnoise.networks import seeded
from fromnoise.training import Batch, TrainingSettings, train

Points = Float[Tensor, "batch dim"]
PerPoint = Float[Tensor, " batch"]
Move = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
SETTINGS = TrainingSettings(n_steps=600, batch_size=256, learning_rate=5e-3)


# --8<-- [start:Coupling]
class Coupling(nn.Module):
    """One layer: the kept entries choose how each of the others is moved.

    Args:
        kept: True where an entry passes as it is.
        transform: How the others are moved.
        width: Width of the hidden layers.

    Raises:
        ValueError: If `width` is below 1.
    """

    kept: Tensor

    def __init__(self, kept: Bool[Tensor, " dim"], transform: Transform, width: int) -> None:
        super().__init__()
        require_counts(width=width)
        self.transform = transform
        self.register_buffer("kept", kept)
        n_moved = int((~kept).sum())
        last = nn.Linear(width, n_moved * transform.n_parameters)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(
            nn.Linear(int(kept.sum()), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last
        )

    def forward(self, x: Points) -> tuple[Points, PerPoint]:
        """The moved point and the log-determinant of the Jacobian.

        Args:
            x: Points.
        """
        return self._move(x, self.transform)

    def undo(self, y: Points) -> tuple[Points, PerPoint]:
        """The point that was moved here, and the log-determinant of the way back.

        Args:
            y: Moved points.
        """
        return self._move(y, self.transform.undo)

    def _move(self, x: Tensor, function: Move) -> tuple[Tensor, Tensor]:
        parameters = self.network(x[:, self.kept])
        parameters = parameters.unflatten(1, (-1, self.transform.n_parameters))
        moved, log_slope = function(x[:, ~self.kept], parameters)
        y = x.clone()
        y[:, ~self.kept] = moved
        return y, log_slope.sum(1)


# --8<-- [end:Coupling]


class NormalizingFlow(nn.Module):
    r"""Coupling layers in a row, from data to standard normal noise."""

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        n_dims: int,
        transform: Transform | None = None,
        n_layers: int = 4,
        width: int = 32,
        *,
        seed: int = 0,
    ) -> None:
        """Draw the weights from `seed` alone; untrained, no layer moves anything.

        Args:
            n_dims: Entries of a point, at least 2: something must be kept.
            transform: How a layer moves an entry; a `Spline` unless given.
            n_layers: Layers; even and odd entries take turns at being kept.
            width: Hidden units of each layer's network.
            seed: Of the weights.

        Raises:
            ValueError: If there is one dimension only, or a size is below 1.
        """
        super().__init__()
        if n_dims < 2 or min(n_layers, width) < 1:
            raise ValueError(
                f"need n_dims >= 2, n_layers >= 1, width >= 1, got {n_dims}, {n_layers}, {width}"
            )
        self.n_dims = n_dims
        transform = Spline() if transform is None else transform
        odd = torch.arange(n_dims) % 2 == 1
        self.register_buffer("shift", torch.zeros(n_dims))
        self.register_buffer("scale", torch.ones(n_dims))
        with seeded(seed):
            self.layers = nn.ModuleList(
                Coupling(odd if i % 2 else ~odd, transform, width) for i in range(n_layers)
            )

    def to_noise(self, x: Points) -> tuple[Points, PerPoint]:
        r"""$f(x)$ and $\log \lvert \det \partial f / \partial x \rvert$.

        Raises:
            ValueError: If the points have another number of dimensions.
        """
        self._check(x)
        y = (x - self.shift) / self.scale
        log_det = -self.scale.log().sum().expand(len(x))
        for layer in self.layers:
            y, more = layer(y)
            log_det = log_det + more
        return y, log_det

    def to_data(self, z: Points) -> tuple[Points, PerPoint]:
        r"""$f^{-1}(z)$ and the log-determinant of its Jacobian.

        Raises:
            ValueError: If the points have another number of dimensions.
        """
        self._check(z)
        log_det = self.scale.log().sum().expand(len(z))
        for layer in reversed(self.layers):
            assert isinstance(layer, Coupling)
            z, more = layer.undo(z)
            log_det = log_det + more
        return z * self.scale + self.shift, log_det

    # --8<-- [start:log_prob]
    def log_prob(self, x: Points) -> PerPoint:
        r"""Log density by the change of variables, nats.

        Args:
            x: Points.
        """
        z, log_det = self.to_noise(x)
        log_noise = -0.5 * (z.square().sum(1) + self.n_dims * math.log(2 * math.pi))
        return log_noise + log_det

    # --8<-- [end:log_prob]

    @torch.no_grad()
    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        """New points: noise, led back through the layers.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        shape, like = (n_samples, self.n_dims), self.shift
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        return self.to_data(z)[0]

    def _check(self, x: Tensor) -> None:
        if x.shape[-1] != self.n_dims:
            raise ValueError(f"points must have {self.n_dims} entries, got {x.shape[-1]}")


# --8<-- [start:fit]
def fit(
    data: Float[Tensor, "n dim"],
    transform: Transform | None = None,
    n_layers: int = 4,
    width: int = 32,
    settings: TrainingSettings = SETTINGS,
) -> NormalizingFlow:
    """Maximum likelihood: minimize the mean negative log density of the data.

    Args:
        data: Training points, at least two different ones.
        transform: As in `NormalizingFlow`.
        n_layers: Layers.
        width: Hidden units of each layer's network.
        settings: Of the training; its seed also draws the first weights.

    Raises:
        ValueError: If an entry of the data does not vary.
    """
    model = NormalizingFlow(data.shape[1], transform, n_layers, width, seed=settings.seed).to(data)
    scale = data.std(0, correction=0)
    if not bool((scale > 0).all()):
        raise ValueError(f"every entry of the data must vary, got deviations {scale.tolist()}")
    model.shift.copy_(data.mean(0))
    model.scale.copy_(scale)

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        assert isinstance(network, NormalizingFlow)
        return -network.log_prob(batch[0]).mean()

    trained = train(model, loss, (data,), settings).network
    assert isinstance(trained, NormalizingFlow)
    return trained


# --8<-- [end:fit]
