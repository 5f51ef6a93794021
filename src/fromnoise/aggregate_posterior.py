r"""Where the codes of all images lie together, and what the prior makes of the rest.

The aggregate posterior of images $x_1,\dots,x_N$ is the mixture of their posteriors,
$q(z) = \tfrac1N \sum_n q_\phi(z \mid x_n)$. Where the prior has mass and $q(z)$ has none, there is
a hole: the decoder was never trained there, yet samples start there. Codes of two entries can be
integrated over on a grid, which makes $\log p(x)$ exact. Densities are in nats.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_shape
from fromnoise.elbo import diagonal_log_prob, reparameterize
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.vae import VAE

Codes = Float[Tensor, "n latents"]


# --8<-- [start:log_aggregate]
def log_aggregate(
    z: Float[Tensor, "points latents"], z_mean: Codes, z_log_var: Codes
) -> Float[Tensor, " points"]:
    r"""Log density of the aggregate posterior, $\log \tfrac1N\sum_n q(z \mid x_n)$.

    Args:
        z: Where to evaluate.
        z_mean: $\mu(x_n)$ of each image.
        z_log_var: $\log\sigma^2(x_n)$ of each image.

    Raises:
        ValueError: If there is no image, or the two are not shaped alike.
    """
    require_shape("z_log_var", z_log_var, z_mean)
    if z_mean.ndim != 2 or len(z_mean) == 0:
        raise ValueError(f"need one row of means per image, got shape {tuple(z_mean.shape)}")
    log_each = [
        diagonal_log_prob(points[:, None], z_mean, z_log_var).logsumexp(1)
        for points in z.split(2048)  # bounds the memory: points x images x latents
    ]
    return torch.cat(log_each) - math.log(len(z_mean))


# --8<-- [end:log_aggregate]


class RateSplit(NamedTuple):
    """The mean rate in two parts, nats: what codes tell of their image, and the misfit."""

    information: float
    r"""$I_q(x; z) = E\,\log q(z \mid x) - \log q(z)$, at most $\log N$."""
    misfit: float
    r"""$D_{KL}(q(z) \Vert p(z))$, zero when the codes fill the prior."""


# --8<-- [start:rate_split]
@torch.no_grad()
def rate_split(
    z_mean: Codes, z_log_var: Codes, n_draws: int, generator: torch.Generator
) -> RateSplit:
    r"""Split the mean rate into information and misfit: $E\,R = I_q(x;z) + D_{KL}(q(z)\Vert p(z))$.

    The rate is exact; the information is a mean over draws from each posterior.

    Args:
        z_mean: Posterior means of N images.
        z_log_var: Posterior log variances.
        n_draws: Draws per image.
        generator: Source of the draws.

    Raises:
        ValueError: If `n_draws` < 1, there is no image, or means and variances differ in shape.

    Source:
        Hoffman and Johnson 2016, ELBO surgery, NIPS workshop on advances in approximate Bayesian
        inference.
    """
    require_shape("z_log_var", z_log_var, z_mean)
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    z_mean, z_log_var = z_mean.double(), z_log_var.double()
    shape = (n_draws, *z_mean.shape)
    eps = torch.randn(shape, generator=generator, dtype=z_mean.dtype, device=z_mean.device)
    z = reparameterize(z_mean, z_log_var, eps)
    log_qz_given_x = diagonal_log_prob(z, z_mean, z_log_var)
    log_qz = log_aggregate(z.flatten(0, 1), z_mean, z_log_var)
    information = float(log_qz_given_x.mean() - log_qz.mean())
    rate = float(kl_diagonal(z_mean, z_log_var).sum(-1).mean())
    return RateSplit(information, rate - information)


# --8<-- [end:rate_split]


class Plane(NamedTuple):
    """Square grid over codes of two entries.

    Attributes:
        n_side: Points along a side.
    """

    z: Float[Tensor, "points 2"]
    log_cell: float
    """Log area of a cell: the weight of a point in an integral."""
    n_side: int


def plane(extent: float, n_side: int, dtype: torch.dtype = torch.float32) -> Plane:
    """Midpoints of `n_side` x `n_side` equal cells over [-extent, extent] squared.

    Args:
        extent: Half the side, positive.
        n_side: Cells along a side.
        dtype: Of the points.

    Raises:
        ValueError: A size is not positive.
    """
    if not extent > 0 or n_side < 1:
        raise ValueError(f"need extent > 0 and n_side >= 1, got {extent}, {n_side}")
    cell = 2 * extent / n_side
    side = (torch.arange(n_side, dtype=torch.float64) + 0.5) * cell - extent
    z = torch.cartesian_prod(side, side).to(dtype)
    return Plane(z, 2 * math.log(cell), n_side)


# --8<-- [start:log_likelihood_on_plane]
@torch.no_grad()
def log_likelihood_on_plane(
    model: VAE, x: Float[Tensor, "batch dims"], grid: Plane
) -> Float[Tensor, " batch"]:
    r"""Exact $\log p_\theta(x) = \log\int p(z)\,p_\theta(x \mid z)\,dz$ for codes of two entries.

    No encoder takes part, so it also judges models whose encoder makes no sense. Exact up to the
    grid: halve the cells to see what they cost.

    Args:
        model: Two latents, no autoregressive decoder, a likelihood over gray levels.
        x: Images on the gray levels.
        grid: Must cover the prior, and be fine against the width of $p(z \mid x)$.

    Raises:
        ValueError: The model has another number of latents, or an autoregressive decoder, or there
            are no images.
    """
    if len(x) == 0:
        raise ValueError("need at least one image")
    if model.n_latents != 2 or model.autoregressive:
        raise ValueError("the grid needs two latents and a decoder that sees only the code")
    prior = torch.zeros(2, dtype=grid.z.dtype)
    log_pz = diagonal_log_prob(grid.z, prior, prior) + grid.log_cell
    total = torch.full((len(x),), -torch.inf, dtype=torch.float64)
    # A pixel takes few values, so a table over levels serves all images: one product of matrices.
    levels = x.unique()
    chosen = (x[..., None] == levels).to(x.dtype).flatten(1)
    for z, log_prior in zip(grid.z.split(4096), log_pz.split(4096), strict=True):
        parameters = model.decode(z)
        table = torch.stack([_per_pixel(model, parameters, level) for level in levels], -1)
        log_joint = (chosen @ table.flatten(1).T).double() + log_prior
        total = torch.logaddexp(total, log_joint.logsumexp(1))
    return total


# --8<-- [end:log_likelihood_on_plane]


def _per_pixel(model: VAE, parameters: Tensor, level: Tensor) -> Tensor:
    """Log-probability that each pixel has the level: pixels are independent given the code."""
    points, dims, n_parameters = parameters.shape
    flat = parameters.reshape(points * dims, 1, n_parameters)
    value = level.expand(points * dims, 1)
    return model.likelihood.log_prob(flat, value).view(points, dims)
