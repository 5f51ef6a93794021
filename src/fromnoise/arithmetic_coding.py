r"""Arithmetic coding: one word for a whole message, as short as its surprise to within two bits.

Probabilities may change after every symbol, so any `SequenceModel` is a compressor: the better it
predicts, the shorter the file. The decoder asks the same model the same questions. Symbols and bits
are those of `fromnoise.codes`; everything inside is whole numbers, so nothing is lost to rounding.
"""

import math
from itertools import accumulate
from typing import Protocol, runtime_checkable

import torch

from fromnoise.codes import Probabilities, Symbols, check_bits, check_positive, check_symbols

REGISTER_BITS = 96
"""Width of the arithmetic coder's interval; after every symbol it keeps all but 2 of them."""
TOTAL = 1 << 48
"""Probabilities become whole numbers with at most this sum."""


@runtime_checkable
class SequenceModel(Protocol):
    """What a compressor needs: the probabilities of the next symbol, all above 0."""

    def next_probabilities(self, prefix: Symbols) -> Probabilities:
        r"""$p(x_i \mid x_1, \dots, x_{i-1})$ for every value of $x_i$; the prefix may be empty."""
        ...


# --8<-- [start:AdaptiveCounts]
class AdaptiveCounts:
    r"""A model that learns while it reads: $p(x_i = a) = (1 + \#a) / (n + i - 1)$.

    Here $\#a$ counts the symbol among the $i - 1$ that came before and $n$ is the number of
    symbols; nothing needs to be sent in advance.

    Args:
        n_outcomes: Number of symbols $n$.

    Source:
        The rule of succession, Laplace 1774.
    """

    def __init__(self, n_outcomes: int) -> None:
        """Start with one count for each symbol.

        Raises:
            ValueError: If there are no symbols.
        """
        if n_outcomes < 1:
            raise ValueError(f"n_outcomes must be at least 1, got {n_outcomes}")
        self.n_outcomes = n_outcomes

    def next_probabilities(self, prefix: Symbols) -> Probabilities:
        """Shares of the symbols so far, with one added to each count.

        Args:
            prefix: The symbols so far.
        """
        counts = 1 + torch.bincount(prefix, minlength=self.n_outcomes).double()
        return counts / counts.sum()


# --8<-- [end:AdaptiveCounts]


def ideal_bits(symbols: Symbols, model: SequenceModel) -> float:
    r"""Surprise of a message under a model, $-\log_2 p(x) = -\sum_i \log_2 p(x_i \mid x_{<i})$.

    Raises:
        ValueError: If the model gives some symbol probability 0.
    """
    bits = 0.0
    for i, symbol in enumerate(symbols.tolist()):
        p = model.next_probabilities(symbols[:i])
        check_positive(p)
        check_symbols(symbols[i : i + 1], len(p))
        bits -= math.log2(float(p[symbol]) / float(p.sum()))
    return bits


# --8<-- [start:cumulative_counts]
def cumulative_counts(p: Probabilities) -> list[int]:
    r"""Edges of the symbols' intervals in whole numbers: sums of $c_i = 1 + \lfloor p_i M \rfloor$.

    With $M = T - n$ the total is at most $T$, so symbol i keeps a share above $p_i (1 - n/T)$: with
    $T = 2^{48}$ rounding costs less than $n \cdot 10^{-14}$ bits per symbol, however rare it is.

    Args:
        p: Probabilities of the next symbol, all above 0.

    Returns:
        n + 1 edges from 0 to the total.

    Raises:
        ValueError: If there are no symbols, one has probability 0 or the sum is not 1.
    """
    check_positive(p)
    share = p.double() / p.double().sum()
    counts = 1 + (share * (TOTAL - len(p))).floor().long()
    return [0, *accumulate(counts.tolist())]


# --8<-- [end:cumulative_counts]

_HALF, _QUARTER = 1 << (REGISTER_BITS - 1), 1 << (REGISTER_BITS - 2)


def _narrow(low: int, high: int, edges: list[int], symbol: int) -> tuple[int, int]:
    """The symbol's part of the interval of the register values low, ..., high."""
    width = high - low + 1
    below, above = edges[symbol], edges[symbol + 1]
    return low + width * below // edges[-1], low + width * above // edges[-1] - 1


def _shared_offset(low: int, high: int) -> int | None:
    """What to subtract before the interval can be doubled; none while it must stay as it is."""
    if high < _HALF:
        return 0
    if low >= _HALF:
        return _HALF
    if low >= _QUARTER and high < _HALF + _QUARTER:
        return _QUARTER  # around the middle: the next bit is not known yet, the one after is
    return None


# --8<-- [start:arithmetic_encode]
def arithmetic_encode(symbols: Symbols, model: SequenceModel) -> str:
    r"""One word for the whole message, of at most $-\log_2 p(x) + 2$ bits.

    An interval starts as all bit strings. Each symbol narrows it to a part as large as its
    probability. Bits that the whole interval shares are written and the rest is doubled, so that
    whole numbers of fixed size suffice. Rounding adds less than $n \cdot 10^{-14}$ bits per symbol
    for n outcomes.

    Args:
        symbols: The message.
        model: Must give the decoder the same probabilities, to the last bit. A network does if it
            is asked on the same machine for one prefix at a time.

    Raises:
        ValueError: If a symbol is out of range or the model gives some symbol probability 0.

    Examples:
        A hundred equal symbols: after a few, each costs almost nothing.

        >>> model = AdaptiveCounts(2)
        >>> bits = arithmetic_encode(torch.zeros(100, dtype=torch.int64), model)
        >>> len(bits)
        8
        >>> arithmetic_decode(bits, model, 100).sum()
        tensor(0)

    Source:
        Witten, Neal and Cleary 1987, *Arithmetic coding for data compression*,
        <https://doi.org/10.1145/214762.214771>.
    """
    low, high = 0, 2 * _HALF - 1
    written: list[str] = []
    waiting = 0

    def write(bit: str) -> None:
        nonlocal waiting
        # Bits held back at the middle are the opposite of the one that decides.
        written.append(bit + ("1" if bit == "0" else "0") * waiting)
        waiting = 0

    for i, symbol in enumerate(symbols.tolist()):
        edges = cumulative_counts(model.next_probabilities(symbols[:i]))
        check_symbols(symbols[i : i + 1], len(edges) - 1)
        low, high = _narrow(low, high, edges, symbol)
        while (offset := _shared_offset(low, high)) is not None:
            if offset == _QUARTER:
                waiting += 1
            else:
                write("1" if offset else "0")
            low, high = 2 * (low - offset), 2 * (high - offset) + 1
    # The interval holds the second or the third quarter: two bits name it.
    waiting += 1
    write("0" if low < _QUARTER else "1")
    return "".join(written)


# --8<-- [end:arithmetic_encode]


# --8<-- [start:arithmetic_decode]
def arithmetic_decode(bits: str, model: SequenceModel, n_symbols: int) -> Symbols:
    """Undo `arithmetic_encode`: follow the same intervals and see in which part the bits lie.

    Args:
        bits: The word, perhaps followed by others.
        model: The model that it was written with.
        n_symbols: Number of symbols to read.

    Raises:
        ValueError: If `bits` holds anything but 0 and 1, or `n_symbols` is negative.
    """
    check_bits(bits)
    if n_symbols < 0:
        raise ValueError(f"n_symbols must be at least 0, got {n_symbols}")
    low, high = 0, 2 * _HALF - 1
    value = int(bits[:REGISTER_BITS].ljust(REGISTER_BITS, "0"), 2)
    at = REGISTER_BITS
    symbols = torch.zeros(n_symbols, dtype=torch.long)
    for i in range(n_symbols):
        edges = cumulative_counts(model.next_probabilities(symbols[:i]))
        # The largest count whose edge is not above the value: the inverse of `_narrow`.
        count = ((value - low + 1) * edges[-1] - 1) // (high - low + 1)
        symbol = next(j for j in range(len(edges) - 1) if count < edges[j + 1])
        symbols[i] = symbol
        low, high = _narrow(low, high, edges, symbol)
        while (offset := _shared_offset(low, high)) is not None:
            low, high = 2 * (low - offset), 2 * (high - offset) + 1
            value = 2 * (value - offset) + (bits[at : at + 1] == "1")
            at += 1
    return symbols


# --8<-- [end:arithmetic_decode]
