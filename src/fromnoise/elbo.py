r"""Lower bounds on $\log p(x)$: the ELBO, its gradients and its importance-weighted kin.

The bounds are averages of one thing, the log importance weight of a latent from $q(z \mid x)$:

$$\log w = \log p(x \mid z) + \log p(z) - \log q(z \mid x).$$

Samples of $z$ lie on the first axis. Everything is in nats, summed over dimensions; a bound is
better when it is larger. `fromnoise.linear_elbo` has a model on which the bound is exact.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_shape
from fromnoise.gaussians import LOG_2PI

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

    Examples:
        The average is taken before the logarithm.

        >>> log_weights = torch.tensor([[0.0], [-9.0]])
        >>> iwae_bound(log_weights), log_weights.mean(0)
        (tensor([-0.6930]), tensor([-4.5000]))

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

    Raises:
        ValueError: If the two differ in shape.

    Examples:
        A code that says nothing costs nothing; a sharp one costs.

        >>> rate(torch.zeros(2, 1), torch.tensor([[0.0], [-4.0]]))
        tensor([0.0000, 1.5092])

    Source:
        Kingma and Welling 2014, <https://arxiv.org/abs/1312.6114>; the name is of Alemi et al.
        2018, <https://arxiv.org/abs/1711.00464>.
    """
    require_shape("z_log_var", z_log_var, z_mean)
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
