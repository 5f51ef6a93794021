"""Arithmetic coding loses nothing and costs the surprise of the message, to within two bits."""

import math
from itertools import pairwise, product

import pytest
import torch

from fromnoise.arithmetic_coding import (
    REGISTER_BITS,
    TOTAL,
    AdaptiveCounts,
    SequenceModel,
    _narrow,
    _shared_offset,
    arithmetic_decode,
    arithmetic_encode,
    cumulative_counts,
    ideal_bits,
)
from fromnoise.codes import encode_words, huffman_code, kraft_sum, pack_bits, unpack_bits

F64 = torch.float64


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def distribution(n, seed, power=3.0):
    p = torch.rand(n, generator=rng(seed), dtype=F64) ** power + 1e-9
    return p / p.sum()


def message(p, n, seed=0):
    return torch.multinomial(p, n, replacement=True, generator=rng(seed))


class Fixed:
    """The same probabilities whatever came before."""

    def __init__(self, p):
        self.p = p

    def next_probabilities(self, prefix):
        return self.p


class Remembers:
    """Probabilities that depend on the whole prefix, as a network's do."""

    def next_probabilities(self, prefix):
        return distribution(5, seed=int((prefix + 2).prod()) % 1009 + len(prefix))


MODELS = {
    "fixed": Fixed(distribution(6, 1)),
    "certain": Fixed(torch.tensor([1 - 2e-12, 1e-12, 1e-12], dtype=F64)),
    "below the smallest count": Fixed(torch.tensor([1.0, 1e-30], dtype=F64)),
    "single precision": Fixed(torch.tensor([0.7, 0.2, 0.1])),
    "one symbol": Fixed(torch.ones(1, dtype=F64)),
    "adaptive": AdaptiveCounts(4),
    "whole prefix": Remembers(),
}
EVERY = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@EVERY
@pytest.mark.parametrize("n_symbols", [0, 1, 2, 200])
def test_arithmetic_coding_loses_nothing_and_costs_at_most_two_bits(model, n_symbols):
    n_outcomes = len(model.next_probabilities(torch.zeros(0, dtype=torch.long)))
    symbols = torch.randint(n_outcomes, (n_symbols,), generator=rng(3))
    bits = arithmetic_encode(symbols, model)
    assert torch.equal(arithmetic_decode(bits, model, n_symbols), symbols)
    ideal = ideal_bits(symbols, model)
    assert len(bits) < ideal + 2 + 1e-9
    # All that the word begins lies within the message's share, so it cannot be shorter, unless a
    # probability below the smallest count was rounded up.
    if model is not MODELS["below the smallest count"]:
        assert len(bits) > ideal - 1e-9


def test_every_message_of_one_length_has_a_word_that_begins_no_other():
    """So the words are a code: three symbols from three, all 27, after each other without marks."""
    model = Fixed(torch.tensor([0.6, 0.3, 0.1], dtype=F64))
    words = [arithmetic_encode(torch.tensor(x), model) for x in product(range(3), repeat=3)]
    assert kraft_sum([len(word) for word in words]) <= 1
    assert not any(b.startswith(a) for a, b in pairwise(sorted(words)))
    tail = "".join(words)
    first = arithmetic_decode(tail, model, 3)
    assert first.tolist() == [0, 0, 0]
    assert arithmetic_decode(words[17] + tail, model, 3).tolist() == [1, 2, 2]


def test_arithmetic_coding_beats_whole_bits_on_a_lopsided_coin():
    p = torch.tensor([0.99, 0.01], dtype=F64)
    symbols = message(p, 2000)
    words, interval = encode_words(symbols, huffman_code(p)), arithmetic_encode(symbols, Fixed(p))
    assert len(words) == 2000
    assert len(interval) < 300


def test_the_wrong_model_pays_the_divergence_and_cannot_read():
    p, q = distribution(6, 1, 1.0), distribution(6, 2, 1.0)
    symbols = message(p, 400)
    right, wrong = Fixed(p), Fixed(q)
    bits = arithmetic_encode(symbols, right)
    assert len(arithmetic_encode(symbols, wrong)) > len(bits) + 50
    assert not torch.equal(arithmetic_decode(bits, wrong, 400), symbols)


def test_adaptive_counts_are_the_rule_of_succession():
    """Every order of the same symbols costs the same: n! counts! over all (Laplace)."""
    model = AdaptiveCounts(3)
    p = model.next_probabilities(torch.tensor([0, 2, 2]))
    assert torch.allclose(p, torch.tensor([2, 1, 3], dtype=F64) / 6, rtol=1e-15)
    closed = math.log2(math.factorial(5 + 2) / 2 / math.factorial(2) / math.factorial(3))
    for text in ([0, 0, 2, 2, 2], [2, 0, 2, 0, 2]):
        assert ideal_bits(torch.tensor(text), model) == pytest.approx(closed, rel=1e-14)
    assert isinstance(model, SequenceModel)


def test_counts_keep_every_symbol_almost_its_share():
    """One-sided: never less than p (1 - n / T), which is why a rare symbol costs no more."""
    p = distribution(50, 4, power=20.0)
    edges = cumulative_counts(p)
    assert edges[0] == 0
    assert edges[-1] <= TOTAL
    counts = torch.tensor(edges, dtype=torch.long).diff()
    share = counts.double() / edges[-1]
    assert bool((share >= p * (1 - 50 / TOTAL) * (1 - 1e-15)).all())
    # Rounding down alone would write some symbols off.
    assert bool(((p * 2**20).floor() == 0).any())


def test_the_rarest_symbols_cost_no_more_than_their_surprise():
    """Three counts of 2^48, five hundred times: a register of 52 bits would waste ten bits here."""
    p = (3 - 1e-3) / TOTAL
    model = Fixed(torch.tensor([p, 1 - p], dtype=F64))
    symbols = torch.zeros(500, dtype=torch.long)
    bits = arithmetic_encode(symbols, model)
    assert len(bits) < ideal_bits(symbols, model) + 2 + 1e-9
    assert torch.equal(arithmetic_decode(bits, model, 500), symbols)


def test_a_packed_message_comes_back():
    model = AdaptiveCounts(4)
    symbols = torch.randint(4, (77,), generator=rng())
    packed = pack_bits(arithmetic_encode(symbols, model))
    assert torch.equal(arithmetic_decode(unpack_bits(packed), model, 77), symbols)


@pytest.mark.parametrize(
    "call, message_",
    [
        (
            lambda: arithmetic_encode(torch.tensor([0]), Fixed(torch.tensor([1.0, 0.0]))),
            "symbol 1 has probability 0",
        ),
        (lambda: arithmetic_encode(torch.tensor([-1]), AdaptiveCounts(2)), r"0\.\.1, got -1\.\.-1"),
        (lambda: ideal_bits(torch.tensor([2]), AdaptiveCounts(2)), r"0\.\.1, got 2\.\.2"),
        (lambda: arithmetic_decode("2", AdaptiveCounts(2), 1), "bits must be 0 and 1"),
        (lambda: arithmetic_decode("1", AdaptiveCounts(2), -1), "at least 0, got -1"),
        (lambda: AdaptiveCounts(0), "at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message_):
    with pytest.raises(ValueError, match=message_):
        call()


def test_one_symbol_is_enough_and_none_is_not():
    assert AdaptiveCounts(1).next_probabilities(torch.zeros(0, dtype=torch.long)).tolist() == [1]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        AdaptiveCounts(0)


def test_probabilities_that_do_not_quite_sum_to_one_are_scaled():
    p = torch.tensor([0.25, 0.75 + 8e-6], dtype=F64)
    share = p / p.sum()
    assert ideal_bits(torch.tensor([1]), Fixed(p)) == pytest.approx(-math.log2(share[1]), rel=1e-12)
    edges = cumulative_counts(p)
    assert edges[1] / edges[-1] == pytest.approx(float(share[0]), rel=1e-12)
    assert edges[-1] <= TOTAL


def test_only_the_symbol_at_hand_is_checked_against_the_model():
    """A model may know fewer symbols at first: each is held against its own moment."""

    class Growing:
        def next_probabilities(self, prefix):
            return torch.full((2 + len(prefix),), 1 / (2 + len(prefix)), dtype=F64)

    symbols = torch.tensor([1, 2, 3])
    assert ideal_bits(symbols, Growing()) == pytest.approx(math.log2(2 * 3 * 4), rel=1e-12)
    bits = arithmetic_encode(symbols, Growing())
    assert torch.equal(arithmetic_decode(bits, Growing(), 3), symbols)


def test_halves_and_quarters_are_told_apart_exactly():
    """Even bets put every edge on a power of two: a word is the message itself and two bits."""
    even = Fixed(torch.tensor([0.5, 0.5], dtype=F64))
    for text in product((0, 1), repeat=6):
        bits = arithmetic_encode(torch.tensor(text), even)
        assert len(bits) <= 6 + 2
        assert arithmetic_decode(bits, even, 6).tolist() == list(text)


def test_an_interval_is_cut_at_the_shares_and_doubled_only_when_it_lies_on_one_side():
    assert _narrow(0, 7, [0, 1, 4], 0) == (0, 1)
    assert _narrow(0, 7, [0, 1, 4], 1) == (2, 7)
    assert _narrow(8, 15, [0, 1, 4], 1) == (10, 15)
    half, quarter = 1 << (REGISTER_BITS - 1), 1 << (REGISTER_BITS - 2)
    for low, high, offset in (
        (0, half - 1, 0),
        (0, half, None),
        (half, 2 * half - 1, half),
        (half - 1, 2 * half - 1, None),
        (quarter, half + quarter - 1, quarter),
        (quarter, half + quarter, None),
        (quarter - 1, half + quarter - 1, None),
    ):
        assert _shared_offset(low, high) == offset


def test_a_number_on_an_edge_belongs_to_the_symbol_above_it():
    even = Fixed(torch.tensor([0.5, 0.5], dtype=F64))
    assert arithmetic_decode("1" + "0" * 90, even, 1).tolist() == [1]
    assert arithmetic_decode("0" + "1" * 90, even, 1).tolist() == [0]
