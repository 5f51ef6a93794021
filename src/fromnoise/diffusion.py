r"""The forward process of a diffusion model, and what Bayes' rule says of its way back.

The forward process q only adds noise; it has nothing to learn:

$$x_t = \alpha_t x_0 + \sigma_t \epsilon.$$

Times are ordered $s < t$: `s` is the cleaner one. `fromnoise.diffusion_bounds` puts the costs of
the steps together.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_shape
from fromnoise.schedules import Scales, Schedule, beside
from fromnoise.targets import Target

Data = Float[Tensor, "*batch_and_dims"]
Batch = Float[Tensor, "batch *dims"]
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
        ValueError: If s is not the cleaner time, nothing is left of the data at s, or the shapes of
            the scales differ and neither is one for all.

    Examples:
        On a variance-preserving schedule, what a step keeps and what it adds sum to one.

        >>> from fromnoise.schedules import Cosine
        >>> alpha_ts, var_ts = transition(Cosine()(torch.tensor(0.51)), Cosine()(torch.tensor(0.5)))
        >>> alpha_ts.square() + var_ts
        tensor(1.)
    """
    shapes = {tuple(scales_t.alpha_t.shape), tuple(scales_s.alpha_t.shape)} - {()}
    if len(shapes) > 1:
        raise ValueError(f"scales have the shapes {sorted(shapes)}")
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
        ValueError: If s is not the cleaner time, or `x_0` is not shaped like `x_t`.

    Source: Ho et al. 2020, arXiv 2006.11239; in these letters Kingma et al. 2021, arXiv 2107.00630.
    """
    require_shape("x_0", x_0, x_t)
    alpha_ts, var_ts = transition(scales_t, scales_s)
    var_s, var_t = scales_s.sigma_t.square(), scales_t.sigma_t.square()
    keep = alpha_ts * var_s / var_t
    pull = scales_s.alpha_t * var_ts / var_t
    return beside(keep, x_t) * x_t + beside(pull, x_0) * x_0, var_s * var_ts / var_t


# --8<-- [end:posterior]


# --8<-- [start:step_kl]
def step_kl(x_0: Batch, x_0_hat: Batch, scales_t: Scales, scales_s: Scales) -> PerExample:
    r"""Cost of one step without knowing the data: $D_{KL}(q(x_s|x_t,x_0) \Vert p(x_s|x_t))$.

    The model p uses the posterior with $\hat x_0$ in place of $x_0$. Both are normal with the same
    variance, and what is left is

    $$\tfrac12 \big(\mathrm{SNR}_s - \mathrm{SNR}_t\big) \Vert x_0 - \hat x_0 \Vert^2.$$

    Args:
        x_0: Clean data.
        x_0_hat: Estimate of it from `x_t`.
        scales_t: Scales at time t, one for all or one per example.
        scales_s: Scales at the cleaner time s.

    Returns:
        Nats per example, summed over dimensions.

    Raises:
        ValueError: If there is no noise at s: the last step is `gaussian_reconstruction` or
            `level_reconstruction`, not a KL. Or if shapes do not fit.

    Source: Kingma et al. 2021, arXiv 2107.00630.
    """
    if (scales_s.sigma_t == 0).any():
        raise ValueError("step_kl needs sigma_s > 0: the step to clean data is a reconstruction")
    require_shape("x_0_hat", x_0_hat, x_0)
    distance = (x_0 - x_0_hat).square().flatten(1).sum(1)
    _require_fit(scales_t, x_0)
    _require_fit(scales_s, x_0)
    return (scales_s.snr_t - scales_t.snr_t) / 2 * distance


# --8<-- [end:step_kl]


# --8<-- [start:prior_kl]
def prior_kl(x_0: Batch, scales_1: Scales) -> PerExample:
    r"""What is left of the data at the end: $D_{KL}(q(x_1 \mid x_0) \Vert \mathcal N(0, I))$.

    $$\tfrac12 \sum_i \big(\alpha_1^2 x_{0,i}^2 + \sigma_1^2 - 1 - \log \sigma_1^2\big).$$

    Args:
        x_0: Clean data.
        scales_1: Scales at the end of the forward process.

    Returns:
        Nats per example; zero at zero terminal SNR.

    Raises:
        ValueError: If there is no noise at the end, or the scales are not one for all or one per
            example.

    Examples:
        A schedule that ends in pure noise leaves nothing to pay.

        >>> from fromnoise.schedules import Cosine
        >>> prior_kl(torch.ones(1, 2), Cosine()(torch.tensor([1.0])))
        tensor([0.])
    """
    _require_fit(scales_1, x_0)
    if (scales_1.sigma_t <= 0).any():
        raise ValueError("prior_kl needs sigma_1 > 0")
    n_dims = x_0[0].numel() if len(x_0) else 0
    var = scales_1.sigma_t.square()
    signal = scales_1.alpha_t.square() * x_0.square().flatten(1).sum(1)
    return (signal + n_dims * (var - 1 - var.log())) / 2


# --8<-- [end:prior_kl]


# --8<-- [start:elbo_weight]
def elbo_weight(scales: Scales) -> PerExample:
    r"""Weight of $\Vert x_0 - \hat x_0 \Vert^2$ in the continuous-time bound.

    $$-\tfrac12 \frac{d\,\mathrm{SNR}_t}{dt} = -\tfrac12 \mathrm{SNR}_t \dot\lambda_t.$$

    It is 0 where nothing is left of the data, $\alpha_t = 0$.

    Source: Kingma et al. 2021, arXiv 2107.00630.
    """
    weight = -scales.snr_t * scales.d_log_snr_t / 2
    # There the product is 0 times infinity, and d(alpha^2 / sigma^2) = 0.
    return torch.where(scales.alpha_t == 0, torch.zeros_like(weight), weight)


# --8<-- [end:elbo_weight]


# --8<-- [start:simple_loss]
def simple_loss(
    network: Callable[[Tensor, Tensor], Tensor],
    target: Target,
    schedule: Schedule,
    x_0: Batch,
    t: PerExample,
    eps: Batch,
) -> PerExample:
    r"""What is minimized in practice: squared error of the target, every time weighted alike.

    Args:
        network: Maps $x_t$ and t to an estimate of the target.
        target: What the network predicts, such as `PredictEps()`.
        schedule: Noise schedule.
        x_0: Clean data.
        t: One time per example.
        eps: Standard normal noise, shaped like `x_0`.

    Returns:
        Mean over dimensions, one value per example.

    Source: Ho et al. 2020, arXiv 2006.11239.
    """
    scales = schedule(t)
    output = network(perturb(x_0, eps, scales), t)
    return (output - target.true(x_0, eps, scales)).square().flatten(1).mean(1)


# --8<-- [end:simple_loss]


def _require_fit(scales: Scales, x_0: Tensor) -> None:
    if scales.alpha_t.shape not in ((), x_0.shape[:1]):
        raise ValueError(
            f"scales of shape {tuple(scales.alpha_t.shape)} are neither one for all nor one for "
            f"each of {len(x_0)} examples"
        )
