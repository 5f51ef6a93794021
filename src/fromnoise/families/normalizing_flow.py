r"""Normalizing flow: bend noise into data by steps that can be undone.

A coupling layer keeps some entries of a point and moves the others, each by an increasing function
whose form depends on the kept ones. It is undone exactly, and its Jacobian is triangular, so the
log-determinant is a sum of log slopes. With $f$ from data to noise,

$$\log p(x) = \log \mathcal N(f(x); 0, I) + \log \lvert \det \partial f / \partial x \rvert.$$

    transform(u, parameters) -> y, log_slope           both shaped like u
    transform.undo(y, parameters) -> u, log_slope      the slope is that of the way back

Log densities are in nats, summed over dimensions.
"""

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fromnoise.networks import seeded
from fromnoise.training import Batch, TrainingSettings, train

Points = Float[Tensor, "batch dim"]
PerPoint = Float[Tensor, " batch"]
Entries = Float[Tensor, "*batch"]
Parameters = Float[Tensor, "*batch parameters"]
Move = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
SETTINGS = TrainingSettings(n_steps=600, batch_size=256, learning_rate=5e-3)


@runtime_checkable
class Transform(Protocol):
    """An increasing function of one number, with parameters; all zero is nearly the identity."""

    @property
    def n_parameters(self) -> int:
        """Numbers that choose the function."""
        ...

    def __call__(self, u: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The value and the logarithm of the slope."""
        ...

    def undo(self, y: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The number that has this value, and the logarithm of the inverse's slope."""
        ...


# --8<-- [start:Affine]
class Affine:
    r"""Scale and shift: $y = e^s u + m$.

    Source:
        Dinh, Sohl-Dickstein and Bengio 2017, <https://arxiv.org/abs/1605.08803>.
    """

    n_parameters = 2

    def __call__(self, u: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The line's value, and its log slope $s$."""
        m, s = self._read(parameters)
        return s.exp() * u + m, s

    def undo(self, y: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The line read backwards."""
        m, s = self._read(parameters)
        return (y - m) * (-s).exp(), -s

    @staticmethod
    def _read(parameters: Tensor) -> tuple[Tensor, Tensor]:
        m, s = parameters.unbind(-1)
        return m, 3 * torch.tanh(s / 3)  # many layers multiply: keep each slope within e^3


# --8<-- [end:Affine]


# --8<-- [start:Spline]
class Spline:
    r"""An increasing curve through a few knots, straight with slope 1 outside $[-B, B]$.

    Between two knots, with $\xi \in [0, 1]$ the place between them, $s$ the mean slope and
    $d_0, d_1$ the slopes at the knots,

    $$y = y_0 + (y_1 - y_0)\, \frac{s \xi^2 + d_0\, \xi (1 - \xi)}
        {s + (d_0 + d_1 - 2 s)\, \xi (1 - \xi)}.$$

    To undo it is to solve a quadratic equation.

    Source:
        Durkan et al. 2019, <https://arxiv.org/abs/1906.04032>.
    """

    def __init__(self, n_bins: int = 8, reach: float = 4.0) -> None:
        """Choose the number of knots and their range.

        Args:
            n_bins: Pieces of the curve, at least 2: one piece between straight ends is straight.
            reach: $B$; points further out are not moved.

        Raises:
            ValueError: If there are fewer than 2 bins or `reach` is not positive.
        """
        if n_bins < 2 or not 0 < reach < math.inf:
            raise ValueError(f"need n_bins >= 2 and reach > 0, got {n_bins}, {reach}")
        self.n_bins, self.reach = n_bins, reach

    @property
    def n_parameters(self) -> int:
        """Widths and heights of the bins, slopes at the inner knots."""
        return 3 * self.n_bins - 1

    def __call__(self, u: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The curve and its log slope."""
        inside = u.abs() < self.reach
        x_0, width, y_0, height, d_0, d_1 = self._bin(u, parameters, by_height=False)
        xi = ((u - x_0) / width).clamp(0, 1)
        s = height / width
        below = s + (d_0 + d_1 - 2 * s) * xi * (1 - xi)
        y = y_0 + height * (s * xi.square() + d_0 * xi * (1 - xi)) / below
        log_slope = self._log_slope(xi, s, d_0, d_1)
        return torch.where(inside, y, u), torch.where(inside, log_slope, torch.zeros_like(u))

    def undo(self, y: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The curve read backwards."""
        inside = y.abs() < self.reach
        x_0, width, y_0, height, d_0, d_1 = self._bin(y, parameters, by_height=True)
        s = height / width
        rise = ((y - y_0) / height).clamp(0, 1)
        bend = rise * (d_0 + d_1 - 2 * s)
        a, b, c = s - d_0 + bend, d_0 - bend, -s * rise
        # This form of the root does not cancel, and holds when a is 0.
        root = (b.square() - 4 * a * c).clamp(min=0).sqrt()
        xi = 2 * c / (-b - root)
        u = x_0 + width * xi
        log_slope = -self._log_slope(xi, s, d_0, d_1)
        return torch.where(inside, u, y), torch.where(inside, log_slope, torch.zeros_like(y))

    @staticmethod
    def _log_slope(xi: Tensor, s: Tensor, d_0: Tensor, d_1: Tensor) -> Tensor:
        above = d_1 * xi.square() + 2 * s * xi * (1 - xi) + d_0 * (1 - xi).square()
        below = s + (d_0 + d_1 - 2 * s) * xi * (1 - xi)
        return 2 * s.log() + above.log() - 2 * below.log()

    def _bin(self, value: Tensor, parameters: Tensor, by_height: bool) -> tuple[Tensor, ...]:
        """The bin of each value: left end, width, lower end, height, slopes at both ends."""
        n = self.n_bins
        widths, heights, slopes = parameters.split([n, n, n - 1], -1)
        sizes, knots = zip(*(self._knots(part) for part in (widths, heights)), strict=True)
        # Shifted, so that zero gives slope 1; the outermost slopes fit the straight ends.
        slopes = F.pad(F.softplus(slopes + math.log(math.e - 1)) + 1e-3, (1, 1), value=1.0)
        inner = knots[by_height][..., 1:-1]
        k = (value[..., None] >= inner).sum(-1, keepdim=True)
        parts = [
            table.gather(-1, at)[..., 0]
            for table, at in [
                (knots[0], k),
                (sizes[0], k),
                (knots[1], k),
                (sizes[1], k),
                (slopes, k),
                (slopes, k + 1),
            ]
        ]
        return tuple(parts)

    def _knots(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Sizes of the bins, none smaller than a thousandth of its fair share, and their ends."""
        sizes = 2 * self.reach * (1e-3 / self.n_bins + (1 - 1e-3) * logits.softmax(-1))
        return sizes, F.pad(sizes.cumsum(-1), (1, 0)) - self.reach


# --8<-- [end:Spline]


# --8<-- [start:Coupling]
class Coupling(nn.Module):
    """One layer: the kept entries choose how each of the others is moved."""

    kept: Tensor

    def __init__(self, kept: Bool[Tensor, " dim"], transform: Transform, width: int) -> None:
        super().__init__()
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
        """The moved point and the log-determinant of the Jacobian."""
        return self._move(x, self.transform)

    def undo(self, y: Points) -> tuple[Points, PerPoint]:
        """The point that was moved here, and the log-determinant of the way back."""
        return self._move(y, self.transform.undo)

    def _move(self, x: Tensor, function: Move) -> tuple[Tensor, Tensor]:
        parameters = self.network(x[:, self.kept])
        parameters = parameters.view(len(x), -1, self.transform.n_parameters)
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
        r"""Log density by the change of variables, nats."""
        z, log_det = self.to_noise(x)
        log_noise = -0.5 * (z.square().sum(1) + self.n_dims * math.log(2 * math.pi))
        return log_noise + log_det

    # --8<-- [end:log_prob]

    @torch.no_grad()
    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        """New points: noise, led back through the layers."""
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
