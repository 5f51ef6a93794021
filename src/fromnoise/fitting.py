r"""Fit one Gaussian to a density on the line, by the divergence in either direction.

The density $q$ is known by its logarithm on a grid of equally spaced points, wide enough that
nothing is left outside; the trapezoid then converges faster than any power of the step. The model
is $p = \mathcal N(\mu, \sigma^2)$. Everything is in nats and float64.

Source:
    The book's own.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize
from torch import Tensor

Points = Float[Tensor, " points"]


class Fit(NamedTuple):
    """A Gaussian on the line, and the divergence that is left.

    Attributes:
        std: Its standard deviation.
    """

    mean: float
    std: float
    divergence: float


def gaussian_log_prob(x: Points, mean: float, std: float) -> Points:
    r"""$\log p(x) = -\tfrac12 (x - \mu)^2 / \sigma^2 - \log \sigma - \tfrac12 \log 2\pi$.

    Args:
        x: Points on the line.
        mean: Mean $\mu$.
        std: Standard deviation $\sigma$.

    Returns:
        Nats per point.
    """
    return -0.5 * ((x - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)


def line_kl(x: Points, log_a: Points, log_b: Points) -> float:
    r"""Divergence of two densities on a grid, $\sum_i a(x_i) \log \tfrac{a(x_i)}{b(x_i)}\, dx$.

    Args:
        x: Equally spaced points, rising.
        log_a: Log density of what happens.
        log_b: Log density of what is believed.

    Returns:
        Nats.

    Raises:
        ValueError: If the grid has fewer than two points or does not rise evenly.
    """
    step = _step(x)
    seen = log_a > -700  # below, the density is 0 in float64, and so is the term
    return float((log_a.exp() * (log_a - log_b))[seen].sum() * step)


# --8<-- [start:forward_fit]
def forward_fit(x: Points, log_q: Points) -> Fit:
    r"""Minimize $D_{KL}(q \Vert p)$: the mean and the variance of q itself.

    Args:
        x: Equally spaced points, rising.
        log_q: Log density of the data at the points.

    Raises:
        ValueError: If the grid is not even, or the density does not have mass 1 on it.
    """
    weight = log_q.exp() * _step(x)
    _check_mass(float(weight.sum()))
    mean = float((weight * x).sum())
    std = math.sqrt(float((weight * (x - mean) ** 2).sum()))
    return Fit(mean, std, line_kl(x, log_q, gaussian_log_prob(x, mean, std)))


# --8<-- [end:forward_fit]


# --8<-- [start:reverse_fit]
def reverse_fit(x: Points, log_q: Points, start: tuple[float, float]) -> Fit:
    r"""Minimize $D_{KL}(p \Vert q)$ from a start, by quadrature and BFGS: a local minimum.

    Args:
        x: Equally spaced points, rising.
        log_q: Log density of the data at the points, finite everywhere.
        start: Mean and standard deviation to begin with; they choose the minimum that is found.

    Raises:
        ValueError: If the grid is not even, the density does not have mass 1 on it, or the
            standard deviation of the start is not positive.
    """
    step = _step(x)
    _check_mass(float(log_q.exp().sum() * step))
    if not start[1] > 0:
        raise ValueError(f"the standard deviation to start from must be positive, got {start[1]}")

    def cost(parameters: np.ndarray) -> float:
        log_p = gaussian_log_prob(x, parameters[0], math.exp(parameters[1]))
        # Mass that leaves the grid must cost, or the search would flee there.
        return line_kl(x, log_p, log_q) + 1 - float(log_p.exp().sum() * step)

    begin = np.array([start[0], math.log(start[1])])
    found = optimize.minimize(cost, begin, method="BFGS", options={"gtol": 1e-9})
    return Fit(float(found.x[0]), math.exp(found.x[1]), float(found.fun))


# --8<-- [end:reverse_fit]


def _step(x: Points) -> float:
    if len(x) < 2:
        raise ValueError(f"the grid needs at least two points, got {len(x)}")
    steps = x.diff()
    if not bool((steps > 0).all()) or float(steps.max() - steps.min()) > 1e-6 * float(steps.max()):
        raise ValueError(
            f"the grid must rise evenly, steps are {steps.min():.3g}..{steps.max():.3g}"
        )
    return float((x[-1] - x[0]) / (len(x) - 1))


def _check_mass(mass: float) -> None:
    if not abs(mass - 1) < 1e-4:
        raise ValueError(f"the density must have mass 1 on the grid, it has {mass:.4g}")
