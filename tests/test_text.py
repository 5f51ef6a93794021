"""Probabilities of texts sum to one, and code lengths made from them are real."""

import math
from itertools import product

import pytest
import torch
from scipy import stats

from fromnoise.arithmetic_coding import (
    SequenceModel,
    arithmetic_decode,
    arithmetic_encode,
    ideal_bits,
)
from fromnoise.codes import pack_bits, unpack_bits
from fromnoise.text import (
    TextModel,
    Vocabulary,
    bits_per_character,
    chunks,
    log_prob,
    next_character_loss,
    perplexity,
    write,
)
from fromnoise.training import TrainingSettings, train
from fromnoise.transformer import Transformer

TEXT = "the cat sat on the mat. "


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def random_transformer(n_characters=3, context=6, causal=True, seed=1, scale=0.6):
    """Every weight drawn at random: an untrained last layer is zero and would hide all faults."""
    network = Transformer(n_characters, context, 16, n_heads=2, causal=causal).double()
    generator = rng(seed)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return network


def test_probabilities_of_all_texts_of_one_length_sum_to_one():
    """All 81 texts of four characters from three; a network that sees the answer fails this."""
    network = random_transformer()
    texts = torch.tensor(list(product(range(3), repeat=4)))
    total = log_prob(network, texts).detach().sum(1).exp().sum()
    assert abs(float(total) - 1) < 1e-12
    unshifted = network(texts).detach().log_softmax(-1).gather(-1, texts[..., None])[..., 0]
    assert abs(float(unshifted.sum(1).exp().sum()) - 1) > 1e-3


def test_untrained_it_finds_all_characters_equally_likely():
    network = Transformer(7, 10)
    nats = -log_prob(network, torch.randint(7, (3, 10), generator=rng())).mean().item()
    assert nats == pytest.approx(math.log(7), rel=1e-6)
    assert perplexity(nats) == pytest.approx(7, rel=1e-6)
    assert bits_per_character(nats) == pytest.approx(math.log2(7), rel=1e-6)


def test_one_prefix_at_a_time_gives_the_same_probabilities_as_a_whole_row():
    network = random_transformer()
    model = TextModel(network)
    assert isinstance(model, SequenceModel)
    row = torch.tensor([2, 0, 1, 1, 0, 2])
    steps = [model.next_probabilities(row[:i])[row[i]].log() for i in range(6)]
    torch.testing.assert_close(
        torch.stack(steps), log_prob(network, row[None])[0], rtol=0, atol=1e-12
    )


def test_it_looks_back_over_one_context_and_no_further():
    model = TextModel(random_transformer(context=4))
    long = torch.tensor([0, 1, 2, 0, 1, 1, 2])
    other = torch.tensor([2, 2, 0, 1, 1, 1, 2])
    assert torch.equal(model.next_probabilities(long), model.next_probabilities(other))
    third = torch.tensor([0, 1, 2, 0, 0, 1, 2])
    assert not torch.equal(model.next_probabilities(long), model.next_probabilities(third))


def test_asking_for_probabilities_leaves_the_network_as_it_was():
    network = Transformer(3, 6, dropout=0.5).train()
    with torch.no_grad():
        network.last.weight.normal_(generator=rng())
    model, prefix = TextModel(network), torch.tensor([0, 1])
    assert torch.equal(model.next_probabilities(prefix), model.next_probabilities(prefix))
    assert network.training


def test_temperature_sharpens_and_one_leaves_alone():
    network = random_transformer()
    prefix = torch.tensor([1, 2])
    p = TextModel(network).next_probabilities(prefix)
    cold = TextModel(network, 0.5).next_probabilities(prefix)
    torch.testing.assert_close(cold, p.square() / p.square().sum(), rtol=1e-12, atol=0)


def test_written_characters_follow_the_probabilities():
    """Two characters, 900 times, against the nine exact shares; false alarm once in 1e9."""
    network = random_transformer(context=2, scale=0.3)
    model, generator = TextModel(network), rng(5)
    pairs = torch.stack([write(model, 2, generator) for _ in range(900)])
    counts = torch.bincount(3 * pairs[:, 0] + pairs[:, 1], minlength=9).numpy()
    texts = torch.tensor(list(product(range(3), repeat=2)))
    share = log_prob(network, texts).sum(1).exp().detach().numpy()
    assert 900 * share.min() > 5  # the chi-squared law holds for counts that are not tiny
    assert stats.chisquare(counts, 900 * share).pvalue > 1e-9
    # Drawing from the squared probabilities instead would be noticed.
    assert stats.chisquare(counts, 900 * share**2 / (share**2).sum()).pvalue < 1e-9


def test_writing_keeps_the_prefix_and_the_seed_decides():
    model, prefix = TextModel(random_transformer(), 9.0), torch.tensor([2, 2, 1])
    one, two, other = (write(model, 20, rng(s), prefix) for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert len(one) == 23
    assert torch.equal(one[:3], prefix)
    assert torch.equal(write(model, 0, rng()), torch.zeros(0, dtype=torch.long))


def test_a_trained_network_compresses_its_text_and_gives_it_back():
    """Fewer than two bits per character of a text whose characters alone carry more than three."""
    vocabulary = Vocabulary(TEXT)
    tokens = vocabulary.encode(TEXT * 12)
    network = Transformer(len(vocabulary), 24, 32, n_heads=2)
    settings = TrainingSettings(n_steps=60, batch_size=8, learning_rate=5e-3, ema_decay=0.8)
    trained = train(network, next_character_loss, (chunks(tokens, 24),), settings).network
    assert isinstance(trained, Transformer)
    model, message = TextModel(trained), vocabulary.encode(TEXT * 2)
    data = pack_bits(arithmetic_encode(message, model))
    back = arithmetic_decode(unpack_bits(data), model, len(message))
    assert vocabulary.decode(back) == TEXT * 2
    assert 8 * len(data) <= ideal_bits(message, model) + 2 + 7
    shares = torch.bincount(message).double() / len(message)
    alone = -torch.special.xlogy(shares, shares).sum() / math.log(2)
    assert alone > 3
    assert 8 * len(data) / len(message) < 2
    # The untrained network spends the full log2 of the vocabulary.
    assert ideal_bits(message, TextModel(network)) == pytest.approx(
        len(message) * math.log2(len(vocabulary)), rel=1e-6
    )


def test_the_vocabulary_is_sorted_and_comes_back():
    vocabulary = Vocabulary("banana")
    assert vocabulary.characters == "abn"
    assert len(vocabulary) == vocabulary.blank == 3
    assert vocabulary.encode("nab").tolist() == [2, 0, 1]
    assert vocabulary.decode(vocabulary.encode("banana")) == "banana"
    assert vocabulary.decode([1, 3, 2]) == "b_n"
    assert vocabulary.encode("").shape == (0,)


def test_rows_keep_the_order_and_drop_the_rest():
    assert chunks(torch.arange(7), 3).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Vocabulary(""), "the text is empty"),
        (lambda: Vocabulary("ab").encode("abc"), r"vocabulary lacks: \['c'\]"),
        (lambda: Vocabulary("ab").decode([3]), r"0\.\.2 \(blank\), got \[3\]"),
        (lambda: chunks(torch.arange(3), 4), r"length must lie in 1\.\.3, got 4"),
        (lambda: chunks(torch.arange(3), 0), "got 0"),
        (
            lambda: log_prob(Transformer(3, 4, causal=False), torch.tensor([[0]])),
            "must be causal",
        ),
        (lambda: TextModel(Transformer(3, 4, causal=False)), "must be causal"),
        (lambda: TextModel(Transformer(3, 4), 0.0), "temperature must be positive, got 0"),
        (lambda: write(TextModel(Transformer(3, 4)), -1, rng()), "at least 0, got -1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_may_be_one_character_long_or_the_whole_text():
    tokens = torch.arange(5)
    assert chunks(tokens, 1).shape == (5, 1)
    assert chunks(tokens, 5).tolist() == [[0, 1, 2, 3, 4]]
    for length in (0, 6):
        with pytest.raises(ValueError, match=r"length must lie in 1\.\.5"):
            chunks(tokens, length)


def test_every_token_must_be_a_character_or_the_blank():
    vocabulary = Vocabulary("ab")
    assert vocabulary.decode([2, 0, 1]) == "_ab"
    assert vocabulary.decode([1]) == "b"
    for tokens in ([0, 3], [3, 0], [0, -1], [-1, 0]):
        with pytest.raises(ValueError, match="tokens must lie in"):
            vocabulary.decode(tokens)


def test_the_loss_is_the_mean_over_characters_and_the_temperature_finite():
    network = random_transformer()
    tokens = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    expected = -log_prob(network, tokens).sum() / 8
    torch.testing.assert_close(next_character_loss(network, (tokens,), rng()), expected)
    for temperature in (0.0, math.inf):
        with pytest.raises(ValueError, match="temperature must be positive"):
            TextModel(network, temperature)
