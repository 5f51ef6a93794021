"""The exact ELBO, its gap, mean field and EM, against quadrature and the likelihood."""

import math

import pytest
import torch

from chance import mean_gap
from fromnoise.elbo import distortion, elbo, rate_estimate
from fromnoise.gaussians import Gaussian
from fromnoise.information import gaussian_kl_divergence
from fromnoise.linear_elbo import (
    elbo_gap,
    em_step,
    fit_linear_gaussian,
    linear_elbo,
    linear_posterior,
    mean_field,
    mean_field_cost,
    standard_normal,
)
from fromnoise.linear_gaussian import LinearGaussian

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ppca(dim: int = 6, latent: int = 2, seed: int = 0) -> LinearGaussian:
    g = rng(seed)
    return LinearGaussian(
        torch.randn(dim, latent, generator=g, dtype=F64),
        torch.randn(dim, generator=g, dtype=F64),
        torch.tensor(0.6, dtype=F64),
    )


def some_q(n: int, latent: int = 2, seed: int = 1) -> Gaussian:
    g = rng(seed)
    root = torch.randn(n, latent, latent, generator=g, dtype=F64)
    covariance = root @ root.mT + 0.1 * torch.eye(latent, dtype=F64)
    return Gaussian(torch.randn(n, latent, generator=g, dtype=F64), covariance)


def test_linear_elbo_is_its_integral_over_the_latent():
    """Trapezoid rule in the plane of latents, from the three log densities alone."""
    model, x, q = ppca(), torch.randn(1, 6, generator=rng(3), dtype=F64), some_q(1)
    axis = torch.linspace(-14, 14, 701, dtype=F64)
    z = torch.cartesian_prod(axis, axis)
    log_q = q.log_prob(z)
    log_weight = model.log_px_given_z(x, z) + standard_normal(q).log_prob(z) - log_q
    integral = (log_q.exp() * log_weight).sum() * (axis[1] - axis[0]) ** 2
    assert torch.allclose(linear_elbo(model, x, q)[0], integral, rtol=1e-9)


def test_elbo_plus_gap_is_the_log_likelihood():
    model, x, q = ppca(), torch.randn(50, 6, generator=rng(3), dtype=F64), some_q(50)
    total = linear_elbo(model, x, q) + elbo_gap(model, x, q)
    assert torch.allclose(total, model.log_prob(x), rtol=1e-11)
    assert (elbo_gap(model, x, q) > 0).all()
    assert elbo_gap(model, x, linear_posterior(model, x)).abs().max() < 1e-11


def test_monte_carlo_elbo_agrees_with_the_exact_one():
    """100,000 draws; a bound that forgets log q, and q that is a bit too wide, are outside."""
    model, x, q = ppca(), torch.randn(3, 6, generator=rng(3), dtype=F64), some_q(3)
    z = q.sample(100_000, rng(4))
    terms = model.log_px_given_z(x, z), standard_normal(q).log_prob(z), q.log_prob(z)
    draws, exact = terms[0] + terms[1] - terms[2], linear_elbo(model, x, q)
    assert mean_gap(draws, exact) < 1
    assert mean_gap(draws + terms[2], exact) > 1
    torch.testing.assert_close(elbo(*terms), draws.mean(0))
    assert torch.allclose(
        elbo(*terms), -(rate_estimate(terms[2], terms[1]) + distortion(terms[0])), rtol=1e-12
    )


def test_mean_field_is_the_best_diagonal_q():
    """No diagonal Gaussian near it does better, and the cost is its divergence."""
    p = some_q(1, latent=3, seed=5)
    best = mean_field(p)
    cost = gaussian_kl_divergence(best, p)
    assert torch.allclose(cost, mean_field_cost(p), rtol=1e-10)
    g = rng(0)
    for _ in range(20):
        shift = 0.05 * torch.randn(1, 3, generator=g, dtype=F64)
        stretch = (0.05 * torch.randn(1, 3, generator=g, dtype=F64)).exp()
        for mean, scale in ((best.mean + shift, 1.0), (best.mean, stretch)):
            other = Gaussian(mean, best.covariance * torch.diag_embed(scale * torch.ones(1, 3)))
            assert gaussian_kl_divergence(other, p) > cost
    shadow = Gaussian(p.mean, torch.diag_embed(p.covariance.diagonal(dim1=-2, dim2=-1)))
    assert gaussian_kl_divergence(shadow, p) > cost


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.9, 0.999])
def test_mean_field_costs_half_the_log_of_one_minus_rho_squared(rho):
    p = Gaussian(torch.zeros(2, dtype=F64), torch.tensor([[1.0, rho], [rho, 1.0]], dtype=F64))
    assert math.isclose(
        mean_field_cost(p).item(), -0.5 * math.log1p(-(rho**2)), rel_tol=1e-9, abs_tol=1e-14
    )


def data(n: int = 400, seed: int = 7) -> torch.Tensor:
    return ppca(seed=seed).sample(n, rng(seed))


def test_closed_form_fit_is_a_maximum_of_the_likelihood():
    x = data()
    fit = fit_linear_gaussian(x, 2)
    loadings, noise_std = fit.loadings.requires_grad_(), fit.noise_std.requires_grad_()
    mean = fit.mean.requires_grad_()
    best = LinearGaussian(loadings, mean, noise_std).log_prob(x).mean()
    for gradient in torch.autograd.grad(best, (loadings, mean, noise_std)):
        assert gradient.abs().max() < 1e-10
    g = rng(1)
    for _ in range(10):
        near = loadings.detach() + 0.02 * torch.randn(loadings.shape, generator=g, dtype=F64)
        assert LinearGaussian(near, mean, noise_std).log_prob(x).mean() < best


def test_em_never_lowers_the_likelihood_and_ends_at_the_closed_form():
    x, model = data(), ppca(seed=11)
    before = model.log_prob(x).mean()
    for _ in range(300):
        model = em_step(model, x)
        after = model.log_prob(x).mean()
        assert after >= before - 1e-12
        before = after
    assert torch.allclose(before, fit_linear_gaussian(x, 2).log_prob(x).mean(), rtol=1e-10)


def test_m_step_is_the_top_of_the_bound_with_q_held():
    x, model = data(), ppca(seed=11)
    model = em_step(model, x)
    q = linear_posterior(model, x)
    new = em_step(model, x)
    loadings, noise_std = new.loadings.requires_grad_(), new.noise_std.requires_grad_()
    bound = linear_elbo(LinearGaussian(loadings, new.mean, noise_std), x, q).mean()
    for gradient in torch.autograd.grad(bound, (loadings, noise_std)):
        assert gradient.abs().max() < 1e-10
    assert bound > linear_elbo(model, x, q).mean()
    assert bound < new.log_prob(x).mean()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: em_step(ppca(), torch.zeros(1, 6, dtype=F64)), "at least 2 rows of data, got 1"),
        (lambda: fit_linear_gaussian(data(), 6), r"n_latents must lie in 1\.\.5, got 6"),
        (lambda: fit_linear_gaussian(data(), 0), "got 0"),
        (lambda: fit_linear_gaussian(torch.zeros(9, 3), 1), "noise_std must be positive"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_rows_are_enough():
    x = torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, -0.5]], dtype=F64)
    assert (em_step(ppca(dim=3, latent=1), x).mean - x.mean(0)).abs().max() < 1e-15
    # Two rows lie on a line: one latent explains them and no noise is left, which is another error.
    with pytest.raises(ValueError, match="noise_std must be positive"):
        fit_linear_gaussian(x, 1)
    with pytest.raises(ValueError, match="at least 2 rows"):
        fit_linear_gaussian(x[:1], 1)


def test_a_fit_in_another_unit_is_the_same_fit():
    x = torch.randn(40, 4, generator=rng(7), dtype=F64) @ torch.randn(
        4, 4, generator=rng(8), dtype=F64
    )
    fit, small = fit_linear_gaussian(x, 2), fit_linear_gaussian(1e-3 * x, 2)
    assert (1e3 * small.loadings - fit.loadings).abs().max() < 1e-9
    assert abs(1e3 * small.noise_std - fit.noise_std) < 1e-9
