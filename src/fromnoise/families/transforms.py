r"""Increasing functions of one number that can be undone: the moving parts of a coupling layer.

    transform(u, parameters) -> y, log_slope           both shaped like u
    transform.undo(y, parameters) -> u, log_slope      the slope is that of the way back

The parameters of a function stand in the last axis; the log slope is the log-determinant of its
one-entry Jacobian, in nats.
"""

import math
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Entries = Float[Tensor, "*batch"]
Parameters = Float[Tensor, "*batch parameters"]


@runtime_checkable
class Transform(Protocol):
    """An increasing function of one number, with parameters; all zero is nearly the identity."""

    @property
    def n_parameters(self) -> int:
        """Numbers that choose the function."""
        ...

    def __call__(self, u: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The value and the logarithm of the slope.

        Args:
            u: Numbers.
            parameters: The parameters of the function for each.
        """
        ...

    def undo(self, y: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The number that has this value, and the logarithm of the inverse's slope.

        Args:
            y: Values of the function.
            parameters: The parameters of the function for each.
        """
        ...


# --8<-- [start:Affine]
class Affine:
    r"""Scale and shift: $y = e^s u + m$.

    Source:
        Dinh, Sohl-Dickstein and Bengio 2017, <https://arxiv.org/abs/1605.08803>.
    """

    n_parameters = 2

    def __call__(self, u: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The line's value, and its log slope $s$.

        Raises:
            ValueError: If there are not as many parameters as the function has, per number.
        """
        check_parameters(self, u, parameters)
        m, s = self._read(parameters)
        return s.exp() * u + m, s

    def undo(self, y: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The line read backwards.

        Raises:
            ValueError: If there are not as many parameters as the function has, per number.
        """
        check_parameters(self, y, parameters)
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
        """The curve and its log slope.

        Raises:
            ValueError: If there are not as many parameters as the curve has, per number.
        """
        check_parameters(self, u, parameters)
        inside = u.abs() < self.reach
        x_0, width, y_0, height, d_0, d_1 = self._bin(u, parameters, by_height=False)
        xi = ((u - x_0) / width).clamp(0, 1)
        s = height / width
        below = s + (d_0 + d_1 - 2 * s) * xi * (1 - xi)
        y = y_0 + height * (s * xi.square() + d_0 * xi * (1 - xi)) / below
        log_slope = self._log_slope(xi, s, d_0, d_1)
        return torch.where(inside, y, u), torch.where(inside, log_slope, torch.zeros_like(u))

    def undo(self, y: Entries, parameters: Parameters) -> tuple[Entries, Entries]:
        """The curve read backwards.

        Raises:
            ValueError: If there are not as many parameters as the curve has, per number.
        """
        check_parameters(self, y, parameters)
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


def check_parameters(transform: Transform, u: Entries, parameters: Parameters) -> None:
    """Raise ValueError unless each number has the parameters that the function needs."""
    if parameters.shape != (*u.shape, transform.n_parameters):
        raise ValueError(
            f"numbers of shape {tuple(u.shape)} need {transform.n_parameters} parameters each, "
            f"got shape {tuple(parameters.shape)}"
        )
