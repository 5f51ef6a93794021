"""The perfect network against Bayes' rule on a grid of clean points."""

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser, optimal_prediction
from fromnoise.schedules import Rectified, Scales
from fromnoise.targets import PredictEps, PredictScore, PredictV, PredictVelocity, PredictX0

F64 = torch.float64


def rates(alpha: float | list[float], sigma: float | list[float]) -> Scales:
    alpha_t, sigma_t = torch.tensor(alpha, dtype=F64), torch.tensor(sigma, dtype=F64)
    return Scales(alpha_t, sigma_t, -torch.ones_like(alpha_t), torch.ones_like(sigma_t))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def covariance(dim: int, g: torch.Generator) -> torch.Tensor:
    root = torch.randn(dim, dim, generator=g, dtype=F64)
    return root @ root.mT + 0.1 * torch.eye(dim, dtype=F64)


def gaussian(dim: int = 3, seed: int = 0) -> Gaussian:
    g = rng(seed)
    return Gaussian(torch.randn(dim, generator=g, dtype=F64), covariance(dim, g))


def mixture(dim: int = 2, n: int = 3, seed: int = 1) -> GaussianMixture:
    g = rng(seed)
    weights = torch.rand(n, generator=g, dtype=F64) + 0.1
    covs = torch.stack([0.2 * covariance(dim, g) for _ in range(n)])
    means = 2 * torch.randn(n, dim, generator=g, dtype=F64)
    return GaussianMixture(weights / weights.sum(), means, covs)


BOTH = pytest.mark.parametrize(
    "p",
    [
        gaussian(2),
        mixture(),
        GaussianMixture.isotropic(torch.randn(4, 2, dtype=F64, generator=rng()), 0.3),
    ],
    ids=["gaussian", "mixture", "isotropic"],
)


@BOTH
@pytest.mark.parametrize(
    "target",
    [PredictX0(), PredictEps(), PredictV(), PredictVelocity(), PredictScore()],
    ids=lambda t: type(t).__name__,
)
def test_optimal_prediction_is_the_mean_of_the_target_given_x_t(p, target):
    """Against Bayes on a grid of clean points: each gives its own noise and its own target."""
    scales, x_t = rates(0.7, 0.4), torch.tensor([0.3, -0.7], dtype=F64)
    axis = torch.linspace(-14, 14, 1121, dtype=F64)
    x_0 = torch.cartesian_prod(axis, axis)
    eps = (x_t - scales.alpha_t * x_0) / scales.sigma_t
    weights = (p.log_prob(x_0) - 0.5 * eps.square().sum(-1)).softmax(0)
    mean = weights @ target.true(x_0, eps, scales)
    assert torch.allclose(optimal_prediction(p, target, x_t, scales), mean, atol=1e-9)


@BOTH
def test_denoiser_reads_the_schedule_at_its_own_times(p):
    x_t, t = torch.randn(3, 2, generator=rng(), dtype=F64), torch.tensor([0.1, 0.5, 1.0], dtype=F64)
    expected = p.posterior_mean(x_t, rates([0.9, 0.5, 0.0], [0.1, 0.5, 1.0]))
    assert torch.allclose(denoiser(p, Rectified())(x_t, t), expected)
