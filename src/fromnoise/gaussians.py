r"""Gaussians with their exact answers: density, score and posterior mean at every noise level.

They are the first of the oracles, with `fromnoise.mixtures` and `fromnoise.linear_gaussian`: what a
network must learn elsewhere in the book is known here in closed form, for every
$x_t = \alpha_t x_0 + \sigma_t \epsilon$.

Shapes: points have the shape `(*batch, dim)`, flatten images first. Parameters and points share one
dtype. Parameters are constants: derivatives flow to the points only. Log densities are in nats,
summed over dimensions.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_counts
from fromnoise.schedules import Scales

LOG_2PI = math.log(2 * math.pi)


def require_points(x: Tensor, mean: Tensor) -> None:
    """Refuse points with another number of dimensions, or of another dtype, than the mean.

    Raises:
        ValueError: If they differ.
    """
    if x.shape[-1:] != mean.shape[-1:]:
        raise ValueError(
            f"points must have {mean.shape[-1]} entries on the last axis, got {tuple(x.shape)}"
        )
    if x.dtype != mean.dtype:
        raise ValueError(f"points are {x.dtype} but the parameters are {mean.dtype}; cast one")


def _rates(scales: Scales, like: Tensor) -> tuple[Tensor, Tensor]:
    """Both rates in the dtype of the parameters, or an error that names the bad value."""
    alpha_t, sigma_t = scales.alpha_t.to(like), scales.sigma_t.to(like)
    for name, rate in (("alpha_t", alpha_t), ("sigma_t", sigma_t)):
        if not bool((rate >= 0).all()) or not bool(rate.isfinite().all()):
            raise ValueError(f"{name} must be finite and at least 0, got {rate.flatten().tolist()}")
    if bool(((alpha_t == 0) & (sigma_t == 0)).any()):
        raise ValueError("alpha_t and sigma_t are both 0: x_t says nothing and has no density")
    return alpha_t, sigma_t


class Gaussian:
    r"""A normal distribution $\mathcal N(\mu, C)$ with a full covariance, or a batch of them.

    The covariance is kept as $C = U \Lambda U^\top$: noise of any level only changes $\Lambda$.

    Examples:
        Where $x_t = x_0 / 2 + \epsilon / 2$ is 1, data alone would be 2; the best guess is 1.

        >>> from fromnoise.schedules import Rectified
        >>> p = Gaussian(torch.zeros(1), torch.eye(1))
        >>> p.posterior_mean(torch.tensor([[1.0]]), Rectified()(torch.tensor([0.5])))
        tensor([[1.]])
    """

    def __init__(
        self,
        mean: Float[Tensor, "*batch dim"],
        covariance: Float[Tensor, "*#batch dim dim"],
    ) -> None:
        r"""Decompose the covariance.

        Args:
            mean: $\mu$.
            covariance: $C$, symmetric and positive definite; may be shared by the batch.

        Raises:
            ValueError: If the covariance is not symmetric, or singular to working precision.
        """
        if not bool(mean.isfinite().all()) or not bool(covariance.isfinite().all()):
            raise ValueError("the mean and the covariance must be finite")
        largest = covariance.abs().amax()
        asymmetry = (covariance - covariance.mT).abs().amax()
        tolerance = 10 * torch.finfo(mean.dtype).eps * mean.shape[-1]
        if asymmetry > tolerance * largest:
            raise ValueError(f"covariance must be symmetric, entries differ by {asymmetry:.3g}")
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        if bool((eigenvalues[..., 0] <= tolerance * eigenvalues[..., -1].abs()).any()):
            raise ValueError(
                "covariance must be positive definite, its smallest eigenvalue is "
                f"{eigenvalues.amin():.3g} and its largest {eigenvalues.amax():.3g}"
            )
        self.mean, self.eigenvalues = mean, eigenvalues.expand(mean.shape)
        self.eigenvectors = eigenvectors

    @classmethod
    def decomposed(
        cls,
        mean: Float[Tensor, "*batch dim"],
        eigenvalues: Float[Tensor, "*batch dim"],
        eigenvectors: Float[Tensor, "*#batch dim dim"],
    ) -> "Gaussian":
        r"""The same from $\Lambda$ and $U$, which are taken as they are, unchecked.

        Args:
            mean: Mean $\mu$.
            eigenvalues: Variances along the axes, the diagonal of $\Lambda$.
            eigenvectors: The axes, columns of $U$.
        """
        gaussian = cls.__new__(cls)
        gaussian.mean, gaussian.eigenvalues, gaussian.eigenvectors = mean, eigenvalues, eigenvectors
        return gaussian

    @property
    def dim(self) -> int:
        """Number of dimensions of a point."""
        return self.mean.shape[-1]

    @property
    def covariance(self) -> Float[Tensor, "*batch dim dim"]:
        r"""$C = U \Lambda U^\top$."""
        return (self.eigenvectors * self.eigenvalues[..., None, :]) @ self.eigenvectors.mT

    def _rotate(self, x: Tensor) -> Tensor:
        """Coordinates in the eigenbasis: $U^T x$."""
        # Not a broadcast matmul: that would copy the matrix for every point.
        return torch.einsum("...ji,...j->...i", self.eigenvectors, x)

    def _rotate_back(self, y: Tensor) -> Tensor:
        return torch.einsum("...ij,...j->...i", self.eigenvectors, y)

    def log_prob(self, x: Float[Tensor, "*points dim"]) -> Float[Tensor, "*log_probs"]:
        r"""Log density, $-\tfrac12 \sum_i (y_i^2/\lambda_i + \log 2\pi\lambda_i)$.

        Here $y = U^\top (x - \mu)$ are the coordinates in the eigenbasis.

        Args:
            x: Points; broadcast against the batch of distributions.

        Returns:
            Nats, summed over dimensions.

        Raises:
            ValueError: If the points have another number of dimensions or another dtype.
        """
        require_points(x, self.mean)
        y = self._rotate(x - self.mean)
        return -0.5 * (y.square() / self.eigenvalues + self.eigenvalues.log() + LOG_2PI).sum(-1)

    def score(self, x: Float[Tensor, "*points dim"]) -> Float[Tensor, "*scores dim"]:
        r"""Gradient of the log density, $\nabla_x \log p(x) = -C^{-1}(x - \mu)$."""
        require_points(x, self.mean)
        return -self._rotate_back(self._rotate(x - self.mean) / self.eigenvalues)

    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples *batch dim"]:
        r"""Draw $x = \mu + U \Lambda^{1/2} \epsilon$.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        shape = (n_samples, *self.mean.shape)
        eps = torch.randn(
            shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + self._rotate_back(self.eigenvalues.sqrt() * eps)

    def noised(self, scales: Scales) -> "Gaussian":
        r"""Marginal of $x_t$: $\mathcal N(\alpha_t \mu, \alpha_t^2 C + \sigma_t^2 I)$.

        Args:
            scales: Scales whose shape broadcasts against the batch of distributions.

        Raises:
            ValueError: If a rate is negative, or both are 0.
        """
        alpha_t, sigma_t = (rate[..., None] for rate in _rates(scales, self.mean))
        eigenvalues = alpha_t.square() * self.eigenvalues + sigma_t.square()
        # Noise does not turn the axes: the eigenvectors stay.
        return Gaussian.decomposed(alpha_t * self.mean, eigenvalues, self.eigenvectors)

    def _gain(self, scales: Scales) -> tuple[Tensor, Tensor]:
        alpha_t, sigma_t = (rate[..., None] for rate in _rates(scales, self.mean))
        noised = alpha_t.square() * self.eigenvalues + sigma_t.square()
        return alpha_t * self.eigenvalues / noised, alpha_t

    def posterior_mean(
        self, x_t: Float[Tensor, "*points dim"], scales: Scales
    ) -> Float[Tensor, "*means dim"]:
        r"""Optimal denoiser, $E[x_0 \mid x_t] = \mu + \alpha_t C C_t^{-1} (x_t - \alpha_t\mu)$.

        Here $C_t = \alpha_t^2 C + \sigma_t^2 I$ is the covariance of $x_t$.

        Args:
            x_t: Noisy points.
            scales: Scales, one for all points or one per point.

        Raises:
            ValueError: If shapes or dtypes disagree, a rate is negative, or both are 0.
        """
        require_points(x_t, self.mean)
        gain, alpha_t = self._gain(scales)
        return self.mean + self._rotate_back(gain * self._rotate(x_t - alpha_t * self.mean))

    def posterior_covariance(
        self, x_t: Float[Tensor, "*points dim"], scales: Scales
    ) -> Float[Tensor, "*means dim dim"]:
        r"""$\mathrm{Cov}[x_0 \mid x_t] = C - \alpha_t^2 C C_t^{-1} C$, the same for every $x_t$."""
        require_points(x_t, self.mean)
        gain, alpha_t = self._gain(scales)
        # sigma^2 lambda / (alpha^2 lambda + sigma^2), written so that it is exact at sigma = 0.
        left = (1 - alpha_t * gain) * self.eigenvalues
        covariance = (self.eigenvectors * left[..., None, :]) @ self.eigenvectors.mT
        batch = torch.broadcast_shapes(x_t.shape[:-1], covariance.shape[:-2])
        return covariance.expand(*batch, self.dim, self.dim)

    def wasserstein_2(self, other: "Gaussian") -> Float[Tensor, "*batch"]:
        r"""Wasserstein distance between two Gaussians.

        $$W_2^2 = |\mu-\mu'|^2 + \mathrm{tr}\bigl(C + C' - 2 (C^{1/2} C' C^{1/2})^{1/2}\bigr).$$

        Args:
            other: Another Gaussian in the same space.

        Raises:
            ValueError: If the two live in spaces of different dimension.

        Source:
            Dowson and Landau 1982, *The Frechet distance between multivariate normal
            distributions*, <https://doi.org/10.1016/0047-259X(82)90077-X>.
        """
        if self.dim != other.dim:
            raise ValueError(f"dimensions differ: {self.dim} and {other.dim}")
        root = (self.eigenvectors * self.eigenvalues.sqrt()[..., None, :]) @ self.eigenvectors.mT
        cross = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum(-1)
        traces = self.eigenvalues.sum(-1) + other.eigenvalues.sum(-1)
        squared = (self.mean - other.mean).square().sum(-1) + traces - 2 * cross
        return squared.clamp(min=0).sqrt()
