"""Intervals have the coverage they claim, on cases with a closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from chance import gate, share_gap
from fromnoise.evaluation import frechet_distance
from fromnoise.intervals import bootstrap_interval, mean_interval


def normal(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class TestMeanInterval:
    def test_three_values_have_a_closed_form(self):
        """With two degrees of freedom the quantile p of t is (2p - 1) / sqrt(2p (1 - p))."""
        found = mean_interval([1.0, 2.0, 3.0])
        half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
        assert found == pytest.approx({"mean": 2.0, "low": 2 - half, "high": 2 + half}, rel=1e-12)

    def test_it_covers_as_often_as_it_says(self):
        """2000 triples: 95 % of intervals hold the true mean; the normal quantile covers 81 %."""
        triples = normal(2000, 3).tolist()
        found = [mean_interval(triple) for triple in triples]
        hits = sum(interval["low"] <= 0 <= interval["high"] for interval in found)
        assert share_gap(hits, 2000, 0.95) < 1
        wrong = sum(
            abs(np.mean(triple)) <= 1.96 * np.std(triple, ddof=1) / math.sqrt(3)
            for triple in triples
        )
        assert share_gap(wrong, 2000, 0.95) > 1

    @pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan]])
    def test_it_refuses_what_has_no_spread(self, values):
        with pytest.raises(ValueError, match="values"):
            mean_interval(values)

    def test_it_refuses_a_level_of_one(self):
        with pytest.raises(ValueError, match="level"):
            mean_interval([1.0, 2.0], level=1.0)


class TestBootstrapInterval:
    def test_the_mean_has_its_known_standard_error(self):
        x = normal(400, 1)
        found = bootstrap_interval(lambda rows: float(rows.mean()), x, n_resamples=1000)
        half = (found["high"] - found["low"]) / 2
        # A standard deviation from 1000 resamples of a mean has a relative error of 1 / sqrt(2000).
        right = 1.959964 * float(x.std(correction=0)) / 20
        assert abs(half / right - 1) < gate() / math.sqrt(2000)
        narrow = bootstrap_interval(lambda rows: float(rows.mean()), x, n_resamples=1000, level=0.8)
        assert 1 - (narrow["high"] - narrow["low"]) / 2 / right > gate() / math.sqrt(2000)
        assert found["mean"] == float(x.mean())

    def test_a_biased_statistic_keeps_its_place(self):
        """Percentiles of resamples would lie above the Frechet distance itself."""
        a, b = normal(200, 8, 0), normal(200, 8, 1)
        found = bootstrap_interval(frechet_distance, a, b, n_resamples=50)
        assert found["low"] < frechet_distance(a, b) < found["high"]
        generator = torch.Generator().manual_seed(0)
        resampled = [
            frechet_distance(
                *(part[torch.randint(200, (200,), generator=generator)] for part in (a, b))
            )
            for _ in range(50)
        ]
        assert np.quantile(resampled, 0.025) > found["mean"]

    def test_equal_seeds_give_equal_intervals(self):
        x = normal(30, 2)
        one, two, other = (
            bootstrap_interval(lambda r: float(r.std()), x, n_resamples=20, seed=s)
            for s in (0, 0, 1)
        )
        assert one == two != other

    def test_it_refuses_an_empty_set(self):
        with pytest.raises(ValueError, match="rows"):
            bootstrap_interval(lambda r: 0.0, torch.zeros(0, 2))


class TestRefusals:
    def test_two_resamples_are_enough_and_every_set_needs_rows(self):
        rows = normal(5, 1)
        found = bootstrap_interval(lambda a: float(a.mean()), rows, n_resamples=2)
        assert found["low"] < found["mean"] < found["high"]
        for sets in ((rows, rows[:0]), (rows[:0], rows), (rows[:0],)):
            with pytest.raises(ValueError, match="need rows"):
                bootstrap_interval(lambda *sets: 0.0, *sets)

    def test_sets_may_differ_in_size_and_each_keeps_its_own(self):
        sizes = set()

        def statistic(a, b):
            sizes.add((len(a), len(b)))
            return float(a.mean() - b.mean())

        bootstrap_interval(statistic, normal(5, 1), normal(8, 1, 1), n_resamples=3)
        assert sizes == {(5, 8)}

    @pytest.mark.parametrize("level", [0.0, 1.0])
    def test_a_level_is_neither_nothing_nor_certain(self, level):
        with pytest.raises(ValueError, match="level must lie in"):
            mean_interval([1.0, 2.0], level)

    def test_the_spread_is_that_of_a_sample(self):
        """With two resamples the standard deviation is their distance over the root of two."""
        rows = normal(7, 1)
        found = bootstrap_interval(lambda a: float(a.sum()), rows, n_resamples=2, level=0.5)
        g = torch.Generator().manual_seed(0)
        sums = [float(rows[torch.randint(7, (7,), generator=g)].sum()) for _ in range(2)]
        half = stats.norm.ppf(0.75) * abs(sums[0] - sums[1]) / math.sqrt(2)
        assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-12)
