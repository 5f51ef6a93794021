"""Extrapolation to infinitely many samples, on exact lines and on known Gaussians."""

import math

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from chance import mean_gap, student_gap
from fromnoise.evaluation import frechet_distance
from fromnoise.extrapolation import extrapolate, frechet_at_infinity

F64 = torch.float64


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=rng(seed), dtype=F64)


def expected_frechet(std_a, std_b, n):
    r"""Mean Frechet distance of n numbers from each of two centered normals, in closed form.

    In one dimension it is the squared difference of means plus that of standard deviations, and
    the mean of a sample's standard deviation is c_4 times the true one.
    """
    c_4 = np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))
    return (std_a**2 + std_b**2) * (1 + 1 / n) - 2 * c_4**2 * std_a * std_b


class TestFrechetAtInfinity:
    def test_the_closed_form_of_the_bias_is_that_of_the_estimator(self):
        """2000 draws of six numbers each; the limit of many numbers is another value."""
        x, y = normal(2000, 6, 0), 1.5 * normal(2000, 6, 1)
        found = np.array(
            [frechet_distance(a[:, None], b[:, None]) for a, b in zip(x, y, strict=True)]
        )
        assert mean_gap(torch.from_numpy(found), expected_frechet(1, 1.5, 6)) < 1
        assert mean_gap(torch.from_numpy(found), 0.25) > 1

    @pytest.mark.parametrize("std", [1.0, 1.5])
    def test_the_bias_falls_like_one_over_n(self, std):
        """Leading term (1 + s^2 + s) / n; twice the size leaves half of it."""
        limit = (1 - std) ** 2
        bias = [expected_frechet(1, std, n) - limit for n in (1000, 2000)]
        assert bias[0] / bias[1] == pytest.approx(2, rel=1e-3)
        assert 1000 * bias[0] == pytest.approx(1 + std**2 + std, rel=1e-3)

    @pytest.mark.parametrize("std", [1.0, 1.5])
    def test_the_line_meets_the_true_distance(self, std):
        """On exact means the rest is of order 1 / n^2; a line in 1 / sqrt(n) misses."""
        sizes = [100, 150, 200, 300, 400]
        values = [expected_frechet(1, std, n) for n in sizes]
        limit = (1 - std) ** 2
        found = extrapolate(sizes, values)
        assert abs(found.limit - limit) < 2 / 100**2
        assert found.slope == pytest.approx(1 + std**2 + std, rel=0.02)
        wrong = np.polyfit(1 / np.sqrt(sizes), values, 1)[1]
        assert abs(wrong - limit) > 20 * abs(found.limit - limit)

    def test_a_line_is_found_exactly(self):
        found = extrapolate([10, 20, 50], [2 + 3 / n for n in (10, 20, 50)])
        assert found == pytest.approx((2, 3), rel=1e-12)

    def test_it_removes_the_bias_of_one_distribution_against_itself(self):
        """Forty pairs of sets, Student's t, a false alarm once in 1e9: 0 is in, the bias is not."""
        plain, limits = [], []
        for s in range(40):
            a, b = normal(400, 6, 2 * s), normal(400, 6, 2 * s + 1)
            plain.append(frechet_distance(a, b))
            limits.append(frechet_at_infinity(a, b, [100, 200, 400], 3, seed=s).limit)
        assert student_gap(torch.tensor(limits), 0.0) < 1
        # The limit is known well enough to tell it from the bias.
        assert student_gap(torch.tensor(limits), np.mean(plain)) > 1
        assert student_gap(torch.tensor(plain), 0.0) > 1

    def test_the_seed_decides(self):
        a, b = normal(60, 2), normal(50, 2, 1)
        one, two, other = (frechet_at_infinity(a, b, [20, 40], 2, seed=s) for s in (0, 0, 1))
        assert one == two != other


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: extrapolate([10, 10], [1.0, 2.0]), r"two or more sizes, got sizes \[10, 10\]"),
        (lambda: extrapolate([10, 20], [1.0, math.inf]), "finite"),
        (lambda: frechet_at_infinity(normal(9, 2), normal(8, 2), [4, 9]), r"2\.\.8 and"),
        (lambda: frechet_at_infinity(normal(9, 2), normal(8, 2), [4, 8], 0), r"\[4, 8\] and 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_sizes_may_begin_at_one_and_repeat_but_not_be_one_size():
    assert extrapolate([1, 2], [3.0, 2.0]) == pytest.approx((1.0, 2.0))
    for sizes in ([0, 2], [2, 0], [2, 2]):
        with pytest.raises(ValueError, match="two or more sizes"):
            extrapolate(sizes, [1.0, 2.0])


def test_subsets_may_be_as_small_as_two_and_as_large_as_the_set():
    x, y = normal(6, 1, 0), normal(6, 1, 1)
    assert np.isfinite(frechet_at_infinity(x, y, [2, 6], n_repeats=1)).all()
    for sizes, n_repeats in (([1, 6], 1), ([2, 7], 1), ([2, 6], 0), ([], 1)):
        with pytest.raises(ValueError, match=r"sizes must lie in 2\.\.6"):
            frechet_at_infinity(x, y, sizes, n_repeats)
    with pytest.raises(ValueError, match="two or more sizes"):
        frechet_at_infinity(x, y, [6, 6], n_repeats=1)
