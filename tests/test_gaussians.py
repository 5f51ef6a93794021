"""Gaussians agree with quadrature, autograd, Bayes' rule on a grid, and scipy."""

import pytest
import torch
from scipy import linalg, stats

from fromnoise.gaussians import Gaussian
from fromnoise.schedules import Scales

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


def test_log_prob_is_scipys():
    p, x = gaussian(), torch.randn(7, 3, generator=rng(), dtype=F64)
    expected = stats.multivariate_normal(p.mean.numpy(), p.covariance.numpy()).logpdf(x.numpy())
    assert torch.allclose(p.log_prob(x), torch.from_numpy(expected), rtol=1e-12)


def test_wasserstein_is_the_general_matrix_formula_and_zero_to_itself():
    p, q = gaussian(3, 0), gaussian(3, 7)
    a, b = p.covariance.numpy(), q.covariance.numpy()
    # tr sqrt(AB) through a general (not symmetric) matrix square root: another route.
    cross = linalg.sqrtm(a @ b).real.trace()
    squared = (p.mean - q.mean).square().sum() + a.trace() + b.trace() - 2 * cross
    assert torch.allclose(p.wasserstein_2(q), squared.sqrt(), rtol=1e-10)
    assert torch.allclose(p.wasserstein_2(q), q.wasserstein_2(p), rtol=1e-10)
    assert p.wasserstein_2(p) < 1e-6
    shifted = Gaussian(p.mean + 3, p.covariance)
    assert torch.allclose(p.wasserstein_2(shifted), torch.tensor(27.0, dtype=F64).sqrt())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 1.0], [1.0, 1.0]])), "definite"),
        (lambda: Gaussian(torch.zeros(2), -torch.eye(2)), "definite"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]])), "symmetric"),
        (lambda: Gaussian(torch.tensor([0.0, torch.nan]), torch.eye(2)), "finite"),
        (lambda: gaussian(2).log_prob(torch.zeros(5, 3, dtype=F64)), "2 entries on the last axis"),
        (lambda: gaussian(2).log_prob(torch.zeros(5, 2)), "float32 but the parameters"),
        (lambda: gaussian(2).noised(rates(0.0, 0.0)), "both 0"),
        (lambda: gaussian(2).noised(rates(0.5, -0.1)), "sigma_t must be finite and at least 0"),
        (lambda: gaussian(2).noised(rates(float("nan"), 0.1)), "alpha_t must be finite"),
        (lambda: gaussian(2).wasserstein_2(gaussian(3)), "dimensions differ: 2 and 3"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
