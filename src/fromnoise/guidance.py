r"""Guidance: push a sample further towards its condition than the data would."""

from torch import Tensor

from fromnoise.samplers import Denoiser


# --8<-- [start:classifier_free]
def classifier_free(
    conditional: Denoiser, unconditional: Denoiser, guidance_scale: float
) -> Denoiser:
    r"""Exaggerate what the condition changes.

    $$\hat x_0 = (1 + \omega)\, \hat x_0(x_t, t, c) - \omega\, \hat x_0(x_t, t).$$

    The same weights on noise, score or velocity give the same sampler, since each is linear in
    $\hat x_0$ and the weights sum to one.

    Args:
        conditional: Denoiser that knows the condition.
        unconditional: Denoiser that does not.
        guidance_scale: Weight $\omega$. At 0 there is no guidance, at -1 no condition. Many
            programs name $1 + \omega$ the scale instead.

    Returns:
        The guided denoiser; it calls both.

    Examples:
        Scale 1 goes as far past the conditional answer as that is from the unconditional.

        >>> import torch
        >>> guided = classifier_free(lambda x, t: x, lambda x, t: x / 2, guidance_scale=1.0)
        >>> guided(torch.tensor([[2.0]]), torch.tensor([0.5]))
        tensor([[3.]])

    Source: Ho & Salimans 2022, arXiv 2207.12598.
    """

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        with_condition = conditional(x_t, t)
        return with_condition + guidance_scale * (with_condition - unconditional(x_t, t))

    return guided


# --8<-- [end:classifier_free]
