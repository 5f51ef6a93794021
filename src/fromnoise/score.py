r"""Scores: learn where a density rises without knowing the density, then follow it with noise.

The score of a density is the gradient of its logarithm, $\nabla_x \log p(x)$: one arrow per point,
with no normalizing constant left in it. Four objectives teach a field $s(x)$ to be the score, and
differ only by what they ask to know. Langevin dynamics turns a score into samples.

    score(x) -> s              one noise level, s shaped like x
    score(x_t, t) -> s         all noise levels, t holds one time per example

An objective gives one value per example, summed over dimensions; its mean over the data is the
loss. Examples must not talk to each other inside `score`, as they would in batch normalization. A
step is a function of the noise it is given; a sampler draws that noise from its generator.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import vjp, vmap

from fromnoise.batches import noise_like, require_shape
from fromnoise.diffusion import perturb
from fromnoise.schedules import Scales, Schedule
from fromnoise.targets import score_from_eps, score_from_x_0

Data = Float[Tensor, "batch *dims"]
PerExample = Float[Tensor, " batch"]
Field = Callable[[Tensor], Tensor]
"""Maps each point to an arrow of its shape."""
TimeScore = Callable[[Tensor, Tensor], Tensor]
"""Maps noisy data and one time per example to the score at that noise level."""


# --8<-- [start:explicit_score_matching]
def explicit_score_matching(score: Field, true_score: Field, x: Data) -> PerExample:
    r"""The error to make small, if the answer is known: $\tfrac12 \Vert s - \nabla\log p \Vert^2$.

    Args:
        score: The field in training, $s$.
        true_score: The score of the data, $\nabla \log p$.
        x: Data.

    Raises:
        ValueError: If the two fields differ in shape.

    Source: Hyvärinen 2005, <https://jmlr.org/papers/v6/hyvarinen05a.html>.
    """
    value, wanted = score(x), true_score(x)
    require_shape("true_score(x)", wanted, value)
    return _dot(value - wanted, value - wanted) / 2


# --8<-- [end:explicit_score_matching]


# --8<-- [start:jacobian_trace]
def jacobian_trace(field: Field, x: Data) -> tuple[Data, PerExample]:
    r"""A field and its divergence, exactly: $s(x)$ and $\operatorname{tr} \nabla s(x)$.

    Takes one backward pass per dimension.

    Raises:
        ValueError: If the field is not shaped like `x`.
    """
    value, pull_back = _pull_back(field, x)
    n_dims = math.prod(x.shape[1:])
    basis = torch.eye(n_dims, dtype=x.dtype, device=x.device).reshape(n_dims, 1, *x.shape[1:])
    diagonal = vmap(lambda e: _dot(e, pull_back(e.expand_as(x))))(basis)
    return value, diagonal.sum(0)


# --8<-- [end:jacobian_trace]


# --8<-- [start:jacobian_slice]
def jacobian_slice(field: Field, x: Data, v: Data) -> tuple[Data, PerExample]:
    r"""A field and its slope along a direction: $s(x)$ and $v^\top \nabla s(x)\, v$.

    Takes one backward pass. Over directions with $E[vv^\top] = I$, such as those of
    `rademacher_like`, the mean of the slope is the trace.

    Raises:
        ValueError: If the field or `v` is not shaped like `x`.

    Source: Hutchinson 1990, <https://doi.org/10.1080/03610919008812866>.
    """
    require_shape("v", v, x)
    value, pull_back = _pull_back(field, x)
    return value, _dot(v, pull_back(v))


# --8<-- [end:jacobian_slice]


# --8<-- [start:implicit_score_matching]
def implicit_score_matching(score: Field, x: Data) -> PerExample:
    r"""The same without the answer: $\tfrac12 \Vert s(x) \Vert^2 + \operatorname{tr} \nabla s(x)$.

    Its mean lies $\tfrac12 E \Vert \nabla \log p \Vert^2$ below the explicit one, whatever $s$ is,
    if $p(x)\, s(x)$ vanishes far away. That comes from one integration by parts.

    Source: Hyvärinen 2005, <https://jmlr.org/papers/v6/hyvarinen05a.html>.
    """
    value, trace = jacobian_trace(score, x)
    return _dot(value, value) / 2 + trace


# --8<-- [end:implicit_score_matching]


# --8<-- [start:sliced_score_matching]
def sliced_score_matching(score: Field, x: Data, v: Data) -> PerExample:
    r"""The same along random directions: $\tfrac12 (v^\top s)^2 + v^\top \nabla s(x)\, v$.

    Its mean over directions with $E[vv^\top] = I$ is `implicit_score_matching`.

    Args:
        score: The field in training.
        x: Data.
        v: A direction for each example, as from `rademacher_like`.

    Source: Song et al. 2019, arXiv 1905.07088.
    """
    value, slope = jacobian_slice(score, x, v)
    return _dot(v, value).square() / 2 + slope


# --8<-- [end:sliced_score_matching]


# --8<-- [start:denoising_score_matching]
def denoising_score_matching(score: Field, x_0: Data, eps: Data, scales: Scales) -> PerExample:
    r"""Ask for the noise instead: $\tfrac12 \Vert s(x_t) + \epsilon / \sigma_t \Vert^2$.

    Its mean differs from the explicit one at this noise level by a constant, so its minimizer is
    the score of the noisy data, $\nabla \log p_t$, and not that of the data.

    Args:
        score: The field in training, at the noise level of each example.
        x_0: Clean data.
        eps: Standard normal noise, shaped like `x_0`.
        scales: Signal and noise scales, one for all or one per example.

    Raises:
        ValueError: If shapes do not fit, or there is no noise.

    Source: Vincent 2011, <https://doi.org/10.1162/NECO_a_00142>.
    """
    x_t = perturb(x_0, eps, scales)
    return explicit_score_matching(score, lambda x: score_from_eps(eps, x, scales), x_t)


# --8<-- [end:denoising_score_matching]


def rademacher_like(x: Data, generator: torch.Generator) -> Data:
    r"""Random signs, each $\pm 1$ with probability one half: directions with $E[vv^\top] = I$."""
    bits = torch.randint(2, x.shape, generator=generator, device=generator.device)
    return (2 * bits - 1).to(x)


# --8<-- [start:denoiser_score]
def denoiser_score(denoiser: TimeScore, schedule: Schedule) -> TimeScore:
    r"""The score a denoiser implies: $s = (\alpha_t \hat x_0 - x_t) / \sigma_t^2$, by Tweedie."""

    def score(x_t: Tensor, t: Tensor) -> Tensor:
        return score_from_x_0(denoiser(x_t, t), x_t, schedule(t))

    return score


# --8<-- [end:denoiser_score]


# --8<-- [start:langevin_step]
def langevin_step(score: Field, x: Data, step: float, z: Data) -> Data:
    r"""Climb a little, shake a little: $x' = x + h\, s(x) + \sqrt{2h}\, z$.

    A finite step leaves a bias. On a Gaussian of variance $\lambda$ the chain settles at
    $\lambda / (1 - h / 2\lambda)$, and from $h = 2\lambda$ on it never settles.

    Args:
        score: Score of the density to sample.
        x: Points.
        step: Step size $h$, in units of variance. Song & Ermon write $\epsilon / 2$ for it.
        z: Standard normal noise, shaped like `x`.

    Raises:
        ValueError: If `step` is not positive or `z` is not shaped like `x`.

    Source: Roberts & Tweedie 1996, <https://doi.org/10.2307/3318418>.
    """
    _require_step(step)
    require_shape("z", z, x)
    return x + step * score(x) + math.sqrt(2 * step) * z


# --8<-- [end:langevin_step]


# --8<-- [start:log_acceptance]
def log_acceptance(log_prob: Field, score: Field, x: Data, y: Data, step: float) -> PerExample:
    r"""Log-probability of taking a Langevin step from $x$ to $y$ after all.

    $$\log a = \min\Big(0,\; \log \frac{p(y)\, q(x \mid y)}{p(x)\, q(y \mid x)}\Big),
    \qquad q(y \mid x) = \mathcal N\big(y;\; x + h\, s(x),\; 2 h I\big).$$

    The density may lack its constant, and the score may be wrong: p stays stationary.

    Raises:
        ValueError: If `step` is not positive or `y` is not shaped like `x`.
    """
    _require_step(step)
    require_shape("y", y, x)
    there, back = y - x - step * score(x), x - y - step * score(y)
    log_ratio = (_dot(there, there) - _dot(back, back)) / (4 * step)
    return (log_prob(y) - log_prob(x) + log_ratio).clamp(max=0)


# --8<-- [end:log_acceptance]


# --8<-- [start:metropolis_step]
def metropolis_step(
    log_prob: Field, score: Field, x: Data, step: float, z: Data, u: PerExample
) -> tuple[Data, Bool[Tensor, " batch"]]:
    r"""A Langevin step that is taken back with the right probability, so that no bias is left.

    Args:
        log_prob: Log density to sample, up to a constant, one value per example.
        score: Its gradient.
        x: Points.
        step: Step size $h$.
        z: Standard normal noise, shaped like `x`.
        u: Uniform on [0, 1), one per example.

    Returns:
        The next points, and which of them moved. A proposal of undefined density is refused.

    Source: Roberts & Tweedie 1996, <https://doi.org/10.2307/3318418>.
    """
    y = langevin_step(score, x, step, z)
    moved = u.log() < log_acceptance(log_prob, score, x, y, step)
    return torch.where(moved.reshape(-1, *[1] * (x.ndim - 1)), y, x), moved


# --8<-- [end:metropolis_step]


# --8<-- [start:langevin]
@torch.no_grad()
def langevin(
    score: Field,
    x: Data,
    n_steps: int,
    step: float,
    generator: torch.Generator,
    log_prob: Field | None = None,
) -> Data:
    """Take `n_steps` Langevin steps from the points `x`.

    Args:
        score: Score of the density to sample.
        x: Start.
        n_steps: Number of steps.
        step: Step size, in units of variance.
        generator: Source of the noise.
        log_prob: Log density up to a constant. With it, each step is a `metropolis_step`; without
            it, each is a `langevin_step` and the bias stays.

    Raises:
        ValueError: If `n_steps` < 1 or `step` is not positive.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    for _ in range(n_steps):
        z = noise_like(x, generator)
        if log_prob is None:
            x = langevin_step(score, x, step, z)
        else:
            u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=generator.device)
            x, _ = metropolis_step(log_prob, score, x, step, z, u.to(x.device))
    return x


# --8<-- [end:langevin]


# --8<-- [start:annealed_langevin]
@torch.no_grad()
def annealed_langevin(
    score: TimeScore,
    schedule: Schedule,
    x: Data,
    times: Float[Tensor, " n_times"],
    n_steps: int,
    step: float,
    generator: torch.Generator,
) -> Data:
    r"""Langevin dynamics at one noise level after another, from much noise to little.

    At level t the step size is $h\, \sigma_t^2$, so that every level is shaken in proportion.

    Args:
        score: Score of the noisy data at every level.
        schedule: Noise schedule.
        x: Start, noise of the first level.
        times: Strictly falling times of the levels, where $\sigma_t > 0$.
        n_steps: Steps per level.
        step: Step size relative to the noise variance, $h$.
        generator: Source of the noise.

    Returns:
        Points at the last noise level; they still carry its noise.

    Raises:
        ValueError: If the times do not fall, a level has no noise, `n_steps` < 1 or `step` <= 0.

    Source: Song & Ermon 2019, arXiv 1907.05600.
    """
    times = times.double()
    variances = schedule(times).sigma_t.square()
    if not (times.diff() < 0).all() or not (variances > 0).all():
        raise ValueError(f"times must fall strictly and have noise, got {times.tolist()}")
    for t, variance in zip(times, variances.tolist(), strict=True):
        at_level = partial(_at_time, score, t)
        x = langevin(at_level, x, n_steps, step * variance, generator)
    return x


# --8<-- [end:annealed_langevin]


def _at_time(score: TimeScore, t: Tensor, x: Tensor) -> Tensor:
    return score(x, t.to(x).expand(len(x)))


def _pull_back(field: Field, x: Tensor) -> tuple[Tensor, Field]:
    r"""The field at x, and the map $v \mapsto v^\top \nabla s(x)$."""
    value, pull, *_ = vjp(field, x)
    require_shape("the field", value, x)
    return value, lambda v: pull(v)[0]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each example with its partner."""
    return (a * b).flatten(1).sum(1)


def _require_step(step: float) -> None:
    if not 0 < step < math.inf:
        raise ValueError(f"step must be positive and finite, got {step}")
