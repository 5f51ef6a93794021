"""Power from closed forms, tables and enumeration; false alarms as rare as promised."""

import itertools
import math

import pytest
import torch
from scipy import integrate, stats

from chance import share_gap
from fromnoise.power import (
    classifier_power,
    measured_power,
    n_to_tell_means_apart,
    permutation_p_value,
    t_test_power,
)

F64 = torch.float64


def distance(a, b):
    return abs(float(a.mean() - b.mean()))


def normal_draw(mean):
    return lambda n, generator: mean + torch.randn(n, 1, generator=generator, dtype=F64)


def test_a_p_value_is_the_share_of_splits_that_are_as_far():
    """Against all 70 splits, by the binomial law; 4000 splits see 0.1."""
    a = torch.tensor([[0.3], [1.1], [2.0], [0.9]], dtype=F64)
    b = torch.tensor([[1.5], [2.5], [0.7], [3.1]], dtype=F64)
    pool, observed, as_far = torch.cat([a, b]), distance(a, b), 0
    for rows in itertools.combinations(range(8), 4):
        rest = [i for i in range(8) if i not in rows]
        as_far += distance(pool[list(rows)], pool[rest]) >= observed - 1e-12
    exact = as_far / 70
    found = permutation_p_value(distance, a, b, 4000)
    # The data themselves count as one more split.
    hits = round(found * 4001) - 1
    assert share_gap(hits, 4000, exact) < 1 < share_gap(hits, 4000, exact + 0.1)
    # A two-sided distance has about twice the p-value of a one-sided one.
    one_sided = permutation_p_value(lambda x, y: float(y.mean() - x.mean()), a, b, 4000)
    assert found > 1.5 * one_sided


def test_a_split_that_gives_the_sets_back_counts_in_any_order_of_summation():
    """Far sets of three: 2 of 20 splits are as far, and 0.1 + 0.2 + 0.3 depends on the order."""

    def gap(x, y):
        return abs(sum(x.tolist()) - sum(y.tolist()))

    low = torch.tensor([0.1, 0.2, 0.3], dtype=F64)
    orders = [list(order) for order in itertools.permutations(range(3))]
    pairs = [(low[i], (low + 1)[j]) for i in orders for j in orders]
    a, b = max(pairs, key=lambda pair: gap(*pair))
    assert min(gap(*pair) for pair in pairs) < gap(a, b)
    p = permutation_p_value(gap, a, b, 2000)
    hits = round(p * 2001) - 1
    # Half of such splits lost to rounding would be seen.
    assert share_gap(hits, 2000, 0.1) < 1 < share_gap(hits, 2000, 0.05)


def test_it_is_never_zero_and_one_for_copies():
    far = permutation_p_value(distance, torch.zeros(9, 1), torch.ones(9, 1), 99)
    assert far == 1 / 100
    assert permutation_p_value(distance, torch.ones(5, 1), torch.ones(4, 1), 99) == 1


def test_the_level_is_kept_whatever_the_data():
    """300 experiments without a difference, heavy tails, small sets; the rate is 1e-9."""

    def draw(n, generator):
        return torch.randn(n, 1, generator=generator, dtype=F64) ** 5

    found = measured_power(distance, draw, draw, 6, level=0.1, n_trials=300, n_permutations=19)
    assert stats.binom.sf(round(300 * found) - 1, 300, 0.1) > 1e-9
    # A test that calls the larger half of all distances different would be noticed.
    assert stats.binom.sf(round(300 * 0.5) - 1, 300, 0.1) < 1e-9


def test_measured_power_of_a_shift_is_near_that_of_the_t_test():
    """Twenty samples each, one standard deviation apart; the two tests differ by little."""
    found = measured_power(
        distance, normal_draw(0.0), normal_draw(1.0), 20, n_trials=200, n_permutations=39
    )
    low, high = t_test_power(1.0, 18) - 0.05, t_test_power(1.0, 20)
    hits = round(200 * found)
    assert stats.binom.cdf(hits, 200, low) > 1e-9
    assert stats.binom.sf(hits - 1, 200, high) > 1e-9
    # Half the shift would be noticed.
    assert stats.binom.cdf(round(200 * t_test_power(0.5, 20)), 200, low) < 1e-9


def test_equal_seeds_give_equal_power():
    one, two = (
        measured_power(distance, normal_draw(0.0), normal_draw(1.0), 5, n_trials=10, seed=4)
        for _ in range(2)
    )
    assert one == two


@pytest.mark.parametrize("level", [0.05, 0.01])
@pytest.mark.parametrize("n", [2, 5, 100])
def test_without_an_effect_the_power_is_the_level(n, level):
    assert t_test_power(0.0, n, level) == pytest.approx(level, rel=1e-9)


@pytest.mark.parametrize(("effect", "n"), [(0.5, 3), (-1.2, 8), (0.2, 200)])
def test_t_test_power_is_the_integral_over_the_measured_spread(effect, n):
    """Given the spread s the mean is normal; s^2 follows a chi-squared law."""
    freedom = 2 * n - 2
    bar = stats.t.isf(0.025, freedom)
    shift = effect * math.sqrt(n / 2)

    def given_spread(u):
        s = math.sqrt(u / freedom)
        beyond = stats.norm.sf(bar * s - shift) + stats.norm.cdf(-bar * s - shift)
        return beyond * stats.chi2.pdf(u, freedom)

    ends = [stats.chi2.ppf(1e-14, freedom), stats.chi2.isf(1e-14, freedom)]
    exact, _ = integrate.quad(given_spread, *ends, epsabs=1e-13, epsrel=1e-12, limit=200)
    assert t_test_power(effect, n) == pytest.approx(exact, abs=1e-9)
    # With the normal quantile, as if the spread were known, small experiments look too strong.
    known = stats.norm.sf(1.96 - abs(shift)) + stats.norm.cdf(-1.96 - abs(shift))
    assert known > exact + 1e-4


@pytest.mark.parametrize(("effect", "n"), [(0.2, 394), (0.5, 64), (0.8, 26)])
def test_the_numbers_in_the_textbooks(effect, n):
    """Cohen's small, medium and large effects at a power of 80 %."""
    assert n_to_tell_means_apart(effect) == n
    assert t_test_power(effect, n - 1) < 0.8 <= t_test_power(effect, n)
    assert n_to_tell_means_apart(-effect) == n


def test_half_the_effect_needs_four_times_the_samples():
    ratio = n_to_tell_means_apart(0.02) / n_to_tell_means_apart(0.04)
    assert ratio == pytest.approx(4, rel=1e-3)
    assert n_to_tell_means_apart(50.0) == 2


@pytest.mark.parametrize("n", [1, 4, 30])
def test_classifier_power_is_the_count_of_right_guesses(n):
    """By adding up the binomial law; the level is kept and one count less would break it."""
    shares = [math.comb(2 * n, k) / 4**n for k in range(2 * n + 1)]
    bar = next(k for k in range(2 * n + 2) if sum(shares[k:]) <= 0.05)
    exact = sum(math.comb(2 * n, k) * 0.7**k * 0.3 ** (2 * n - k) for k in range(bar, 2 * n + 1))
    assert classifier_power(0.7, n) == pytest.approx(exact, rel=1e-10, abs=1e-15)
    assert classifier_power(0.5, n) <= 0.05
    assert sum(shares[bar - 1 :]) > 0.05


def test_a_better_classifier_and_more_samples_see_more():
    assert classifier_power(0.55, 100) < classifier_power(0.6, 100) < classifier_power(0.6, 400)
    assert classifier_power(1.0, 3) == 1
    assert classifier_power(0.0, 50) == 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: permutation_p_value(distance, torch.zeros(0, 1), torch.zeros(2, 1)), "got 0, 2"),
        (lambda: permutation_p_value(distance, torch.zeros(1, 1), torch.zeros(2, 1), 0), "and 0"),
        (
            lambda: measured_power(
                distance, normal_draw(0.0), normal_draw(0.0), 5, level=0.01, n_permutations=50
            ),
            r"50 permutations cannot reach a p-value of 0\.01",
        ),
        (
            lambda: measured_power(distance, normal_draw(0.0), normal_draw(0.0), 0),
            "at least 1, got 0",
        ),
        (lambda: t_test_power(0.5, 1), "n >= 2"),
        (lambda: t_test_power(math.nan, 5), "finite effect"),
        (lambda: t_test_power(0.5, 5, 1.0), r"level must lie in \(0, 1\), got 1\.0"),
        (lambda: n_to_tell_means_apart(0.0), r"at least 0\.001"),
        (lambda: n_to_tell_means_apart(0.5, 1.0), r"power must lie in \(0, 1\)"),
        (lambda: classifier_power(1.2, 5), r"accuracy in \[0, 1\], got 5 and 1\.2"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_least_numbers_are_allowed_and_none_below():
    a, b = torch.zeros(2, 1, dtype=F64), torch.ones(2, 1, dtype=F64)
    assert permutation_p_value(distance, a, b, 1) in (0.5, 1.0)
    with pytest.raises(ValueError, match="n_permutations >= 1"):
        permutation_p_value(distance, a, b, 0)
    draw = normal_draw(0.0)
    for n, trials in ((1, 1), (1, 2), (2, 1)):
        found = measured_power(distance, draw, draw, n, n_trials=trials, n_permutations=99)
        assert 0 <= found <= 1
    for n, trials in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            measured_power(distance, draw, draw, n, n_trials=trials)


def test_as_many_splits_as_the_level_needs_are_enough_and_one_fewer_is_not():
    draw, far = normal_draw(0.0), normal_draw(100.0)
    with pytest.raises(ValueError, match="18 permutations cannot reach"):
        measured_power(distance, draw, far, 12, level=0.05, n_trials=2, n_permutations=18)
    # 1 / 20 is the level itself: it counts as different.
    assert measured_power(distance, draw, far, 12, level=0.05, n_trials=2, n_permutations=19) == 1


def test_each_experiment_draws_its_own_splits():
    """A statistic that looks at the split alone: with one seed for all, all p-values were equal."""
    seen = []

    def first_row(a, b):
        seen.append(float(a[0]))
        return float(a[0])

    still = lambda n, generator: torch.arange(8, dtype=F64)[:n, None]  # noqa: E731
    measured_power(first_row, still, still, 8, n_trials=3, n_permutations=99)
    trials = [seen[i * 100 + 1 : (i + 1) * 100] for i in range(3)]
    assert trials[0] != trials[1] != trials[2]


def test_the_effect_may_be_small_but_not_nothing_or_endless():
    assert n_to_tell_means_apart(0.001, power=0.06) > 1000
    for effect in (0.0009, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"at least 0\.001 in size and finite"):
            n_to_tell_means_apart(effect)
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match="level must lie in"):
            n_to_tell_means_apart(0.5, level=level)


@pytest.mark.parametrize("effect", [0.3, 1.0, 4.0, 40.0])
def test_the_number_is_the_least_that_reaches_the_power(effect):
    n = n_to_tell_means_apart(effect)
    assert t_test_power(effect, n) >= 0.8
    assert n == 2 or t_test_power(effect, n - 1) < 0.8
