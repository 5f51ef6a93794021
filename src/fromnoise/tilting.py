r"""What guidance samples when every score is exact, and what it is often said to sample.

Guidance is often explained as sampling the tilted density

$$p_\omega(x) \propto p(x \mid c)^{1 + \omega} / p(x)^{\omega}.$$

It does not. At each noise level it adds scores of *noised* densities, and the noised tilted density
has another score. Here are both in closed form.

Source: Bradley & Nakkiran 2024, arXiv 2408.09000.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.gaussians import Gaussian
from fromnoise.inverse import linear_posterior
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Scales

Points = Float[Tensor, "*points dim"]


# --8<-- [start:guided_score]
def guided_score(
    conditional: Gaussian | GaussianMixture,
    unconditional: Gaussian | GaussianMixture,
    x_t: Points,
    scales: Scales,
    guidance_scale: float,
) -> Points:
    r"""The score that guidance follows when both of its scores are exact.

    $$(1 + \omega) \nabla \log p_t(x \mid c) - \omega \nabla \log p_t(x).$$

    It is the score of a density at this one noise level, the tilt of the noised densities.

    Args:
        conditional: $p(x_0 \mid c)$.
        unconditional: $p(x_0)$.
        x_t: Noisy points.
        scales: Scales, one for all points or one per point.
        guidance_scale: $\omega$.
    """
    with_condition = conditional.noised(scales).score(x_t)
    return with_condition + guidance_scale * (
        with_condition - unconditional.noised(scales).score(x_t)
    )


# --8<-- [end:guided_score]


# --8<-- [start:tilted_gaussian]
def tilted_gaussian(
    conditional: Gaussian, unconditional: Gaussian, guidance_scale: float
) -> Gaussian:
    r"""The tilted density of two Gaussians, with precisions $P_c$ and $P$.

    $$P_\omega = (1 + \omega) P_c - \omega P, \qquad
    \mu_\omega = P_\omega^{-1} \big((1 + \omega) P_c \mu_c - \omega P \mu\big).$$

    Noise it and take its score: what guidance would follow if it sampled the tilted density.

    Args:
        conditional: $p(x \mid c)$, one Gaussian.
        unconditional: $p(x)$, in the same space.
        guidance_scale: $\omega$.

    Raises:
        ValueError: If $P_\omega$ is not positive definite, so that no such density exists.
    """
    plus, minus = 1 + guidance_scale, guidance_scale
    of_condition = torch.linalg.inv(conditional.covariance)
    of_data = torch.linalg.inv(unconditional.covariance)
    precision = plus * of_condition - minus * of_data
    precision = (precision + precision.mT) / 2
    smallest = torch.linalg.eigvalsh(precision)[0].item()
    if not smallest > 0:
        raise ValueError(f"no tilted density: the least precision is {smallest:.3g} at this scale")
    covariance = torch.linalg.inv(precision)
    pull = plus * of_condition @ conditional.mean - minus * of_data @ unconditional.mean
    return Gaussian(covariance @ pull, (covariance + covariance.mT) / 2)


# --8<-- [end:tilted_gaussian]


# --8<-- [start:tilted_by_measurement]
def tilted_by_measurement(
    prior: GaussianMixture,
    matrix: Float[Tensor, "measured dim"],
    y: Float[Tensor, " measured"],
    noise_std: float,
    guidance_scale: float,
) -> Gaussian | GaussianMixture:
    r"""The tilted density of a mixture whose condition is a noisy linear measurement.

    A Gaussian likelihood to the power $1 + \omega$ is the likelihood of a more precise measurement:

    $$p(x)\, p(y \mid x)^{1 + \omega} \propto p(x)\, \mathcal N\big(y;\; A x,\;
    \tfrac{\text{noise\_std}^2}{1 + \omega} I\big).$$

    So it is a posterior, and a mixture again.

    Args:
        prior: $p(x)$.
        matrix: A.
        y: The measurement, which is the condition.
        noise_std: Standard deviation of its noise, positive.
        guidance_scale: $\omega > -1$.

    Raises:
        ValueError: If `guidance_scale` is not above -1, or as `linear_posterior`.
    """
    if not guidance_scale > -1:
        raise ValueError(f"guidance_scale must be above -1, got {guidance_scale}")
    return linear_posterior(prior, matrix, y, noise_std / (1 + guidance_scale) ** 0.5)


# --8<-- [end:tilted_by_measurement]


# --8<-- [start:guided_ode_variance]
def guided_ode_variance(
    conditional_var: Float[Tensor, "*axes"],
    unconditional_var: Float[Tensor, "*axes"],
    guidance_scale: float,
) -> Float[Tensor, "*axes"]:
    r"""Variance that the guided flow really ends with, for Gaussians of one mean along each axis.

    With $c$ and $u$ for the two variances, $\dot x = \sigma \big(\frac{1 + \omega}{c + \sigma^2} -
    \frac{\omega}{u + \sigma^2}\big) x$ is solved by separation, and from infinite noise

    $$c^{1 + \omega} u^{-\omega} \quad \text{in place of the tilted} \quad
    \Big(\frac{1 + \omega}{c} - \frac{\omega}{u}\Big)^{-1}.$$

    A weighted geometric mean stands where a weighted harmonic mean was promised. Any schedule with
    pure noise at t = 1 gives the same, since it only changes the clock and the units.

    Args:
        conditional_var: Variance $c$ of $p(x \mid c)$, positive.
        unconditional_var: Variance $u$ of $p(x)$, positive.
        guidance_scale: $\omega$.

    Raises:
        ValueError: If a variance is not positive.
    """
    if not ((conditional_var > 0).all() and (unconditional_var > 0).all()):
        raise ValueError("variances must be positive")
    log_ratio = conditional_var.log() - unconditional_var.log()
    return conditional_var * (guidance_scale * log_ratio).exp()


# --8<-- [end:guided_ode_variance]
