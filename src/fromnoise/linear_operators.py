r"""Linear measurements of data: what is seen of a picture, and the way back of a gradient.

Every operator works on batches and brings its exact adjoint. Measurement noise is not part of it.

Source:
    The book's own.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Data = Float[Tensor, "batch *dims"]
Measured = Float[Tensor, "batch *measured"]
Images = Float[Tensor, "batch channels height width"]
Coarse = Float[Tensor, "batch channels rows columns"]


class LinearOperator(ABC):
    r"""A linear map A from data to measurements, and its adjoint, on batches.

    The adjoint is the map with $\langle A x, y \rangle = \langle x, A^\top y \rangle$ for all x, y.
    """

    @abstractmethod
    def apply(self, x: Data) -> Measured:
        r"""Measure: $A x$."""

    @abstractmethod
    def adjoint(self, y: Measured) -> Data:
        r"""Spread a measurement back over the data: $A^\top y$. Not an inverse."""


# --8<-- [start:operators]
@dataclass(frozen=True)
class Inpainting(LinearOperator):
    r"""See some entries and not the others: $A x = \text{mask} \cdot x$. It is its own adjoint.

    Attributes:
        mask: True where an entry of an example is seen.
    """

    mask: Bool[Tensor, "*dims"]

    def apply(self, x: Data) -> Measured:
        r"""Unseen entries become 0.

        Raises:
            ValueError: If an example is not shaped like the mask.
        """
        if x.shape[1:] != self.mask.shape:
            raise ValueError(f"mask is {tuple(self.mask.shape)}, data is {tuple(x.shape)}")
        return x * self.mask

    def adjoint(self, y: Measured) -> Data:
        """The same as `apply`."""
        return self.apply(y)


@dataclass(frozen=True)
class Averaging(LinearOperator):
    r"""See the mean of each square of pixels: the measurement of super-resolution.

    Attributes:
        factor: Side of a square in pixels, at least 1.

    Raises:
        ValueError: If `factor` < 1.
    """

    factor: int

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}")

    def apply(self, x: Images) -> Coarse:
        r"""One pixel per square.

        Raises:
            ValueError: If the squares do not tile the image.
            TypeError: If pixels are integers, whose means would be rounded.
        """
        _require_floats(x)
        if x.shape[-1] % self.factor or x.shape[-2] % self.factor:
            raise ValueError(f"squares of {self.factor} do not tile images of {tuple(x.shape)}")
        return F.avg_pool2d(x, self.factor)

    def adjoint(self, y: Coarse) -> Images:
        r"""Each pixel of y spread over its square, in equal shares that sum to it."""
        return F.interpolate(y, scale_factor=self.factor, mode="nearest") / self.factor**2


@dataclass(frozen=True)
class Blur(LinearOperator):
    r"""See each channel through a kernel, around the edges: circular convolution.

    $$(A x)_i = \sum_j k_j\, x_{i - j},$$ with j counted from the middle of the kernel.

    Attributes:
        kernel: Weights, with odd sides.

    Raises:
        ValueError: If a side is even.
    """

    kernel: Float[Tensor, "rows columns"]

    def __post_init__(self) -> None:
        if any(side % 2 == 0 for side in self.kernel.shape):
            raise ValueError(f"kernel must have odd sides, got {tuple(self.kernel.shape)}")

    def apply(self, x: Images) -> Images:
        r"""The blurred image.

        Raises:
            ValueError: If the image is smaller than half the kernel.
            TypeError: If pixels are integers, in whose dtype the kernel would be lost.
        """
        # torch's conv2d is a correlation: it does not flip the kernel.
        return self._correlate(x, self.kernel.flip(0, 1))

    def adjoint(self, y: Images) -> Images:
        r"""Convolution with the flipped kernel: $(A^\top y)_i = \sum_j k_j\, y_{i + j}$."""
        return self._correlate(y, self.kernel)

    def _correlate(self, x: Images, kernel: Tensor) -> Images:
        _require_floats(x)
        rows, columns = (side // 2 for side in kernel.shape)
        if x.shape[-2] < rows or x.shape[-1] < columns:
            raise ValueError(f"images of {tuple(x.shape)} are too small for {tuple(kernel.shape)}")
        padded = F.pad(x, (columns, columns, rows, rows), mode="circular")
        n_channels = x.shape[1]
        return F.conv2d(padded, kernel.to(x).expand(n_channels, 1, -1, -1), groups=n_channels)


@dataclass(frozen=True)
class Dense(LinearOperator):
    r"""Any matrix, on flat data: $A x$.

    Attributes:
        matrix: A.
    """

    matrix: Float[Tensor, "measured dim"]

    def apply(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch measured"]:
        r"""$A x$ for each row x."""
        return x @ self.matrix.mT

    def adjoint(self, y: Float[Tensor, "batch measured"]) -> Float[Tensor, "batch dim"]:
        r"""$A^\top y$ for each row y."""
        return y @ self.matrix


# --8<-- [end:operators]


def as_matrix(operator: LinearOperator, shape: tuple[int, ...]) -> Float[Tensor, "measured dim"]:
    """The matrix of an operator in float64, column by column; for small data.

    Args:
        operator: A linear map.
        shape: Shape of one example.
    """
    dim = int(torch.Size(shape).numel())
    basis = torch.eye(dim, dtype=torch.float64).reshape(dim, *shape)
    return operator.apply(basis).reshape(dim, -1).mT.contiguous()


def _require_floats(x: Tensor) -> None:
    if not x.is_floating_point():
        raise TypeError(f"images must be floating-point numbers, got {x.dtype}")
