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


def awake(network: torch.nn.Module) -> None:
    """Every weight drawn: the gates that start at zero hide what stands behind them."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))


def normed(h: torch.Tensor) -> torch.Tensor:
    spread = (h.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return (h - h.mean(-1, keepdim=True)) / spread


def test_a_block_is_gated_attention_and_a_gated_perceptron():
    """Head by head and token by token, against the formula of the paper."""
    with seeded(0):
        block = DiTBlock(6, 2, 0.0).double()
    awake(block)
    generator = torch.Generator().manual_seed(1)
    h, condition = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((2, 4, 6), (2, 6))
    )
    parts = (condition @ block.modulation.weight.T + block.modulation.bias).chunk(6, -1)
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (part[:, None] for part in parts)
    inner = normed(h) * (1 + scale_a) + shift_a
    q, k, v = (inner @ block.to_qkv.weight.T + block.to_qkv.bias).chunk(3, -1)
    heads = []
    for head in (slice(0, 3), slice(3, 6)):
        share = (q[..., head] @ k[..., head].mT / 3**0.5).softmax(-1)
        heads.append(share @ v[..., head])
    expected = h + gate_a * (torch.cat(heads, -1) @ block.to_out.weight.T + block.to_out.bias)
    inner = normed(expected) * (1 + scale_m) + shift_m
    first, _, _, last = block.mlp
    hidden = torch.nn.functional.gelu(inner @ first.weight.T + first.bias)
    expected = expected + gate_m * (hidden @ last.weight.T + last.bias)
    torch.testing.assert_close(block(h, condition), expected, rtol=1e-12, atol=1e-12)
    assert sum(p.numel() for p in block.parameters()) == 6 * 18 + 18 + 42 + 6 * 24 + 24 + 150 + 252


def test_the_network_adds_places_and_modulates_its_last_norm():
    network = DiT(4, width=6, patch_size=2, n_blocks=0, n_heads=1).double()
    awake(network)
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    t = torch.tensor([0.2, 0.7], dtype=torch.float64)
    condition = torch.nn.functional.silu(network.condition(t, None))
    shift, scale = (condition @ network.modulation.weight.T + network.modulation.bias).chunk(2, -1)
    found = network(x, t)
    for i, (row, column) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        place = (slice(None), 0, slice(row, row + 2), slice(column, column + 2))
        h = x[place].flatten(1) @ network.first.weight.T + network.first.bias + network.position[i]
        h = normed(h) * (1 + scale) + shift
        out = h @ network.last.weight.T + network.last.bias
        torch.testing.assert_close(found[place].flatten(1), out, rtol=1e-12, atol=1e-12)


def test_places_start_small_and_patches_of_any_side_have_all_their_pixels():
    position = DiT(12, width=64, patch_size=3, n_blocks=0).position
    assert position.shape == (16, 64)
    # 1024 draws: the deviation is known to 6.1 / sqrt(2048) of itself.
    assert abs(position.std() / 0.02 - 1) < 6.1 / 2048**0.5
    assert DiT(6, width=8, patch_size=3, n_blocks=0).first.in_features == 9


def test_patches_of_three_pixels_return_to_their_places():
    network = DiT(6, width=9, patch_size=3, n_blocks=0)
    with torch.no_grad():
        network.position.zero_()
        for layer in (network.first, network.last):
            layer.weight.copy_(torch.eye(9))
            layer.bias.zero_()
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    out = network(x, torch.zeros(2))
    for i in (0, 3):
        for j in (0, 3):
            patch = x[:, 0, i : i + 3, j : j + 3].flatten(1)
            torch.testing.assert_close(out[:, 0, i : i + 3, j : j + 3].flatten(1), normed(patch))
