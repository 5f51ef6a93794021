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


def test_the_outputs_are_the_masked_sums():
    with torch.random.fork_rng():
        decoder = AutoregressiveDecoder(2, 3, 2, 5).double().eval()
    x, z = randn(4, 3), randn(4, 2, seed=1)
    last = [0, 1, 0, 1, 0]
    weights = dict(decoder.named_parameters())
    assert set(weights) == {
        *("from_z.weight", "from_z.bias", "from_x.weight"),
        *("out_z.weight", "out_z.bias", "out.weight"),
    }
    hidden = []
    for j in range(5):
        seen = x[:, : last[j] + 1] @ weights["from_x.weight"][j, : last[j] + 1]
        inner = z @ weights["from_z.weight"][j] + weights["from_z.bias"][j] + seen
        hidden.append(inner * torch.sigmoid(inner))
    found = decoder(z, x)
    for i in range(3):
        for parameter in range(2):
            row = 2 * i + parameter
            out = z @ weights["out_z.weight"][row] + weights["out_z.bias"][row]
            out = out + sum(
                hidden[j] * weights["out.weight"][row, j] for j in range(5) if last[j] < i
            )
            torch.testing.assert_close(found[:, i, parameter], out, rtol=1e-12, atol=1e-12)
    with torch.random.fork_rng():
        assert AutoregressiveDecoder(2, 1, 1, 4)(torch.zeros(1, 2), torch.zeros(1, 1)).shape == (
            1,
            1,
            1,
        )


def test_with_two_pixels_every_hidden_unit_serves_the_second_and_masks_are_not_weights():
    with torch.random.fork_rng():
        decoder = AutoregressiveDecoder(1, 2, 1, 4)
    assert decoder.mask_out.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert not {"mask_in", "mask_out"} & set(decoder.state_dict())
