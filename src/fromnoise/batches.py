"""What every method does with a batch: ask at one time, draw noise like it, check its shape.

Source:
    The book's own.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Data = Float[Tensor, "*batch_and_dims"]
Batch = Float[Tensor, "#batch *dims"]
PerExample = Float[Tensor, "#batch"]


def ask(function: Callable[[Tensor, Tensor], Tensor], x_t: Batch, t: Float[Tensor, ""]) -> Tensor:
    """Ask a denoiser, a score or a velocity about a batch whose examples share one time.

    Args:
        function: A denoiser, a score or a velocity, of data and one time per example.
        x_t: The batch.
        t: The time that all share.
    """
    return function(x_t, t.to(x_t).expand(len(x_t)))


def noise_like(x: Data, generator: torch.Generator | None) -> Data:
    """Standard normal noise with the shape, dtype and device of `x`.

    The generator may live on another device than `x`; its noise is then carried over.

    Raises:
        ValueError: If there is no generator.
    """
    if generator is None:
        raise ValueError("this step draws noise: pass generator=torch.Generator().manual_seed(...)")
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device)
    return z.to(x.device)


def dot(a: Batch, b: Batch) -> PerExample:
    """Inner product of each example with its partner, summed over dimensions."""
    return (a * b).flatten(1).sum(1)


def require_counts(least: int = 1, **counts: int) -> None:
    """Refuse counts that are too small, each given by its own name.

    Args:
        least: The smallest that is allowed.
        counts: Numbers of things, such as `n_heads=4`.

    Raises:
        ValueError: If one is below `least`; it is named.
    """
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} must be at least {least}, got {count}")


def require_shape(name: str, value: Tensor, like: Tensor) -> None:
    """Refuse `value`, called `name`, unless it is shaped like `like`.

    Raises:
        ValueError: If the shapes differ.
    """
    if value.shape != like.shape:
        raise ValueError(f"{name} must have shape {tuple(like.shape)}, got {tuple(value.shape)}")
