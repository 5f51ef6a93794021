"""Probabilistic PCA agrees with its marginal and with Bayes' rule."""

import pytest
import torch

from chance import covariance_gap, mean_gap
from fromnoise.gaussians import Gaussian
from fromnoise.linear_gaussian import LinearGaussian

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ppca(dim: int = 5, latent: int = 2, seed: int = 2) -> LinearGaussian:
    g = rng(seed)
    return LinearGaussian(
        torch.randn(dim, latent, generator=g, dtype=F64),
        torch.randn(dim, generator=g, dtype=F64),
        torch.tensor(0.7, dtype=F64),
    )


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
    # 200,000 draws see 3 percent of a standard deviation, and 5 percent of a variance.
    assert mean_gap(x, p.mean) < 1 < mean_gap(1.1 * x, p.mean)
    assert covariance_gap(x, p.covariance) < 1
    louder = LinearGaussian(model.loadings, model.mean, 1.05 * model.noise_std)
    assert covariance_gap(louder.sample(n, rng(6)), p.covariance) > 1


def test_ppca_likelihood_is_differentiable_in_its_parameters():
    model = ppca()
    loadings = model.loadings.clone().requires_grad_()
    noise_std = model.noise_std.clone().requires_grad_()
    x = torch.randn(4, 5, generator=rng(), dtype=F64)
    assert torch.autograd.gradcheck(
        lambda w, s: LinearGaussian(w, model.mean, s).log_prob(x).sum(), (loadings, noise_std)
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: LinearGaussian(torch.ones(3, 1), torch.zeros(3), torch.tensor(0.0)),
            "noise_std must be positive",
        ),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_no_samples_are_an_empty_batch():
    model = LinearGaussian(torch.ones(3, 1), torch.zeros(3), torch.tensor(1.0))
    assert model.sample(0).shape == (0, 3)
