r"""Lower bounds on $\log p(x)$: the ELBO, its gap, its gradients and its importance-weighted kin.

The bounds are averages of one thing, the log importance weight of a latent from $q(z \mid x)$:

$$\log w = \log p(x \mid z) + \log p(z) - \log q(z \mid x).$$

Samples of $z$ lie on the first axis. Everything is in nats, summed over dimensions; a bound is
better when it is larger. On a `LinearGaussian` model (PPCA) the bound, the gap and both steps of EM
are exact.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.gaussians import LOG_2PI, Gaussian
from fromnoise.information import gaussian_kl_divergence
from fromnoise.linear_gaussian import LinearGaussian

Draws = Float[Tensor, "samples *batch"]


# --8<-- [start:elbo]
def elbo(
    log_px_given_z: Draws,
    log_pz: Draws,
    log_qz_given_x: Draws,
) -> Float[Tensor, "*batch"]:
    r"""Monte-Carlo estimate of $\mathcal L = E_q[\log p(x \mid z) + \log p(z) - \log q(z \mid x)]$.

    Args:
        log_px_given_z: Log likelihood of the data under each latent.
        log_pz: Log prior density of each latent.
        log_qz_given_x: Log density of each latent under the distribution it was drawn from.

    Returns:
        Nats; an unbiased estimate of a lower bound on $\log p(x)$.

    Source:
        Kingma and Welling 2014, <https://arxiv.org/abs/1312.6114>.
    """
    return (log_px_given_z + log_pz - log_qz_given_x).mean(0)


# --8<-- [end:elbo]


# --8<-- [start:iwae_bound]
def iwae_bound(log_weights: Draws) -> Float[Tensor, "*batch"]:
    r"""Importance-weighted bound $\log \tfrac1K \sum_k w_k$, by log-sum-exp.

    Its mean over draws lies between the ELBO ($K = 1$) and $\log p(x)$, and rises with $K$.

    Args:
        log_weights: $\log p(x, z_k) - \log q(z_k \mid x)$ of $K$ independent draws from $q$.

    Returns:
        Nats.

    Raises:
        ValueError: If there is no sample.

    Source:
        Burda, Grosse and Salakhutdinov 2016, <https://arxiv.org/abs/1509.00519>.
    """
    n_importance = len(log_weights)
    if n_importance == 0:
        raise ValueError("iwae_bound needs at least 1 sample, got 0")
    return log_weights.logsumexp(0) - math.log(n_importance)


# --8<-- [end:iwae_bound]


def diagonal_log_prob(
    z: Float[Tensor, "*#batch latent"],
    z_mean: Float[Tensor, "*#batch latent"],
    z_log_var: Float[Tensor, "*#batch latent"],
) -> Float[Tensor, "*batch"]:
    r"""Log density of a Gaussian with a diagonal covariance, $\log \mathcal N(z; \mu, \sigma^2)$.

    Args:
        z: Latents.
        z_mean: $\mu$.
        z_log_var: $\log \sigma^2$.
    """
    squared = (z - z_mean).square() * (-z_log_var).exp()
    return -0.5 * (squared + z_log_var + LOG_2PI).sum(-1)


# --8<-- [start:reparameterize]
def reparameterize(
    z_mean: Float[Tensor, "*#batch latent"],
    z_log_var: Float[Tensor, "*#batch latent"],
    eps: Float[Tensor, "*#batch latent"],
) -> Float[Tensor, "*batch latent"]:
    r"""A draw that keeps its gradient, $z = \mu + \sigma \epsilon$.

    Args:
        z_mean: $\mu$.
        z_log_var: $\log \sigma^2$.
        eps: Standard normal noise; a first axis more than the others gives several draws.

    Source:
        Kingma and Welling 2014, <https://arxiv.org/abs/1312.6114>; Rezende et al. 2014,
        <https://arxiv.org/abs/1401.4082>.
    """
    return z_mean + (0.5 * z_log_var).exp() * eps


# --8<-- [end:reparameterize]


# --8<-- [start:score_function_surrogate]
def score_function_surrogate(
    value: Draws,
    log_qz_given_x: Draws,
    baseline: Float[Tensor, "*#batch"] | float = 0.0,
) -> Float[Tensor, "*batch"]:
    r"""A number whose gradient estimates $\nabla_\phi E_q[f(z)]$ by the score function (REINFORCE).

    $\tfrac1K\sum_k (f(z_k) - b)\, \nabla_\phi \log q_\phi(z_k \mid x)$ needs no gradient of $f$; it
    pays with variance. Draw the latents without gradient.

    Args:
        value: $f(z_k)$; its own gradient is not used.
        log_qz_given_x: $\log q_\phi(z_k \mid x)$, differentiable in $\phi$.
        baseline: $b$, anything that does not depend on the draw; it leaves the mean as it is.

    Source:
        Williams 1992, *Simple statistical gradient-following algorithms for connectionist
        reinforcement learning*, <https://doi.org/10.1007/BF00992696>.
    """
    return ((value - baseline).detach() * log_qz_given_x).mean(0)


# --8<-- [end:score_function_surrogate]


# --8<-- [start:rate]
def rate(
    z_mean: Float[Tensor, "*batch latent"], z_log_var: Float[Tensor, "*batch latent"]
) -> Float[Tensor, "*batch"]:
    r"""Analytic $D_{KL}(q(z \mid x) \Vert \mathcal N(0, I))$ of a diagonal Gaussian.

    $R = \tfrac12 \sum_i (\mu_i^2 + \sigma_i^2 - 1 - \log \sigma_i^2)$.

    Args:
        z_mean: $\mu$.
        z_log_var: $\log \sigma^2$.

    Returns:
        Nats.

    Source:
        Kingma and Welling 2014, <https://arxiv.org/abs/1312.6114>; the name is of Alemi et al.
        2018, <https://arxiv.org/abs/1711.00464>.
    """
    # expm1(v) - v keeps the digits of a KL near 0.
    return 0.5 * (z_mean.square() + torch.expm1(z_log_var) - z_log_var).sum(-1)


# --8<-- [end:rate]


def rate_estimate(log_qz_given_x: Draws, log_pz: Draws) -> Float[Tensor, "*batch"]:
    r"""Monte-Carlo KL, $\tfrac1K \sum_k \log q(z_k \mid x) - \log p(z_k)$ with $z_k \sim q$.

    For pairs without a closed form. It is unbiased, and may come out negative.

    Args:
        log_qz_given_x: Log density of each draw under $q$.
        log_pz: Log density of each draw under the prior.
    """
    return (log_qz_given_x - log_pz).mean(0)


def distortion(log_px_given_z: Draws) -> Float[Tensor, "*batch"]:
    r"""Mean cost of the data given the latent, $D = -E_q[\log p(x \mid z)]$; ELBO $= -(R + D)$.

    Args:
        log_px_given_z: Log likelihood of the data under each draw from $q$.

    Source:
        Alemi et al. 2018, <https://arxiv.org/abs/1711.00464>.
    """
    return -log_px_given_z.mean(0)


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
