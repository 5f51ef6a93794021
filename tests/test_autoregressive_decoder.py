"""The masks let a pixel see the pixels before it, all of them, and the code."""

import itertools

import pytest
import torch

from fromnoise.autoregressive_decoder import AutoregressiveDecoder
from fromnoise.decoders import Categorical


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_an_early_pixel_does_not_see_a_later_one_and_sees_every_earlier_one():
    with torch.random.fork_rng():
        decoder = AutoregressiveDecoder(2, 6, 3, 40).double()
    x, z = randn(1, 6), randn(1, 2, seed=1)
    jacobian = torch.autograd.functional.jacobian(lambda x: decoder(z, x)[0], x)[:, :, 0]
    seen = jacobian.abs().amax(1)
    assert seen.triu().max() == 0
    below = torch.ones(6, 6, dtype=torch.bool).tril(-1)
    assert (seen[below] > 0).all()
    by_code = torch.autograd.functional.jacobian(lambda z: decoder(z, x)[0], z)[:, :, 0]
    assert (by_code.abs().amax((1, 2)) > 0).all()


def test_the_autoregressive_chain_sums_to_one_over_all_images():
    with torch.random.fork_rng():
        decoder = AutoregressiveDecoder(2, 3, 3, 12).double()
    likelihood = Categorical(3)
    images = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=3))).double()
    z = randn(1, 2).expand(len(images), 2)
    total = likelihood.log_prob(decoder(z, images), images).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)
