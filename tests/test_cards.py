"""Every model that the book hands out, and every set of data, has its card."""

import re
from pathlib import Path

from fromnoise.datasets import DATA_HASHES

ROOT = Path(__file__).resolve().parents[1]
CARDS = (ROOT / "docs" / "cards.md").read_text(encoding="utf-8")
EXPERIMENTS = ROOT / "scripts" / "experiments"


def publishing() -> list[str]:
    """Experiments that leave weights for others."""
    files = sorted(EXPERIMENTS.rglob("*.py"))
    return [
        path.relative_to(EXPERIMENTS).with_suffix("").as_posix()
        for path in files
        if re.search(r"^publishes = ", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def test_every_published_model_has_a_card():
    models = publishing()
    assert "training/digits" in models
    headings = re.findall(r"^### .*\(`(\w+/\w+)`", CARDS, re.MULTILINE)
    assert sorted(headings) == sorted(models)


def test_every_set_of_data_has_a_card():
    named = set(re.findall(r"`fromnoise\.datasets\.(\w+)`", CARDS))
    assert named == set(DATA_HASHES)
