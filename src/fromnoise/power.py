r"""Before calling two models different: how many samples that takes, and how sure it is.

A test has a level, the share of false alarms when nothing differs, and a power, the share of real
differences that it finds. An experiment that is too small finds nothing, which is not the same as
nothing being there. Sizes n are samples (or seeds) per model.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

Statistic = Callable[[Tensor, Tensor], float]
"""A distance between two sets of rows: larger means more different."""
Draw = Callable[[int, torch.Generator], Tensor]
"""Gives that many samples as rows."""


# --8<-- [start:permutation_p_value]
def permutation_p_value(
    statistic: Statistic,
    a: Float[Tensor, "n ..."],
    b: Float[Tensor, "m ..."],
    n_permutations: int = 199,
    seed: int = 0,
) -> float:
    r"""Probability of a distance at least this large if both sets have one source.

    $p = (1 + \#\{T_i \ge T\}) / (1 + N)$, with $T_i$ from N random splits of the pooled rows. The
    true split counts as one of them, so that $p \le \alpha$ happens with probability at most
    $\alpha$, whatever the statistic and the data.

    Args:
        statistic: Distance between two sets.
        a: One set.
        b: The other.
        n_permutations: N.
        seed: Of the splits.

    Raises:
        ValueError: If a set is empty, there are no permutations or the statistic is NaN.

    Source:
        Phipson and Smyth 2010, <https://doi.org/10.2202/1544-6115.1585>.
    """
    if n_permutations < 1 or min(len(a), len(b)) == 0:
        raise ValueError(
            f"need rows and n_permutations >= 1, got {len(a)}, {len(b)} and {n_permutations}"
        )
    generator = torch.Generator().manual_seed(seed)
    observed, pool = statistic(a, b), torch.cat([a, b])
    # No split would be as large as NaN, and the p-value the smallest there is.
    if math.isnan(observed):
        raise ValueError("the statistic of the two sets is NaN")
    # A split that gives the same sets back must count, though rounding may differ.
    bar = observed - 1e-12 * abs(observed)
    as_large = 0
    for _ in range(n_permutations):
        order = torch.randperm(len(pool), generator=generator)
        as_large += statistic(pool[order[: len(a)]], pool[order[len(a) :]]) >= bar
    return (1 + as_large) / (1 + n_permutations)


# --8<-- [end:permutation_p_value]


# --8<-- [start:measured_power]
def measured_power(
    statistic: Statistic,
    draw_a: Draw,
    draw_b: Draw,
    n: int,
    *,
    level: float = 0.05,
    n_trials: int = 100,
    n_permutations: int = 99,
    seed: int = 0,
) -> float:
    """Share of experiments in which a permutation test sees that two models differ.

    With one model in both places it is the share of false alarms, at most `level` in the mean.

    Args:
        statistic: Distance between two sets.
        draw_a: Samples of one model.
        draw_b: Samples of the other.
        n: Samples of each per experiment.
        level: Largest p-value that counts as different.
        n_trials: Number of experiments.
        n_permutations: Splits per experiment; with fewer than 1 / level - 1 nothing can be seen.
        seed: Of the samples and the splits.

    Raises:
        ValueError: If a number is below 1, `level` is not in (0, 1), or too few splits to reach it.
    """
    _check_level("level", level)
    if min(n, n_trials) < 1:
        raise ValueError(f"n and n_trials must be at least 1, got {n} and {n_trials}")
    if (1 + n_permutations) * level < 1 - 1e-9:
        raise ValueError(f"{n_permutations} permutations cannot reach a p-value of {level}")
    generator = torch.Generator().manual_seed(seed)
    found = 0
    for _ in range(n_trials):
        a, b = draw_a(n, generator), draw_b(n, generator)
        split_seed = int(torch.randint(2**31, (), generator=generator))
        p = permutation_p_value(statistic, a, b, n_permutations, split_seed)
        found += p <= level + 1e-12
    return found / n_trials


# --8<-- [end:measured_power]


# --8<-- [start:t_test_power]
def t_test_power(effect: float, n: int, level: float = 0.05) -> float:
    r"""Power of Student's two-sided t test of two means, n normal values each.

    $P(|T| > c)$ with T from the noncentral t distribution with $2n - 2$ degrees of freedom and
    noncentrality $d \sqrt{n/2}$; c is the quantile for d = 0.

    Args:
        effect: Difference of the means over the standard deviation, d.
        n: Values per model, at least 2.
        level: Share of false alarms.

    Raises:
        ValueError: If n is below 2, the effect not finite or `level` not in (0, 1).

    Source:
        Cohen 1988, *Statistical power analysis for the behavioral sciences*.
    """
    _check_level("level", level)
    if n < 2 or not np.isfinite(effect):
        raise ValueError(f"need n >= 2 and a finite effect, got {n} and {effect}")
    freedom, shift = 2 * n - 2, abs(effect) * (n / 2) ** 0.5
    bar = stats.t.isf(level / 2, freedom)
    return float(stats.nct.sf(bar, freedom, shift) + stats.nct.cdf(-bar, freedom, shift))


# --8<-- [end:t_test_power]


# --8<-- [start:n_to_tell_means_apart]
def n_to_tell_means_apart(effect: float, power: float = 0.8, level: float = 0.05) -> int:
    r"""Smallest n per model that reaches a power: about $16/d^2$ for 80 % at a level of 5 %.

    Args:
        effect: Difference of the means over the standard deviation, not 0.
        power: Wanted share of experiments that find it.
        level: Share of false alarms.

    Raises:
        ValueError: If the effect is below 0.001, or `power` or `level` is not in (0, 1).
    """
    _check_level("power", power)
    _check_level("level", level)
    if not 1e-3 <= abs(effect) < np.inf:
        raise ValueError(f"the effect must be at least 0.001 in size and finite, got {effect}")
    low, high = 1, 2
    while t_test_power(effect, high, level) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if t_test_power(effect, middle, level) >= power else (middle, high)
        )
    return high


# --8<-- [end:n_to_tell_means_apart]


# --8<-- [start:classifier_power]
def classifier_power(accuracy: float, n: int, level: float = 0.05) -> float:
    r"""Power of a classifier two-sample test with n fresh samples of each model, exactly.

    Of 2n guesses each is right with probability `accuracy`, 1/2 if nothing differs. The models are
    called different when the number of right ones is larger than chance reaches with probability
    `level`. No classifier does better than $(1 + \delta)/2$, with $\delta$ the total variation
    distance of the models.

    Args:
        accuracy: Of the classifier, on samples it was not trained on.
        n: Samples of each model.
        level: Share of false alarms, never exceeded.

    Raises:
        ValueError: If n is below 1 or `accuracy` is not in [0, 1] or `level` not in (0, 1).

    Source:
        Lopez-Paz and Oquab 2017, <https://arxiv.org/abs/1610.06545>.
    """
    _check_level("level", level)
    if n < 1 or not 0 <= accuracy <= 1:
        raise ValueError(f"need n >= 1 and an accuracy in [0, 1], got {n} and {accuracy}")
    # isf gives the smallest count that chance exceeds with probability at most `level`.
    bar = stats.binom.isf(level, 2 * n, 0.5)
    return float(stats.binom.sf(bar, 2 * n, accuracy))


# --8<-- [end:classifier_power]


def _check_level(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie in (0, 1), got {value}")
