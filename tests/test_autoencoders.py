"""The best denoiser is known in closed form, and its step is the score of the noisy data."""

import dataclasses
import math

import pytest
import torch

from fromnoise.autoencoders import (
    SETTINGS,
    Autoencoder,
    LinearDenoiser,
    fit_autoencoder,
    fit_linear_denoiser,
    perceptron,
    reconstruction_error,
    score_of_denoiser,
    shrinkage,
)
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.networks import seeded
from fromnoise.schedules import Scales

F64 = torch.float64
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.5)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def at(sigma):
    one = torch.ones((), dtype=F64)
    return Scales(one, sigma * one, 0 * one, 0 * one)


def ring(std=0.3):
    angles = torch.arange(8) * math.pi / 4
    return GaussianMixture.isotropic(2 * torch.stack([angles.cos(), angles.sin()], 1), std)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0])
def test_the_step_of_the_best_denoiser_is_the_score_of_the_noisy_data(sigma):
    """Exactly, at every noise level; neither the clean score nor another level's will do."""
    x_t = normal(20, 2)
    found = score_of_denoiser(lambda x: MIXTURE.posterior_mean(x, at(sigma)), x_t, sigma)
    torch.testing.assert_close(found, MIXTURE.noised(at(sigma)).score(x_t), rtol=0, atol=1e-10)
    for wrong in (MIXTURE.score(x_t), MIXTURE.noised(at(1.2 * sigma)).score(x_t), -found):
        assert (found - wrong).abs().max() > 1e-3


def test_it_tends_to_the_clean_score_with_the_square_of_the_noise():
    x = normal(20, 2)

    def gap(sigma):
        found = score_of_denoiser(lambda x: MIXTURE.posterior_mean(x, at(sigma)), x, sigma)
        return (found - MIXTURE.score(x)).norm().item()

    assert math.log(gap(0.02) / gap(0.01), 2) == pytest.approx(2, abs=0.01)


def linear_error(matrix, offset, data, sigma):
    r"""$E \Vert W x_t + b - x_0 \Vert^2$ over the data and all noise, without sampling."""
    return (data @ matrix.mT + offset - data).square().sum(1).mean() + (
        sigma**2 * matrix.square().sum()
    )


def test_the_best_linear_denoiser_is_where_the_error_is_flat():
    data, sigma = normal(30, 3) @ normal(3, 3, seed=1) + 0.7, 0.8
    best = fit_linear_denoiser(data, sigma)

    def slopes(matrix, offset):
        matrix, offset = matrix.clone().requires_grad_(), offset.clone().requires_grad_()
        error = linear_error(matrix, offset, data, sigma)
        return max(g.abs().max().item() for g in torch.autograd.grad(error, (matrix, offset)))

    offset = best.mean - best.matrix @ best.mean
    assert slopes(best.matrix, offset) < 1e-12
    half = fit_linear_denoiser(data, math.sqrt(0.5) * sigma)
    assert slopes(half.matrix, offset) > 1e-2
    assert slopes(best.matrix, 0 * offset) > 1e-2
    assert slopes(torch.linalg.inv(best.matrix), offset) > 1e-2


def test_it_shrinks_each_principal_direction_by_its_share():
    data, sigma = normal(30, 3) @ normal(3, 3, seed=1), 0.8
    variances, directions = torch.linalg.eigh(torch.cov(data.mT, correction=0))
    kept = shrinkage(variances, sigma)
    denoiser = fit_linear_denoiser(data, sigma)
    found = directions.mT @ denoiser.matrix @ directions
    torch.testing.assert_close(found, torch.diag(kept), rtol=0, atol=1e-12)
    left = linear_error(denoiser.matrix, denoiser.mean - denoiser.matrix @ denoiser.mean, data, 0.8)
    assert left.item() == pytest.approx(sigma**2 * kept.sum().item(), rel=1e-12)


def test_for_gaussian_data_it_is_the_posterior_mean():
    """Points whose covariance is exactly C: the fit sees nothing else."""
    root, mean = torch.linalg.cholesky(torch.tensor([[1.0, 0.4], [0.4, 0.3]], dtype=F64)), 0.6
    arms = math.sqrt(2) * torch.cat([root.mT, -root.mT])
    bell = Gaussian(torch.full((2,), mean, dtype=F64), root @ root.mT)
    denoiser, x_t = fit_linear_denoiser(mean + arms, 0.7), normal(9, 2)
    torch.testing.assert_close(denoiser(x_t), bell.posterior_mean(x_t, at(0.7)), rtol=0, atol=1e-12)
    found = score_of_denoiser(denoiser, x_t, 0.7)
    torch.testing.assert_close(found, bell.noised(at(0.7)).score(x_t), rtol=0, atol=1e-12)


def test_the_matrix_acts_on_columns():
    turn = LinearDenoiser(torch.zeros(2, dtype=F64), torch.tensor([[0, -1.0], [1, 0]], dtype=F64))
    assert turn(torch.tensor([[1.0, 0.0]], dtype=F64)).tolist() == [[0, 1]]


def test_the_error_is_of_the_clean_point_given_the_noisy_one():
    x_0, eps = normal(4, 2), normal(4, 2, seed=1)
    found = reconstruction_error(lambda x: 0.5 * x, x_0, eps, 0.6)
    torch.testing.assert_close(found, (0.3 * eps - 0.5 * x_0).square().sum(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(
        reconstruction_error(lambda x: x, x_0, eps, 0.6), 0.36 * eps.square().sum(1)
    )
    assert reconstruction_error(lambda x: x, x_0, eps, 0.0).max() == 0


def test_the_best_linear_autoencoder_leaves_the_smallest_variances():
    """PCA is the bound: no training ends below it, and this one comes within a percent."""
    root = torch.diag(torch.tensor([2.0, 1.0, 0.4, 0.2], dtype=F64))
    data = normal(500, 4) @ root @ torch.linalg.qr(normal(4, 4, seed=1))[0] + 0.5
    variances = torch.linalg.eigvalsh(torch.cov(data.mT, correction=0))
    settings = dataclasses.replace(SETTINGS, n_steps=600, learning_rate=2e-2)
    model = fit_autoencoder(data, 2, linear=True, settings=settings)
    error = model.error(data).mean().item()
    assert 1 - 1e-12 < error / variances[:2].sum().item() < 1.01


def test_codes_drawn_at_random_are_not_codes_of_data():
    """The ring through a code of one number; its way back is good, points of random codes not."""
    data = ring(0.05).sample(2000, rng())
    model = fit_autoencoder(data, 2, settings=dataclasses.replace(SETTINGS, n_steps=400))
    assert model.error(data).mean() < 0.05
    x = model.sample(1000, rng(2))
    distance = (x[:, None] - ring().components.mean).norm(dim=-1).amin(1)
    assert (distance > 0.5).float().mean() > 0.3
    assert torch.equal(x, model.decode(torch.randn(1000, 2, generator=rng(2))))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: score_of_denoiser(torch.neg, torch.zeros(1, 2), 0.0), "positive and finite"),
        (lambda: fit_linear_denoiser(torch.zeros(3, 2), math.nan), "got nan"),
        (lambda: fit_linear_denoiser(torch.zeros(0, 2), 1.0), "no data"),
        (lambda: reconstruct(sigma=-1.0), "at least 0 and finite, got -1.0"),
        (lambda: reconstruct(sigma=math.inf), "got inf"),
        (lambda: score_of_denoiser(torch.neg, torch.zeros(1, 2), math.inf), "got inf"),
        (lambda: fit_linear_denoiser(torch.zeros(3, 2), 0.0), "finite, got 0.0"),
        (lambda: fit_linear_denoiser(torch.zeros(3, 2), math.inf), "got inf"),
        (lambda: shrinkage(torch.tensor([1.0, -1.0]), 1.0), "at least 0, got -1"),
        (lambda: shrinkage(torch.ones(1), math.inf), "got inf"),
        (lambda: Autoencoder(2, 0), "got 2, 0, 64"),
        (lambda: perceptron(2, 0, 1), "got 2, 0, 1"),
        (lambda: shrinkage(torch.tensor([-1.0]), 1.0), "at least 0, got -1"),
        (lambda: shrinkage(torch.ones(1), 0.0), "positive and finite, got 0.0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def reconstruct(sigma):
    return reconstruction_error(torch.neg, torch.zeros(1, 2), torch.zeros(1, 2), sigma)


def test_the_least_sizes_and_variances_are_allowed():
    assert Autoencoder(1, 1, width=1).sample(0, rng()).shape == (0, 1)
    with seeded(0):
        assert perceptron(1, 1, 1)(torch.ones(2, 1)).shape == (2, 1)
    assert shrinkage(torch.zeros(1), 1.0).item() == 0


@pytest.mark.parametrize("linear", [True, False])
def test_a_linear_autoencoder_maps_lines_to_lines_both_ways(linear):
    model = Autoencoder(3, 2, linear=linear).double()
    for way, a, b in ((model.encode, *normal(2, 4, 3)), (model.decode, *normal(2, 4, 2, seed=1))):
        bend = (way((a + b) / 2) - (way(a) + way(b)) / 2).abs().max().item()
        assert (bend < 1e-14) == linear


def test_the_error_of_an_autoencoder_is_the_way_from_its_answer():
    model, x = Autoencoder(3, 2, linear=True).double(), normal(5, 3)
    with torch.no_grad():
        there = model.decode(model.encode(x))
        torch.testing.assert_close(model.error(x), torch.cdist(there, x).diagonal().square())
