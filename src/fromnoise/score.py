r"""Scores: learn where a density rises without knowing the density.

The score of a density is the gradient of its logarithm, $\nabla_x \log p(x)$: one arrow per point,
with no normalizing constant left in it. Four objectives teach a field $s(x)$ to be the score, and
differ only by what they ask to know. `fromnoise.langevin` turns a score into samples.

    score(x) -> s              one noise level, s shaped like x
    score(x_t, t) -> s         all noise levels, t holds one time per example

An objective gives one value per example, summed over dimensions; its mean over the data is the
loss. Examples must not talk to each other inside `score`, as they would in batch normalization.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vjp, vmap

from fromnoise.batches import dot, require_shape
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
    return dot(value - wanted, value - wanted) / 2


# --8<-- [end:explicit_score_matching]


# --8<-- [start:jacobian_trace]
def jacobian_trace(field: Field, x: Data) -> tuple[Data, PerExample]:
    r"""A field and its divergence, exactly: $s(x)$ and $\operatorname{tr} \nabla s(x)$.

    Takes one backward pass per dimension.

    Raises:
        ValueError: If the field is not shaped like `x`.

    Examples:
        The field itself, and its trace: three times -1/4.

        >>> jacobian_trace(lambda x: -x / 4, torch.ones(2, 3))
        (tensor([[-0.2500, -0.2500, -0.2500],
                [-0.2500, -0.2500, -0.2500]]), tensor([-0.7500, -0.7500]))
    """
    value, pull_back = _pull_back(field, x)
    n_dims = math.prod(x.shape[1:])
    basis = torch.eye(n_dims, dtype=x.dtype, device=x.device).reshape(n_dims, 1, *x.shape[1:])
    diagonal = vmap(lambda e: dot(e, pull_back(e.expand_as(x))))(basis)
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
    return value, dot(v, pull_back(v))


# --8<-- [end:jacobian_slice]


# --8<-- [start:implicit_score_matching]
def implicit_score_matching(score: Field, x: Data) -> PerExample:
    r"""The same without the answer: $\tfrac12 \Vert s(x) \Vert^2 + \operatorname{tr} \nabla s(x)$.

    Its mean lies $\tfrac12 E \Vert \nabla \log p \Vert^2$ below the explicit one, whatever $s$ is,
    if $p(x)\, s(x)$ vanishes far away. That comes from one integration by parts.

    Examples:
        The true score of a standard normal costs -1/2 per entry where the square of the data is 1.

        >>> implicit_score_matching(lambda x: -x, torch.tensor([[-1.0], [1.0]]))
        tensor([-0.5000, -0.5000])

    Source: Hyvärinen 2005, <https://jmlr.org/papers/v6/hyvarinen05a.html>.
    """
    value, trace = jacobian_trace(score, x)
    return dot(value, value) / 2 + trace


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
    return dot(v, value).square() / 2 + slope


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


def _pull_back(field: Field, x: Tensor) -> tuple[Tensor, Field]:
    r"""The field at x, and the map $v \mapsto v^\top \nabla s(x)$."""
    value, pull, *_ = vjp(field, x)
    require_shape("the field", value, x)
    return value, lambda v: pull(v)[0]
