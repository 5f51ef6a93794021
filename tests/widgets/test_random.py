"""The generator of the widgets: reproducible, and normal where it says so."""

import numpy as np
from scipy import stats


def sfc32(seed: int, n: int) -> np.ndarray:
    """The same generator in integers of Python, from its description."""
    mask = 0xFFFFFFFF
    a, b, c, d = seed & mask, 0x9E3779B9, 0x243F6A88, 1
    out = []
    for i in range(n + 15):
        t = (a + b + d) & mask
        d = (d + 1) & mask
        a = b ^ (b >> 9)
        b = (c + (c << 3)) & mask
        c = ((c << 21) | (c >> 11)) & mask
        c = (c + t) & mask
        if i >= 15:
            out.append(t / 2**32)
    return np.array(out)


def test_normals_are_box_and_mullers_of_the_same_integers(javascript) -> None:
    for seed in (0, 1, 9999, 2**32 - 1):
        u = sfc32(seed, 1000).reshape(-1, 2)
        radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
        wanted = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()
        (found,) = javascript("maths/random.mjs", ["normals", 1000, seed])
        assert np.abs(np.array(found) - wanted).max() < 1e-12


def test_seeds_differ_and_each_looks_normal(javascript) -> None:
    # Kolmogorov-Smirnov at a false-alarm rate of 1e-9 for each seed; a shift of 0.1 is found.
    draws = [javascript("maths/random.mjs", ["normals", 20000, seed])[0] for seed in range(3)]
    for draw in draws:
        assert stats.kstest(draw, "norm").pvalue > 1e-9
        assert stats.kstest(np.array(draw) + 0.1, "norm").pvalue < 1e-9
    assert abs(np.corrcoef(draws)[0, 1]) < 6 / np.sqrt(20000)
