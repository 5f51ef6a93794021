"""The closed forms agree with quadrature, with each other and with a second implementation."""

import math

import pytest
import torch

from fromnoise.gaussian_kl import kl_diagonal, kl_full
from fromnoise.gaussians import Gaussian
from fromnoise.information import gaussian_kl_divergence


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_factor(batch, dim, seed):
    a = draw(batch, dim, dim, seed=seed)
    return torch.linalg.cholesky(a @ a.mT + 0.3 * torch.eye(dim, dtype=torch.float64))


@pytest.mark.parametrize("log_var_q", [-6.0, -0.5, 0.0, 1.5])
def test_one_dimension_equals_the_integral(log_var_q):
    mean_p, log_var_p = -0.4, 0.8
    sigma = math.exp(0.5 * log_var_q)
    x = 0.7 + sigma * torch.linspace(-12, 12, 40001, dtype=torch.float64)

    def log_normal(mean, log_var):
        return -0.5 * ((x - mean) ** 2 / math.exp(log_var) + log_var + math.log(2 * math.pi))

    log_q, log_p = log_normal(0.7, log_var_q), log_normal(mean_p, log_var_p)
    integral = torch.trapezoid(log_q.exp() * (log_q - log_p), x)
    numbers = torch.tensor([[0.7], [log_var_q], [mean_p], [log_var_p]], dtype=torch.float64)
    found = kl_diagonal(*numbers)
    torch.testing.assert_close(found[0], integral, rtol=1e-10, atol=1e-12)


def test_the_default_is_the_standard_normal():
    mean, log_var = draw(4, 3), draw(4, 3, seed=1)
    zero = torch.zeros_like(mean)
    assert torch.equal(kl_diagonal(mean, log_var), kl_diagonal(mean, log_var, zero, zero))


def test_diagonal_is_full_with_a_diagonal_factor():
    mean_q, mean_p, log_var_q, log_var_p = (draw(5, 4, seed=s) for s in range(4))
    full = kl_full(
        mean_q,
        torch.diag_embed(torch.exp(0.5 * log_var_q)),
        mean_p,
        torch.diag_embed(torch.exp(0.5 * log_var_p)),
    )
    diagonal = kl_diagonal(mean_q, log_var_q, mean_p, log_var_p).sum(-1)
    torch.testing.assert_close(full, diagonal, rtol=1e-12, atol=1e-12)


def test_full_agrees_with_the_eigenvalue_form_and_with_torch():
    mean_q, mean_p = draw(6, 4), draw(6, 4, seed=1)
    l_q, l_p = random_factor(6, 4, 2), random_factor(6, 4, 3)
    found = kl_full(mean_q, l_q, mean_p, l_p)
    eigen = gaussian_kl_divergence(Gaussian(mean_q, l_q @ l_q.mT), Gaussian(mean_p, l_p @ l_p.mT))
    torch.testing.assert_close(found, eigen, rtol=1e-10, atol=1e-10)
    normal = torch.distributions.MultivariateNormal
    peer = torch.distributions.kl_divergence(
        normal(mean_q, scale_tril=l_q), normal(mean_p, scale_tril=l_p)
    )
    torch.testing.assert_close(found, peer, rtol=1e-10, atol=1e-10)


def test_equal_distributions_are_at_distance_zero_and_others_are_not():
    mean, factor = draw(3, 4), random_factor(3, 4, 1)
    assert kl_full(mean, factor, mean, factor).abs().max() < 1e-14
    assert kl_diagonal(mean, mean, mean, mean).abs().max() == 0
    assert (kl_full(mean, factor, mean, 1.1 * factor) > 0).all()
    assert (kl_full(mean, factor, mean + 0.1, factor) > 0).all()


def test_it_is_invariant_under_a_change_of_coordinates():
    mean_q, mean_p = draw(3, seed=5), draw(3, seed=6)
    l_q, l_p = random_factor(1, 3, 7)[0], random_factor(1, 3, 8)[0]
    a = draw(3, 3, seed=9)

    def moved(factor):
        return torch.linalg.cholesky(a @ factor @ factor.mT @ a.mT)

    before = kl_full(mean_q, l_q, mean_p, l_p)
    after = kl_full(a @ mean_q, moved(l_q), a @ mean_p, moved(l_p))
    torch.testing.assert_close(before, after, rtol=1e-9, atol=1e-9)


def test_a_posterior_that_almost_is_the_prior_keeps_its_digits():
    tiny = torch.tensor([1e-9], dtype=torch.float64)
    found = kl_diagonal(torch.zeros(1).double(), tiny)
    torch.testing.assert_close(found, tiny**2 / 4, rtol=1e-6, atol=0)


def test_a_factor_without_a_positive_diagonal_is_refused():
    mean, good = torch.zeros(2), torch.eye(2)
    bad = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    with pytest.raises(ValueError, match="diagonal of cholesky_q must be positive, got 0"):
        kl_full(mean, bad, mean, good)
    with pytest.raises(ValueError, match="diagonal of cholesky_p must be positive, got -1"):
        kl_full(mean, good, mean, -good)
