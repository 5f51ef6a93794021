r"""Measures without the bias of the sample size, by following them to infinitely many samples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.evaluation import frechet_distance

First = Float[Tensor, "n d"]
Second = Float[Tensor, "m d"]


class Extrapolation(NamedTuple):
    """A straight line in 1 / n."""

    limit: float
    """Its value at infinite n."""
    slope: float
    """The bias at size n is about `slope / n`."""


# --8<-- [start:extrapolate]
def extrapolate(sizes: Sequence[int], values: Sequence[float]) -> Extrapolation:
    r"""Least-squares line $a + b / n$ through values measured at several sizes.

    Args:
        sizes: Sample sizes n, at least two different ones.
        values: What was measured at each.

    Raises:
        ValueError: If the lists differ in length, hold fewer than two sizes, or are not finite.
    """
    if len(sizes) != len(values) or len(set(sizes)) < 2 or min(sizes) < 1:
        raise ValueError(f"need a value at each of two or more sizes, got sizes {list(sizes)}")
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, got {list(values)}")
    slope, limit = np.polyfit(1 / np.asarray(sizes, dtype=np.float64), values, 1)
    return Extrapolation(float(limit), float(slope))


# --8<-- [end:extrapolate]


# --8<-- [start:frechet_at_infinity]
def frechet_at_infinity(
    features_a: First,
    features_b: Second,
    sizes: Sequence[int],
    n_repeats: int = 5,
    seed: int = 0,
) -> Extrapolation:
    r"""Frechet distance without the bias of the sample size, whose leading term goes like $1/n$.

    At each size n, random subsets of n rows of both sets are compared and the distances averaged;
    the line through the means is followed to $1/n = 0$.

    Args:
        features_a: One set.
        features_b: The other.
        sizes: Sizes of the subsets, at least 2 and at most the size of the smaller set.
        n_repeats: Subsets per size.
        seed: Of the subsets.

    Raises:
        ValueError: If a size is out of range, there are fewer than two sizes or no repeats.

    Source:
        Chong and Forsyth 2020, <https://arxiv.org/abs/1911.07023>.
    """
    largest = min(len(features_a), len(features_b))
    if n_repeats < 1 or not sizes or not 2 <= min(sizes) <= max(sizes) <= largest:
        raise ValueError(
            f"sizes must lie in 2..{largest} and n_repeats be positive, got {list(sizes)} and "
            f"{n_repeats}"
        )
    generator = torch.Generator().manual_seed(seed)

    def subset(features: Tensor, n: int) -> Tensor:
        return features[torch.randperm(len(features), generator=generator)[:n]]

    means = [
        float(
            np.mean(
                [
                    frechet_distance(subset(features_a, n), subset(features_b, n))
                    for _ in range(n_repeats)
                ]
            )
        )
        for n in sizes
    ]
    return extrapolate(sizes, means)


# --8<-- [end:frechet_at_infinity]
