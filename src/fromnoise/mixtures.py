r"""Mixtures of Gaussians with their exact answers, at every noise level.

Shapes, dtypes and units are those of `fromnoise.gaussians`.

Source:
    The book's own: Bayes' rule, component by component.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fromnoise.gaussians import Gaussian
from fromnoise.schedules import Scales


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
        r"""Round components of one width: $C_k = \mathrm{std}^2 I$, equal weights unless given.

        Raises:
            ValueError: If `std` is not positive, or the weights are not positive with sum 1.

        Examples:
            In the middle nobody can tell; nearer to one bell it is that one.

            >>> p = GaussianMixture.isotropic(torch.tensor([[-2.0], [2.0]]), std=1.0)
            >>> p.responsibilities(torch.tensor([[0.0], [1.0]]))
            tensor([[0.5000, 0.5000],
                    [0.0180, 0.9820]])
        """
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

        Returns:
            Nats, summed over dimensions.

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
        """Draw a component for each sample, then a point from it.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.
        """
        return self.sample_with_component(n_samples, generator)[0]

    def sample_with_component(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "n_samples dim"], Int[Tensor, " n_samples"]]:
        r"""Draw pairs $(x, k)$: the point and the index of the component it came from.

        Raises:
            ValueError: If `n_samples` < 1, or this is a batch of mixtures, as `noised` makes from
                many times.
        """
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}")
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
        return Gaussian.decomposed(mean, eigenvalues, vectors)

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
