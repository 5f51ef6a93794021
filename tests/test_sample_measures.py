"""Every measure on sets whose answer is known, most of them by enumeration and to rounding."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from fromnoise.sample_measures import (
    expected_coverage,
    gaussian_kernel,
    kernel_distance,
    mmd_squared,
    neighbor_measures,
    polynomial_kernel,
    random_directions,
    sliced_wasserstein_2,
    wasserstein_2,
)

F64 = torch.float64
KERNELS = pytest.mark.parametrize("kernel", [polynomial_kernel, gaussian_kernel])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=rng(seed), dtype=F64)


def splits(pool, n):
    """Every way to take n rows of the pool and leave the others."""
    for rows in itertools.combinations(range(len(pool)), n):
        taken = torch.zeros(len(pool), dtype=torch.bool)
        taken[list(rows)] = True
        yield pool[taken], pool[~taken]


def with_the_diagonal(x, y, kernel):
    return float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())


class TestKernelDistance:
    @KERNELS
    def test_its_mean_over_all_samples_is_the_distance_of_the_distributions(self, kernel):
        """Three points with weights p and q; every sample of three from p and two from q."""
        points = normal(3, 2)
        p, q = (torch.tensor(w, dtype=F64) for w in ([0.5, 0.3, 0.2], [0.1, 0.2, 0.7]))
        table = kernel(points, points)
        exact = float((p - q) @ table @ (p - q))
        found = wrong = 0.0
        for i in itertools.product(range(3), repeat=3):
            for j in itertools.product(range(3), repeat=2):
                share = float(p[list(i)].prod() * q[list(j)].prod())
                x, y = points[list(i)], points[list(j)]
                found += share * mmd_squared(x, y, kernel)
                wrong += share * with_the_diagonal(x, y, kernel)
        assert abs(found - exact) < 1e-12
        assert wrong - exact > 0.05

    @KERNELS
    def test_over_all_splits_of_one_pool_it_averages_to_zero(self, kernel):
        pool = normal(7, 2)
        found = [mmd_squared(a, b, kernel) for a, b in splits(pool, 3)]
        assert abs(np.mean(found)) < 1e-12
        assert min(found) < 0

    def test_two_points_by_hand(self):
        x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])
        # k(0, 2) = 1, k(1, 1) = 8, k(0, 1) = 1, k(2, 1) = 27
        assert kernel_distance(x, y) == pytest.approx(1 + 8 - (1 + 27), rel=1e-14)

    def test_the_polynomial_kernel_divides_by_the_number_of_dimensions(self):
        x = torch.tensor([[1.0, 3.0]], dtype=F64)
        assert polynomial_kernel(x, torch.tensor([[2.0, 0.0]], dtype=F64)).item() == 8
        assert polynomial_kernel(x, x).item() == 6**3

    def test_a_gaussian_kernel_sees_what_three_moments_miss(self):
        """Two distributions whose first three moments agree, weights by repetition."""
        # +-1 against 0 (half of them) and +-sqrt 2 (a quarter each): mean 0, variance 1, skew 0.
        x = torch.tensor([[-1.0], [1.0]], dtype=F64).repeat(200, 1)
        y = torch.tensor([[0.0], [0.0], [-(2**0.5)], [2**0.5]], dtype=F64).repeat(100, 1)
        assert abs(with_the_diagonal(x, y, polynomial_kernel)) < 1e-12
        assert with_the_diagonal(x, y, gaussian_kernel) > 0.02
        assert mmd_squared(x, y, gaussian_kernel) > 0.02

    def test_the_width_is_the_unit_of_length(self):
        x, y = normal(5, 2), normal(4, 2, 1)
        wide = gaussian_kernel(3 * x, 3 * y, width=3.0)
        torch.testing.assert_close(wide, gaussian_kernel(x, y))
        assert gaussian_kernel(x, x)[0, 0] == 1
        pair = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=F64)
        assert float(gaussian_kernel(pair, pair, 5.0)[0, 1]) == pytest.approx(math.exp(-0.5))


class TestNeighborMeasures:
    def test_copies_of_the_data_are_perfect(self):
        x = normal(30, 3)
        found = neighbor_measures(x, x.clone(), k=3)
        assert found.precision == found.recall == found.coverage == 1
        assert found.density > 1  # each copy also sits in the center of a ball

    def test_far_samples_have_none_of_it(self):
        assert neighbor_measures(normal(20, 2), normal(20, 2, 1) + 100, k=3) == (0, 0, 0, 0)

    def test_a_lost_mode_costs_recall_and_coverage_alone(self):
        """Real data on two far grids, samples on one of them."""
        grid = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0)).double()
        real = torch.cat([grid, grid + 100])
        found = neighbor_measures(real, grid + 0.1, k=2)
        assert found.precision == 1
        assert found.recall == found.coverage == 0.5
        # Bad samples beside good ones cost precision alone.
        mixed = neighbor_measures(grid, torch.cat([grid + 0.1, grid - 500]), k=2)
        assert mixed.recall == mixed.coverage == 1
        assert mixed.precision == 0.5

    def test_a_line_by_hand(self):
        real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
        samples = torch.tensor([[1.5], [6.0], [30.0]])
        # Radii to the nearest other: real 1, 1, 1, 8; samples 4.5, 4.5, 24.
        found = neighbor_measures(real, samples, k=1)
        # 1.5 lies in the balls of 1 and 2 (10 reaches down to 2), 6 in that of 10, 30 in none.
        assert found == pytest.approx((2 / 3, 1, 3 / 3, 3 / 4))
        # With two neighbors the radii are 2, 1, 2, 9: 1.5 lies in all four balls, 6 in one.
        assert neighbor_measures(real, samples, k=2).density == pytest.approx((4 + 1) / 3 / 2)

    def test_an_outlier_fools_precision_and_not_density(self):
        cluster, far = normal(50, 2), torch.tensor([[60.0, 0.0]], dtype=F64)
        bad = torch.tensor([[30.0, 0.0]], dtype=F64) + normal(50, 2, 1)
        found = neighbor_measures(torch.cat([cluster, far]), bad, k=5)
        assert found.precision == 1
        assert found.density == pytest.approx(1 / 5)

    @pytest.mark.parametrize("k", [1, 2])
    def test_over_all_splits_of_one_pool_density_and_coverage_have_their_law(self, k):
        """Exact for any points, since every split is as likely as any other."""
        pool = normal(8, 2, seed=k) ** 3
        found = [neighbor_measures(a, b, k) for a, b in splits(pool, 5)]
        assert abs(np.mean([f.density for f in found]) - 1) < 1e-12
        assert abs(np.mean([f.coverage for f in found]) - expected_coverage(5, 3, k)) < 1e-12
        assert abs(expected_coverage(3, 5, k) - expected_coverage(5, 3, k)) > 0.1

    def test_turning_and_stretching_both_sets_changes_nothing(self):
        x, y = normal(40, 3), 0.7 * normal(50, 3, 1)
        turn, _ = torch.linalg.qr(normal(3, 3, 2))
        assert neighbor_measures(x, y) == neighbor_measures(5 * x @ turn, 5 * y @ turn)


class TestWasserstein:
    def test_a_shift_costs_its_length(self):
        x, shift = normal(30, 3), torch.tensor([3.0, 0.0, -4.0], dtype=F64)
        order = torch.randperm(30, generator=rng())
        assert wasserstein_2(x, x[order] + shift) == pytest.approx(5, rel=1e-12)
        assert wasserstein_2(x, x[order]) == 0

    def test_it_is_the_best_of_all_pairings(self):
        x, y = normal(6, 2), normal(6, 2, 1) + 1
        costs = [
            float((x - y[list(order)]).square().sum(1).mean())
            for order in itertools.permutations(range(6))
        ]
        assert wasserstein_2(x, y) == pytest.approx(math.sqrt(min(costs)), rel=1e-12)
        # Giving each point its nearest partner, without sharing out, is not a pairing.
        nearest = math.sqrt(float(torch.cdist(x, y).amin(1).square().mean()))
        assert nearest < wasserstein_2(x, y) - 1e-2

    def test_on_a_line_sorting_solves_it(self):
        x, y = normal(40, 1), 3 * normal(40, 1, 1) + 1
        line = torch.ones(1, 1, dtype=F64)
        assert sliced_wasserstein_2(x, y, line) == pytest.approx(wasserstein_2(x, y), rel=1e-12)
        unsorted = math.sqrt(float((x - y).square().mean()))
        assert unsorted > wasserstein_2(x, y) + 1e-2

    def test_gaussian_quantiles_have_the_distance_of_the_gaussians(self):
        """On a line: the root of the squared differences of means and of standard deviations."""
        u = (np.arange(2000) + 0.5) / 2000
        x = torch.from_numpy(stats.norm.ppf(u))[:, None]
        line = torch.ones(1, 1, dtype=F64)
        exact = math.hypot(1.5, 2 - 1)
        # The 2000 quantiles leave out 0.1 % of the variance in the tails.
        assert sliced_wasserstein_2(x, 2 * x + 1.5, line) == pytest.approx(exact, rel=1e-3)

    def test_slices_of_a_shift_average_the_squared_cosine(self):
        """In the plane over evenly spaced directions: a half; the mean cosine would be 2 / pi."""
        angles = math.pi * torch.arange(12, dtype=F64) / 12
        directions = torch.stack([angles.cos(), angles.sin()], dim=1)
        x = normal(20, 2)
        shift = torch.tensor([0.6, 0.8], dtype=F64)
        found = sliced_wasserstein_2(x, x + shift, directions)
        assert found == pytest.approx(math.sqrt(0.5), rel=1e-12)
        assert abs(found - 2 / math.pi) > 0.05

    def test_slices_never_exceed_the_whole(self):
        x, y = normal(25, 4), normal(25, 4, 1).exp()
        directions = random_directions(50, 4, rng())
        assert sliced_wasserstein_2(x, y, directions) < wasserstein_2(x, y)
        torch.testing.assert_close(directions.norm(dim=1), torch.ones(50, dtype=F64))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: kernel_distance(normal(1, 2), normal(5, 2)), "at least 2 rows, got 1 and 5"),
        (lambda: kernel_distance(normal(3, 2) * math.nan, normal(5, 2)), "finite"),
        (lambda: gaussian_kernel(normal(2, 2), normal(2, 2), 0.0), "width must be positive"),
        (lambda: neighbor_measures(normal(5, 2), normal(9, 2), k=5), r"1\.\.4 for 5 rows, got 5"),
        (lambda: neighbor_measures(normal(5, 2), normal(9, 2), k=0), "got 0"),
        (lambda: expected_coverage(5, 3, 5), "got 5, 5 and 3"),
        (lambda: random_directions(0, 2, rng()), "at least 1 direction"),
        (
            lambda: sliced_wasserstein_2(normal(3, 2), normal(3, 2), 2 * torch.eye(2)),
            "length 1, got",
        ),
        (lambda: wasserstein_2(normal(3, 2), normal(4, 2)), r"one size, got \(3, 2\) and \(4, 2\)"),
        (
            lambda: sliced_wasserstein_2(normal(3, 2), normal(4, 2), torch.eye(2)),
            r"one size, got \(3, 2\) and \(4, 2\)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_gaussian_kernel_is_its_formula():
    x, y = normal(4, 3), normal(5, 3, 1)
    squared = (x[:, None] - y).square().sum(2)
    for width in (0.5, 2.0):
        expected = torch.exp(-squared / (2 * width**2))
        torch.testing.assert_close(gaussian_kernel(x, y, width), expected, rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="width must be positive, got inf"):
        gaussian_kernel(x, y, math.inf)


def test_the_least_numbers_of_points_are_allowed():
    two = torch.tensor([[0.0], [1.0]], dtype=F64)
    # Every radius is 1; each point of one set lies in a ball of the other, those at the rim too.
    assert neighbor_measures(two, two + 2, k=1) == (0.5, 0.5, 0.5, 0.5)
    assert neighbor_measures(two, two, k=1) == (1.0, 1.0, 2.0, 1.0)
    assert expected_coverage(2, 1, 1) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="and samples"):
        expected_coverage(2, 0, 1)
    one = torch.zeros(1, 2, dtype=F64)
    assert wasserstein_2(one, one + 1) == pytest.approx(math.sqrt(2))
    assert sliced_wasserstein_2(one, one + 1, torch.eye(2, dtype=F64)) == pytest.approx(1)
    assert random_directions(1, 1, rng()).abs().item() == 1
    for n, d in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least 1 direction"):
            random_directions(n, d, rng())


def test_one_bad_row_among_good_ones_is_refused():
    good = normal(4, 2)
    bad = good.clone()
    bad[2, 1] = math.nan
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="points must be finite"):
            wasserstein_2(*pair)
    with pytest.raises(ValueError, match="length 1"):
        sliced_wasserstein_2(good, good, torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=F64))
