"""What this chapter's experiments share: two worlds with a known posterior, and the digits."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from experiments._flagship import NULL, SCHEDULE, TARGET
from fromnoise.datasets import digits
from fromnoise.denoising import as_denoiser
from fromnoise.gaussians import Gaussian
from fromnoise.intervals import mean_interval
from fromnoise.inverse import measurement_guided
from fromnoise.linear_operators import Averaging, Blur, Dense, Inpainting, LinearOperator, as_matrix
from fromnoise.mixtures import GaussianMixture
from fromnoise.samplers import Denoiser, ancestral_step, sample
from fromnoise.schedules import Scales

F64 = torch.float64
SIDE, N_PIXELS = 8, 64


def line_prior(n: int) -> Gaussian:
    """Smooth signals on a line: nearby entries go together, over about four places."""
    place = torch.arange(n, dtype=F64)
    together = (-((place[:, None] - place) ** 2) / (2 * 3.0**2)).exp()
    return Gaussian(torch.zeros(n, dtype=F64), 0.99 * together + 0.01 * torch.eye(n, dtype=F64))


def spots_prior() -> GaussianMixture:
    """Four spots in the plane, of which two share a height: the first entry does not tell them."""
    means = torch.tensor([[-1.2, 1.0], [-1.2, -1.0], [0.4, 0.0], [1.4, 1.2]], dtype=F64)
    weights = torch.tensor([0.35, 0.15, 0.3, 0.2], dtype=F64)
    return GaussianMixture(weights, means, (0.3**2 * torch.eye(2, dtype=F64)).expand(4, 2, 2))


def over(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [round(float(value), 6) for value in values]}


def transposed(rows: list[dict]) -> dict:
    """From one dictionary per seed to one interval per measure."""
    return {key: over([row[key] for row in rows]) for key in rows[0]}


def normal(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covered(draws: Tensor, truth: Tensor) -> Tensor:
    """Does the truth lie inside the middle of the draws?

    Of 39 draws, between the second and the last but one. If the truth and the draws have one
    distribution, its rank among them is any of 40, and 36 of these count: nine tenths. Of 9 draws,
    between the first and the last: eight tenths.
    """
    rank = (draws < truth).sum(0)
    # Where gray levels tie, the truth is placed in the middle of its equals.
    rank = rank + 0.5 * (draws == truth).sum(0)
    share = 0.05 * (len(draws) + 1)
    return ((rank >= share) & (rank <= len(draws) - share)).double()


# --- The digits ---


def digit_tasks() -> dict[str, LinearOperator]:
    """What is seen of an image: its upper half, means of squares, a blur."""
    mask = torch.zeros((1, SIDE, SIDE), dtype=torch.bool)
    mask[:, : SIDE // 2] = True
    place = torch.arange(-2, 3).double()
    bell = (-(place**2) / (2 * 1.2**2)).exp()
    kernel = bell[:, None] * bell
    return {
        "half": Inpainting(mask),
        "twice": Averaging(2),
        "four": Averaging(4),
        "blur": Blur(kernel / kernel.sum()),
    }


def flat_matrix(operator: LinearOperator) -> Tensor:
    """The matrix of an operator on digits, without rows that see nothing."""
    matrix = as_matrix(operator, (1, SIDE, SIDE))
    return matrix[matrix.abs().sum(1) > 0].float()


def flat_denoiser(network: nn.Module, n: int) -> Denoiser:
    """The digit model without a class, on flat images."""
    inner = as_denoiser(network, SCHEDULE, TARGET, torch.full((n,), NULL))

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        return inner(x_t.reshape(-1, 1, SIDE, SIDE), t).flatten(1)

    return denoiser


def digit_gaussian(ridge: float = 0.01) -> Gaussian:
    """The Gaussian with the mean and covariance of the training digits."""
    flat = digits().train.images.flatten(1).double()
    eye = torch.eye(N_PIXELS, dtype=F64)
    return Gaussian(flat.mean(0), torch.cov(flat.T) + ridge * eye)


def fitted_covariance(prior: Gaussian) -> Callable[[Tensor, Scales], Tensor]:
    """Cov[x_0 | x_t] as if the digits were that Gaussian: one matrix per time, whatever x_t."""

    def covariance(x_t: Tensor, scales: Scales) -> Tensor:
        one = Scales(*(part.reshape(-1)[:1] for part in scales))
        return prior.posterior_covariance(prior.mean[None], one).to(x_t)

    return covariance


def round_covariance(x_t: Tensor, scales: Scales) -> Tensor:
    """Cov[x_0 | x_t] as if every entry were standard normal and knew nothing of the others."""
    alpha_t, sigma_t = scales.alpha_t.reshape(-1)[:1], scales.sigma_t.reshape(-1)[:1]
    share = sigma_t.square() / (alpha_t.square() + sigma_t.square())
    return share.to(x_t)[:, None, None] * torch.eye(x_t.shape[-1]).to(x_t)


def guided_draws(
    network: nn.Module,
    matrix: Tensor,
    y: Tensor,
    noise_std: float,
    covariance: Callable[[Tensor, Scales], Tensor] | None,
    times: Tensor,
    seed: int,
) -> Tensor:
    """One draw per row of y, with ancestral steps of the guided digit model."""
    guided = measurement_guided(
        flat_denoiser(network, len(y)), SCHEDULE, Dense(matrix), y, noise_std, covariance
    )
    x_1 = normal((len(y), N_PIXELS), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    return sample(guided, SCHEDULE, x_1, times, ancestral_step, generator).nan_to_num(0.0)


def gray(images: Tensor) -> list:
    """Flat images as whole gray levels 0 to 16, row by row."""
    return ((images.reshape(-1, SIDE, SIDE).clamp(-1, 1) + 1) * 8).round().int().tolist()
