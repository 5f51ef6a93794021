r"""Loss weights, and a network whose input and target have unit variance at every noise level.

A weight $w_t$ says what the squared error $\Vert x_0 - \hat x_0 \Vert^2$ counts for at time t.
Every weight here is on the error of the clean data; `for_target` turns it into the weight on the
error of a network's own target. The weight of the ELBO is `fromnoise.diffusion.elbo_weight`.

Preconditioning writes the denoiser as

$$\hat x_0(x_t, t) = c_{\text{skip}}\, x_t + c_{\text{out}}\, F(c_{\text{in}}\, x_t,
c_{\text{noise}}),$$

where the network is F. For data of mean 0 and standard deviation `data_std`, the four coefficients
follow from three wishes: input of unit variance, target of unit variance, and the smallest
$c_{\text{out}}$, so that the network's errors are magnified least.

Source: Karras et al. 2022, arXiv 2206.00364. They have $\alpha_t = 1$; here any schedule will do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import require_shape
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Scales, Schedule, beside
from fromnoise.targets import Target

Data = Float[Tensor, "*batch_and_dims"]
PerExample = Float[Tensor, "*batch"]
Weight = Callable[[Scales], Tensor]
"""What the squared error of the clean data counts for at some scales."""


def simple_weight(scales: Scales) -> PerExample:
    r"""DDPM's choice, $w_t = \mathrm{SNR}_t$: the error of the noise counts alike at every time.

    Infinite at $\sigma_t = 0$.

    Source: Ho et al. 2020, arXiv 2006.11239.
    """
    return scales.snr_t


# --8<-- [start:min_snr_weight]
def min_snr_weight(scales: Scales, snr_max: float = 5.0) -> PerExample:
    r"""The simple weight with a ceiling: $w_t = \min(\mathrm{SNR}_t, \mathrm{SNR}_{\max})$.

    Args:
        scales: Scales at the times of the batch.
        snr_max: Ceiling on the ratio of variances, positive; the paper's $\gamma$.

    Raises:
        ValueError: If `snr_max` is not positive.

    Source: Hang et al. 2023, arXiv 2303.09556.
    """
    if not snr_max > 0:
        raise ValueError(f"snr_max must be positive, got {snr_max}")
    return scales.snr_t.clamp(max=snr_max)


# --8<-- [end:min_snr_weight]


# --8<-- [start:edm_weight]
def edm_weight(scales: Scales, data_std: float = 0.5) -> PerExample:
    r"""The weight under which a preconditioned network's own error counts alike at every time.

    $$w_t = \frac{1}{c_{\text{out}}^2} = \mathrm{SNR}_t + \frac{1}{\text{data\_std}^2}.$$

    Args:
        scales: Scales at the times of the batch.
        data_std: Standard deviation of the data, positive.

    Raises:
        ValueError: If `data_std` is not positive.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """
    _check_std(data_std)
    return scales.snr_t + data_std**-2


# --8<-- [end:edm_weight]


def for_target(weight: Weight, target: Target) -> Weight:
    r"""The same loss, as a weight on the error of the target: $w_t / m(t)$.

    Args:
        weight: Weight on the squared error of the clean data.
        target: What the network predicts; $m(t)$ is its `magnification`.

    Returns:
        A weight; it raises ValueError where the target says nothing of the data, $m(t) = 0$, or
        where both are infinite.
    """

    def on_target(scales: Scales) -> Tensor:
        ratio = weight(scales) / target.magnification(scales)
        if not ratio.isfinite().all():
            raise ValueError(
                f"no finite weight for {type(target).__name__} at SNR {scales.snr_t.tolist()}"
            )
        return ratio

    return on_target


class Coefficients(NamedTuple):
    r"""The four numbers around a preconditioned network, one of each per time.

    Attributes:
        c_skip: Share of the noisy input that goes past the network.
        c_out: Scale of what the network adds.
        c_in: Scale of the network's input.
        c_noise: What the network is told about the noise level.
    """

    c_skip: PerExample
    c_out: PerExample
    c_in: PerExample
    c_noise: PerExample


# --8<-- [start:edm_coefficients]
def edm_coefficients(scales: Scales, data_std: float = 0.5) -> Coefficients:
    r"""The coefficients of EDM on any schedule, with $s$ for `data_std`:

    $$c_{\text{in}} = \frac{1}{\sqrt{\alpha_t^2 s^2 + \sigma_t^2}}, \quad
    c_{\text{skip}} = \alpha_t s^2 c_{\text{in}}^2, \quad
    c_{\text{out}} = s\, \sigma_t c_{\text{in}}, \quad
    c_{\text{noise}} = \tfrac14 \log \frac{\sigma_t}{\alpha_t}.$$

    Args:
        scales: Scales at the times of the batch.
        data_std: Standard deviation of the data, positive.

    Returns:
        Coefficients shaped like the scales. `c_noise` is infinite where a scale is zero.

    Raises:
        ValueError: If `data_std` is not positive.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """
    _check_std(data_std)
    c_in = (scales.alpha_t.square() * data_std**2 + scales.sigma_t.square()).rsqrt()
    return Coefficients(
        c_skip=scales.alpha_t * data_std**2 * c_in.square(),
        c_out=data_std * scales.sigma_t * c_in,
        c_in=c_in,
        c_noise=-scales.log_snr_t / 8,
    )


# --8<-- [end:edm_coefficients]


# --8<-- [start:PredictResidual]
@dataclass(frozen=True)
class PredictResidual(Target):
    r"""The target of a preconditioned network: what the skip leaves over, at unit variance.

    $$F = \frac{x_0 - c_{\text{skip}} x_t}{c_{\text{out}}}
    = c_{\text{in}} \Big(\frac{\sigma_t}{s} x_0 - \alpha_t s\, \epsilon\Big).$$

    For data of unit variance on a variance-preserving schedule it is $-v$.

    Attributes:
        data_std: Standard deviation s of the data.

    Raises:
        ValueError: If `data_std` is not positive.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """

    data_std: float = 0.5

    def __post_init__(self) -> None:
        _check_std(self.data_std)

    def true(self, x_0: Data, eps: Data, scales: Scales) -> Data:
        r"""The second form above, which is defined at $\sigma_t = 0$ too.

        Raises:
            ValueError: If both scales are zero.
        """
        require_shape("eps", eps, x_0)
        c_in = edm_coefficients(scales, self.data_std).c_in
        of_data = beside(c_in * scales.sigma_t / self.data_std, x_0)
        of_noise = beside(c_in * scales.alpha_t * self.data_std, eps)
        return of_data * x_0 - of_noise * eps

    def x_0_hat(self, output: Data, x_t: Data, scales: Scales) -> Data:
        r"""$\hat x_0 = c_{\text{skip}} x_t + c_{\text{out}} F$.

        Raises:
            ValueError: If the output is not shaped like the data, or both scales are zero.
        """
        require_shape("output", output, x_t)
        at = edm_coefficients(scales, self.data_std)
        return beside(at.c_skip, x_t) * x_t + beside(at.c_out, x_t) * output

    def magnification(self, scales: Scales) -> PerExample:
        r"""$m = 1 / c_{\text{out}}^2$."""
        return edm_weight(scales, self.data_std)


# --8<-- [end:PredictResidual]


# --8<-- [start:preconditioned]
def preconditioned(
    network: Callable[[Tensor, Tensor], Tensor], schedule: Schedule, data_std: float = 0.5
) -> Denoiser:
    r"""The denoiser around a network, with the coefficients of `edm_coefficients`.

    $$\hat x_0(x_t, t) = c_{\text{skip}}\, x_t + c_{\text{out}}\, F(c_{\text{in}}\, x_t,
    c_{\text{noise}}).$$

    Args:
        network: F, a function of the scaled input and of `c_noise` in the place of the time.
        schedule: Noise schedule.
        data_std: Standard deviation of the data, positive.

    Returns:
        A denoiser; it raises ValueError where the log-SNR is infinite, since the network cannot be
        told such a noise level.

    Raises:
        ValueError: If `data_std` is not positive.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """
    _check_std(data_std)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        # In float64: the square of a large noise scale overflows half precision.
        scales = schedule(t.double())
        at = edm_coefficients(scales, data_std)
        if not at.c_noise.isfinite().all():
            raise ValueError(f"c_noise is infinite at some t of {t.tolist()}: stay off the ends")
        output = network(beside(at.c_in, x_t) * x_t, at.c_noise.to(x_t))
        return PredictResidual(data_std).x_0_hat(output, x_t, scales)

    return denoise


# --8<-- [end:preconditioned]


def _check_std(data_std: float) -> None:
    if not 0 < data_std < torch.inf:
        raise ValueError(f"data_std must be positive and finite, got {data_std}")
