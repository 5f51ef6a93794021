r"""What a perfect network would answer, if the data are Gaussian or a mixture of Gaussians.

Source:
    The book's own: the posterior means of `fromnoise.gaussians` and `fromnoise.mixtures`.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Scales, Schedule
from fromnoise.targets import Target


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
