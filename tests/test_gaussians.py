"""The oracles agree with quadrature, autograd, Bayes' rule on a grid, and scipy."""

import pytest
import torch
from scipy import linalg, stats

from fromnoise.gaussians import (
    Gaussian,
    GaussianMixture,
    LinearGaussian,
    denoiser,
    optimal_prediction,
)
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


def ppca(dim: int = 5, latent: int = 2, seed: int = 2) -> LinearGaussian:
    g = rng(seed)
    return LinearGaussian(
        torch.randn(dim, latent, generator=g, dtype=F64),
        torch.randn(dim, generator=g, dtype=F64),
        torch.tensor(0.7, dtype=F64),
    )


TARGETS = [PredictX0(), PredictEps(), PredictV(), PredictVelocity(), PredictScore()]
BOTH = pytest.mark.parametrize(
    "p",
    [
        gaussian(2),
        mixture(),
        GaussianMixture.isotropic(torch.randn(4, 2, dtype=F64, generator=rng()), 0.3),
    ],
    ids=["gaussian", "mixture", "isotropic"],
)


def test_log_prob_is_scipys():
    p, x = gaussian(), torch.randn(7, 3, generator=rng(), dtype=F64)
    expected = stats.multivariate_normal(p.mean.numpy(), p.covariance.numpy()).logpdf(x.numpy())
    assert torch.allclose(p.log_prob(x), torch.from_numpy(expected), rtol=1e-12)


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
    """Six standard errors on each moment: false alarm 1e-9; a mean off by 2 % of a std fails."""
    n = 200_000
    x = p.sample(n, rng(3))
    z_mean = (x.mean(0) - p.mean) / (p.covariance.diagonal() / n).sqrt()
    offset = x - p.mean
    products = offset[:, :, None] * offset[:, None, :]
    z_cov = (products.mean(0) - p.covariance) / (products.std(0) / n**0.5)
    assert z_mean.abs().max() < 6
    assert z_cov.abs().max() < 6
    assert torch.equal(x, p.sample(n, rng(3)))
    assert not torch.equal(x, p.sample(n, rng(4)))


def test_component_labels_belong_to_their_samples():
    p = mixture()
    x, k = p.sample_with_component(200_000, rng(5))
    share = torch.bincount(k, minlength=3) / len(k)
    assert (share - p.weights).abs().max() < 6 * 0.5 / len(k) ** 0.5
    for i in range(3):
        part = p.component(i)
        z = (x[k == i].mean(0) - part.mean) / (part.covariance.diagonal() / (k == i).sum()).sqrt()
        assert z.abs().max() < 6
    # A posterior probability is calibrated: its mean over samples is the component's share.
    assert torch.allclose(p.responsibilities(x).mean(0), p.weights, atol=0.01)


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


def test_ppca_likelihood_is_its_gaussians():
    model, x = ppca(), torch.randn(9, 5, generator=rng(), dtype=F64)
    assert torch.allclose(model.log_prob(x), model.marginal().log_prob(x), rtol=1e-12)


def test_ppca_posterior_is_bayes_rule():
    """log p(z) + log p(x|z) - log p(z|x) is log p(x) for every z."""
    model, x = ppca(), torch.randn(9, 5, generator=rng(), dtype=F64)
    mean, cov = model.posterior(x)
    prior = Gaussian(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))
    for seed in range(3):
        z = torch.randn(9, 2, generator=rng(seed), dtype=F64)
        evidence = prior.log_prob(z) + model.log_px_given_z(x, z) - Gaussian(mean, cov).log_prob(z)
        assert torch.allclose(evidence, model.log_prob(x), rtol=1e-12)


def test_ppca_samples_follow_its_marginal():
    model, n = ppca(), 200_000
    x, p = model.sample(n, rng(6)), model.marginal()
    white = torch.linalg.solve(torch.linalg.cholesky(p.covariance), (x - p.mean).mT).mT
    assert (white.mean(0) * n**0.5).abs().max() < 6
    assert (
        (white.mT @ white / n - torch.eye(5, dtype=F64)) * (n / 2) ** 0.5
    ).abs().max() < 6 * 2**0.5


def test_ppca_likelihood_is_differentiable_in_its_parameters():
    model = ppca()
    loadings = model.loadings.clone().requires_grad_()
    noise_std = model.noise_std.clone().requires_grad_()
    x = torch.randn(4, 5, generator=rng(), dtype=F64)
    assert torch.autograd.gradcheck(
        lambda w, s: LinearGaussian(w, model.mean, s).log_prob(x).sum(), (loadings, noise_std)
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


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 1.0], [1.0, 1.0]])), "definite"),
        (lambda: Gaussian(torch.zeros(2), -torch.eye(2)), "definite"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]])), "symmetric"),
        (lambda: Gaussian(torch.tensor([0.0, torch.nan]), torch.eye(2)), "finite"),
        (lambda: GaussianMixture.isotropic(torch.zeros(2, 1), 0.0), "std must be positive, got 0"),
        (
            lambda: GaussianMixture.isotropic(torch.zeros(2, 1), 1.0, torch.tensor([0.5, 0.6])),
            "sum to 1",
        ),
        (
            lambda: GaussianMixture.isotropic(torch.zeros(2, 1), 1.0, torch.tensor([1.5, -0.5])),
            "positive and sum",
        ),
        (
            lambda: LinearGaussian(torch.ones(3, 1), torch.zeros(3), torch.tensor(0.0)),
            "noise_std must be positive",
        ),
        (lambda: gaussian(2).log_prob(torch.zeros(5, 3, dtype=F64)), "2 entries on the last axis"),
        (lambda: gaussian(2).log_prob(torch.zeros(5, 2)), "float32 but the parameters"),
        (lambda: gaussian(2).noised(rates(0.0, 0.0)), "both 0"),
        (lambda: gaussian(2).noised(rates(0.5, -0.1)), "sigma_t must be finite and at least 0"),
        (lambda: gaussian(2).noised(rates(float("nan"), 0.1)), "alpha_t must be finite"),
        (lambda: gaussian(2).wasserstein_2(gaussian(3)), "dimensions differ: 2 and 3"),
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
