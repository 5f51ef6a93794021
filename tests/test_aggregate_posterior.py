"""Densities of codes integrate to one, the split of the rate adds up, the grid is exact."""

import math

import pytest
import torch
from torch.nn.utils import skip_init

from chance import detectable, mean_gap
from fromnoise.aggregate_posterior import (
    log_aggregate,
    log_likelihood_on_plane,
    plane,
    rate_split,
)
from fromnoise.decoders import Categorical, DiscretizedLogistic, Gaussian
from fromnoise.elbo import iwae_bound
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.vae import VAE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def codes(n, dim=2, seed=0):
    z_mean = torch.randn(n, dim, generator=generator(seed), dtype=torch.float64)
    z_log_var = torch.randn(n, dim, generator=generator(seed + 1), dtype=torch.float64) / 2 - 1
    return z_mean, z_log_var


def test_the_plane_integrates_the_prior_to_one():
    grid = plane(8.0, 160, torch.float64)
    prior = torch.exp(-0.5 * grid.z.square().sum(1)) / (2 * math.pi)
    assert (prior.sum() * math.exp(grid.log_cell)).item() == pytest.approx(1, abs=1e-12)
    assert grid.z.mean(0).abs().max() < 1e-12
    assert len(grid.z) == grid.n_side**2 == 160**2


def test_the_aggregate_posterior_integrates_to_one():
    grid = plane(12.0, 400, torch.float64)
    total = log_aggregate(grid.z, *codes(30)).exp().sum() * math.exp(grid.log_cell)
    assert total.item() == pytest.approx(1, abs=1e-9)


def test_one_image_makes_the_aggregate_its_posterior():
    z_mean, z_log_var = codes(1)
    peer = torch.distributions.Normal(z_mean, torch.exp(z_log_var / 2))
    z = codes(7, seed=4)[0]
    torch.testing.assert_close(log_aggregate(z, z_mean, z_log_var), peer.log_prob(z).sum(1))


def test_the_two_parts_of_the_rate_are_what_quadrature_finds():
    z_mean, z_log_var = codes(20)
    grid = plane(12.0, 500, torch.float64)
    log_q = log_aggregate(grid.z, z_mean, z_log_var)
    log_p = -0.5 * grid.z.square().sum(1) - math.log(2 * math.pi)
    misfit = ((log_q - log_p) * log_q.exp()).sum() * math.exp(grid.log_cell)
    found = rate_split(z_mean, z_log_var, 4000, generator())
    # 400 times 200 draws see an error of about 0.03 nats; codes that lie apart are further off.
    draws, apart = (
        torch.tensor(
            [rate_split(m, z_log_var, 10, g).misfit for _ in range(400)], dtype=misfit.dtype
        )
        for m, g in ((z_mean, generator(2)), (1.3 * z_mean, generator(3)))
    )
    assert detectable(draws) < 0.06
    assert mean_gap(draws, misfit) < 1
    assert mean_gap(apart, misfit) > 1
    rate = kl_diagonal(z_mean, z_log_var).sum(1).mean().item()
    assert found.information + found.misfit == pytest.approx(rate, abs=1e-12)


def test_codes_far_apart_tell_exactly_which_image():
    z_mean = torch.tensor([[100.0 * n, 0.0] for n in range(8)])
    found = rate_split(z_mean, torch.zeros(8, 2), 3, generator())
    assert found.information == pytest.approx(math.log(8), abs=1e-9)


def test_codes_equal_to_the_prior_tell_nothing():
    found = rate_split(torch.zeros(5, 3), torch.zeros(5, 3), 3, generator())
    assert found.information == pytest.approx(0, abs=1e-12)
    assert found.misfit == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("likelihood", [DiscretizedLogistic(3), Categorical(3)])
def test_the_probabilities_of_all_images_sum_to_one(likelihood):
    model = VAE(likelihood, n_latents=2, n_dims=2, width=8).double()
    levels = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    every = torch.cartesian_prod(levels, levels)
    log_px = log_likelihood_on_plane(model, every, plane(8.0, 100, torch.float64))
    assert log_px.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_the_grid_agrees_with_the_closed_form():
    # x = W z + noise in two pixels: log p(x) is that of a Gaussian with covariance W W' + I.
    model = VAE(Gaussian(1.0), n_latents=2, n_dims=2, width=4).double()
    model.decoder = skip_init(torch.nn.Linear, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        model.decoder.weight.copy_(torch.tensor([[0.6, -0.3], [0.2, 0.8]]))
        model.decoder.bias.copy_(torch.tensor([0.1, -0.4]))
    x = torch.randn(6, 2, generator=generator(), dtype=torch.float64)
    weight, bias = model.decoder.weight.detach(), model.decoder.bias.detach()
    covariance = weight @ weight.T + torch.eye(2, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(bias, covariance).log_prob(x)
    found = log_likelihood_on_plane(model, x, plane(8.0, 160, torch.float64))
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)


def test_the_importance_weighted_bound_stays_below_the_grid_and_comes_near():
    model = VAE(DiscretizedLogistic(), n_latents=2, n_dims=6, width=16)
    x = torch.randint(17, (8, 6), generator=generator()) / 8 - 1
    exact = log_likelihood_on_plane(model, x, plane(7.0, 140))
    weights = model.log_weights(x, 4096, generator()).double().detach()
    # The weights are estimates of p(x) without bias, one image beside the other.
    assert mean_gap((weights - exact).exp(), 1.0) < 1
    assert mean_gap((weights - exact.roll(1)).exp(), 1.0) > 1
    gap = (exact - iwae_bound(weights)).mean().item()
    assert (exact - weights.mean(0)).mean().item() > gap


def test_what_does_not_fit_the_plane_is_refused():
    x = torch.zeros(1, 6)
    with pytest.raises(ValueError, match="two latents"):
        log_likelihood_on_plane(VAE(Categorical(), 3, 6, 4), x, plane(1.0, 2))
    with pytest.raises(ValueError, match="sees only the code"):
        log_likelihood_on_plane(VAE(Categorical(), 2, 6, 4, autoregressive=True), x, plane(1.0, 2))
    with pytest.raises(ValueError, match="extent > 0 and n_side >= 1, got 0"):
        plane(0.0, 3)


def test_one_draw_and_one_cell_are_enough_and_no_image_is_not():
    split = rate_split(*codes(5), 1, generator())
    rate = kl_diagonal(*codes(5)).sum(1).mean().item()
    assert split.information + split.misfit == pytest.approx(rate, rel=1e-12)
    grid = plane(2.0, 1, torch.float64)
    assert grid.z.tolist() == [[0.0, 0.0]]
    assert grid.log_cell == pytest.approx(math.log(16))
    for bad in (torch.zeros(0, 2), torch.zeros(2)):
        with pytest.raises((ValueError, TypeError), match=r"row of means|Type-check"):
            log_aggregate(torch.zeros(3, 2), bad, bad)
    for extent, n_side in ((0.0, 3), (1.0, 0)):
        with pytest.raises(ValueError, match="need extent > 0"):
            plane(extent, n_side)
    with pytest.raises(ValueError, match="n_draws"):
        rate_split(*codes(5), 0, generator())
