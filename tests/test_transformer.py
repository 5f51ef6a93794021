"""A causal network never looks ahead; the other sees both sides; their weights are the same."""

import math

import pytest
import torch

from fromnoise.networks import n_parameters
from fromnoise.transformer import Transformer, rotate


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def random_transformer(causal=True, seed=1, scale=0.6, n_blocks=2, rotary=True):
    """Every weight drawn at random: an untrained last layer is zero and would hide all faults."""
    network = Transformer(
        3, 6, 16, n_blocks=n_blocks, n_heads=2, causal=causal, rotary=rotary
    ).double()
    generator = rng(seed)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return network


def sensitivity(network, length=6):
    """Row i, column j: how much the scores at place i change with the token at place j."""
    tokens = torch.randint(network.n_characters + 1, (8, length), generator=rng(2))
    before = network(tokens)
    table = torch.zeros(length, length)
    for j in range(length):
        changed = tokens.clone()
        changed[:, j] = (changed[:, j] + 1) % (network.n_characters + 1)
        table[:, j] = (network(changed) - before).abs().amax((0, 2))
    return table


def test_no_later_token_changes_an_earlier_output():
    """Exactly zero above the diagonal, and every earlier token does matter."""
    table = sensitivity(random_transformer())
    assert bool((table.triu(1) == 0).all())
    assert bool((table[torch.ones(6, 6).tril().bool()] > 1e-6).all())
    # Without the mask every token changes every output: this table would catch it.
    assert bool((sensitivity(random_transformer(causal=False)) > 1e-6).all())


def test_rotated_products_depend_on_the_distance_alone():
    """The same two vectors at places 0, 2 and 3, 5 meet alike; at 0 and 3 they do not."""
    q, k = torch.randn(2, 8, generator=rng(), dtype=torch.float64)
    turned_q, turned_k = rotate(q.expand(6, 8), 6), rotate(k.expand(6, 8), 6)
    torch.testing.assert_close(turned_q[0] @ turned_k[2], turned_q[3] @ turned_k[5])
    assert abs(float(turned_q[0] @ turned_k[2] - turned_q[0] @ turned_k[3])) > 1e-3
    torch.testing.assert_close(turned_q.norm(dim=1), q.norm().expand(6))


@pytest.mark.parametrize("causal", [True, False])
def test_examples_do_not_talk_to_each_other(causal):
    network = random_transformer(causal=causal)
    tokens = torch.randint(4, (3, 6), generator=rng())
    alone = torch.cat([network(tokens[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(tokens), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rotary", [True, False])
def test_attention_is_the_weighted_mean_of_the_values(rotary):
    """The heads of one block, written out with loops; the mask taken off would be noticed."""
    block = random_transformer(n_blocks=1, rotary=rotary).blocks[0]
    h = torch.randn(1, 5, 16, generator=rng(), dtype=torch.float64)
    q, k, v = (part.clone() for part in block.to_qkv(block.norm_attention(h))[0].split(16, dim=1))
    found = torch.zeros(5, 16, dtype=torch.float64)
    for head in (slice(0, 8), slice(8, 16)):
        if rotary:
            q[:, head], k[:, head] = rotate(q[:, head], 6), rotate(k[:, head], 6)
        for i in range(5):
            weights = torch.stack([q[i, head] @ k[j, head] / 8**0.5 for j in range(i + 1)]).exp()
            found[i, head] = weights @ v[: i + 1, head] / weights.sum()
    added = h + block.to_out(found)[None]
    expected = added + block.mlp(block.norm_mlp(added))
    torch.testing.assert_close(block(h), expected, rtol=1e-10, atol=1e-10)
    block.causal = False
    assert not torch.allclose(block(h), expected, rtol=1e-3)


def test_scores_are_read_from_the_normalized_sum_of_token_place_and_blocks():
    network = random_transformer()
    tokens = torch.randint(4, (2, 5), generator=rng())
    h = network.token.weight[tokens] + network.position[:5]
    for block in network.blocks:
        h = block(h)
    centered = h - h.mean(-1, keepdim=True)
    spread = (centered.square().mean(-1, keepdim=True) + network.norm.eps).sqrt()
    normalized = centered / spread * network.norm.weight + network.norm.bias
    expected = normalized @ network.last.weight.T + network.last.bias
    torch.testing.assert_close(network(tokens), expected, rtol=1e-10, atol=1e-10)


def test_the_place_of_a_token_matters():
    """Without positions, exchanging two tokens would only exchange their scores."""
    network = random_transformer(causal=False)
    tokens = torch.tensor([[0, 1, 2, 0]])
    exchanged = network(tokens[:, [1, 0, 2, 3]])[:, [1, 0, 2, 3]]
    assert not torch.allclose(network(tokens), exchanged, rtol=1e-3)


def test_both_uses_have_the_same_weights():
    one, other = Transformer(5, 8, causal=True, seed=3), Transformer(5, 8, causal=False, seed=3)
    assert n_parameters(one) == n_parameters(other)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
    another = Transformer(5, 8, seed=4)
    assert not torch.equal(one.token.weight, another.token.weight)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Transformer(0, 4), "n_characters 0"),
        (lambda: Transformer(3, 4, 10, n_heads=4), "width 10, n_heads 4"),
        (lambda: Transformer(3, 4, 6, n_heads=2), "even width, got width 6 for 2 heads"),
        (lambda: rotate(torch.zeros(2, 3), 4), "even width and longest >= 1, got 3 and 4"),
        (lambda: Transformer(3, 4)(torch.zeros(1, 5, dtype=torch.long)), "4 tokens, got 5"),
        (lambda: Transformer(3, 4)(torch.tensor([[4]])), r"0\.\.3 \(blank\), got 4\.\.4"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_least_sizes_are_allowed_and_none_below():
    network = Transformer(1, 1, 2, n_heads=1)
    assert network(torch.zeros(1, 1, dtype=torch.long)).shape == (1, 1, 1)
    for sizes in ((0, 1, 2, 1), (1, 0, 2, 1), (1, 1, 0, 1), (1, 1, 2, 0)):
        with pytest.raises(ValueError, match="sizes must be at least 1"):
            Transformer(*sizes[:3], n_heads=sizes[3])
    for tokens in ([0, 2], [2, 0], [0, -1], [-1, 0]):
        with pytest.raises(ValueError, match=r"tokens must lie in 0\.\.1"):
            Transformer(1, 2, 2, n_heads=1)(torch.tensor([tokens]))


def test_one_pair_turns_by_a_quarter_per_place_and_the_slowest_by_a_quarter_in_all():
    one = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    quarter = rotate(one.expand(3, 2), 1)
    expected = torch.tensor([[1.0, 0], [0, 1], [-1, 0]], dtype=torch.float64)
    assert (quarter - expected).abs().max() < 1e-15
    assert (rotate(one.expand(3, 2), 50) - expected).abs().max() < 1e-15
    slow = torch.zeros(6, 4, dtype=torch.float64)
    slow[:, 1] = 1  # the first entry of the second pair
    turned = rotate(slow, 5)
    assert turned[5, 3] == pytest.approx(1)
    assert turned[1, 3] == pytest.approx(math.sin(math.pi / 10))
    with pytest.raises(ValueError, match="longest >= 1, got 2 and 0"):
        rotate(one, 0)


def test_without_blocks_it_reads_each_character_alone():
    model = Transformer(5, context=4, width=8, n_heads=2, n_blocks=0)
    text = torch.tensor([[1, 2, 3, 4], [4, 2, 1, 4]])
    logits = model(text)
    assert logits.shape == (2, 4, 5)
    assert torch.equal(logits[0, 1], logits[1, 1])
