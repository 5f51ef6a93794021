"""The distance that the playground shows is the package's."""

import math

import torch

from fromnoise.sample_measures import sliced_wasserstein_2


def test_sliced_distance_is_the_packages(javascript) -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.tensor(
        [[math.cos(a), math.sin(a)] for a in (math.pi * (k + 0.5) / 32 for k in range(32))]
    ).double()
    for scale in (0.01, 1.0, 100.0):
        x, y = torch.randn(2, 1000, 2, generator=generator, dtype=torch.float64)
        y = scale * y + 0.3
        (found,) = javascript(
            "maths/distances.mjs",
            ["slicedWasserstein", x.flatten().tolist(), y.flatten().tolist()],
        )
        wanted = sliced_wasserstein_2(x, y, directions)
        assert abs(found - wanted) < 1e-5 * max(wanted, 1)
        unsorted = float(((x - y) @ directions.T).square().mean().sqrt())
        assert scale < 1 or abs(found - unsorted) > 1e-2  # a narrow set pairs as well any way
