r"""Exact answers: densities, scores and posterior means of Gaussians, mixtures and PPCA.

These are the oracles. Every quantity that a network must learn elsewhere in the book is known here
in closed form, at every noise level $x_t = \alpha_t x_0 + \sigma_t \epsilon$.

Shapes: points have the shape `(*batch, dim)`, flatten images first. Parameters and points share one
dtype. Parameters are constants: derivatives flow to the points only. Log densities are in nats,
summed over dimensions.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fromnoise.schedules import Scales, Schedule
from fromnoise.targets import Target

LOG_2PI = math.log(2 * math.pi)


def _check_points(x: Tensor, mean: Tensor) -> None:
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
        self._set(mean, eigenvalues.expand(mean.shape), eigenvectors)

    def _set(self, mean: Tensor, eigenvalues: Tensor, eigenvectors: Tensor) -> "Gaussian":
        self.mean, self.eigenvalues, self.eigenvectors = mean, eigenvalues, eigenvectors
        return self

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

        Raises:
            ValueError: If the points have another number of dimensions or another dtype.
        """
        _check_points(x, self.mean)
        y = self._rotate(x - self.mean)
        return -0.5 * (y.square() / self.eigenvalues + self.eigenvalues.log() + LOG_2PI).sum(-1)

    def score(self, x: Float[Tensor, "*points dim"]) -> Float[Tensor, "*scores dim"]:
        r"""Gradient of the log density, $\nabla_x \log p(x) = -C^{-1}(x - \mu)$."""
        _check_points(x, self.mean)
        return -self._rotate_back(self._rotate(x - self.mean) / self.eigenvalues)

    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples *batch dim"]:
        r"""Draw $x = \mu + U \Lambda^{1/2} \epsilon$."""
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
        return _like(self, alpha_t * self.mean, eigenvalues)

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
        _check_points(x_t, self.mean)
        gain, alpha_t = self._gain(scales)
        return self.mean + self._rotate_back(gain * self._rotate(x_t - alpha_t * self.mean))

    def posterior_covariance(
        self, x_t: Float[Tensor, "*points dim"], scales: Scales
    ) -> Float[Tensor, "*means dim dim"]:
        r"""$\mathrm{Cov}[x_0 \mid x_t] = C - \alpha_t^2 C C_t^{-1} C$, the same for every $x_t$."""
        _check_points(x_t, self.mean)
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


def _like(gaussian: Gaussian, mean: Tensor, eigenvalues: Tensor) -> Gaussian:
    """A Gaussian with the same eigenvectors; noise does not turn the axes."""
    return Gaussian.__new__(Gaussian)._set(mean, eigenvalues, gaussian.eigenvectors)


class GaussianMixture:
    r"""A mixture $p(x) = \sum_k w_k\, \mathcal N(x; \mu_k, C_k)$."""

    def __init__(
        self,
        weights: Float[Tensor, " components"],
        means: Float[Tensor, "components dim"],
        covariances: Float[Tensor, "#components dim dim"],
    ) -> None:
        r"""Keep the components as a batch of Gaussians.

        Args:
            weights: $w_k$, positive and summing to 1.
            means: $\mu_k$.
            covariances: $C_k$; one matrix may serve all components.

        Raises:
            ValueError: If the weights are not a distribution or a covariance is singular.
        """
        total = weights.sum()
        if not bool((weights > 0).all()) or (total - 1).abs() > 1e-5:
            raise ValueError(f"weights must be positive and sum to 1, got {weights.tolist()}")
        self._set((weights / total).log(), Gaussian(means, covariances))

    def _set(self, log_weights: Tensor, components: Gaussian) -> "GaussianMixture":
        self.log_weights, self.components = log_weights, components
        return self

    @classmethod
    def isotropic(
        cls,
        means: Float[Tensor, "components dim"],
        std: float,
        weights: Float[Tensor, " components"] | None = None,
    ) -> "GaussianMixture":
        r"""Round components of one width: $C_k = \mathrm{std}^2 I$, equal weights unless given."""
        if not std > 0:
            raise ValueError(f"std must be positive, got {std}")
        n_components, dim = means.shape
        if weights is None:
            weights = means.new_full((n_components,), 1 / n_components)
        return cls(weights, means, std**2 * torch.eye(dim).to(means)[None])

    @property
    def dim(self) -> int:
        """Number of dimensions of a point."""
        return self.components.dim

    @property
    def weights(self) -> Float[Tensor, " components"]:
        """Probability of each component."""
        return self.log_weights.exp()

    @property
    def mean(self) -> Float[Tensor, "*batch dim"]:
        r"""Mean of the mixture, $\sum_k w_k \mu_k$."""
        return (self.weights[:, None] * self.components.mean).sum(-2)

    @property
    def covariance(self) -> Float[Tensor, "*batch dim dim"]:
        r"""Covariance of the mixture, $\sum_k w_k (C_k + \mu_k\mu_k^\top) - \mu\mu^\top$."""
        offset = self.components.mean - self.mean[..., None, :]
        within = self.components.covariance + offset[..., :, None] * offset[..., None, :]
        return (self.weights[:, None, None] * within).sum(-3)

    def _joint(self, x: Tensor) -> Tensor:
        """$log w_k + log N(x; mu_k, C_k)$, components last."""
        return self.log_weights + self.components.log_prob(x[..., None, :])

    def log_prob(self, x: Float[Tensor, "*points dim"]) -> Float[Tensor, "*log_probs"]:
        r"""Log density, $\log \sum_k w_k \mathcal N(x; \mu_k, C_k)$, by log-sum-exp.

        Args:
            x: Points.

        Raises:
            ValueError: If the points have another number of dimensions or another dtype.
        """
        return self._joint(x).logsumexp(-1)

    def responsibilities(
        self, x: Float[Tensor, "*points dim"]
    ) -> Float[Tensor, "*weights components"]:
        r"""Posterior over components, $r_k(x) = p(k \mid x)$."""
        return self._joint(x).softmax(-1)

    def score(self, x: Float[Tensor, "*points dim"]) -> Float[Tensor, "*scores dim"]:
        r"""Gradient of the log density, $\sum_k r_k(x)\, \nabla \log \mathcal N(x; \mu_k, C_k)$."""
        return (self.responsibilities(x)[..., None] * self.components.score(x[..., None, :])).sum(
            -2
        )

    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        """Draw a component for each sample, then a point from it."""
        return self.sample_with_component(n_samples, generator)[0]

    def sample_with_component(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "n_samples dim"], Int[Tensor, " n_samples"]]:
        r"""Draw pairs $(x, k)$: the point and the index of the component it came from.

        Raises:
            ValueError: If this is a batch of mixtures, as `noised` makes from many times.
        """
        if self.components.mean.dim() != 2:
            raise ValueError("sampling needs one mixture; this is a batch, noised at many times")
        parts = self.components
        k = torch.multinomial(self.weights, n_samples, replacement=True, generator=generator)
        eps = torch.randn(
            (n_samples, self.dim),
            generator=generator,
            dtype=parts.mean.dtype,
            device=parts.mean.device,
        )
        vectors = parts.eigenvectors.expand(len(self.log_weights), self.dim, self.dim)[k]
        step = torch.einsum("nij,nj->ni", vectors, parts.eigenvalues[k].sqrt() * eps)
        return parts.mean[k] + step, k

    def component(self, k: int) -> Gaussian:
        r"""The Gaussian $p(x \mid k)$: what is left when the condition is the component."""
        parts = self.components
        vectors = parts.eigenvectors.expand(len(self.log_weights), self.dim, self.dim)[k]
        mean, eigenvalues = parts.mean[..., k, :], parts.eigenvalues[..., k, :]
        return Gaussian.__new__(Gaussian)._set(mean, eigenvalues, vectors)

    def noised(self, scales: Scales) -> "GaussianMixture":
        r"""Marginal of $x_t$, $\sum_k w_k\mathcal N(\alpha_t\mu_k, \alpha_t^2 C_k + \sigma_t^2 I)$.

        Args:
            scales: Scales, one for all points or one per point.

        Raises:
            ValueError: If a rate is negative, or both are 0.
        """
        noised = self.components.noised(_column(scales))
        return GaussianMixture.__new__(GaussianMixture)._set(self.log_weights, noised)

    def posterior_mean(
        self, x_t: Float[Tensor, "*points dim"], scales: Scales
    ) -> Float[Tensor, "*means dim"]:
        r"""Optimal denoiser, $E[x_0 \mid x_t] = \sum_k r_k(x_t)\, E_k[x_0 \mid x_t]$.

        Args:
            x_t: Noisy points.
            scales: Scales, one for all points or one per point.

        Raises:
            ValueError: If shapes or dtypes disagree, a rate is negative, or both are 0.
        """
        weights = self.noised(scales).responsibilities(x_t)
        means = self.components.posterior_mean(x_t[..., None, :], _column(scales))
        return (weights[..., None] * means).sum(-2)

    def posterior_covariance(
        self, x_t: Float[Tensor, "*points dim"], scales: Scales
    ) -> Float[Tensor, "*means dim dim"]:
        r"""$\mathrm{Cov}[x_0 \mid x_t]$: mean of the covariances plus covariance of the means."""
        weights = self.noised(scales).responsibilities(x_t)
        column, x_t = _column(scales), x_t[..., None, :]
        means = self.components.posterior_mean(x_t, column)
        within = self.components.posterior_covariance(x_t, column)
        offset = means - (weights[..., None] * means).sum(-2, keepdim=True)
        between = offset[..., :, None] * offset[..., None, :]
        return (weights[..., None, None] * (within + between)).sum(-3)


def _column(scales: Scales) -> Scales:
    """The same scales with one more axis, for the components."""
    return Scales(*(scale[..., None] for scale in scales))


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

        Raises:
            ValueError: If the points have another number of dimensions or another dtype.
        """
        _check_points(x, self.mean)
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
        _check_points(x, self.mean)
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
        _check_points(x, self.mean)
        inverse = torch.linalg.inv(self._latent_precision())
        # The inverse is symmetric only to rounding; Gaussian asks for symmetry.
        inverse = 0.5 * (inverse + inverse.mT)
        return (x - self.mean) @ self.loadings @ inverse, self.noise_std.square() * inverse

    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        r"""Draw a latent, then the data: $x = Wz + \mu + \text{noise\_std}\,\epsilon$."""
        dim, latent = self.loadings.shape
        noise = torch.randn(
            (n_samples, latent + dim),
            generator=generator,
            dtype=self.mean.dtype,
            device=self.mean.device,
        )
        z, eps = noise[:, :latent], noise[:, latent:]
        return z @ self.loadings.mT + self.mean + self.noise_std * eps


def optimal_prediction(
    distribution: Gaussian | GaussianMixture,
    target: Target,
    x_t: Float[Tensor, "*points dim"],
    scales: Scales,
) -> Float[Tensor, "*points dim"]:
    r"""What a perfect network outputs for this target: its mean given $x_t$.

    Every target is linear in $(x_0, \epsilon)$, so its mean given $x_t$ is the target's own formula
    at $E[x_0 \mid x_t]$ and $E[\epsilon \mid x_t] = -\sigma_t \nabla \log p_t(x_t)$.

    Args:
        distribution: Distribution of the clean data.
        target: What the network predicts.
        x_t: Noisy points.
        scales: Scales, one per point.

    Raises:
        ValueError: If shapes or dtypes disagree, a rate is negative, or both are 0.
    """
    x_0_hat = distribution.posterior_mean(x_t, scales)
    sigma_t = scales.sigma_t.to(x_t)[..., None]
    eps_hat = -sigma_t * distribution.noised(scales).score(x_t)
    return target.true(x_0_hat, eps_hat, scales)


def denoiser(
    distribution: Gaussian | GaussianMixture, schedule: Schedule
) -> Callable[[Tensor, Tensor], Tensor]:
    r"""The exact denoiser $(x_t, t) \mapsto E[x_0 \mid x_t]$ on a schedule, as a sampler wants it.

    Args:
        distribution: Distribution of the clean data.
        schedule: From times to rates.
    """

    def x_0_hat(x_t: Tensor, t: Tensor) -> Tensor:
        return distribution.posterior_mean(x_t, schedule(t))

    return x_0_hat
