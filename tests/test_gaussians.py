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


def scales(alpha, sigma) -> Scales:
    alpha, sigma = (torch.as_tensor(rate, dtype=torch.float64) for rate in (alpha, sigma))
    return Scales(alpha, sigma, -alpha, sigma)


def test_one_bad_rate_among_good_ones_is_refused():
    p = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    for alpha, sigma in [([0.5, -0.5], [1, 1]), ([0.5, 0.5], [1, torch.inf]), ([1, 0], [1, 0])]:
        with pytest.raises(ValueError, match=r"alpha_t|sigma_t"):
            p.noised(scales(alpha, sigma))
    assert p.noised(scales([1, 0], [0, 1])).mean.shape == (2, 2)


def test_one_singular_or_infinite_covariance_among_good_ones_is_refused():
    eye = torch.eye(2, dtype=torch.float64)
    for bad in (
        eye * torch.tensor([1.0, torch.nan]),
        torch.diag(torch.tensor([1.0, 0.0])).double(),
    ):
        with pytest.raises(ValueError, match=r"finite|positive definite"):
            Gaussian(torch.zeros(2, 2).double(), torch.stack([eye, bad]))


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_what_counts_as_rounding_does_not_depend_on_the_unit(unit):
    """The tolerance is 10 eps times the dimension, of the largest entry: 1.3e-14 in six of them."""
    eps = torch.finfo(torch.float64).eps
    mean, good = torch.zeros(6).double(), unit * torch.eye(6).double()
    for times, refused in ((30, False), (100, True)):
        bent = good.clone()
        bent[0, 1] = times * eps * unit
        flat = good.clone()
        flat[0, 0] = (130 - times) * eps * unit
        for covariance in (bent, flat):
            if refused:
                with pytest.raises(ValueError, match=r"symmetric|positive definite"):
                    Gaussian(mean, covariance)
            else:
                assert Gaussian(mean, covariance).dim == 6


def test_draws_are_the_noise_times_a_root_of_the_covariance():
    """Linear in the generator's noise; the root's sign is a choice, its square is not."""
    root = torch.tensor([[2.0, 0.0], [1.5, 0.5]], dtype=torch.float64)
    p = Gaussian(torch.tensor([3.0, -1.0]).double(), root @ root.T)
    x = p.sample(50, torch.Generator().manual_seed(0))
    eps = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    used = torch.linalg.lstsq(eps, x - p.mean).solution
    assert ((x - p.mean) - eps @ used).abs().max() < 1e-12
    assert (used.T @ used - p.covariance).abs().max() < 1e-12


def test_posterior_covariance_is_the_slope_of_the_posterior_mean():
    """By Tweedie's second-order formula, sigma^2 / alpha times the Jacobian of the mean."""
    root = torch.tensor([[2.0, 0.0, 0.1], [1.5, 0.5, 0.0], [0.2, 0.3, 1.0]], dtype=torch.float64)
    p = Gaussian(torch.zeros(3).double(), root @ root.T)
    x_t = torch.tensor([[0.3, -0.2, 1.0], [2.0, 0.0, -1.0]], dtype=torch.float64)
    at = scales(0.8, 0.6)
    found = p.posterior_covariance(x_t, at)
    assert found.shape == (2, 3, 3)
    for point, covariance in zip(x_t, found, strict=True):
        slope = torch.autograd.functional.jacobian(lambda x: p.posterior_mean(x, at), point)
        assert (covariance - 0.6**2 / 0.8 * slope).abs().max() < 1e-13


def test_no_samples_are_an_empty_batch():
    assert Gaussian(torch.zeros(2), torch.eye(2)).sample(0).shape == (0, 2)
