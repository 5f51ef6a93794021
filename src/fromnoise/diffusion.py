r"""The forward process of a diffusion model and what Bayes' rule says about undoing it.

The forward process q only adds noise; it has nothing to learn:

$$x_t = \alpha_t x_0 + \sigma_t \epsilon.$$

Times are ordered $s < t$: `s` is the cleaner one.
"""

from jaxtyping import Float
from torch import Tensor

from fromnoise.schedules import Scales, beside

Data = Float[Tensor, "*batch_and_dims"]
PerExample = Float[Tensor, "*batch"]


# --8<-- [start:perturb]
def perturb(x_0: Data, eps: Data, scales: Scales) -> Data:
    r"""Noise clean data: $x_t = \alpha_t x_0 + \sigma_t \epsilon$.

    Args:
        x_0: Clean data.
        eps: Standard normal noise, one draw per entry of `x_0`.
        scales: Signal and noise scales, one per leading entry of `x_0`, or one for all.

    Returns:
        Noisy data, shaped like `x_0`.

    Raises:
        ValueError: If the shapes of `x_0`, `eps` and `scales` do not fit.
    """
    if x_0.shape != eps.shape:
        raise ValueError(f"x_0 has shape {tuple(x_0.shape)}, eps has {tuple(eps.shape)}")
    return beside(scales.alpha_t, x_0) * x_0 + beside(scales.sigma_t, x_0) * eps


# --8<-- [end:perturb]


# --8<-- [start:transition]
def transition(scales_t: Scales, scales_s: Scales) -> tuple[PerExample, PerExample]:
    r"""One noising step: $q(x_t \mid x_s) = \mathcal N(\alpha_{t|s} x_s, \sigma_{t|s}^2 I)$.

    $$\alpha_{t|s} = \alpha_t / \alpha_s, \qquad
    \sigma_{t|s}^2 = \sigma_t^2 - \alpha_{t|s}^2 \sigma_s^2.$$

    Returns:
        $\alpha_{t|s}$ and the variance $\sigma_{t|s}^2$.

    Raises:
        ValueError: If s is not the cleaner time, or nothing is left of the data at s.
    """
    if (scales_s.alpha_t <= 0).any():
        raise ValueError("a step away from x_s needs alpha_s > 0")
    alpha_ts = scales_t.alpha_t / scales_s.alpha_t
    var_ts = scales_t.sigma_t.square() - (alpha_ts * scales_s.sigma_t).square()
    if (var_ts < 0).any():
        raise ValueError("the variance of a noising step is negative: s must be the cleaner time")
    return alpha_ts, var_ts


# --8<-- [end:transition]


# --8<-- [start:posterior]
def posterior(x_t: Data, x_0: Data, scales_t: Scales, scales_s: Scales) -> tuple[Data, PerExample]:
    r"""One step back when the data is known: $q(x_s \mid x_t, x_0)$.

    It is normal with mean and variance

    $$\tilde\mu = \frac{\alpha_{t|s}\sigma_s^2}{\sigma_t^2} x_t
    + \frac{\alpha_s \sigma_{t|s}^2}{\sigma_t^2} x_0, \qquad
    \tilde\sigma^2 = \frac{\sigma_s^2 \sigma_{t|s}^2}{\sigma_t^2}.$$

    Args:
        x_t: Noisy data.
        x_0: Clean data, or an estimate of it.
        scales_t: Scales at the time of `x_t`.
        scales_s: Scales at the cleaner time s.

    Returns:
        The mean, shaped like `x_t`, and the variance, shaped like the scales.

    Raises:
        ValueError: If s is not the cleaner time.

    Source: Ho et al. 2020, arXiv 2006.11239; in these letters Kingma et al. 2021, arXiv 2107.00630.
    """
    alpha_ts, var_ts = transition(scales_t, scales_s)
    var_s, var_t = scales_s.sigma_t.square(), scales_t.sigma_t.square()
    keep = alpha_ts * var_s / var_t
    pull = scales_s.alpha_t * var_ts / var_t
    return beside(keep, x_t) * x_t + beside(pull, x_0) * x_0, var_s * var_ts / var_t


# --8<-- [end:posterior]
