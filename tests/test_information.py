"""Entropies and divergences against integrals, inequalities and values known by hand."""

import math

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.information import (
    bits_per_dim,
    cross_entropy,
    entropy,
    gaussian_entropy,
    gaussian_kl_divergence,
    jensen_shannon,
    kl_divergence,
)
from fromnoise.schedules import Scales

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rates(alpha: float | list[float], sigma: float | list[float]) -> Scales:
    alpha_t, sigma_t = torch.tensor(alpha, dtype=F64), torch.tensor(sigma, dtype=F64)
    return Scales(alpha_t, sigma_t, -torch.ones_like(alpha_t), torch.ones_like(sigma_t))


def distributions(n: int = 20, outcomes: int = 6, seed: int = 0) -> torch.Tensor:
    """Random distributions, some of them with impossible outcomes."""
    p = torch.rand(n, outcomes, generator=rng(seed), dtype=F64) ** 3
    p[::4, 0] = 0
    return p / p.sum(-1, keepdim=True)


def gaussian(dim: int, seed: int) -> Gaussian:
    g = rng(seed)
    root = torch.randn(dim, dim, generator=g, dtype=F64)
    covariance = root @ root.mT + 0.2 * torch.eye(dim, dtype=F64)
    return Gaussian(torch.randn(dim, generator=g, dtype=F64), covariance)


def test_entropy_of_known_distributions():
    assert torch.allclose(
        entropy(torch.full((8,), 1 / 8, dtype=F64)), torch.tensor(8.0).log().to(F64)
    )
    assert entropy(torch.tensor([1.0, 0.0, 0.0])) == 0
    half = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=F64)
    assert math.isclose(entropy(half).item(), 1.75 * math.log(2), rel_tol=1e-14)


def test_cross_entropy_is_entropy_plus_divergence():
    p, q = distributions(seed=1), distributions(seed=2).clamp(min=1e-3)
    q = q / q.sum(-1, keepdim=True)
    assert torch.allclose(cross_entropy(p, q), entropy(p) + kl_divergence(p, q), rtol=1e-13)
    assert not torch.allclose(cross_entropy(p, q), entropy(q) + kl_divergence(p, q), rtol=1e-2)


def test_divergence_is_the_defining_sum_positive_and_not_symmetric():
    p, q = distributions(seed=1), (distributions(seed=2) + 0.05) / 1.3
    by_hand = torch.tensor(
        [
            sum(a * math.log(a / b) for a, b in zip(r, s, strict=True) if a > 0)
            for r, s in zip(p.tolist(), q.tolist(), strict=True)
        ],
        dtype=F64,
    )
    assert torch.allclose(kl_divergence(p, q), by_hand, rtol=1e-12)
    assert (kl_divergence(p, q) > 0).all()
    assert (kl_divergence(p, p) == 0).all()
    assert not torch.allclose(kl_divergence(p[1:2], q[1:2]), kl_divergence(q[1:2], p[1:2]))


def test_an_impossible_outcome_costs_infinitely_much_only_if_it_happens():
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    assert kl_divergence(p, q) == math.inf
    assert cross_entropy(p, q) == math.inf
    assert torch.allclose(kl_divergence(q, p), torch.tensor(math.log(2)))


def test_jensen_shannon_is_symmetric_bounded_and_log_2_when_apart():
    p, q = distributions(seed=1), distributions(seed=2)
    js = jensen_shannon(p, q)
    # Entropy of the middle minus the mean entropy: another formula for the same thing.
    middle = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    assert torch.allclose(js, middle, atol=1e-14)
    assert torch.allclose(js, jensen_shannon(q, p), atol=1e-15)
    assert (js > 0).all()
    assert (js < math.log(2)).all()
    apart = jensen_shannon(torch.tensor([1.0, 0.0], dtype=F64), torch.tensor([0.0, 1.0], dtype=F64))
    assert math.isclose(apart.item(), math.log(2), rel_tol=1e-15)


def test_batches_broadcast_one_against_many():
    p, q = distributions(5, seed=1), (distributions(1, seed=2) + 0.05) / 1.3
    assert torch.allclose(kl_divergence(p, q), kl_divergence(p, q.expand(5, -1)))


def test_bits_per_dim_counts_the_width_of_a_level():
    """A uniform density on [-1, 1] cut into 16 levels of width 1/8 costs log2(16) = 4 bits."""
    n_dims = 64
    nats = torch.tensor(n_dims * math.log(2.0), dtype=F64)
    assert math.isclose(bits_per_dim(nats, n_dims, 1 / 8).item(), 4.0, rel_tol=1e-14)
    assert math.isclose(bits_per_dim(nats, n_dims).item(), 1.0, rel_tol=1e-14)


def test_bits_per_dim_does_not_change_with_the_unit_of_length():
    """Pixels times 8 have a density divided by 8 per dimension and levels 8 times as wide."""
    p, n_dims, scale = gaussian(3, 0), 3, 8.0
    x = p.sample(5, rng(1))
    wide = Gaussian(scale * p.mean, scale**2 * p.covariance)
    one = bits_per_dim(-p.log_prob(x), n_dims, 0.1)
    other = bits_per_dim(-wide.log_prob(scale * x), n_dims, 0.1 * scale)
    assert torch.allclose(one, other, rtol=1e-12)


def test_gaussian_entropy_is_the_mean_surprise():
    """On a grid in one dimension; a narrow Gaussian has a negative one."""
    for std in (0.1, 1.0, 3.0):
        p = Gaussian(torch.tensor([0.5], dtype=F64), torch.tensor([[std**2]], dtype=F64))
        x = torch.linspace(-40 * std, 40 * std, 20001, dtype=F64)[:, None]
        log_p = p.log_prob(x)
        by_grid = -(log_p.exp() * log_p).sum() * (x[1, 0] - x[0, 0])
        assert torch.allclose(gaussian_entropy(p), by_grid, rtol=1e-10)
    assert gaussian_entropy(gaussian(1, 0).noised(rates(0.01, 0.0))) < 0


def test_gaussian_entropy_of_a_full_covariance_is_the_log_determinant():
    p = gaussian(4, 3)
    by_slogdet = 0.5 * torch.linalg.slogdet(2 * math.pi * math.e * p.covariance).logabsdet
    assert torch.allclose(gaussian_entropy(p), by_slogdet, rtol=1e-12)


def test_gaussian_divergence_is_the_integral():
    """Trapezoid rule in the plane, for a pair with different axes."""
    p, q = gaussian(2, 1), gaussian(2, 5)
    axis = torch.linspace(-18, 18, 1501, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    log_p = p.log_prob(grid)
    integral = (log_p.exp() * (log_p - q.log_prob(grid))).sum() * (axis[1] - axis[0]) ** 2
    assert torch.allclose(gaussian_kl_divergence(p, q), integral, rtol=1e-9)
    assert not torch.allclose(gaussian_kl_divergence(q, p), integral, rtol=1e-2)
    assert gaussian_kl_divergence(p, p).abs() < 1e-12


def test_gaussian_divergence_broadcasts_over_a_batch():
    p, q = gaussian(3, 1), gaussian(3, 2)
    together = p.noised(rates([1.0, 0.5, 0.1], [0.1, 0.5, 1.0]))
    for i, (alpha, sigma) in enumerate([(1.0, 0.1), (0.5, 0.5), (0.1, 1.0)]):
        one = gaussian_kl_divergence(p.noised(rates(alpha, sigma)), q)
        assert torch.allclose(gaussian_kl_divergence(together, q)[i], one, rtol=1e-13)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: entropy(torch.tensor([0.5, 0.6])), "p must sum to 1"),
        (lambda: entropy(torch.tensor([1.5, -0.5])), "p must hold probabilities"),
        (lambda: entropy(torch.tensor([float("nan"), 1.0])), "p must hold probabilities"),
        (lambda: entropy(torch.zeros(2, 0)), "no outcomes"),
        (lambda: kl_divergence(torch.tensor([0.5, 0.5]), torch.tensor([0.2, 0.2])), "q must sum"),
        (lambda: bits_per_dim(torch.tensor(1.0), 0), "n_dims must be at least 1, got 0"),
        (lambda: bits_per_dim(torch.tensor(1.0), 3, 0.0), "level_width must be positive"),
        (lambda: gaussian_kl_divergence(gaussian(2, 0), gaussian(3, 0)), "differ: 2 and 3"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_bad_distribution_among_good_ones_is_refused():
    with pytest.raises(ValueError, match=r"off by 0\.1"):
        entropy(torch.tensor([[0.5, 0.5], [0.5, 0.6]]))
    for nothing in (torch.zeros(3, 0), torch.zeros(0)):
        with pytest.raises(ValueError, match="no outcomes"):
            entropy(nothing)


def test_an_image_may_have_one_pixel_and_a_level_must_have_a_width():
    assert bits_per_dim(torch.tensor(math.log(2)), 1) == 1
    for width in (0.0, math.inf):
        with pytest.raises(ValueError, match="level_width"):
            bits_per_dim(torch.tensor(1.0), 1, width)
