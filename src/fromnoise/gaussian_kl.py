r"""The KL divergence between two Gaussians, in the parameters that networks write.

Diagonal covariances come as log variances, full ones as Cholesky factors $C = LL^\top$: both are
valid for any output of a network, once the diagonal of $L$ is made positive. Everything in nats.
`fromnoise.information.gaussian_kl_divergence` is the same divergence between `Gaussian` objects.

Source:
    Kingma and Welling 2014, <https://arxiv.org/abs/1312.6114>.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Codes = Float[Tensor, "*batch latents"]


# --8<-- [start:kl_diagonal]
def kl_diagonal(
    mean_q: Codes,
    log_var_q: Codes,
    mean_p: Codes | float = 0.0,
    log_var_p: Codes | float = 0.0,
) -> Codes:
    r"""KL divergence between diagonal Gaussians, one entry per dimension, in nats.

    $\tfrac12\big(\sigma_q^2/\sigma_p^2 + (\mu_q-\mu_p)^2/\sigma_p^2 - 1 + \log\sigma_p^2
    - \log\sigma_q^2\big)$; the divergence of the whole vector is the sum. The default $p$ is the
    standard normal.

    Args:
        mean_q: Means $\mu_q$.
        log_var_q: Logarithms of the variances $\sigma_q^2$.
        mean_p: Means $\mu_p$.
        log_var_p: Logarithms of the variances $\sigma_p^2$.

    Examples:
        A mean that is off by one standard deviation costs half a nat.

        >>> kl_diagonal(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
        tensor([[0.5000]])
    """
    log_var_p = torch.as_tensor(log_var_p, dtype=mean_q.dtype, device=mean_q.device)
    log_ratio = log_var_q - log_var_p
    squared = (mean_q - mean_p).square() * torch.exp(-log_var_p)
    # expm1 keeps the digits of a posterior that is almost the prior.
    return 0.5 * (torch.expm1(log_ratio) - log_ratio + squared)


# --8<-- [end:kl_diagonal]


# --8<-- [start:kl_full]
def kl_full(
    mean_q: Codes,
    cholesky_q: Float[Tensor, "*batch latents latents"],
    mean_p: Codes,
    cholesky_p: Float[Tensor, "*batch latents latents"],
) -> Float[Tensor, "*batch"]:
    r"""KL divergence between Gaussians with full covariances $C = LL^\top$, in nats.

    $\tfrac12\big(\lVert M\rVert_F^2 + \lVert h\rVert^2 - d\big) - \log\det M$ with
    $M = L_p^{-1}L_q$ and $h = L_p^{-1}(\mu_q-\mu_p)$.

    Args:
        mean_q: $\mu_q$.
        cholesky_q: Lower triangular $L_q$ with a positive diagonal.
        mean_p: $\mu_p$.
        cholesky_p: Lower triangular $L_p$ with a positive diagonal.

    Raises:
        ValueError: A diagonal entry of a factor is not positive.
    """
    for name, factor in (("cholesky_q", cholesky_q), ("cholesky_p", cholesky_p)):
        smallest = factor.diagonal(dim1=-2, dim2=-1).amin()
        if not smallest > 0:
            raise ValueError(f"the diagonal of {name} must be positive, got {smallest:.3g}")
    ratio = torch.linalg.solve_triangular(cholesky_p, cholesky_q, upper=False)
    shift = torch.linalg.solve_triangular(cholesky_p, (mean_q - mean_p)[..., None], upper=False)
    log_det = ratio.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    squares = ratio.square().sum((-2, -1)) + shift.square().sum((-2, -1))
    return 0.5 * (squares - mean_q.shape[-1]) - log_det


# --8<-- [end:kl_full]
