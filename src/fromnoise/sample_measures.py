r"""Distances between two sets of points, without a density: kernels, neighbors and transport.

Each sees something that the others miss. The kernel distance is unbiased at every sample size; the
neighbor measures tell bad samples from missing ones; the Wasserstein distance is in the units of
the data. Points are rows; for images, give features of a classifier.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

First = Float[Tensor, "n d"]
Second = Float[Tensor, "m d"]
Kernel = Callable[[Tensor, Tensor], Tensor]
"""Maps n and m points to the n x m table of their similarities."""


# --8<-- [start:kernels]
def polynomial_kernel(x: First, y: Second) -> Float[Tensor, "n m"]:
    r"""Compares the first three moments: $k(x, y) = (x^\top y / d + 1)^3$.

    Source:
        Bińkowski et al. 2018, <https://arxiv.org/abs/1801.01401>.
    """
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian_kernel(x: First, y: Second, width: float = 1.0) -> Float[Tensor, "n m"]:
    r"""Compares all moments: $k(x, y) = \exp(-\Vert x - y \Vert^2 / 2 w^2)$.

    Args:
        x: Points.
        y: Points.
        width: $w$, the distance at which two points are alike.

    Raises:
        ValueError: If `width` is not positive.
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width must be positive, got {width}")
    return torch.exp(-0.5 * (_distances(x, y) / width).square())


# --8<-- [end:kernels]


# --8<-- [start:mmd_squared]
def mmd_squared(x: First, y: Second, kernel: Kernel) -> float:
    r"""Squared maximum mean discrepancy, unbiased: $E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y)$.

    The means within a set leave out each point with itself; with those pairs the estimate would be
    too large. Without them it may be negative when the sets are alike.

    Args:
        x: One set.
        y: The other.
        kernel: Positive definite.

    Raises:
        ValueError: If a set has fewer than two rows, widths differ or a number is not finite.

    Source:
        Gretton et al. 2012, <https://jmlr.org/papers/v13/gretton12a.html>.
    """
    x, y = _pair(x, y, 2)
    within = [
        (table.sum() - table.trace()) / (len(table) * (len(table) - 1))
        for table in (kernel(x, x), kernel(y, y))
    ]
    return float(within[0] + within[1] - 2 * kernel(x, y).mean())


# --8<-- [end:mmd_squared]


def kernel_distance(features_a: First, features_b: Second) -> float:
    r"""The "KID": `mmd_squared` of features with `polynomial_kernel`.

    Raises:
        ValueError: As `mmd_squared`.

    Source:
        Bińkowski et al. 2018, <https://arxiv.org/abs/1801.01401>.
    """
    return mmd_squared(features_a, features_b, polynomial_kernel)


class NeighborMeasures(NamedTuple):
    """What nearest neighbors say; each is 1 or near it for a perfect model."""

    precision: float
    """Share of samples that lie among real data."""
    recall: float
    """Share of real data that lie among samples."""
    density: float
    """Mean number of real balls around a sample, over k; may exceed 1."""
    coverage: float
    """Share of real data with a sample nearby; `expected_coverage` is its value at best."""


# --8<-- [start:neighbor_measures]
def neighbor_measures(real: First, samples: Second, k: int = 5) -> NeighborMeasures:
    r"""Precision, recall, density and coverage from balls that reach k neighbors.

    The ball around a point of a set reaches its k-th nearest other point of that set. Precision is
    the share of samples in some real ball, recall the share of real data in some sample's ball,
    coverage the share of real balls that hold a sample. Density counts all the real balls around a
    sample and divides by k, so that one outlier's large ball counts for little.

    Args:
        real: Real data.
        samples: Samples of the model.
        k: Number of neighbors; smaller than both sets.

    Raises:
        ValueError: If k is not in 1..rows - 1, widths differ or a number is not finite.

    Source:
        Kynkäänniemi et al. 2019, <https://arxiv.org/abs/1904.06991>; Naeem et al. 2020,
        <https://arxiv.org/abs/2002.09797>.
    """
    real, samples = _pair(real, samples, 2)
    if not 1 <= k < min(len(real), len(samples)):
        smaller = min(len(real), len(samples))
        raise ValueError(f"k must lie in 1..{smaller - 1} for {smaller} rows, got {k}")
    # A point is its own nearest neighbor at distance 0: the k-th other one is the (k + 1)-th.
    real_radius, sample_radius = (
        _distances(part, part).kthvalue(k + 1).values for part in (real, samples)
    )
    distances = _distances(real, samples)
    in_real_ball = distances <= real_radius[:, None]
    in_sample_ball = distances <= sample_radius
    return NeighborMeasures(
        precision=float(in_real_ball.any(0).double().mean()),
        recall=float(in_sample_ball.any(1).double().mean()),
        density=float(in_real_ball.sum(0).double().mean() / k),
        coverage=float(in_real_ball.any(1).double().mean()),
    )


# --8<-- [end:neighbor_measures]


# --8<-- [start:expected_coverage]
def expected_coverage(n_real: int, n_samples: int, k: int) -> float:
    r"""Mean coverage if samples and data have one distribution, whichever it is.

    $1 - \prod_{j=1}^{k} \frac{N - j}{N + M - j}$: a real point stays uncovered if its k nearest
    neighbors among all the others happen to be real.

    Args:
        n_real: N, number of real points.
        n_samples: M, number of samples.
        k: Number of neighbors.

    Raises:
        ValueError: If k is not in 1..N - 1 or there are no samples.

    Source:
        Naeem et al. 2020, <https://arxiv.org/abs/2002.09797>.
    """
    if not 1 <= k < n_real or n_samples < 1:
        raise ValueError(f"need 1 <= k < n_real and samples, got {k}, {n_real} and {n_samples}")
    return 1 - math.prod((n_real - j) / (n_real + n_samples - j) for j in range(1, k + 1))


# --8<-- [end:expected_coverage]


# --8<-- [start:wasserstein_2]
def wasserstein_2(x: First, y: Second) -> float:
    r"""Exact Wasserstein-2 distance of two sets of equal size, in the units of the data.

    $\bigl(\min_\pi \tfrac1n \sum_i \Vert x_i - y_{\pi(i)} \Vert^2\bigr)^{1/2}$ over all pairings:
    the assignment problem, solved in time of order $n^3$.

    Args:
        x: One set.
        y: The other.

    Raises:
        ValueError: If the sets differ in size, are empty or hold a number that is not finite.

    Examples:
        A shift by 3 moves everything by 3.

        >>> x = torch.tensor([[0.0], [1.0]])
        >>> round(wasserstein_2(x, x + 3), 4)
        3.0

    Source:
        Peyré and Cuturi 2019, <https://arxiv.org/abs/1803.00567>.
    """
    x, y = _pair(x, y, 1)
    _require_equal_sizes(x, y)
    cost = _distances(x, y).square().cpu().numpy()
    rows, columns = linear_sum_assignment(cost)
    return math.sqrt(float(cost[rows, columns].mean()))


# --8<-- [end:wasserstein_2]


def random_directions(
    n_directions: int, n_dims: int, generator: torch.Generator
) -> Float[Tensor, "n_directions n_dims"]:
    """Unit vectors, uniform on the sphere, in double precision.

    Args:
        n_directions: How many.
        n_dims: Entries of each.
        generator: Source of the draws.

    Raises:
        ValueError: If a number is below 1.
    """
    if min(n_directions, n_dims) < 1:
        raise ValueError(f"need at least 1 direction and dimension, got {n_directions}, {n_dims}")
    v = torch.randn(n_directions, n_dims, generator=generator, dtype=torch.float64)
    return v / v.norm(dim=1, keepdim=True)


# --8<-- [start:sliced_wasserstein_2]
def sliced_wasserstein_2(x: First, y: Second, directions: Float[Tensor, "n_directions d"]) -> float:
    r"""Root mean square of the Wasserstein-2 distances along directions.

    On a line the best pairing is by rank, so sorting solves it: $\bigl(\tfrac{1}{Kn} \sum_{k,i}
    (u^k_{(i)} - v^k_{(i)})^2\bigr)^{1/2}$ with $u^k = x \theta_k$ and $v^k = y \theta_k$ sorted.

    Args:
        x: One set.
        y: The other, of the same size.
        directions: Unit vectors $\theta_k$, as from `random_directions`. In one dimension a single
            direction gives the exact distance.

    Raises:
        ValueError: If the sets differ in size, are empty or hold a number that is not finite, or a
            direction has not length 1.

    Source:
        Bonneel et al. 2015, <https://doi.org/10.1007/s10851-014-0506-3>.
    """
    x, y = _pair(x, y, 1)
    _require_equal_sizes(x, y)
    lengths = directions.double().norm(dim=1)
    if len(lengths) == 0 or not bool(((lengths - 1).abs() < 1e-6).all()):
        raise ValueError(f"directions must have length 1, got {lengths.tolist()[:5]}")
    along = [(part @ directions.double().T).sort(dim=0).values for part in (x, y)]
    return math.sqrt(float((along[0] - along[1]).square().mean()))


# --8<-- [end:sliced_wasserstein_2]


def _distances(x: Tensor, y: Tensor) -> Tensor:
    # Not by way of inner products: copies must be at distance 0 exactly.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _pair(x: Tensor, y: Tensor, n_rows: int) -> tuple[Tensor, Tensor]:
    """Both sets in double precision, or an error that names what is wrong."""
    if min(len(x), len(y)) < n_rows:
        raise ValueError(f"each set needs at least {n_rows} rows, got {len(x)} and {len(y)}")
    if not bool(x.isfinite().all()) or not bool(y.isfinite().all()):
        raise ValueError("points must be finite")
    return x.double(), y.double()


def _require_equal_sizes(x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape:
        raise ValueError(f"the sets must have one size, got {tuple(x.shape)} and {tuple(y.shape)}")
