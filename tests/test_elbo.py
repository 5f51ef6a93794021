"""Bounds and their gradients against closed forms, and what is refused."""

import itertools
import math

import pytest
import torch

from fromnoise.elbo import (
    diagonal_log_prob,
    distortion,
    elbo,
    iwae_bound,
    rate,
    rate_estimate,
    reparameterize,
    score_function_surrogate,
)
from fromnoise.gaussians import Gaussian
from fromnoise.information import gaussian_kl_divergence
from fromnoise.linear_elbo import linear_posterior, standard_normal
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


def even_eps(n: int) -> torch.Tensor:
    """Standard normal quantiles at the middles of n equal shares: samples without chance."""
    return torch.special.ndtri((torch.arange(n, dtype=F64) + 0.5) / n)


def discrete_model(n_codes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Joint p(x, z) of one x over a few codes, and a q(z|x) that is not the posterior."""
    g = rng(seed)
    joint = 0.1 * torch.rand(n_codes, generator=g, dtype=F64)
    q = torch.rand(n_codes, generator=g, dtype=F64) + 0.05
    return joint.log(), (q / q.sum()).log()


def test_iwae_bound_climbs_from_the_elbo_towards_the_likelihood():
    """Exact means over all K-tuples of a discrete latent: no sampling."""
    log_joint, log_q = discrete_model()
    log_w, log_px = log_joint - log_q, log_joint.logsumexp(0)
    exact = []
    for k in range(1, 7):
        tuples = torch.tensor(list(itertools.product(range(4), repeat=k)))
        probability = log_q[tuples].sum(1).exp()
        exact.append((probability * iwae_bound(log_w[tuples].mT)).sum())
    assert torch.allclose(exact[0], (log_q.exp() * log_w).sum(), rtol=1e-12)
    assert all(low < high for low, high in itertools.pairwise([*exact, log_px]))


def test_iwae_bound_is_exact_with_the_posterior_and_safe_from_overflow():
    model, x = ppca(), torch.randn(4, 6, generator=rng(3), dtype=F64)
    q = linear_posterior(model, x)
    z = q.sample(5, rng(0))
    log_w = model.log_px_given_z(x, z) + standard_normal(q).log_prob(z) - q.log_prob(z)
    assert torch.allclose(iwae_bound(log_w), model.log_prob(x), rtol=1e-12)
    far = torch.tensor([-2000.0, -2001.0], dtype=F64)
    assert torch.allclose(iwae_bound(far), iwae_bound(far + 2000) - 2000, rtol=1e-14)


def test_diagonal_log_prob_is_the_gaussians():
    g = rng(0)
    mean, log_var, z = (torch.randn(5, 3, generator=g, dtype=F64) for _ in range(3))
    expected = Gaussian(mean, torch.diag_embed(log_var.exp())).log_prob(z)
    assert torch.allclose(diagonal_log_prob(z, mean, log_var), expected, rtol=1e-12)


def test_rate_is_the_general_divergence_and_keeps_its_digits():
    g = rng(0)
    mean, log_var = (
        torch.randn(5, 3, generator=g, dtype=F64),
        torch.randn(5, 3, generator=g).double(),
    )
    q = Gaussian(mean, torch.diag_embed(log_var.exp()))
    expected = gaussian_kl_divergence(q, standard_normal(q))
    assert torch.allclose(rate(mean, log_var), expected, rtol=1e-12)
    tiny = torch.tensor([1e-7], dtype=F64)
    # To second order the rate of a variance e^v is v^2 / 4.
    assert math.isclose(rate(torch.zeros_like(tiny), tiny).item(), 1e-14 / 4, rel_tol=1e-2)


def test_both_gradients_have_the_mean_of_the_closed_form():
    """f(z) = z^2 + 3z: E_q f = mu^2 + sigma^2 + 3 mu. Even quantiles stand in for chance."""
    mean = torch.tensor([0.7], dtype=F64, requires_grad=True)
    log_var = torch.tensor([-0.5], dtype=F64, requires_grad=True)
    eps = even_eps(400_000)[:, None]
    exact = torch.stack([2 * mean + 3, log_var.exp()]).detach()

    def f(z: torch.Tensor) -> torch.Tensor:
        return (z.square() + 3 * z).sum(-1)

    z = reparameterize(mean, log_var, eps)
    by_path = torch.autograd.grad(f(z).mean(), (mean, log_var))
    assert torch.allclose(torch.stack(by_path), exact, atol=1e-4)
    z = z.detach()
    for baseline in (0.0, 5.0):
        surrogate = score_function_surrogate(f(z), diagonal_log_prob(z, mean, log_var), baseline)
        by_score = torch.autograd.grad(surrogate, (mean, log_var))
        # The integrand grows like eps^4 here; the outermost quantiles carry the error.
        assert torch.allclose(torch.stack(by_score), exact, atol=2e-3)


def test_score_function_uses_no_gradient_of_the_value():
    mean = torch.tensor([0.7], dtype=F64, requires_grad=True)
    log_var = torch.zeros(1, dtype=F64)
    z = torch.randn(10, 1, generator=rng(0), dtype=F64)
    value = (z * mean).sum(-1)
    one = torch.autograd.grad(
        score_function_surrogate(value, diagonal_log_prob(z, mean, log_var)), mean
    )
    two = torch.autograd.grad(
        score_function_surrogate(value.detach(), diagonal_log_prob(z, mean, log_var)), mean
    )
    assert torch.equal(one[0], two[0])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: iwae_bound(torch.zeros(0, 3)), "at least 1 sample"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_estimates_are_means_over_draws_of_the_sums_they_name():
    px, pz, qz = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(2)).double()
    assert (elbo(px, pz, qz) - (px + pz - qz).sum(0) / 4).abs().max() < 1e-15
    assert (rate_estimate(qz, pz) - (qz - pz).sum(0) / 4).abs().max() < 1e-15
    assert (distortion(px) + px.sum(0) / 4).abs().max() < 1e-15
    assert (elbo(px, pz, qz) + rate_estimate(qz, pz) + distortion(px)).abs().max() < 1e-15


def test_a_draw_is_the_mean_plus_the_noise_in_units_of_its_spread():
    mean, log_var = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(4.0)]])
    assert reparameterize(mean, log_var, torch.tensor([[1.0, 1.0]])).tolist() == [[2.0, 0.0]]


def test_a_baseline_is_taken_off_the_value():
    value, log_q = torch.tensor([[3.0], [5.0]]), torch.tensor([[-1.0], [-2.0]])
    assert score_function_surrogate(value, log_q, 4.0) == torch.tensor([(1.0 - 2.0) / 2])


def test_a_log_density_sums_over_the_last_axis():
    z = torch.zeros(2, 3)
    assert diagonal_log_prob(z, z, z).tolist() == pytest.approx([-1.5 * math.log(2 * math.pi)] * 2)
