"""What the miniatures are tried on: eight bells on a ring, whose density is known exactly."""

import math

import pytest
import torch

from fromnoise.mixtures import GaussianMixture


@pytest.fixture(scope="session")
def ring():
    angles = torch.arange(8) * math.pi / 4
    return GaussianMixture.isotropic(2 * torch.stack([angles.cos(), angles.sin()], 1), 0.3)


@pytest.fixture(scope="session")
def ring_data(ring):
    return ring.sample(2000, torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def held_out(ring):
    return ring.sample(2000, torch.Generator().manual_seed(1))
