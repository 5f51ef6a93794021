r"""Train a network to predict a target from noisy data, and sample with what it has learned.

`denoising_loss` makes a loss for `fromnoise.training.train`; `as_denoiser` turns the trained
network into the function that the samplers ask.

Source:
    Ho et al. 2020, <https://arxiv.org/abs/2006.11239>, for every target.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fromnoise.diffusion import perturb
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Scales, Schedule, beside
from fromnoise.targets import Target
from fromnoise.training import Batch, Loss, Network


# --8<-- [start:denoising_loss]
def denoising_loss(
    schedule: Schedule,
    target: Target,
    *,
    weight: Callable[[Scales], Tensor] | None = None,
    label_dropout: float = 0.0,
    null_label: int | None = None,
    t_min: float = 0.0,
    t_max: float = 1.0,
) -> Loss:
    r"""Mean squared error of a prediction target, over random times and noise.

    $w_t\, \lVert f_\theta(x_t, t, c) - y(x_0, \epsilon, t) \rVert^2 / D$ with $t$ uniform,
    averaged over the batch. One random offset places the times of a batch evenly, which takes
    noise out of the gradient and leaves its mean alone.

    Args:
        schedule: Noise schedule.
        target: What the network is asked for.
        weight: Weight $w_t$ as a function of the scales; 1 if not given.
        label_dropout: Share of labels replaced by the null class, for classifier-free guidance.
        null_label: The null class, `n_classes` of the network; needed to drop labels.
        t_min: Earliest time.
        t_max: Latest time.

    Raises:
        ValueError: Unless 0 <= t_min < t_max <= 1 and label_dropout lies in [0, 1] and has a
            null_label.
    """
    if not 0 <= t_min < t_max <= 1:
        raise ValueError(f"need 0 <= t_min < t_max <= 1, got {t_min}, {t_max}")
    if not 0 <= label_dropout <= 1 or (label_dropout > 0 and null_label is None):
        raise ValueError(
            "label_dropout must lie in [0, 1] and needs a null_label, "
            f"got {label_dropout} and {null_label}"
        )

    def loss(network: Network, batch: Batch, generator: torch.Generator) -> Tensor:
        x_0, label = batch[0], batch[1] if len(batch) > 1 else None
        rand = partial(torch.rand, generator=generator, device=x_0.device)
        u = (torch.arange(len(x_0), device=x_0.device) + rand(())) / len(x_0)
        t = t_min + (t_max - t_min) * u.clamp(max=1.0)
        scales = schedule(t)
        eps = torch.randn(x_0.shape, generator=generator, device=x_0.device)
        x_t = perturb(x_0, eps, scales)
        if label is not None and null_label is not None:
            label = torch.where(rand(len(x_0)) < label_dropout, null_label, label)
        error = (network(x_t, t, label) - target.true(x_0, eps, scales)).square()
        return (error if weight is None else beside(weight(scales), error) * error).mean()

    return loss


# --8<-- [end:denoising_loss]


def as_denoiser(
    network: Network, schedule: Schedule, target: Target, label: Tensor | None = None
) -> Denoiser:
    r"""Turn a trained network into $\hat x_0(x_t, t)$, the face that samplers know.

    Args:
        network: Network trained for `target` on `schedule`.
        schedule: That schedule.
        target: That target.
        label: Class of each example, or none.
    """

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        return target.x_0_hat(network(x_t, t, label), x_t, schedule(t))

    return denoiser
