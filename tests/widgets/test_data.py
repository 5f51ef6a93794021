"""The data that the widgets carry are the book's."""

import json
from pathlib import Path

from fromnoise.datasets import digits, to_levels

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
