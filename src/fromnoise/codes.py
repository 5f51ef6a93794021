r"""Codes with a word for each symbol: turn symbols into bits and back.

Symbols are whole numbers 0, 1, ..., n - 1; bits are a string of `0` and `1`. A code is a list of
words, one per symbol. In a prefix code no word begins another, so words can be read one after
another without marks between them. All lengths are in bits.
"""

import heapq
from collections.abc import Sequence
from fractions import Fraction

import torch
from jaxtyping import Float, Int
from torch import Tensor

Symbols = Int[Tensor, " n"]
Probabilities = Float[Tensor, " outcomes"]


def check_positive(p: Probabilities) -> None:
    """Refuse what no code can be made for.

    Raises:
        ValueError: If there are no symbols, one has probability 0 or the sum is not 1.
    """
    if len(p) == 0:
        raise ValueError("a code needs at least one symbol, got 0")
    if not bool(p.isfinite().all()) or abs(float(p.sum()) - 1) > 1e-5:
        raise ValueError(f"probabilities must be finite and sum to 1, their sum is {p.sum():.6g}")
    if not bool((p > 0).all()):
        worst = int(p.argmin())
        raise ValueError(f"symbol {worst} has probability {p[worst]:.3g} and could not be coded")


def check_symbols(symbols: Symbols, n_outcomes: int) -> None:
    """Refuse symbols outside 0..n - 1.

    Args:
        symbols: Integers.
        n_outcomes: Their number $n$.

    Raises:
        ValueError: If there is one.
    """
    if len(symbols) and not 0 <= int(symbols.min()) <= int(symbols.max()) < n_outcomes:
        found = f"{int(symbols.min())}..{int(symbols.max())}"
        raise ValueError(f"symbols must lie in 0..{n_outcomes - 1}, got {found}")


def check_bits(bits: str) -> None:
    """Refuse strings of anything but 0 and 1.

    Raises:
        ValueError: If there is another character.
    """
    if set(bits) - {"0", "1"}:
        raise ValueError(f"bits must be 0 and 1, got {sorted(set(bits) - {'0', '1'})}")


# --8<-- [start:kraft_sum]
def kraft_sum(lengths: Sequence[int]) -> Fraction:
    r"""Share of all infinite bit strings that the words claim, $\sum_i 2^{-\ell_i}$, exactly.

    A code whose words never begin one another has a sum of at most 1, and every list of lengths
    with such a sum belongs to some code of that kind.

    Args:
        lengths: Bits of each word.

    Raises:
        ValueError: If a length is negative.

    Examples:
        A sum of one leaves no room for another word.

        >>> kraft_sum((1, 2, 2))
        Fraction(1, 1)

    Source:
        Kraft 1949, *A device for quantizing, grouping, and coding amplitude-modulated pulses*.
    """
    if any(length < 0 for length in lengths):
        raise ValueError(f"lengths must be at least 0, got {min(lengths)}")
    return sum((Fraction(1, 1 << length) for length in lengths), Fraction(0))


# --8<-- [end:kraft_sum]


# --8<-- [start:prefix_code]
def prefix_code(lengths: Sequence[int]) -> list[str]:
    r"""Words of the wanted lengths, none of which begins another.

    Words are handed out from the shortest on; each begins where the one before it ends, as a
    number in [0, 1) written in binary.

    Args:
        lengths: Bits of each word.

    Raises:
        ValueError: If there is no such code: the lengths break Kraft's inequality.
    """
    if kraft_sum(lengths) > 1:
        raise ValueError(f"no prefix code: the Kraft sum is {float(kraft_sum(lengths)):.3g} > 1")
    words = [""] * len(lengths)
    start = Fraction(0)
    for symbol in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        length = lengths[symbol]
        if length:
            words[symbol] = format(int(start * (1 << length)), f"0{length}b")
        start += Fraction(1, 1 << length)
    return words


# --8<-- [end:prefix_code]


# --8<-- [start:huffman_code]
def huffman_code(p: Probabilities) -> list[str]:
    r"""The prefix code of least mean length: $H_2(p) \le \sum_i p_i \ell_i < H_2(p) + 1$.

    Merge the two least likely groups, which makes the words of both one bit longer, until one
    group is left. A single symbol needs no bits at all.

    Args:
        p: Probabilities of the symbols, all above 0.

    Returns:
        One word per symbol.

    Raises:
        ValueError: If there are no symbols, one has probability 0 or the sum is not 1.

    Examples:
        Likely symbols get short words.

        >>> huffman_code(torch.tensor([0.5, 0.25, 0.25]))
        ['0', '10', '11']

    Source:
        Huffman 1952, *A method for the construction of minimum-redundancy codes*,
        <https://doi.org/10.1109/JRPROC.1952.273898>.
    """
    check_positive(p)
    lengths = [0] * len(p)
    groups = [(share, [symbol]) for symbol, share in enumerate(p.tolist())]
    heapq.heapify(groups)
    while len(groups) > 1:
        (share, few), (other, more) = heapq.heappop(groups), heapq.heappop(groups)
        for symbol in few + more:
            lengths[symbol] += 1
        heapq.heappush(groups, (share + other, few + more))
    return prefix_code(lengths)


# --8<-- [end:huffman_code]


def encode_words(symbols: Symbols, code: Sequence[str]) -> str:
    """Write the words of the symbols one after another.

    Raises:
        ValueError: If a symbol has no word.
    """
    check_symbols(symbols, len(code))
    return "".join(code[symbol] for symbol in symbols.tolist())


def decode_words(bits: str, code: Sequence[str], n_symbols: int) -> Symbols:
    """Read words until there are `n_symbols`.

    Raises:
        ValueError: If a word is not in the code, or the bits end early or go on afterwards.
    """
    check_bits(bits)
    symbol_of = {word: symbol for symbol, word in enumerate(code)}
    longest = max((len(word) for word in code), default=0)
    found, at = [], 0
    for i in range(n_symbols):
        lengths = range(min(longest, len(bits) - at) + 1)
        length = next((n for n in lengths if bits[at : at + n] in symbol_of), None)
        if length is None:
            raise ValueError(f"the bits hold no word for symbol {i} of {n_symbols}")
        found.append(symbol_of[bits[at : at + length]])
        at += length
    if at < len(bits):
        raise ValueError(f"{len(bits) - at} bits are left after {n_symbols} symbols")
    return torch.tensor(found, dtype=torch.long)


def pack_bits(bits: str) -> bytes:
    """Eight bits to a byte, the last byte filled up with zeros."""
    check_bits(bits)
    n_bytes = -(-len(bits) // 8)
    return int(bits.ljust(8 * n_bytes, "0") or "0", 2).to_bytes(n_bytes)


def unpack_bits(data: bytes) -> str:
    """The bits of a file, first to last.

    Args:
        data: The file.
    """
    return "".join(format(byte, "08b") for byte in data)
