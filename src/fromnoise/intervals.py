r"""Intervals around a measured number, so that a claim that compares two models can be weighed.

An interval is a plain dictionary `{"mean", "low", "high"}`, ready for JSON.

Source:
    Student 1908, *The probable error of a mean*, <https://doi.org/10.1093/biomet/6.1.1>; Efron
    1979, *Bootstrap methods*, <https://doi.org/10.1214/aos/1176344552>.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

Interval = dict[str, float]


# --8<-- [start:mean_interval]
def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    r"""Mean over seeds with Student's t interval: $\bar x \pm t_{n-1}\, s / \sqrt n$.

    Args:
        values: One number per seed, at least two.
        level: Share of such intervals that hold the true mean, if values are normal.

    Raises:
        ValueError: There are fewer than two values, one is not finite, or `level` is not in (0, 1).

    Examples:
        Three seeds say little, even when they agree within a tenth.

        >>> interval = mean_interval([0.9, 1.0, 1.1])
        >>> {end: round(value, 2) for end, value in interval.items()}
        {'mean': 1.0, 'low': 0.75, 'high': 1.25}
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"an interval needs at least two values, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"values must be finite, got {x.tolist()}")
    check_level(level)
    center, error = float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))
    half = float(stats.t.ppf(0.5 + level / 2, len(x) - 1)) * error
    return {"mean": center, "low": center - half, "high": center + half}


# --8<-- [end:mean_interval]


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: Float[Tensor, "_ ..."],
    n_resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    r"""The statistic of the samples, plus and minus $z$ standard deviations of its resamples.

    The percentiles of the resamples themselves would not do for a Frechet distance: drawing with
    replacement adds a second sampling error and moves every resample up.

    Args:
        statistic: Function of the samples.
        samples: Independent sets; rows of each are resampled with replacement.
        n_resamples: Number of resamples, at least 2.
        level: Nominal coverage of the interval.
        seed: Of the resampling.

    Raises:
        ValueError: A set is empty, `n_resamples` is below 2 or `level` is not in (0, 1).
    """
    if n_resamples < 2 or any(len(part) == 0 for part in samples):
        raise ValueError(f"need rows and n_resamples >= 2, got {n_resamples} resamples")
    check_level(level)
    generator = torch.Generator().manual_seed(seed)
    resampled = []
    for _ in range(n_resamples):
        rows = [torch.randint(len(part), (len(part),), generator=generator) for part in samples]
        resampled.append(
            float(statistic(*(part[row] for part, row in zip(samples, rows, strict=True))))
        )
    center = float(statistic(*samples))
    half = float(stats.norm.ppf(0.5 + level / 2)) * float(np.std(resampled, ddof=1))
    return {"mean": center, "low": center - half, "high": center + half}


def check_level(level: float) -> None:
    """Raise ValueError unless the level of an interval lies in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
