r"""Probabilistic PCA, the latent-variable model whose likelihood and posterior are known.

Shapes, dtypes and units are those of `fromnoise.gaussians`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_counts
from fromnoise.gaussians import LOG_2PI, Gaussian, require_points


class LinearGaussian:
    r"""Probabilistic PCA: $z \sim \mathcal N(0, I)$, $x = Wz + \mu + \text{noise\_std}\,\epsilon$.

    Everything that a latent-variable model asks for is known here: likelihood, posterior, evidence.
    Unlike the other classes, it is differentiable in its parameters too.

    Source:
        Tipping and Bishop 1999, *Probabilistic principal component analysis*,
        <https://doi.org/10.1111/1467-9868.00196>.
    """

    def __init__(
        self,
        loadings: Float[Tensor, "dim latent"],
        mean: Float[Tensor, " dim"],
        noise_std: Float[Tensor, ""],
    ) -> None:
        r"""Keep the parameters.

        Args:
            loadings: $W$, from the latent to the data.
            mean: $\mu$.
            noise_std: Standard deviation of the noise, a positive scalar.

        Raises:
            ValueError: If the noise is not positive: without it the covariance is singular.
        """
        if not bool(noise_std > 0):
            raise ValueError(f"noise_std must be positive, got {noise_std.item():.3g}")
        self.loadings, self.mean, self.noise_std = loadings, mean, noise_std

    def _latent_precision(self) -> Tensor:
        """$M = W^T W + noise^2 I$: the posterior precision of z, times the noise variance."""
        latent = self.loadings.shape[1]
        eye = torch.eye(latent).to(self.loadings)
        return self.loadings.mT @ self.loadings + self.noise_std.square() * eye

    def marginal(self) -> Gaussian:
        r"""$p(x) = \mathcal N(\mu, WW^\top + \text{noise\_std}^2 I)$."""
        eye = torch.eye(len(self.mean)).to(self.mean)
        covariance = self.loadings @ self.loadings.mT + self.noise_std.square() * eye
        return Gaussian(self.mean.detach(), covariance.detach())

    def log_prob(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        r"""Exact $\log p(x)$, by the matrix inversion lemma in the latent space.

        Args:
            x: Points.

        Returns:
            Nats, summed over dimensions.

        Raises:
            ValueError: If the points have another number of dimensions or another dtype.
        """
        require_points(x, self.mean)
        dim, latent = self.loadings.shape
        noise_var = self.noise_std.square()
        chol = torch.linalg.cholesky(self._latent_precision())
        offset = x - self.mean
        seen = torch.linalg.solve_triangular(chol, (offset @ self.loadings)[..., None], upper=False)
        squared = (offset.square().sum(-1) - seen.square().sum((-2, -1))) / noise_var
        log_det = (dim - latent) * noise_var.log() + 2 * chol.diagonal().log().sum()
        return -0.5 * (squared + log_det + dim * LOG_2PI)

    def log_px_given_z(
        self, x: Float[Tensor, "*points dim"], z: Float[Tensor, "*codes latent"]
    ) -> Float[Tensor, "*log_probs"]:
        r"""Log likelihood $\log p(x \mid z)$, summed over dimensions."""
        require_points(x, self.mean)
        residual = (x - self.mean - z @ self.loadings.mT) / self.noise_std
        return -0.5 * (residual.square() + 2 * self.noise_std.log() + LOG_2PI).sum(-1)

    def posterior(
        self, x: Float[Tensor, "*batch dim"]
    ) -> tuple[Float[Tensor, "*batch latent"], Float[Tensor, "latent latent"]]:
        r"""Mean and covariance of $p(z \mid x)$, with $M = W^\top W + \text{noise\_std}^2 I$.

        The mean is $M^{-1} W^\top (x - \mu)$, the covariance $\text{noise\_std}^2 M^{-1}$.

        Args:
            x: Points.

        Raises:
            ValueError: If the points have another number of dimensions or another dtype.
        """
        require_points(x, self.mean)
        inverse = torch.linalg.inv(self._latent_precision())
        # The inverse is symmetric only to rounding; Gaussian asks for symmetry.
        inverse = 0.5 * (inverse + inverse.mT)
        return (x - self.mean) @ self.loadings @ inverse, self.noise_std.square() * inverse

    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        r"""Draw a latent, then the data: $x = Wz + \mu + \text{noise\_std}\,\epsilon$.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        dim, latent = self.loadings.shape
        noise = torch.randn(
            (n_samples, latent + dim),
            generator=generator,
            dtype=self.mean.dtype,
            device=self.mean.device,
        )
        z, eps = noise[:, :latent], noise[:, latent:]
        return z @ self.loadings.mT + self.mean + self.noise_std * eps
