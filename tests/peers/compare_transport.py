"""Against POT: exact transport by linear programming, sliced transport, and normal laws."""

import math

import numpy as np
import ot
import pytest
import torch

from fromnoise.couplings import optimal_coupling
from fromnoise.gaussians import Gaussian
from fromnoise.sample_measures import (
    random_directions,
    sliced_wasserstein_2,
    wasserstein_2,
)

FLOAT = torch.float64


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


@pytest.mark.parametrize("n, d", [(5, 1), (40, 2), (60, 16)])
def test_exact_distance_and_pairing(n, d):
    x, y = normal(n, d, seed=n), 0.7 * normal(n, d, seed=d + 100) + 0.4
    cost = ot.dist(x.numpy(), y.numpy())
    theirs = ot.emd2(ot.unif(n), ot.unif(n), cost)
    assert math.isclose(wasserstein_2(x, y), math.sqrt(theirs), rel_tol=1e-9)
    plan = ot.emd(ot.unif(n), ot.unif(n), cost)
    assert np.array_equal(plan.argmax(1), optimal_coupling(x, y).numpy())


def test_sliced_distance_along_the_same_directions():
    x, y = normal(50, 6, seed=1), normal(50, 6, seed=2) + 0.5
    directions = random_directions(64, 6, torch.Generator().manual_seed(3))
    theirs = ot.sliced_wasserstein_distance(
        x.numpy(), y.numpy(), projections=directions.T.numpy(), p=2
    )
    assert math.isclose(sliced_wasserstein_2(x, y, directions), float(theirs), rel_tol=1e-9)


def test_distance_of_normal_laws():
    mixing = normal(2, 4, 4, seed=4)
    covariances = mixing @ mixing.mT + 0.1 * torch.eye(4, dtype=FLOAT)
    means = normal(2, 4, seed=5)
    ours = Gaussian(means[0], covariances[0]).wasserstein_2(Gaussian(means[1], covariances[1]))
    theirs = ot.gaussian.bures_wasserstein_distance(
        means[0].numpy(), means[1].numpy(), covariances[0].numpy(), covariances[1].numpy()
    )
    assert math.isclose(ours.item(), float(theirs), rel_tol=1e-7)
