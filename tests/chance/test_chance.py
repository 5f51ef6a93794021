"""The gates by which the other tests judge draws, against exact laws."""

import math

import pytest
import torch
from scipy import stats

from chance import (
    RATE,
    counts_gap,
    covariance_gap,
    detectable,
    gate,
    mean_gap,
    share_gap,
)

F64 = torch.float64


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_the_gate_of_normal_draws_has_the_stated_rate():
    assert 2 * stats.norm.sf(gate()) == pytest.approx(RATE, rel=1e-9)
    assert 2 * 50 * stats.norm.sf(gate(50)) == pytest.approx(RATE, rel=1e-9)


@pytest.mark.parametrize("n", [4000, 40_000])
def test_the_gate_of_skewed_draws_holds_on_the_heavy_side(n):
    """Sums of squares of normal draws and of waits have exact laws; the plain gate is too low."""
    for law, skew, mean, var in (
        (stats.chi2(n), math.sqrt(8), n, 2 * n),
        (stats.gamma(n), 2.0, n, n),
    ):
        z = gate(1, skew / (6 * math.sqrt(n)))
        assert law.sf(mean + z * math.sqrt(var)) < RATE / 2
        assert law.sf(mean + z * math.sqrt(var)) > RATE / 20
        assert law.sf(mean + gate() * math.sqrt(var)) > RATE / 2


def test_tails_too_heavy_for_the_number_of_draws_are_refused():
    with pytest.raises(ValueError, match="too few draws"):
        gate(1, 0.1)
    with pytest.raises(ValueError, match="the law needs 20"):
        counts_gap(torch.tensor([5, 5]), torch.tensor([0.5, 0.5]))


def test_what_is_called_detectable_is_detected_and_the_truth_is_not_refused():
    x = normal(40_000, 2)
    off = detectable(x)
    assert mean_gap(x, 0.0) < 0.7
    assert mean_gap(x + off, 0.0) > 1
    assert covariance_gap(x, torch.eye(2, dtype=F64)) < 0.7
    assert covariance_gap(1.1 * x, torch.eye(2, dtype=F64)) > 1
    assert covariance_gap(x[:, 0], 1.0) < 0.7
    turned = torch.stack([x[:, 0], x[:, 1] + 0.1 * x[:, 0]], 1)
    assert covariance_gap(turned, torch.eye(2, dtype=F64)) > 1


def test_shares_and_counts_are_judged_by_their_own_laws():
    assert share_gap(500, 1000, 0.5) == 0
    n_hits = int(stats.binom(1000, 0.5).isf(0.5e-9))
    assert share_gap(n_hits - 1, 1000, 0.5) < 1 < share_gap(n_hits + 2, 1000, 0.5)
    p = torch.tensor([0.2, 0.3, 0.5])
    assert counts_gap(torch.tensor([205, 290, 505]), p) < 0.2
    assert counts_gap(torch.tensor([290, 205, 505]), p) > 1
