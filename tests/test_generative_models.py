"""Models that are fitted, sampled and scored: against enumeration and closed forms."""

import itertools
import math

import pytest
import torch

from chance import counts_gap, covariance_gap, share_gap
from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import (
    Bigram,
    Diluted,
    Memorizer,
    dequantize,
    fit_class_gaussians,
    fit_gaussian,
)
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Scales

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data(n: int = 300, dim: int = 3, seed: int = 0) -> torch.Tensor:
    g = rng(seed)
    mix = torch.randn(dim, dim, generator=g, dtype=F64)
    return torch.randn(n, dim, generator=g, dtype=F64) @ mix + 0.5


def scales(alpha, sigma) -> Scales:
    alpha_t, sigma_t = torch.tensor(alpha, dtype=F64), torch.tensor(sigma, dtype=F64)
    return Scales(alpha_t, sigma_t, -torch.ones_like(alpha_t), torch.ones_like(sigma_t))


def standard(dim: int) -> Gaussian:
    return Gaussian(torch.zeros(dim, dtype=F64), torch.eye(dim, dtype=F64))


def test_fitted_gaussian_has_the_highest_likelihood_nearby():
    x = data()
    fit = fit_gaussian(x)
    best, g = fit.log_prob(x).mean(), rng(1)
    assert torch.allclose(fit.mean, x.mean(0))
    assert torch.allclose(fit.covariance, torch.cov(x.mT, correction=0), rtol=1e-10)
    for _ in range(20):
        shift = 0.02 * torch.randn(3, generator=g, dtype=F64)
        turn = torch.eye(3, dtype=F64) + 0.02 * torch.randn(3, 3, generator=g, dtype=F64)
        covariance = turn @ fit.covariance @ turn.mT
        assert Gaussian(fit.mean + shift, fit.covariance).log_prob(x).mean() < best
        covariance = 0.5 * (covariance + covariance.mT)
        assert Gaussian(fit.mean, covariance).log_prob(x).mean() < best


def test_shrinkage_keeps_the_total_variance_and_ends_at_a_sphere():
    x = data()
    whole, half, sphere = (fit_gaussian(x, s).covariance for s in (0.0, 0.5, 1.0))
    assert torch.allclose(whole.trace(), half.trace())
    assert torch.allclose(sphere, whole.trace() / 3 * torch.eye(3, dtype=F64))
    assert torch.allclose(half, (whole + sphere) / 2)


def test_class_gaussians_are_fits_of_each_class_turned_around_by_bayes():
    x, labels = data(), torch.arange(300) % 3
    x = x + labels[:, None]
    model = fit_class_gaussians(x, labels, 0.1)
    parts = [fit_gaussian(x[labels == c], 0.1) for c in range(3)]
    joint = torch.stack([part.log_prob(x) for part in parts], -1).exp() / 3
    assert torch.allclose(model.log_prob(x), joint.sum(-1).log(), rtol=1e-10)
    assert torch.allclose(model.responsibilities(x), joint / joint.sum(-1, keepdim=True), rtol=1e-8)
    assert torch.allclose(model.component(1).log_prob(x), parts[1].log_prob(x), rtol=1e-10)


def test_memorizer_knows_its_points_and_nothing_else():
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [4.0, 5.0]], dtype=F64)
    model = Memorizer(points)
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0], [2.0, 3.0 + 1e-9]], dtype=F64)
    expected = torch.tensor([0.5, 0.25, 0.0], dtype=F64).log()
    assert torch.equal(model.log_prob(x), expected)
    drawn = model.sample(4000, rng())
    assert (model.log_prob(drawn) > -math.inf).all()
    # Half of the points are one point; a draw among the different ones would give a third.
    assert share_gap((drawn == points[0]).all(1).sum(), 4000, 0.5) < 1
    assert share_gap((drawn == points[0]).all(1).sum(), 4000, 1 / 3) > 1


def test_memorizers_denoiser_is_a_mixture_of_needles():
    """The exact posterior mean of a mixture whose components are 1e-4 wide."""
    points = data(20)
    x_t, at = (
        data(6, seed=3),
        scales([0.9, 0.7, 0.5, 0.3, 0.1, 0.0], [0.2, 0.4, 0.6, 0.8, 0.9, 1.0]),
    )
    needles = GaussianMixture.isotropic(points, 1e-4)
    found = Memorizer(points).posterior_mean(x_t, at)
    assert torch.allclose(found, needles.posterior_mean(x_t, at), atol=1e-5)
    assert torch.allclose(found[-1], points.mean(0))
    near = Memorizer(points).posterior_mean(points, scales(1.0, 1e-3))
    assert torch.allclose(near, points)


def test_diluted_model_loses_at_most_the_log_of_its_share():
    good, noise = fit_gaussian(data()), standard(3)
    model, x = Diluted(good, noise, 0.01), 3 * data(200, seed=4)
    lost = good.log_prob(x) - model.log_prob(x)
    assert lost.max() <= math.log(100) + 1e-9  # rounding
    assert lost.max() > math.log(100) - 1e-3
    direct = (0.01 * good.log_prob(x).exp() + 0.99 * noise.log_prob(x).exp()).log()
    assert torch.allclose(model.log_prob(x), direct, rtol=1e-10)


def test_diluted_samples_are_noise_but_for_the_share():
    far = Gaussian(torch.full((3,), 100.0, dtype=F64), torch.eye(3, dtype=F64))
    found, wrong = (Diluted(far, standard(3), s).sample(10_000, rng()) for s in (0.2, 0.25))
    # 10,000 draws see a share that is off by 0.05.
    assert share_gap((found[:, 0] > 50).sum(), 10_000, 0.2) < 1
    assert share_gap((wrong[:, 0] > 50).sum(), 10_000, 0.2) > 1


def test_bigram_sums_to_one_over_all_texts_of_a_length():
    model = Bigram("abcaabbac")
    texts = ["".join(t) for t in itertools.product("abc", repeat=4)]
    total = sum(model.log_prob(text).exp().item() for text in texts)
    assert math.isclose(total, 1.0, rel_tol=1e-12)


def test_bigram_counts_pairs_with_one_added():
    model = Bigram("aab")
    # First character: a 2+1, b 1+1. After a: a 1+1, b 1+1. After b: none, so half and half.
    assert math.isclose(model.log_prob("ab").exp().item(), 3 / 5 * 2 / 4, rel_tol=1e-12)
    assert math.isclose(model.log_prob("ba").exp().item(), 2 / 5 * 1 / 2, rel_tol=1e-12)


def test_bigram_writes_as_often_as_it_says():
    model = Bigram("abcaabbac")
    text = model.sample(20_000, rng())
    assert text == model.sample(20_000, rng())
    after_a = [b for a, b in itertools.pairwise(text) if a == "a"]
    counts = torch.tensor([after_a.count(character) for character in model.alphabet])
    assert counts_gap(counts, model.next[0]) < 1
    # What follows another character is another law.
    assert counts_gap(counts, model.next[1]) > 1


def test_dequantized_data_stay_in_their_level_and_bound_its_probability():
    x = torch.randint(0, 17, (2000, 4), generator=rng()).double() / 8 - 1
    spread = dequantize(x, 1 / 8, rng(1))
    assert ((spread - x).abs() <= 1 / 16).all()
    assert torch.equal(((spread + 1) * 8).round(), (x + 1) * 8)
    # Uniform over the level: its variance is width^2 / 12; 8000 draws see 14 percent.
    noise = 8 * (spread - x).flatten()
    assert covariance_gap(noise, 1 / 12) < 1 < covariance_gap(0.9 * noise, 1 / 12)
    # Jensen: mean log density + log width <= log probability of the level, per dimension.
    p = standard(1)
    edges = torch.special.ndtr(x[:200, :1] + 1 / 16) - torch.special.ndtr(x[:200, :1] - 1 / 16)
    # Midpoints of a thousand parts of a level in place of draws.
    parts = (torch.arange(1000, dtype=F64) + 0.5) / 1000 - 0.5
    bound = p.log_prob(x[:200, :1] + parts[:, None, None] / 8).mean(0) + math.log(1 / 8)
    assert (bound <= edges[:, 0].log()).all()
    assert (bound > edges[:, 0].log() - 1e-3).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: fit_gaussian(torch.zeros(1, 2)), "at least 2 rows of data, got 1"),
        (lambda: fit_gaussian(data(), 1.5), r"shrinkage must lie in \[0, 1\], got 1.5"),
        (lambda: fit_gaussian(data(3, 3)), "positive definite"),
        (lambda: fit_class_gaussians(data(), torch.zeros(300).long() + 1), "every class"),
        (lambda: Memorizer(torch.zeros(0, 2)), "got 0 points"),
        (
            lambda: Memorizer(data()).posterior_mean(data(), scales(1.0, 0.0)),
            "sigma_t must be positive, got 0",
        ),
        (lambda: Diluted(standard(2), standard(2), 0.0), r"share must lie in \(0, 1\), got 0"),
        (lambda: Bigram(""), "text is empty"),
        (lambda: Bigram("ab").log_prob("abc"), r"lacks: \['c'\]"),
        (lambda: Bigram("ab").log_prob(""), "text is empty"),
        (lambda: dequantize(data(), 0.0, rng()), "level_width must be positive, got 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_least_numbers_of_rows_are_allowed_and_the_fit_is_that_of_the_offsets():
    two = torch.tensor([[10.0], [12.0]], dtype=F64)
    fit = fit_gaussian(two)
    assert (fit.mean.item(), fit.covariance.item()) == pytest.approx((11.0, 1.0), abs=1e-12)
    classes = fit_class_gaussians(torch.cat([two, two + 5]), torch.tensor([0, 0, 1, 1]))
    assert classes.components.mean[:, 0].tolist() == [11, 16]
    for rows, labels in ((two[:1], [0]), (torch.cat([two, two[:1]]), [0, 0, 1])):
        with pytest.raises(ValueError, match="at least 2 rows"):
            fit_class_gaussians(rows, torch.tensor(labels))


def test_one_level_without_noise_among_noisy_ones_is_refused():
    memory = Memorizer(data(4))
    with pytest.raises(ValueError, match="sigma_t must be positive, got 0"):
        memory.posterior_mean(data(2), scales([0.8, 0.8], [0.5, 0.0]))


def test_a_memorizer_answers_for_batches_of_any_shape():
    points = data(5)
    memory, x = Memorizer(points), torch.stack([points[:4], points[1:] + 1]).reshape(2, 2, 2, 3)
    assert memory.log_prob(x).shape == (2, 2, 2)
    assert torch.equal(memory.log_prob(x).flatten(), memory.log_prob(x.flatten(0, 2)))
    at = scales(0.9, 0.4)
    assert torch.equal(
        memory.posterior_mean(x, at).flatten(0, 2), memory.posterior_mean(x.flatten(0, 2), at)
    )


def test_noise_of_a_level_stays_within_half_a_level_and_the_width_is_finite():
    x = torch.zeros(1000, dtype=F64)
    noisy = dequantize(x, 0.25, rng())
    u = torch.rand(1000, generator=rng(), dtype=F64)
    assert (noisy.abs() - 0.25 * (u - 0.5).abs()).abs().max() < 1e-15
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="share must lie in"):
            Diluted(standard(1), standard(1), share)
    with pytest.raises(ValueError, match="level_width must be positive, got inf"):
        dequantize(x, math.inf, rng())


def test_pairs_are_counted_in_the_order_of_reading():
    model = Bigram("aab")
    # From a: a once and b once, and one added to each; from b: nothing but what was added.
    assert model.next.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert model.first.tolist() == [0.6, 0.4]
    third = Bigram("abb")
    assert third.next.flatten().tolist() == pytest.approx([1 / 3, 2 / 3] * 2)
    assert third.log_prob("ab").item() == pytest.approx(math.log(0.4 * 2 / 3))


def test_no_samples_are_an_empty_batch_and_no_characters_an_empty_text():
    memorizer = Memorizer(data())
    assert memorizer.sample(0).shape == (0, data().shape[1])
    assert Diluted(standard(2), standard(2), 0.5).sample(0).shape == (0, 2)
    assert Bigram("ab").sample(0) == ""
