"""Codes lose nothing, cost what the entropy says, and obey Kraft."""

import math
from fractions import Fraction
from itertools import combinations_with_replacement

import pytest
import torch

from fromnoise.codes import (
    decode_words,
    encode_words,
    huffman_code,
    kraft_sum,
    pack_bits,
    prefix_code,
    unpack_bits,
)
from fromnoise.information import entropy

F64 = torch.float64


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def distribution(n, seed, power=3.0):
    p = torch.rand(n, generator=rng(seed), dtype=F64) ** power + 1e-9
    return p / p.sum()


def message(p, n, seed=0):
    return torch.multinomial(p, n, replacement=True, generator=rng(seed))


def mean_length(p, code):
    return float(sum(share * len(word) for share, word in zip(p.tolist(), code, strict=True)))


@pytest.mark.parametrize("n", [2, 3, 7, 40])
@pytest.mark.parametrize("power", [0.0, 1.0, 12.0])
def test_huffman_is_within_one_bit_of_the_entropy(n, power):
    p = distribution(n, seed=n, power=power)
    code = huffman_code(p)
    bits = float(entropy(p)) / math.log(2)
    assert bits - 1e-12 <= mean_length(p, code) < bits + 1
    assert kraft_sum([len(word) for word in code]) == 1


def test_huffman_meets_the_entropy_when_probabilities_are_powers_of_a_half():
    p = torch.tensor([1 / 4, 1 / 2, 1 / 16, 1 / 8, 1 / 16], dtype=F64)
    code = huffman_code(p)
    assert [len(word) for word in code] == [2, 1, 4, 3, 4]
    assert mean_length(p, code) == float(entropy(p)) / math.log(2) == 1.875


@pytest.mark.parametrize("seed", range(5))
def test_no_prefix_code_is_shorter_than_huffman(seed):
    """Every list of lengths that Kraft allows, for five symbols and words of up to 5 bits."""
    p = distribution(5, seed, power=2.0)
    falling = p.sort(descending=True).values.tolist()
    costs = [
        sum(share * length for share, length in zip(falling, lengths, strict=True))
        for lengths in combinations_with_replacement(range(1, 6), 5)
        if kraft_sum(lengths) <= 1
    ]
    assert mean_length(p, huffman_code(p)) == pytest.approx(min(costs), rel=1e-14)
    # Rounding each surprise up (Shannon's code) is a prefix code too, and longer here.
    rounded = [math.ceil(-math.log2(share)) for share in p.tolist()]
    assert mean_length(p, prefix_code(rounded)) > min(costs) + 1e-3


@pytest.mark.parametrize("lengths", [[1, 2, 3, 3], [3, 1, 3, 3], [2, 2, 2], [4], [0], []])
def test_no_word_begins_another(lengths):
    words = prefix_code(lengths)
    assert [len(word) for word in words] == lengths
    assert not any(
        a.startswith(b) for i, a in enumerate(words) for j, b in enumerate(words) if i != j
    )


def test_kraft_refuses_what_cannot_be():
    assert kraft_sum([1, 2, 3]) == Fraction(7, 8)
    with pytest.raises(ValueError, match=r"Kraft sum is 1\.25"):
        prefix_code([1, 1, 2])
    with pytest.raises(ValueError, match="at least 0, got -1"):
        kraft_sum([1, -1])


@pytest.mark.parametrize("n_outcomes", [1, 2, 9])
@pytest.mark.parametrize("n_symbols", [0, 1, 300])
def test_words_come_back(n_outcomes, n_symbols):
    p = distribution(n_outcomes, 0)
    symbols = message(p, n_symbols) if n_symbols else torch.zeros(0, dtype=torch.long)
    code = huffman_code(p)
    bits = encode_words(symbols, code)
    assert torch.equal(decode_words(bits, code, n_symbols), symbols)


def test_broken_words_are_noticed():
    code = ["0", "10", "110"]
    for bits, message_ in [("11", "no word for symbol 0"), ("00", "1 bits are left")]:
        with pytest.raises(ValueError, match=message_):
            decode_words(bits, code, 1)
    with pytest.raises(ValueError, match="bits must be 0 and 1"):
        decode_words("0x", code, 1)


def test_bits_are_packed_in_order():
    assert pack_bits("1000000001") == b"\x80\x40"
    assert unpack_bits(b"\x80\x40") == "1000000001000000"
    assert pack_bits("") == b"" == unpack_bits(b"").encode()


@pytest.mark.parametrize(
    "call, message_",
    [
        (lambda: huffman_code(torch.tensor([0.5, 0.0, 0.5])), "symbol 1 has probability 0"),
        (lambda: huffman_code(torch.tensor([0.5, 0.6])), r"sum is 1\.1"),
        (lambda: huffman_code(torch.tensor([0.5, math.nan])), "finite"),
        (lambda: huffman_code(torch.zeros(0)), "at least one symbol"),
        (lambda: encode_words(torch.tensor([3]), ["0", "1"]), r"0\.\.1, got 3\.\.3"),
        (lambda: pack_bits("012"), "bits must be 0 and 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message_):
    with pytest.raises(ValueError, match=message_):
        call()


def test_symbols_may_be_any_of_the_code_and_no_others():
    code = ["0", "10", "11"]
    assert encode_words(torch.tensor([2, 0, 1]), code) == "11010"
    for symbols in ([0, 3], [3, 0], [-1, 0], [0, -1]):
        with pytest.raises(ValueError, match=r"symbols must lie in 0\.\.2"):
            encode_words(torch.tensor(symbols), code)


def test_bytes_are_as_many_as_the_bits_need():
    for n in range(20):
        assert len(pack_bits("1" * n)) == (n + 7) // 8
