"""The bars' numbers: the package's, on distributions with zeros and ties among them."""

import math

import pytest
import torch
from torch import Tensor

from fromnoise.codes import huffman_code, kraft_sum
from fromnoise.information import cross_entropy, entropy, jensen_shannon, kl_divergence

MODULE = "maths/information.mjs"


def pairs() -> tuple[Tensor, Tensor]:
    """1,000 pairs: most in general position, the rest with zeros, ties or no common ground."""
    g = torch.Generator().manual_seed(0)
    weights = torch.rand(2, 1000, 6, generator=g, dtype=torch.float64) ** 3 + 1e-9
    weights[:, 400:700] *= torch.rand(2, 300, 6, generator=g) < 0.6  # zeros on either side
    weights[:, 700:900] = torch.randint(0, 4, (2, 200, 6), generator=g).double()  # ties
    weights[0, 900:, 3:] = 0
    weights[1, 900:, :3] = 0  # nothing in common
    weights[:, :, 0] += (weights.sum(-1) == 0).double()  # never nothing at all
    weights[0, :20] = weights[1, :20]  # equal
    p, q = weights / weights.sum(-1, keepdim=True)
    return p, q


def far(found: list, wanted: Tensor) -> float:
    """Largest difference; infinite where one is infinite and the other is not."""
    # JSON writes infinity as null.
    values = [math.inf if value is None else value for value in found]
    mine = torch.tensor(values, dtype=torch.float64)
    if not torch.equal(mine.isinf(), wanted.isinf()):
        return math.inf
    return float((mine - wanted)[~wanted.isinf()].abs().max())


FUNCTIONS = {
    "crossEntropy": (cross_entropy, lambda p, q: cross_entropy(q, p)),
    "klDivergence": (kl_divergence, lambda p, q: kl_divergence(q, p)),
    "jensenShannon": (jensen_shannon, lambda p, q: kl_divergence(p, 0.5 * (p + q))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_divergences_are_the_packages(javascript, name) -> None:
    p, q = pairs()
    right, wrong = FUNCTIONS[name]
    found = javascript(
        MODULE, *([name, *pair] for pair in zip(p.tolist(), q.tolist(), strict=True))
    )
    assert far(found, right(p, q)) < 1e-12
    assert far(found, wrong(p, q)) > 1e-3


def test_the_entropy_is_the_packages(javascript) -> None:
    p, q = pairs()
    found = javascript(MODULE, *(["entropy", row] for row in p.tolist()))
    assert far(found, entropy(p)) < 1e-12
    assert far(found, cross_entropy(p, 0.5 * (p + q))) > 1e-3


def test_words_are_the_packages_and_what_never_comes_has_none(javascript) -> None:
    p, _ = pairs()
    found = javascript(MODULE, *(["huffmanCode", row] for row in p.tolist()))
    for row, words in zip(p, found, strict=True):
        there = row > 0
        assert [word is not None for word in words] == there.tolist()
        wanted = huffman_code(row[there] / row[there].sum())
        kept = [word for word in words if word is not None]
        # The division above may undo a tie by a rounding: then lengths may differ, not the cost.
        if torch.equal(row[there] / row[there].sum(), row[there]):
            assert kept == wanted
        least, mine = (
            sum(x * len(word) for x, word in zip(row[there].tolist(), code, strict=True))
            for code in (wanted, kept)
        )
        assert math.isclose(mine, least, abs_tol=1e-12)
        assert len(kept) == 1 or kraft_sum([len(word) for word in kept]) == 1


def test_a_moved_bar_has_its_value_and_the_others_keep_their_proportions(javascript) -> None:
    g = torch.Generator().manual_seed(1)
    starts = torch.randint(0, 60, (1000, 4), generator=g).tolist()
    units = javascript(MODULE, *(["portions", start, 200] for start in starts))
    where = torch.randint(0, 4, (1000,), generator=g).tolist()
    values = torch.randint(0, 201, (1000,), generator=g).tolist()
    values[:100] = [0] * 50 + [200] * 50
    calls = [["moved", *call] for call in zip(units, where, values, strict=True)]
    for before, i, value, after in zip(
        units, where, values, javascript(MODULE, *calls), strict=True
    ):
        assert sum(before) == sum(after) == 200
        assert after[i] == value
        assert min(after) >= 0
        rest = 200 - before[i]
        for j in {0, 1, 2, 3} - {i}:
            share = before[j] / rest if rest else 1 / 3
            assert abs(after[j] - share * (200 - value)) < 1


@pytest.mark.parametrize("weights", [[0, 0, 0, 0], [200, 200, 200, 200], [1, 0, 0, 0]])
def test_units_of_any_sum_become_shares(javascript, weights) -> None:
    (units,) = javascript(MODULE, ["portions", weights, 200])
    assert sum(units) == 200
    assert units == ([200, 0, 0, 0] if weights[0] == 1 else [50] * 4)
