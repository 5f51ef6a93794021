r"""How many nats a message costs: entropy, cross-entropy and the divergences between distributions.

Discrete distributions lie on the last axis and sum to 1. Everything is in nats but `bits_per_dim`.
The order of arguments is the order of the symbol: `kl_divergence(p, q)` is $D_{KL}(p \Vert q)$.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.gaussians import Gaussian


def _check_distribution(name: str, p: Tensor) -> None:
    if p.shape[-1:] == (0,):
        raise ValueError(f"{name} has no outcomes")
    if not bool((p >= 0).all()):
        raise ValueError(f"{name} must hold probabilities, its smallest entry is {p.min():.3g}")
    off = (p.sum(-1) - 1).abs().max() if p.numel() else p.new_zeros(())
    if not off < 1e-5:
        raise ValueError(f"{name} must sum to 1 on the last axis, it is off by {off:.3g}")


def entropy(p: Float[Tensor, "*batch outcomes"]) -> Float[Tensor, "*batch"]:
    r"""Mean surprise, $H(p) = -\sum_i p_i \log p_i$, with $0 \log 0 = 0$.

    Args:
        p: Probabilities.

    Returns:
        Nats.

    Raises:
        ValueError: If an entry is negative or a sum is not 1.

    Examples:
        A fair coin surprises by log 2 nats, a sure thing not at all.

        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
        tensor([0.6931, 0.0000])

    Source:
        Shannon 1948, *A mathematical theory of communication*,
        <https://doi.org/10.1002/j.1538-7305.1948.tb01338.x>.
    """
    _check_distribution("p", p)
    return torch.special.entr(p).sum(-1)


def cross_entropy(
    p: Float[Tensor, "*#batch outcomes"], q: Float[Tensor, "*#batch outcomes"]
) -> Float[Tensor, "*batch"]:
    r"""Mean cost of coding p with the code for q, $H(p, q) = -\sum_i p_i \log q_i$.

    Infinite where q calls impossible what p produces.

    Args:
        p: Probabilities of what happens.
        q: Probabilities that the code was made for.

    Returns:
        Nats.

    Raises:
        ValueError: If an entry is negative or a sum is not 1.

    Examples:
        Believing in a fair coin costs log 2 a toss, whatever the coin.

        >>> cross_entropy(torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.5]))
        tensor(0.6931)
    """
    _check_distribution("p", p)
    _check_distribution("q", q)
    return -torch.special.xlogy(p, q).sum(-1)


# --8<-- [start:kl_divergence]
def kl_divergence(
    p: Float[Tensor, "*#batch outcomes"], q: Float[Tensor, "*#batch outcomes"]
) -> Float[Tensor, "*batch"]:
    r"""Extra cost of the wrong code, $D_{KL}(p \Vert q) = \sum_i p_i \log (p_i / q_i)$.

    At least 0; infinite where q calls impossible what p produces.

    Args:
        p: Probabilities of what happens.
        q: Probabilities that the code was made for.

    Returns:
        Nats.

    Raises:
        ValueError: If an entry is negative or a sum is not 1.

    Source:
        Kullback and Leibler 1951, *On information and sufficiency*,
        <https://doi.org/10.1214/aoms/1177729694>.
    """
    _check_distribution("p", p)
    _check_distribution("q", q)
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(-1)


# --8<-- [end:kl_divergence]


def jensen_shannon(
    p: Float[Tensor, "*#batch outcomes"], q: Float[Tensor, "*#batch outcomes"]
) -> Float[Tensor, "*batch"]:
    r"""Symmetric and at most $\log 2$: the mean KL of p and q to their average $m$.

    $\mathrm{JS}(p, q) = \tfrac12 D_{KL}(p \Vert m) + \tfrac12 D_{KL}(q \Vert m)$, $m = (p+q)/2$.

    Args:
        p: Probabilities.
        q: Probabilities.

    Returns:
        Nats.

    Raises:
        ValueError: If an entry is negative or a sum is not 1.

    Examples:
        Two that never agree are log 2 apart, and no two are further.

        >>> jensen_shannon(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
        tensor(0.6931)

    Source:
        Lin 1991, *Divergence measures based on the Shannon entropy*,
        <https://doi.org/10.1109/18.61115>.
    """
    _check_distribution("p", p)
    _check_distribution("q", q)
    middle = 0.5 * (p + q)
    return 0.5 * (kl_divergence(p, middle) + kl_divergence(q, middle))


def bits_per_dim(nats: Tensor, n_dims: int, level_width: float = 1.0) -> Tensor:
    r"""Negative log likelihood per dimension, $\mathrm{nats} / (D \ln 2) - \log_2 \Delta$.

    A density is per unit of length, a probability is not: a level $\Delta$ wide has about the
    probability density times $\Delta$. Leave `level_width` at 1 when `nats` already comes from
    probabilities; give it when `nats` comes from a density on data whose levels are $\Delta$ apart.
    Pixels with 17 levels on [-1, 1] have $\Delta = 1/8$, which adds 3 bits.

    Args:
        nats: Negative log likelihood in nats, summed over dimensions.
        n_dims: Number of dimensions $D$.
        level_width: Distance $\Delta$ between neighboring levels.

    Returns:
        Bits.

    Raises:
        ValueError: If `n_dims` or `level_width` is not positive.

    Examples:
        A uniform choice among 256 levels in each of 10 pixels.

        >>> bits_per_dim(torch.tensor(10 * math.log(256)), n_dims=10)
        tensor(8.)
    """
    if n_dims < 1:
        raise ValueError(f"n_dims must be at least 1, got {n_dims}")
    if not 0 < level_width < math.inf:
        raise ValueError(f"level_width must be positive, got {level_width}")
    return nats / (n_dims * math.log(2)) - math.log2(level_width)


def gaussian_entropy(p: Gaussian) -> Float[Tensor, "*batch"]:
    r"""Differential entropy, $h = \tfrac12 \log\det(2\pi e\, C)$; negative for a narrow Gaussian.

    Args:
        p: The Gaussian.

    Returns:
        Nats.

    Examples:
        A narrow one is below zero: nats of a density count from a unit of length.

        >>> gaussian_entropy(Gaussian(torch.zeros(1), torch.eye(1)))
        tensor(1.4189)
        >>> gaussian_entropy(Gaussian(torch.zeros(1), 1e-4 * torch.eye(1)))
        tensor(-3.1862)
    """
    return 0.5 * (p.eigenvalues.log() + math.log(2 * math.pi) + 1).sum(-1)


# --8<-- [start:gaussian_kl_divergence]
def gaussian_kl_divergence(p: Gaussian, q: Gaussian) -> Float[Tensor, "*batch"]:
    r"""KL divergence between two Gaussians with full covariances.

    $D_{KL}(p \Vert q) = \tfrac12\bigl[\mathrm{tr}\,C_q^{-1}C_p
    + (\mu_q-\mu_p)^\top C_q^{-1}(\mu_q-\mu_p) - D + \log\det C_q - \log\det C_p\bigr]$.

    Args:
        p: What happens.
        q: What the code was made for.

    Returns:
        Nats.

    Raises:
        ValueError: If the two live in spaces of different dimension.
    """
    if p.dim != q.dim:
        raise ValueError(f"dimensions differ: {p.dim} and {q.dim}")
    # tr C_q^-1 C_p from the two spectra and the squared cosines between the two sets of axes.
    overlap = (q.eigenvectors.mT @ p.eigenvectors).square()
    trace = (overlap * p.eigenvalues[..., None, :] / q.eigenvalues[..., :, None]).sum((-2, -1))
    offset = torch.einsum("...ji,...j->...i", q.eigenvectors, q.mean - p.mean)
    squared = (offset.square() / q.eigenvalues).sum(-1)
    log_dets = q.eigenvalues.log().sum(-1) - p.eigenvalues.log().sum(-1)
    return 0.5 * (trace + squared - p.dim + log_dets)


# --8<-- [end:gaussian_kl_divergence]
