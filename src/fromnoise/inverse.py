r"""Linear inverse problems: what was the picture, given $y = A x_0 + \text{noise\_std}\,\xi$?

A denoiser knows what data looks like, and a measurement says which data it was. The answer is the
posterior $p(x_0 \mid y)$; for Gaussians and their mixtures `linear_posterior` knows it exactly.

A sampler for it needs the denoiser of the posterior,

$$E[x_0 \mid x_t, y] = E[x_0 \mid x_t]
+ \frac{\sigma_t^2}{\alpha_t} \nabla_{x_t} \log p(y \mid x_t),$$

whose last term no denoiser gives. Replacement, RePaint and DPS each put something cheaper in its
place, and each pays: on Gaussian data the cost is exact, by `replacement_moments`.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fromnoise.batches import ask, noise_like
from fromnoise.diffusion import perturb, posterior, transition
from fromnoise.gaussians import Gaussian
from fromnoise.linear_operators import Dense, LinearOperator
from fromnoise.mixtures import GaussianMixture
from fromnoise.samplers import Denoiser, Step
from fromnoise.schedules import Scales, Schedule

Data = Float[Tensor, "batch *dims"]
Measured = Float[Tensor, "batch *measured"]
Times = Float[Tensor, " n_times"]
Covariance = Callable[[Tensor, Scales], Tensor]
"""Gives $\\mathrm{Cov}[x_0 \\mid x_t]$, one matrix per example."""


# --8<-- [start:linear_posterior]
def linear_posterior(
    prior: Gaussian | GaussianMixture,
    matrix: Float[Tensor, "measured dim"],
    y: Float[Tensor, " measured"],
    noise_std: float,
) -> Gaussian | GaussianMixture:
    r"""The exact answer $p(x_0 \mid y)$ for a Gaussian prior, or for a mixture of them.

    With $S = A C A^\top + \text{noise\_std}^2 I$ and the gain $K = C A^\top S^{-1}$, a Gaussian
    becomes

    $$\mathcal N\big(\mu + K (y - A \mu),\; (I - K A)\, C\big),$$

    and a component of a mixture is weighted anew by $w_k\, \mathcal N(y; A \mu_k, S_k)$.

    Args:
        prior: Distribution of the clean data, one and not a batch.
        matrix: A, in the dtype of the prior.
        y: One measurement.
        noise_std: Standard deviation of the noise of the measurement, positive.

    Raises:
        ValueError: If `noise_std` is not positive (the posterior would be singular), or shapes
            disagree.
    """
    if not 0 < noise_std < torch.inf:
        raise ValueError(f"noise_std must be positive and finite, got {noise_std}")
    if matrix.shape != (len(y), prior.dim):
        raise ValueError(
            f"the matrix is {tuple(matrix.shape)} for {len(y)} measurements and dim {prior.dim}"
        )
    parts = prior.components if isinstance(prior, GaussianMixture) else prior
    covariance = parts.covariance
    noise = noise_std**2 * torch.eye(len(y)).to(y)
    seen = matrix @ covariance @ matrix.mT + noise
    gain = torch.linalg.solve(seen, matrix @ covariance).mT
    mean = parts.mean + ((y - parts.mean @ matrix.mT)[..., None, :] @ gain.mT).squeeze(-2)
    # Joseph's form: a sum of two squares stays symmetric and positive in floating point.
    keep = torch.eye(prior.dim).to(y) - gain @ matrix
    left = keep @ covariance @ keep.mT + noise_std**2 * gain @ gain.mT
    left = (left + left.mT) / 2
    if isinstance(prior, GaussianMixture):
        evidence = Gaussian(parts.mean @ matrix.mT, (seen + seen.mT) / 2).log_prob(y)
        return GaussianMixture((prior.log_weights + evidence).softmax(-1), mean, left)
    return Gaussian(mean, left)


# --8<-- [end:linear_posterior]


# --8<-- [start:replacement]
def replacement(step: Step, mask: Bool[Tensor, "*dims"], y: Data) -> Step:
    r"""Inpaint by force: after every step, write the known entries over, at the new noise level.

    $$x_s \leftarrow \text{mask} \cdot (\alpha_s y + \sigma_s \epsilon)
    + (1 - \text{mask}) \cdot x_s.$$

    The unseen entries are never told by a gradient: they see the known ones only through noise, and
    what they end with is not the posterior.

    Args:
        step: Any move of a sampler.
        mask: True where an entry of an example is known.
        y: Known data, one per example; other entries are not read.

    Returns:
        A step that needs a generator.

    Raises:
        ValueError: If the mask or the data do not fit, or the returned step gets no generator.

    Source: Song et al. 2021, arXiv 2011.13456; Lugmayr et al. 2022, arXiv 2201.09865.
    """

    def replaced(
        denoiser: Denoiser,
        schedule: Schedule,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        x_s = step(denoiser, schedule, x_t, t, s, generator)
        known = perturb(y, noise_like(y, generator), schedule(s))
        return torch.where(mask, known, x_s)

    return replaced


# --8<-- [end:replacement]


# --8<-- [start:repaint]
def repaint(step: Step, mask: Bool[Tensor, "*dims"], y: Data, n_repeats: int = 10) -> Step:
    r"""Replacement with second thoughts: take each step `n_repeats` times, noising back between.

    Noising $x_s$ back to time t and stepping again lets the unseen entries answer to the known ones
    more than once. The last step, to t = 0, is repeated as well.

    Args:
        step: Any move of a sampler; RePaint uses `ancestral_step`.
        mask: True where an entry of an example is known.
        y: Known data, one per example; other entries are not read.
        n_repeats: Times that each step is taken; 1 is `replacement`.

    Returns:
        A step that needs a generator.

    Raises:
        ValueError: If `n_repeats` < 1.

    Source: Lugmayr et al. 2022, arXiv 2201.09865.
    """
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1, got {n_repeats}")
    once = replacement(step, mask, y)

    def repeated(
        denoiser: Denoiser,
        schedule: Schedule,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        x_s = once(denoiser, schedule, x_t, t, s, generator)
        alpha_ts, var_ts = transition(schedule(t), schedule(s))
        for _ in range(n_repeats - 1):
            x_t = alpha_ts * x_s + var_ts.sqrt() * noise_like(x_s, generator)
            x_s = once(denoiser, schedule, x_t, t, s, generator)
        return x_s

    return repeated


# --8<-- [end:repaint]


# --8<-- [start:dps]
def dps(step: Step, operator: LinearOperator, y: Measured, step_size: float = 1.0) -> Step:
    r"""Diffusion posterior sampling: step as usual, then go down the misfit of the estimate.

    $$x_s \leftarrow x_s - \zeta\, \nabla_{x_t} r, \qquad
    r = \Vert y - A\, \hat x_0(x_t, t) \Vert.$$

    The gradient goes through the denoiser, which is called once more than `step` does. The step
    size is a choice, not a consequence: too small ignores the measurement, too large diverges.
    Written with the gradient of $r^2$ and a step size over r, as in the paper, it would be half.

    Args:
        step: Any move of a sampler; DPS uses `ancestral_step`.
        operator: A.
        y: Measurements, one per example.
        step_size: $\zeta$, at least 0.

    Returns:
        A step that needs the denoiser to be differentiable in $x_t$.

    Raises:
        ValueError: If `step_size` is negative or not finite.

    Source: Chung et al. 2023, arXiv 2209.14687.
    """
    if not 0 <= step_size < torch.inf:
        raise ValueError(f"step_size must be at least 0 and finite, got {step_size}")

    def steered(
        denoiser: Denoiser,
        schedule: Schedule,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        with torch.enable_grad():
            leaf = x_t.detach().requires_grad_()
            misfit = y - operator.apply(ask(denoiser, leaf, t))
            # At r = 0 there is no slope, and torch calls it 0.
            distance = torch.linalg.vector_norm(misfit.flatten(1), dim=1)
            (slope,) = torch.autograd.grad(distance.sum(), leaf)
        return step(denoiser, schedule, x_t, t, s, generator) - step_size * slope

    return steered


# --8<-- [end:dps]


# --8<-- [start:measurement_guided]
def measurement_guided(
    denoiser: Denoiser,
    schedule: Schedule,
    operator: Dense,
    y: Float[Tensor, "batch measured"],
    noise_std: float,
    x_0_covariance: Covariance | None = None,
) -> Denoiser:
    r"""Put a Gaussian in the place of $p(y \mid x_t)$, and follow its gradient as Bayes would.

    $$\hat x_0 + \frac{\sigma_t^2}{\alpha_t} \nabla_{x_t} \log \mathcal N\big(y;\; A \hat x_0,\;
    A\, V A^\top + \text{noise\_std}^2 I\big), \qquad V \approx \mathrm{Cov}[x_0 \mid x_t].$$

    DPS takes V = 0, as if the estimate were sure. With the true covariance the answer is exact for
    Gaussian data. The slope of V itself, which other data has, is left out.

    Args:
        denoiser: Estimate of the clean data, differentiable in $x_t$.
        schedule: Noise schedule.
        operator: A as a matrix.
        y: Measurements, one per example.
        noise_std: Standard deviation of the noise of the measurement, positive.
        x_0_covariance: V, such as `posterior_covariance` of a Gaussian; 0 if not given.

    Returns:
        A denoiser for times with $\alpha_t > 0$; elsewhere it raises ValueError.

    Raises:
        ValueError: If `noise_std` is not positive.

    Source: Chung et al. 2023, arXiv 2209.14687; with a covariance, Song et al. 2023,
        <https://openreview.net/forum?id=9_gsMA8MRKQ>.
    """
    if not 0 < noise_std < torch.inf:
        raise ValueError(f"noise_std must be positive and finite, got {noise_std}")
    noise = noise_std**2 * torch.eye(len(operator.matrix)).to(operator.matrix)

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        scales = schedule(t.double())
        if (scales.alpha_t == 0).any():
            raise ValueError("a measurement cannot steer at alpha_t = 0: start later")
        seen = noise
        if x_0_covariance is not None:
            seen = noise + operator.matrix @ x_0_covariance(x_t, scales) @ operator.matrix.mT
        with torch.enable_grad():
            leaf = x_t.detach().requires_grad_()
            x_0_hat = denoiser(leaf, t)
            misfit = y - operator.apply(x_0_hat)
            scaled = torch.linalg.solve(seen, misfit[..., None]).squeeze(-1)
            log_likelihood = -(misfit * scaled).sum() / 2
            (slope,) = torch.autograd.grad(log_likelihood, leaf)
        reach = scales.sigma_t.square() / scales.alpha_t
        return x_0_hat.detach() + reach.to(x_t)[:, None] * slope

    return guided


# --8<-- [end:measurement_guided]


# --8<-- [start:replacement_moments]
def replacement_moments(
    denoiser: Denoiser,
    schedule: Schedule,
    times: Times,
    mask: Bool[Tensor, " dim"],
    y: Float[Tensor, " dim"],
    n_repeats: int = 1,
) -> tuple[Float[Tensor, " dim"], Float[Tensor, "dim dim"]]:
    r"""Mean and covariance of what `repaint` of `ancestral_step` samples, without sampling.

    With an affine denoiser, which is that of Gaussian data, each move maps
    $\mathcal N(m, V)$ to $\mathcal N(M m + b, M V M^\top + \tilde\sigma^2 I)$. The matrix M is read
    off the denoiser. Writing known entries over cuts their correlation with the others; noising
    back is one more affine move. The walk starts at $\mathcal N(0, \sigma^2 I)$ of the first time.

    Args:
        denoiser: Affine in $x_t$; not checked.
        schedule: Noise schedule.
        times: Falling times, at least two.
        mask: True where an entry is known; all False gives the moments of plain sampling.
        y: Known data; other entries are not read.
        n_repeats: Times that each step is taken; 1 is `replacement`.

    Returns:
        Mean and covariance in the dtype of `y`, exact up to rounding.

    Raises:
        ValueError: If `n_repeats` < 1 or there are fewer than two times.
    """
    if n_repeats < 1 or len(times) < 2:
        raise ValueError(f"need n_repeats >= 1 and two times, got {n_repeats}, {len(times)}")
    eye = torch.eye(len(y)).to(y)
    probes = torch.cat([torch.zeros_like(eye[:1]), eye])
    times = times.to(y.device, torch.float64)
    first = schedule(times[0])
    mean, covariance = torch.zeros_like(y), first.sigma_t.square() * eye
    for t, s in pairwise(times):
        at_s, (alpha_ts, var_ts) = schedule(s), transition(schedule(t), schedule(s))
        # The mean of an ancestral step at the origin and along each axis is its affine map.
        x_0_hat = ask(denoiser, probes, t)
        moved, fresh = posterior(probes, x_0_hat, schedule(t), at_s)
        offset, move = moved[0], (moved[1:] - moved[0]).mT
        for repeat in range(n_repeats):
            if repeat > 0:
                mean, covariance = alpha_ts * mean, alpha_ts**2 * covariance + var_ts * eye
            mean, covariance = move @ mean + offset, move @ covariance @ move.mT + fresh * eye
            mean = torch.where(mask, at_s.alpha_t * y, mean)
            either = mask[:, None] | mask
            covariance = torch.where(either, at_s.sigma_t.square() * eye, covariance)
    return mean, covariance


# --8<-- [end:replacement_moments]
