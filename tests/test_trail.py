"""One name leads from a chapter to its module, tests, experiments and figures, and back."""

from pathlib import Path

import pytest

from checking import trail
from checking.book import Book

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def book() -> Book:
    return Book(root=ROOT, docs=ROOT / "docs", site=ROOT / "site")


@pytest.mark.parametrize(
    "steps", [trail.from_chapters, trail.from_modules, trail.from_tests], ids=lambda f: f.__name__
)
def test_the_sources_lead_to_each_other(book, steps):
    assert [str(fault) for fault in steps(book)] == []


@pytest.mark.site
@pytest.mark.skipif(not (ROOT / "site" / "index.html").is_file(), reason="site/ is not built")
@pytest.mark.parametrize(
    "steps",
    [trail.from_reference, trail.from_experiments, trail.from_public_names],
    ids=lambda f: f.__name__,
)
def test_the_pages_lead_to_the_sources(book, steps):
    assert [str(fault) for fault in steps(book)] == []
