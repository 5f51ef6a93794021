r"""Steering beyond classifier-free guidance: classifiers, intervals, contrast, several conditions.

Two conventions name the strength of guidance. Here $\omega$ = `guidance_scale` counts what is added
to the condition, with weights $1 + \omega$ and $-\omega$: 0 is the plain condition. Many programs
and papers give the *multiplier* $1 + \omega$, the factor on the difference: their 1 is our 0, and
their 0 is no condition. Dhariwal and Nichol's classifier scale is a multiplier too.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fromnoise.guidance import classifier_free
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Schedule, beside

LogLikelihood = Callable[[Tensor, Tensor], Tensor]
"""Gives $\\log p(c \\mid x_t)$ in nats, one number per example, from noisy data and its time."""


def guidance_scale_from_multiplier(multiplier: float) -> float:
    r"""$\omega = \text{multiplier} - 1$, the convention of this book.

    Examples:
        A multiplier of 1 is no guidance.

        >>> guidance_scale_from_multiplier(1.0)
        0.0
    """
    return multiplier - 1


def multiplier_from_guidance_scale(guidance_scale: float) -> float:
    r"""$1 + \omega$, the convention of many programs."""
    return 1 + guidance_scale


# --8<-- [start:classifier_guided]
def classifier_guided(
    denoiser: Denoiser,
    log_likelihood: LogLikelihood,
    schedule: Schedule,
    guidance_scale: float = 0.0,
) -> Denoiser:
    r"""Steer an unconditional denoiser by the gradient of a classifier of noisy data.

    $$\hat x_0 + (1 + \omega) \frac{\sigma_t^2}{\alpha_t} \nabla_{x_t} \log p(c \mid x_t).$$

    At $\omega = 0$ this is Bayes' rule. With an exact classifier it is `classifier_free` with the
    same $\omega$. The classifier must know noisy data at every t: one that was trained on clean
    images is asked about data that it has never seen.

    Args:
        denoiser: Denoiser without the condition.
        log_likelihood: $\log p(c \mid x_t)$, differentiable in $x_t$.
        schedule: Noise schedule.
        guidance_scale: $\omega$; the paper's scale is $1 + \omega$.

    Returns:
        A denoiser for times with $\alpha_t > 0$; elsewhere it raises ValueError.

    Source: Dhariwal & Nichol 2021, arXiv 2105.05233.
    """

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        scales = schedule(t.double())
        if (scales.alpha_t == 0).any():
            raise ValueError("a classifier cannot steer x_0 at alpha_t = 0: start later")
        with torch.enable_grad():
            leaf = x_t.detach().requires_grad_()
            (slope,) = torch.autograd.grad(log_likelihood(leaf, t).sum(), leaf)
        reach = (1 + guidance_scale) * scales.sigma_t.square() / scales.alpha_t
        return denoiser(x_t, t) + beside(reach, x_t) * slope

    return guided


# --8<-- [end:classifier_guided]


# --8<-- [start:autoguided]
def autoguided(good: Denoiser, bad: Denoiser, guidance_scale: float) -> Denoiser:
    r"""Push away from the faults of a worse version of the same model.

    $$\hat x_0 = (1 + \omega)\, \hat x_0^{\text{good}} - \omega\, \hat x_0^{\text{bad}}.$$

    Both models have the same condition, so the difference is not the condition but what the bad one
    gets wrong. The line is that of `classifier_free`.

    Args:
        good: The model to sample from.
        bad: A smaller or less trained version of it.
        guidance_scale: $\omega$; the paper's guidance weight is $1 + \omega$.

    Source: Karras et al. 2024, arXiv 2406.02507.
    """
    return classifier_free(good, bad, guidance_scale)


# --8<-- [end:autoguided]


# --8<-- [start:limited]
def limited(guided: Denoiser, plain: Denoiser, t_min: float, t_max: float) -> Denoiser:
    r"""Guide in the middle only: `guided` at $t_{\min} \le t \le t_{\max}$, else `plain`.

    A batch that lies wholly on one side costs the calls of that side alone.

    Args:
        guided: Denoiser inside the interval.
        plain: Denoiser outside, usually the conditional one.
        t_min: Cleanest time that is guided.
        t_max: Noisiest time that is guided.

    Raises:
        ValueError: Unless 0 <= t_min <= t_max <= 1.

    Source: Kynkäänniemi et al. 2024, arXiv 2404.07724.
    """
    if not 0 <= t_min <= t_max <= 1:
        raise ValueError(f"need 0 <= t_min <= t_max <= 1, got {t_min}, {t_max}")

    def inside_only(x_t: Tensor, t: Tensor) -> Tensor:
        inside = (t_min <= t) & (t <= t_max)
        if inside.all():
            return guided(x_t, t)
        if not inside.any():
            return plain(x_t, t)
        mask = inside.reshape(-1, *(1,) * (x_t.ndim - 1))
        return torch.where(mask, guided(x_t, t), plain(x_t, t))

    return inside_only


# --8<-- [end:limited]


# --8<-- [start:rescaled]
def rescaled(guided: Denoiser, conditional: Denoiser, share: float = 0.7) -> Denoiser:
    r"""Give the guided estimate the contrast of the conditional one.

    $$\Big(\phi\, \frac{\mathrm{std}(\hat x_0^{\text{cond}})}{\mathrm{std}(\hat x_0)}
    + 1 - \phi\Big)\, \hat x_0, \qquad \phi = \text{share}.$$

    Standard deviations are over the entries of one example. Unlike the weights of guidance this is
    not linear: on the noise or on v, as the paper has it, it is another sampler.

    Args:
        guided: Guided denoiser.
        conditional: Denoiser with the condition alone.
        share: $\phi$ in [0, 1]; 0 changes nothing.

    Returns:
        A denoiser; an estimate without any contrast is left as it is.

    Raises:
        ValueError: If `share` lies outside [0, 1].

    Source: Lin et al. 2024, arXiv 2305.08891.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")

    def with_contrast(x_t: Tensor, t: Tensor) -> Tensor:
        x_0_hat = guided(x_t, t)
        wanted = conditional(x_t, t).flatten(1).std(1, correction=0)
        found = x_0_hat.flatten(1).std(1, correction=0)
        flat = found == 0
        ratio = torch.where(flat, torch.ones_like(found), wanted / found.masked_fill(flat, 1))
        return beside(share * ratio + 1 - share, x_0_hat) * x_0_hat

    return with_contrast


# --8<-- [end:rescaled]


# --8<-- [start:composed]
def composed(
    unconditional: Denoiser, conditionals: Sequence[Denoiser], multipliers: Sequence[float]
) -> Denoiser:
    r"""Several conditions at once, towards some and away from others.

    $$\hat x_0 = \hat x_0(x_t) + \sum_i m_i \big(\hat x_0(x_t, c_i) - \hat x_0(x_t)\big).$$

    A negative multiplier avoids its condition. With every $m_i = 1$ it would be Bayes' rule if the
    conditions were independent given $x_t$. Conditions that are independent given $x_0$ are not, so
    the sum of scores is not the score of the noised product.

    Args:
        unconditional: Denoiser without a condition.
        conditionals: One denoiser per condition.
        multipliers: $m_i$, one per condition, $1 + \omega_i$ in the other convention.

    Raises:
        ValueError: If there are not as many multipliers as conditions.

    Source: Liu et al. 2022, arXiv 2206.01714; on the noised product Du et al. 2023, arXiv
        2302.11552.
    """
    if len(conditionals) != len(multipliers):
        raise ValueError(f"{len(conditionals)} conditions but {len(multipliers)} multipliers")

    def together(x_t: Tensor, t: Tensor) -> Tensor:
        plain = unconditional(x_t, t)
        x_0_hat = plain
        for conditional, multiplier in zip(conditionals, multipliers, strict=True):
            x_0_hat = x_0_hat + multiplier * (conditional(x_t, t) - plain)
        return x_0_hat

    return together


# --8<-- [end:composed]


# --8<-- [start:avoiding]
def avoiding(conditional: Denoiser, avoided: Denoiser, guidance_scale: float) -> Denoiser:
    r"""A negative prompt: what is avoided stands where no condition would.

    $$\hat x_0 = (1 + \omega)\, \hat x_0(x_t, c) - \omega\, \hat x_0(x_t, c_{\text{avoided}}).$$

    The same as `composed` of both conditions with multipliers $1 + \omega$ and $-\omega$: the
    unconditional denoiser cancels.

    Args:
        conditional: Denoiser with the wanted condition.
        avoided: Denoiser with the unwanted one.
        guidance_scale: $\omega$.
    """
    return classifier_free(conditional, avoided, guidance_scale)


# --8<-- [end:avoiding]
