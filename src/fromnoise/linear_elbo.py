r"""The ELBO where all of it is known: probabilistic PCA, with the exact gap and both steps of EM.

Everything is in nats, summed over dimensions.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.gaussians import Gaussian
from fromnoise.information import gaussian_kl_divergence
from fromnoise.linear_gaussian import LinearGaussian


# --8<-- [start:linear_elbo]
def linear_elbo(
    model: LinearGaussian, x: Float[Tensor, "*batch dim"], q: Gaussian
) -> Float[Tensor, "*batch"]:
    r"""Exact ELBO of a linear-Gaussian model, any Gaussian $q(z \mid x) = \mathcal N(m, S)$.

    The rate is the KL divergence of $q$ to the prior, the distortion
    $-\log p(x \mid m) + \mathrm{tr}(W S W^\top) / 2\,\text{noise\_std}^2$.

    Args:
        model: The model.
        x: Data.
        q: One Gaussian over latents for each row of `x`.

    Returns:
        Nats.
    """
    blur = (model.loadings @ q.covariance @ model.loadings.mT).diagonal(dim1=-2, dim2=-1).sum(-1)
    negative_distortion = model.log_px_given_z(x, q.mean) - 0.5 * blur / model.noise_std.square()
    return negative_distortion - gaussian_kl_divergence(q, standard_normal(q))


# --8<-- [end:linear_elbo]


def standard_normal(like: Gaussian) -> Gaussian:
    r"""The prior $\mathcal N(0, I)$ in the space of another Gaussian, of the same dtype."""
    return Gaussian(like.mean.new_zeros(like.dim), torch.eye(like.dim).to(like.mean))


def linear_posterior(model: LinearGaussian, x: Float[Tensor, "*batch dim"]) -> Gaussian:
    r"""Exact posterior $p(z \mid x)$ of a linear-Gaussian model, one per row of `x`."""
    mean, covariance = model.posterior(x)
    return Gaussian(mean.detach(), covariance.detach())


# --8<-- [start:elbo_gap]
def elbo_gap(
    model: LinearGaussian, x: Float[Tensor, "*batch dim"], q: Gaussian
) -> Float[Tensor, "*batch"]:
    r"""What the ELBO misses, $\log p(x) - \mathcal L = D_{KL}(q(z \mid x) \Vert p(z \mid x))$.

    Args:
        model: The model.
        x: Data.
        q: One Gaussian over latents for each row of `x`.

    Returns:
        Nats, at least 0.
    """
    return gaussian_kl_divergence(q, linear_posterior(model, x))


# --8<-- [end:elbo_gap]


# --8<-- [start:mean_field]
def mean_field(p: Gaussian) -> Gaussian:
    r"""The best factorized $q$: minimizes $D_{KL}(q \Vert p)$ over diagonal covariances.

    It has the mean of $p$ and the variances $1 / \Lambda_{ii}$, where $\Lambda = C^{-1}$: the width
    of each slice through $p$, not of its shadow.

    Args:
        p: The target, such as a posterior.
    """
    variances = 1 / _precision(p).diagonal(dim1=-2, dim2=-1)
    return Gaussian(p.mean, torch.diag_embed(variances))


def mean_field_cost(p: Gaussian) -> Float[Tensor, "*batch"]:
    r"""Nats that no factorized $q$ can win back: the KL divergence of the best one to $p$.

    $\tfrac12(\sum_i \log\Lambda_{ii} - \log\det\Lambda)$ with $\Lambda = C^{-1}$, and 0 if and
    only if the dimensions of $p$ are independent.

    Args:
        p: The target, such as a posterior.
    """
    diagonal = _precision(p).diagonal(dim1=-2, dim2=-1)
    return 0.5 * (diagonal.log().sum(-1) + p.eigenvalues.log().sum(-1))


# --8<-- [end:mean_field]


def _precision(p: Gaussian) -> Tensor:
    return (p.eigenvectors / p.eigenvalues[..., None, :]) @ p.eigenvectors.mT


# --8<-- [start:em_step]
def em_step(model: LinearGaussian, x: Float[Tensor, "n dim"]) -> LinearGaussian:
    r"""One round of expectation-maximization for PPCA.

    E: set $q(z \mid x)$ to the posterior, so that the gap is 0. M: raise the ELBO to its maximum
    over $W$ and the noise with $q$ held fixed. The mean of the data is the best $\mu$ at once.

    Args:
        model: The model before.
        x: Data.

    Raises:
        ValueError: If there are fewer than 2 rows.

    Source:
        Tipping and Bishop 1999, <https://doi.org/10.1111/1467-9868.00196>; Dempster, Laird and
        Rubin 1977, <https://doi.org/10.1111/j.2517-6161.1977.tb01600.x>.
    """
    if len(x) < 2:
        raise ValueError(f"fitting needs at least 2 rows of data, got {len(x)}")
    mean = x.mean(0)
    offset = x - mean
    z_mean, z_cov = LinearGaussian(model.loadings, mean, model.noise_std).posterior(x)
    z_second = len(x) * z_cov + z_mean.mT @ z_mean
    cross = offset.mT @ z_mean
    loadings = torch.linalg.solve(z_second, cross.mT).mT
    squared = offset.square().sum() - (loadings * cross).sum()
    return LinearGaussian(loadings, mean, (squared / x.numel()).sqrt())


# --8<-- [end:em_step]


def fit_linear_gaussian(x: Float[Tensor, "n dim"], n_latents: int) -> LinearGaussian:
    r"""Maximum-likelihood PPCA in closed form, from the eigenvalues $\lambda_i$ of the covariance.

    The noise variance is the mean of the left-out eigenvalues, and
    $W = U_d (\Lambda_d - \text{noise\_std}^2 I)^{1/2}$.

    Args:
        x: Data.
        n_latents: Dimension of the latent, below that of the data.

    Raises:
        ValueError: If `n_latents` is out of range, or the data have no variance left for the noise.

    Source:
        Tipping and Bishop 1999, <https://doi.org/10.1111/1467-9868.00196>.
    """
    if len(x) < 2:
        raise ValueError(f"fitting needs at least 2 rows of data, got {len(x)}")
    mean = x.mean(0)
    offset = x - mean
    if not 1 <= n_latents < x.shape[1]:
        raise ValueError(f"n_latents must lie in 1..{x.shape[1] - 1}, got {n_latents}")
    eigenvalues, eigenvectors = torch.linalg.eigh(offset.mT @ offset / len(x))
    kept, left_out = eigenvalues[-n_latents:], eigenvalues[:-n_latents]
    noise_var = left_out.mean().clamp(min=0)
    loadings = eigenvectors[:, -n_latents:] * (kept - noise_var).clamp(min=0).sqrt()
    return LinearGaussian(loadings.flip(1), mean, noise_var.sqrt())
