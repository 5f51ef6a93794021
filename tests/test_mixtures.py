"""Mixtures agree with quadrature, autograd and Bayes' rule on a grid."""

import pytest
import torch

from chance import counts_gap, covariance_gap, mean_gap
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
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
def test_density_integrates_to_one_with_the_stated_moments(p):
    """The trapezoid rule is exact to rounding for a smooth density that vanishes at the ends."""
    axis = torch.linspace(-16, 16, 1201, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    mass = p.log_prob(grid).exp() * (axis[1] - axis[0]) ** 2
    mean = (mass[:, None] * grid).sum(0)
    second = torch.einsum("n,ni,nj->ij", mass, grid, grid)
    assert abs(mass.sum() - 1) < 1e-10
    assert torch.allclose(mean, p.mean, atol=1e-9)
    assert torch.allclose(second - torch.outer(mean, mean), p.covariance, atol=1e-8)


@BOTH
def test_score_is_the_gradient_of_log_prob(p):
    x = (3 * torch.randn(50, 2, generator=rng(), dtype=F64)).requires_grad_()
    (gradient,) = torch.autograd.grad(p.log_prob(x).sum(), x)
    assert torch.allclose(p.score(x), gradient, rtol=1e-11, atol=1e-11)


@BOTH
@pytest.mark.parametrize("alpha, sigma", [(0.8, 0.6), (1.0, 2.0), (0.05, 1.0), (1.0, 0.3)])
def test_posterior_is_bayes_rule_on_a_grid(p, alpha, sigma):
    """E and Cov of x_0 given x_t, from p(x_0) N(x_t; alpha x_0, sigma^2) on a fine grid."""
    scales = rates(alpha, sigma)
    axis = torch.linspace(-14, 14, 1121, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    for x_t in (torch.tensor([0.3, -0.7], dtype=F64), torch.tensor([1.5, 2.0], dtype=F64)):
        log_noise = -0.5 * ((x_t - alpha * grid) / sigma).square().sum(-1)
        joint = p.log_prob(grid) + log_noise
        weights = joint.softmax(0)
        mean = weights @ grid
        second = torch.einsum("n,ni,nj->ij", weights, grid, grid)
        assert torch.allclose(p.posterior_mean(x_t, scales), mean, atol=1e-9)
        found = p.posterior_covariance(x_t, scales)
        assert torch.allclose(found, second - torch.outer(mean, mean), atol=1e-8)
        area = (axis[1] - axis[0]) ** 2
        log_marginal = joint.logsumexp(0) + area.log() - torch.tensor(2 * torch.pi * sigma**2).log()
        assert torch.allclose(p.noised(scales).log_prob(x_t), log_marginal.to(F64), atol=1e-6)


@BOTH
def test_posterior_mean_is_tweedies_formula(p):
    """(x_t + sigma^2 score) / alpha; the wrong sign of the score must not pass."""
    scales, x_t = rates(0.7, 0.4), torch.randn(20, 2, generator=rng(), dtype=F64)
    score = p.noised(scales).score(x_t)
    expected = (x_t + scales.sigma_t**2 * score) / scales.alpha_t
    wrong = (x_t - scales.sigma_t**2 * score) / scales.alpha_t
    assert torch.allclose(p.posterior_mean(x_t, scales), expected, atol=1e-11)
    assert not torch.allclose(p.posterior_mean(x_t, scales), wrong, atol=1e-3)


@BOTH
def test_posterior_covariance_is_the_derivative_of_the_posterior_mean(p):
    """Second-order Tweedie: Cov = (sigma^2 / alpha) d E[x_0 | x_t] / d x_t."""
    scales, x_t = rates(0.7, 0.4), torch.tensor([0.2, -0.9], dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda x: p.posterior_mean(x, scales), x_t)
    expected = scales.sigma_t**2 / scales.alpha_t * jacobian
    assert torch.allclose(p.posterior_covariance(x_t, scales), expected, atol=1e-11)


@BOTH
def test_times_of_a_batch_are_taken_one_by_one(p):
    alpha, sigma = [1.0, 0.8, 0.3, 0.0], [0.0, 0.6, 0.9, 1.0]
    x_t = torch.randn(4, 2, generator=rng(), dtype=F64)
    together = rates(alpha, sigma)
    for i in range(4):
        one = rates(alpha[i], sigma[i])
        for method in ("posterior_mean", "posterior_covariance"):
            batched = getattr(p, method)(x_t, together)[i]
            assert torch.allclose(batched, getattr(p, method)(x_t[i], one), atol=1e-13)
        batched = p.noised(together).log_prob(x_t)[i]
        assert torch.allclose(batched, p.noised(one).log_prob(x_t[i]), atol=1e-13)
        assert torch.allclose(p.noised(together).score(x_t)[i], p.noised(one).score(x_t[i]))


@BOTH
def test_ends_of_the_path_are_exact(p):
    x = torch.randn(5, 2, generator=rng(), dtype=F64)
    assert torch.allclose(p.posterior_mean(x, rates(1.0, 0.0)), x)
    assert torch.allclose(p.posterior_mean(x, rates(0.5, 0.0)), x / 0.5)
    assert p.posterior_covariance(x, rates(1.0, 0.0)).abs().max() < 1e-14
    assert torch.allclose(p.posterior_mean(x, rates(0.0, 1.0)), p.mean.expand(5, 2))
    assert torch.allclose(p.posterior_covariance(x, rates(0.0, 1.0))[0], p.covariance)


@BOTH
def test_samples_have_the_moments_of_the_distribution(p):
    """200,000 draws see a mean that is off by 3 % of a standard deviation."""
    n = 200_000
    x = p.sample(n, rng(3))
    assert mean_gap(x, p.mean) < 1 < mean_gap(x + 0.03 * x.std(0), p.mean)
    assert covariance_gap(x, p.covariance) < 1 < covariance_gap(1.05 * x, p.covariance)
    assert torch.equal(x, p.sample(n, rng(3)))
    assert not torch.equal(x, p.sample(n, rng(4)))


def test_component_labels_belong_to_their_samples():
    p = mixture()
    x, k = p.sample_with_component(200_000, rng(5))
    counts = torch.bincount(k, minlength=3)
    assert counts_gap(counts, p.weights) < 1 < counts_gap(counts, torch.full((3,), 1 / 3))
    for i in range(3):
        assert mean_gap(x[k == i], p.component(i).mean) < 1
        assert mean_gap(x[k == i], p.component((i + 1) % 3).mean) > 1
    # A posterior probability is calibrated: its mean over samples is the component's share.
    assert mean_gap(p.responsibilities(x), p.weights) < 1 < mean_gap(p.responsibilities(x), 1 / 3)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GaussianMixture.isotropic(torch.zeros(2, 1), 0.0), "std must be positive, got 0"),
        (
            lambda: GaussianMixture.isotropic(torch.zeros(2, 1), 1.0, torch.tensor([0.5, 0.6])),
            "sum to 1",
        ),
        (
            lambda: GaussianMixture.isotropic(torch.zeros(2, 1), 1.0, torch.tensor([1.5, -0.5])),
            "positive and sum",
        ),
        (lambda: mixture().noised(rates([0.5, 0.5], [0.5, 0.5])).sample(3), "needs one mixture"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_inputs_are_left_as_they_were():
    p, x = mixture(), torch.randn(5, 2, generator=rng(), dtype=F64)
    copy = x.clone()
    p.posterior_covariance(x, rates(0.5, 0.5))
    p.score(x)
    assert torch.equal(x, copy)


def test_weights_are_a_distribution_and_none_is_zero():
    means, eye = torch.zeros(2, 1).double(), torch.eye(1).double()[None]
    nearly = torch.tensor([0.25, 0.75 + 5e-6], dtype=torch.float64)
    p = GaussianMixture(nearly, means, eye)
    assert abs(p.weights.sum() - 1) < 1e-12
    for weights in ([0.0, 1.0], [0.5, 0.5 + 2e-5]):
        with pytest.raises(ValueError, match="positive and sum to 1"):
            GaussianMixture(torch.tensor(weights, dtype=torch.float64), means, eye)


def test_one_sample_can_be_drawn():
    p = GaussianMixture.isotropic(torch.zeros(2, 3), 1.0)
    assert p.sample(1, torch.Generator()).shape == (1, 3)
