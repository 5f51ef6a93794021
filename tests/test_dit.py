"""The diffusion transformer's own parts; what all networks share is in test_networks."""

import pytest
import torch

from fromnoise.dit import DiT, DiTBlock
from fromnoise.networks import seeded, zeroed


def test_each_patch_returns_to_its_place():
    """With blocks that pass on and layers that copy, each patch is only normalized."""
    network = DiT(6, width=8, image_channels=2, patch_size=2, n_blocks=1, n_heads=2)
    with torch.no_grad():
        network.position.zero_()
        for layer in (network.first, network.last):
            layer.weight.copy_(torch.eye(8))
            layer.bias.zero_()
    x = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    out = network(x, torch.zeros(3))
    for i in range(0, 6, 2):
        for j in range(0, 6, 2):
            patch = x[:, :, i : i + 2, j : j + 2].flatten(1)
            mean, var = patch.mean(1, keepdim=True), patch.var(1, correction=0, keepdim=True)
            expected = ((patch - mean) / (var + 1e-5).sqrt()).reshape(3, 2, 2, 2)
            torch.testing.assert_close(out[:, :, i : i + 2, j : j + 2], expected)


def test_an_untrained_block_passes_on_and_an_awake_one_lets_every_token_see_the_others():
    generator = torch.Generator().manual_seed(1)
    with seeded(0):
        block = DiTBlock(8, 2, 0.0)
    h, condition = (torch.randn(s, generator=generator) for s in ((2, 5, 8), (2, 8)))
    assert torch.equal(block(h, condition), h)
    with torch.no_grad():
        block.modulation.weight.normal_(generator=generator)
    moved = h.clone()
    moved[:, 0] += torch.randn(8, generator=generator)
    change = (block(moved, condition) - block(h, condition)).abs().amax(-1)
    assert change.min() > 1e-4
    zeroed(block.modulation)
    assert torch.equal(block(h, condition), h)


def test_a_patch_that_does_not_divide_the_image_is_refused():
    with pytest.raises(ValueError, match="patch_size 3 does not divide image_size 8"):
        DiT(8, patch_size=3)
