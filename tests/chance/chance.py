"""What a test that draws may conclude: one false alarm in 1e9 runs, and an effect that it sees.

Every function here gives a gap in units of its gate. A right sampler stays below 1 but once in 1e9
runs, all entries taken together; a wrong one, which stands beside each use, must be above 1.

A mean of n draws has a gate of z standard errors. z is 6.1 for normal draws. Skewed draws have a
heavier side, on which the tail is larger by about exp(skew z^3 / 6 sqrt(n)) (Cramer); z grows until
that fits too. A wrong sampler whose mean is off by `detectable` is found, but once in 1e9 runs.
"""

import math

from scipy import optimize, stats
from torch import Tensor

RATE = 1e-9


def gate(n_entries: int = 1, lean: float = 0.0) -> float:
    """Standard errors that all entries stay within; `lean` is the skew over 6 sqrt(n)."""
    wanted = math.log(RATE / 2 / n_entries)

    def excess(z: float) -> float:
        return float(stats.norm.logsf(z)) + lean * z**3 - wanted

    if lean == 0:
        return float(stats.norm.isf(RATE / 2 / n_entries))
    if excess(1 / (6 * lean)) > 0:
        raise ValueError(f"too few draws for so heavy a tail: skew / 6 sqrt(n) is {lean:.3g}")
    return float(optimize.brentq(excess, 0.0, 1 / (6 * lean)))


def _error_and_gate(draws: Tensor) -> tuple[Tensor, float]:
    n = len(draws)
    offset = draws - draws.mean(0)
    std = offset.square().mean(0).sqrt()
    skew = (offset**3).mean(0).abs() / std**3
    lean = float(skew.nan_to_num().max()) / (6 * math.sqrt(n))
    # Less skew than normal draws show by chance is none.
    lean = 0.0 if lean < math.sqrt(6 / n) / math.sqrt(n) else lean
    return std / math.sqrt(n - 1), gate(max(draws[0].numel(), 1), lean)


def mean_gap(draws: Tensor, truth: Tensor | float) -> float:
    """How far the mean over the first axis is from the truth, in units of its gate."""
    draws = draws.detach().double()
    error, z = _error_and_gate(draws)
    return float(((draws.mean(0) - truth).abs() / (z * error)).max())


def covariance_gap(draws: Tensor, truth: Tensor | float) -> float:
    """The same of the covariance of rows, or of the variance of numbers."""
    offset = draws.detach().double() - draws.detach().double().mean(0)
    n = len(offset)
    if offset.ndim == 1:
        return mean_gap(offset.square() * n / (n - 1), truth)
    return mean_gap(offset[:, :, None] * offset[:, None, :] * (n / (n - 1)), truth)


def student_gap(values: Tensor, truth: float) -> float:
    """The same of a few values that are nearly normal, such as one per seed, by Student's law."""
    values = values.double()
    z = float(stats.t.isf(RATE / 2, len(values) - 1))
    return float((values.mean() - truth).abs() / (z * values.std() / math.sqrt(len(values))))


def detectable(draws: Tensor) -> float:
    """The least error of a mean that as many draws find, but once in 1e9 runs."""
    error, z = _error_and_gate(draws.detach().double())
    return float(2 * z * error.max())


def share_gap(n_hits: int, n: int, p: float) -> float:
    """How unlikely a number of hits is, by the exact binomial law: 1 at odds of 1e-9."""
    odds = stats.binomtest(int(n_hits), int(n), float(p)).pvalue
    return math.log(max(odds, 1e-300)) / math.log(RATE)


def counts_gap(found: Tensor, p: Tensor) -> float:
    """How unlikely counts are for these probabilities, by Pearson's chi-squared: 1 at 1e-9."""
    expected = p.double() * found.sum()
    if float(expected.min()) < 20:
        raise ValueError(f"an entry expects {float(expected.min()):.3g} draws; the law needs 20")
    statistic = float(((found - expected).square() / expected).sum())
    return float(stats.chi2.logsf(statistic, len(found) - 1)) / math.log(RATE)
