"""The data that the widgets carry are the book's."""

import json
from pathlib import Path

import pytest

from fromnoise.datasets import digits, to_levels
from fromnoise.grammar import Grammar, sentences

ROOT = Path(__file__).resolve().parents[2]


def ten_digits() -> list[str]:
    """The first test image of each digit: a letter for each gray level, from 0 to g."""
    test = digits().test
    first = [test.labels.tolist().index(digit) for digit in range(10)]
    levels = to_levels(test.images[first]).reshape(10, 64).tolist()
    return ["".join("0123456789abcdefg"[level] for level in image) for image in levels]


def test_the_ten_digits_are_test_images_of_the_book() -> None:
    found = json.loads((ROOT / "src/widgets/data/digits.json").read_text(encoding="utf-8"))
    assert found == ten_digits()


def spelled_out() -> dict:
    """The chain over characters that the text of the book comes from."""
    grammar = Grammar(sentences())
    lists = {key: getattr(grammar, key).tolist() for key in ("source", "character", "target")}
    # Twelve digits: what is lost is below the error of the sums.
    rounded = {
        key: [float(f"{value:.12g}") for value in getattr(grammar, key).tolist()]
        for key in ("p", "stationary")
    }
    return {"characters": grammar.vocabulary.characters, **lists, **rounded}


def test_the_grammar_is_that_of_the_book() -> None:
    found = json.loads((ROOT / "src/widgets/data/grammar.json").read_text(encoding="utf-8"))
    wanted = spelled_out()
    for key in ("p", "stationary"):
        assert found.pop(key) == pytest.approx(wanted.pop(key), abs=1e-11)
    assert found == wanted
