"""Each network answers in its input's shape, uses what it is given, and starts from its seed."""

import pytest
import torch

from fromnoise.dit import DiT
from fromnoise.networks import (
    MLP,
    Attention,
    Condition,
    ResBlock,
    UNet,
    n_parameters,
    seeded,
    sinusoids,
)

NETWORKS = {
    "mlp": lambda **kw: MLP(64, 16, 2, 10, **kw),
    "unet": lambda **kw: UNet(8, 8, 10, **kw),
    "dit": lambda **kw: DiT(8, 16, 10, n_blocks=2, **kw),
}


def example(kind, n=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 64, generator=generator)
    t = torch.rand(n, generator=generator)
    label = torch.randint(10, (n,), generator=generator)
    return (x if kind == "mlp" else x.reshape(n, 1, 8, 8)), t, label


def awake(network):
    """Trained weights are not zero: move every parameter a little, by a fixed amount."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return network.eval()


@pytest.mark.parametrize("kind", NETWORKS)
class TestEveryNetwork:
    def test_untrained_it_answers_zero_in_the_shape_of_its_input(self, kind):
        x, t, label = example(kind)
        out = NETWORKS[kind]()(x, t, label)
        assert out.shape == x.shape
        assert torch.equal(out, torch.zeros_like(x))

    def test_equal_seeds_give_equal_weights_and_other_seeds_others(self, kind):
        a, b, c = (NETWORKS[kind](seed=seed) for seed in (3, 3, 4))
        same = [torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True)]
        other = [torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True)]
        assert all(same)
        assert not all(other)

    def test_time_and_label_and_input_all_change_the_answer(self, kind):
        network, (x, t, label) = awake(NETWORKS[kind]()), example(kind)
        out = network(x, t, label)
        for changed in (
            network(x, 1 - t, label),
            network(x, t, (label + 1) % 10),
            network(x + 1, t, label),
        ):
            assert (changed - out).flatten(1).abs().amax(dim=1).min() > 1e-4

    def test_examples_of_a_batch_do_not_touch(self, kind):
        network, (x, t, label) = awake(NETWORKS[kind]()), example(kind)
        whole = network(x, t, label)
        alone = torch.cat([network(x[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)

    def test_no_label_is_the_null_class(self, kind):
        network, (x, t, _) = awake(NETWORKS[kind]()), example(kind)
        null = torch.full((5,), 10)
        assert torch.equal(network(x, t), network(x, t, null))
        assert not torch.equal(network(x, t), network(x, t, null - 1))

    def test_without_time_embedding_every_time_is_the_same_and_nothing_else_changes(self, kind):
        whole = NETWORKS[kind]()
        blind = NETWORKS[kind](time_embedding=False)
        for p, q in zip(whole.parameters(), blind.parameters(), strict=True):
            assert torch.equal(p, q)
        blind, (x, t, label) = awake(blind), example(kind)
        assert torch.equal(blind(x, t, label), blind(x, 1 - t, label))

    def test_the_time_feature_decides_what_the_network_sees(self, kind):
        network, (x, t, label) = awake(NETWORKS[kind](time_feature=lambda t: 1 - t)), example(kind)
        plain = awake(NETWORKS[kind]())
        torch.testing.assert_close(network(x, 1 - t, label), plain(x, t, label))

    def test_every_parameter_gets_a_gradient(self, kind):
        network, (x, t, label) = awake(NETWORKS[kind]()), example(kind)
        network(x, t, label).square().mean().backward()
        for name, p in network.named_parameters():
            assert p.grad is not None, name
            # A bias added before a normalization over all channels of its group may get nothing.
            assert p.grad.abs().max() > 0, name

    def test_a_label_out_of_range_is_refused(self, kind):
        x, t, label = example(kind)
        with pytest.raises(ValueError, match=r"0\.\.10"):
            NETWORKS[kind]()(x, t, label + 2 * 10)

    def test_half_precision_autocast_runs(self, kind):
        network, (x, t, label) = awake(NETWORKS[kind]()), example(kind)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(x, t, label)
        exact = network(x, t, label)
        assert (half.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_a_network_without_classes_refuses_labels():
    with pytest.raises(ValueError, match="no classes"):
        MLP(2)(torch.zeros(3, 2), torch.zeros(3), torch.zeros(3, dtype=torch.long))


def test_skip_connections_carry_what_the_coarse_path_cannot():
    x, t, label = example("unet")
    whole, cut = UNet(8, 8, 10), UNet(8, 8, 10, skip_connections=False)
    assert n_parameters(whole) == n_parameters(cut)
    out = awake(whole)(x, t, label)
    assert not torch.allclose(out, awake(cut)(x, t, label))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="image_size 9"):
        UNet(9)


@pytest.mark.parametrize("size, multipliers", [(8, (1, 2)), (28, (1, 2, 2)), (32, (1, 2, 2, 4))])
def test_the_same_unet_takes_larger_images(size, multipliers):
    network = UNet(size, 8, multipliers=multipliers, n_blocks=2)
    assert network(torch.zeros(2, 1, size, size), torch.zeros(2)).shape == (2, 1, size, size)


def test_seeded_puts_the_global_state_back_even_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="image_size"), seeded(1):
        UNet(int(torch.randint(1, 2, ()) * 9))
    assert torch.equal(before, torch.get_rng_state())


def test_no_two_times_look_alike_to_the_sinusoids():
    u = torch.linspace(0, 1, 201)
    features = sinusoids(u, 32)
    gaps = torch.cdist(features, features) + 10 * torch.eye(201)
    neighbors = (features[1:] - features[:-1]).norm(dim=1)
    assert gaps.min() > 0.5 * neighbors.min()
    with pytest.raises(ValueError, match="even"):
        sinusoids(u, 5)


def drawn(network):
    """Every weight drawn wide, in float64: layers that start at zero would hide what feeds them."""
    generator = torch.Generator().manual_seed(5)
    network = network.double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return network.eval()


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grouped(h, n_groups, layer):
    """Group normalization written out."""
    parts = h.reshape(len(h), n_groups, -1)
    spread = (parts.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    normed = ((parts - parts.mean(2, keepdim=True)) / spread).reshape(h.shape)
    return normed * layer.weight[:, None, None] + layer.bias[:, None, None]


def test_a_block_is_two_convolutions_with_a_modulated_norm_between():
    with seeded(0):
        block = drawn(ResBlock(4, 6, 5, 0.0))
    h, condition = normal(2, 4, 3, 3), normal(2, 5, seed=1)
    silu = torch.nn.functional.silu
    scale, shift = (condition @ block.modulation.weight.T + block.modulation.bias).chunk(2, 1)
    inner = grouped(block.conv_in(silu(grouped(h, 4, block.norm_in))), 2, block.norm_out)
    inner = silu(inner * (1 + scale[..., None, None]) + shift[..., None, None])
    expected = block.shortcut(h) + block.conv_out(inner)
    torch.testing.assert_close(block(h, condition), expected, rtol=1e-12, atol=1e-12)


def test_attention_weighs_the_values_of_all_places_head_by_head():
    with seeded(0):
        attention = drawn(Attention(4, 2))
    h = normal(2, 4, 2, 3)
    q, k, v = attention.to_qkv(grouped(h, 4, attention.norm)).flatten(2).chunk(3, 1)
    heads = []
    for head in (slice(0, 2), slice(2, 4)):
        share = torch.einsum("bci,bcj->bij", q[:, head], k[:, head]).div(2**0.5).softmax(-1)
        heads.append(torch.einsum("bij,bcj->bci", share, v[:, head]))
    expected = h + attention.to_out(torch.cat(heads, 1).reshape(2, 4, 2, 3))
    torch.testing.assert_close(attention(h), expected, rtol=1e-12, atol=1e-12)


def test_groups_are_as_many_as_divide_the_channels_up_to_eight():
    with seeded(0):
        for channels, n_groups in ((16, 8), (12, 4), (6, 2), (5, 1), (8, 8), (1, 1)):
            assert Attention(channels, 1).norm.num_groups == n_groups


def test_the_condition_is_a_network_of_waves_plus_a_vector_per_class():
    with seeded(0):
        condition = drawn(Condition(6, 3, True, None))
    t, label = torch.tensor([0.2, 0.9]), torch.tensor([1, 3])
    waves = condition.time(sinusoids(t, 32).double())
    torch.testing.assert_close(condition(t, label), waves + condition.label.weight[label])
    torch.testing.assert_close(condition(t, None), waves + condition.label.weight[3])
    assert condition.label.weight.shape == (4, 6)
    for bad in ([0, 4], [4, 0], [0, -1], [-1, 0]):
        with pytest.raises(ValueError, match=r"labels must lie in 0\.\.3"):
            condition(t, torch.tensor(bad))
    with seeded(0):
        blind = drawn(Condition(6, None, False, None))
    nothing = blind.time(sinusoids(torch.zeros(2), 32).double())
    assert torch.equal(blind(t, None), nothing)


def test_four_features_are_the_fewest():
    assert sinusoids(torch.zeros(3), 4).tolist() == [[1, 1, 0, 0]] * 3
    for n_features in (2, 3, 5):
        with pytest.raises(ValueError, match="even and at least 4"):
            sinusoids(torch.zeros(3), n_features)


def test_the_flagship_has_the_stated_layers():
    """Its numbers are measured on exactly these, with a condition four times as wide."""
    network = UNet(8, 8, 10)
    shapes = {name: tuple(w.shape) for name, w in network.named_parameters() if "weight" in name}
    assert shapes["first.weight"] == (8, 1, 3, 3)
    assert shapes["last.weight"] == (1, 8, 3, 3)
    assert shapes["condition.label.weight"] == (11, 32)
    assert shapes["downsample.0.weight"] == (8, 8, 3, 3)
    assert shapes["upsample.0.weight"] == (8, 16, 3, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNet(channels=0), "channels must be at least 1, got 0"),
        (lambda: UNet(image_channels=0), "image_channels must be at least 1, got 0"),
        (lambda: UNet(n_blocks=0), "n_blocks must be at least 1, got 0"),
        (lambda: UNet(n_heads=0), "n_heads must be at least 1, got 0"),
        (lambda: UNet(n_heads=3), "n_heads 3 does not divide channels 64"),
        (lambda: MLP(0), "n_dims must be at least 1, got 0"),
        (lambda: MLP(2, n_blocks=-1), "n_blocks must be at least 0, got -1"),
        (lambda: MLP(2, n_classes=0), "n_classes must be at least 1, got 0"),
    ],
)
def test_a_size_that_is_too_small_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_network_of_the_least_sizes_answers():
    t = torch.full((2,), 0.5)
    assert MLP(1, 1, 0)(torch.ones(2, 1), t).shape == (2, 1)
    smallest = UNet(1, 1, multipliers=(1,), n_heads=1)
    assert smallest(torch.ones(2, 1, 1, 1), t).shape == (2, 1, 1, 1)
