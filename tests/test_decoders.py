"""A likelihood is a distribution: it sums or integrates to one, and samples follow it."""

import itertools
import math

import pytest
import torch
from scipy import integrate, stats

from chance import covariance_gap, mean_gap, share_gap
from fromnoise.datasets import from_levels
from fromnoise.decoders import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Gaussian,
    log_bin,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def mass_of_levels(likelihood, parameters, n_levels=17):
    """Log-probability of each level of one pixel, by `log_prob` alone."""
    levels = from_levels(torch.arange(n_levels), n_levels, torch.float64)
    row = parameters.double().expand(n_levels, 1, -1)
    return likelihood.log_prob(row, levels[:, None])


@pytest.mark.parametrize("n_levels", [2, 5, 17])
@pytest.mark.parametrize("make", [DiscretizedLogistic, Categorical])
def test_the_levels_of_a_pixel_share_probability_one(make, n_levels):
    likelihood = make(n_levels)
    for seed in range(20):
        parameters = 3 * randn(1, 1, likelihood.n_parameters, seed=seed)
        log_mass = mass_of_levels(likelihood, parameters, n_levels)
        assert log_mass.exp().sum().item() == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(
            likelihood.log_probs(parameters)[0, 0], log_mass, rtol=1e-12, atol=1e-12
        )


def test_the_binned_gaussian_shares_probability_one():
    for sigma, mean in itertools.product([0.01, 0.2, 3.0], [-1.4, -0.03, 0.9]):
        likelihood = Gaussian(sigma)
        levels = from_levels(torch.arange(17), 17, torch.float64)[:, None]
        means = torch.full((17, 1, 1), mean, dtype=torch.float64)
        assert likelihood.log_mass(means, levels).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("mean, log_scale", [(0.1, -1.0), (-0.95, -3.0), (1.6, 0.5)])
def test_a_level_gets_the_integral_of_the_logistic_density_over_its_bin(mean, log_scale):
    parameters = torch.tensor([[[mean, log_scale]]], dtype=torch.float64)
    found = mass_of_levels(DiscretizedLogistic(), parameters).exp()
    ends = [-math.inf, *[-1 + (2 * g + 1) / 16 for g in range(16)], math.inf]
    logistic = stats.logistic(mean, math.exp(log_scale))
    for level in range(17):
        low, high = ends[level : level + 2]
        area = integrate.quad(logistic.pdf, low, high, epsabs=1e-13)[0]
        assert found[level].item() == pytest.approx(area, abs=1e-10)


def test_a_gaussian_bin_gets_the_integral_of_the_density():
    likelihood = Gaussian(0.3)
    x, mean = 0.25, 0.61
    center = torch.full((1, 1, 1), mean, dtype=torch.float64)
    found = likelihood.log_mass(center, torch.tensor([[x]], dtype=torch.float64))
    sigma = likelihood.log_sigma.double().exp().item()
    area = integrate.quad(stats.norm(mean, sigma).pdf, x - 1 / 16, x + 1 / 16)[0]
    assert found.exp().item() == pytest.approx(area, rel=1e-9)


def test_extreme_parameters_give_finite_values_and_gradients():
    likelihood = DiscretizedLogistic()
    for mean, log_scale in itertools.product([-1e3, 0.0, 1e3], [-50.0, 0.0, 50.0]):
        parameters = torch.tensor([[[mean, log_scale]]], requires_grad=True)
        for level in (-1.0, 0.125, 1.0):
            value = likelihood.log_prob(parameters, torch.tensor([[level]])).sum()
            (gradient,) = torch.autograd.grad(value, parameters)
            assert torch.isfinite(value), (mean, log_scale, level)
            assert torch.isfinite(gradient).all(), (mean, log_scale, level)


def test_the_log_mass_of_a_far_gaussian_stays_finite():
    likelihood = Gaussian(0.01)
    x = torch.tensor([[-1.0, 0.0, 1.0]])
    far = torch.tensor([[[1.0], [-1.0], [-1.0]]])
    found = likelihood.log_mass(far, x)
    assert torch.isfinite(found).all()
    assert found < -1e4


def test_the_gaussian_density_is_that_of_torch():
    likelihood = Gaussian(0.7)
    mean, x = randn(3, 5, 1), randn(3, 5, seed=1)
    peer = torch.distributions.Normal(mean[..., 0], likelihood.log_sigma.double().exp())
    torch.testing.assert_close(likelihood.log_prob(mean, x), peer.log_prob(x).sum(-1))


def test_black_and_white_pixels_share_probability_one():
    logits = randn(1, 4, 1)
    total = sum(
        Bernoulli().log_prob(logits, torch.tensor([x], dtype=torch.float64)).exp()
        for x in itertools.product([-1, 1], repeat=4)
    )
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_gray_pixels_are_no_bernoulli():
    with pytest.raises(ValueError, match="threshold the images"):
        Bernoulli().log_prob(torch.zeros(1, 2, 1), torch.tensor([[1.0, 0.5]]))


@pytest.mark.parametrize(
    "likelihood, x",
    [(Bernoulli(), (-1.0, 1.0)), (DiscretizedLogistic(3), (-1.0, 0.0, 1.0)),
     (Categorical(3), (-1.0, 0.0, 1.0))],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_samples_and_the_mean_follow_the_probabilities(likelihood, x):
    parameters = 0.7 * randn(1, 1, likelihood.n_parameters, seed=3).float()
    n = 40_000
    draws = likelihood.sample(parameters.expand(n, 1, -1), generator())[:, 0]
    exact = likelihood.log_prob(parameters.expand(len(x), 1, -1), torch.tensor(x)[:, None]).exp()
    other = likelihood.sample(1.5 * parameters.expand(n, 1, -1), generator())[:, 0]
    found, wrong = (
        [share_gap((of == value).sum(), n, p) for value, p in zip(x, exact.tolist(), strict=True)]
        for of in (draws, other)
    )
    # 40,000 draws see a share that is off by 0.03; parameters half as large again are.
    assert max(found) < 1 < max(wrong)
    expected = (exact * torch.tensor(x)).sum()
    torch.testing.assert_close(likelihood.mean(parameters)[0, 0], expected, rtol=1e-5, atol=1e-6)


def test_gaussian_samples_have_the_mean_and_the_spread():
    likelihood = Gaussian(0.4)
    draws = likelihood.sample(torch.full((40_000, 1, 1), 0.3), generator())
    # 40,000 draws see a mean that is off by 0.03 and a spread by 5 percent.
    assert mean_gap(draws, 0.3) < 1 < mean_gap(draws + 0.03, 0.3)
    wider = Gaussian(0.42).sample(torch.full((40_000, 1, 1), 0.3), generator())
    assert covariance_gap(draws[:, 0], 0.16) < 1 < covariance_gap(wider[:, 0], 0.16)
    assert torch.equal(likelihood.mean(torch.full((2, 1, 1), 0.3)), torch.full((2, 1), 0.3))


def test_a_fixed_sigma_is_not_trained():
    assert not Gaussian(0.5, learned=False).log_sigma.requires_grad
    assert Gaussian(0.5).log_sigma.requires_grad


def test_bad_choices_are_refused_in_words():
    with pytest.raises(ValueError, match="sigma must be positive, got 0"):
        Gaussian(0.0)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        DiscretizedLogistic(1)
    with pytest.raises(ValueError, match="at least 2, got 0"):
        Categorical(0)


def test_an_image_costs_the_sum_over_its_pixels():
    g = generator(4)
    x = from_levels(torch.randint(17, (3, 5), generator=g), 17, torch.float64)
    for likelihood in (DiscretizedLogistic(), Categorical(), Gaussian(0.3)):
        parameters = randn(3, 5, likelihood.n_parameters, seed=5)
        methods = [likelihood.log_prob]
        methods += [likelihood.log_mass] if isinstance(likelihood, Gaussian) else []
        for method in methods:
            parts = [method(parameters[:, i : i + 1], x[:, i : i + 1]) for i in range(5)]
            torch.testing.assert_close(method(parameters, x), sum(parts), rtol=1e-12, atol=1e-12)


def test_two_levels_split_the_line_in_half():
    parameters = torch.zeros(1, 1, 1, dtype=torch.float64)
    for x in (-1.0, 1.0):
        log_mass = Gaussian(0.5).log_mass(parameters, torch.full((1, 1), x).double(), 2)
        assert log_mass.item() == pytest.approx(-math.log(2), abs=1e-15)


def test_the_mean_over_levels_is_the_probabilities_times_the_levels():
    parameters = randn(2, 3, 17, seed=6)
    levels = from_levels(torch.arange(17), 17, torch.float64)
    expected = (parameters.softmax(-1) * levels).sum(-1)
    torch.testing.assert_close(Categorical().mean(parameters), expected, rtol=1e-12, atol=1e-12)
    # Probabilities less one each would be off by the sum of the levels, which is zero here:
    # so also a set of levels that is cut in two.
    assert (
        DiscretizedLogistic().log_probs(parameters[..., :2]).exp().sum(-1).sub(1).abs().max()
        < 1e-12
    )


def test_a_scale_below_the_floor_counts_as_the_floor():
    mean, x = torch.zeros(1, dtype=torch.float64), torch.full((1,), 0.125, dtype=torch.float64)
    floor, below, above = (
        log_bin(mean, torch.full((1,), s, dtype=torch.float64), x) for s in (-7.0, -9.0, -6.5)
    )
    assert below == floor
    assert above > floor + 10
