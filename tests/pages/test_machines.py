"""What programs read: the list of pages, modules as text, and what a page says of itself."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from book import machines, metadata, reference, share

ROOT = Path(__file__).resolve().parents[2]
MODULE = '''"""A module with $x^2$."""


class Thing(NamedTuple):
    """A thing.

    Examples:
        Words.

        >>> Thing([[1.0]])
        Thing(1.0)
        >>> 2
        2

        More words.
    """

    left: float
    def __init__(self, left: float) -> None:
        """Begin."""

    def _hidden(self):
        """Not shown."""

    @property
    def twin(self) -> "Thing":
        """Another one."""
        return self


def of_one(x: int = 1) -> int:
    """One line."""
    return x


def unsaid(x):
    return x
'''


@pytest.fixture
def volume(shelf):
    shelf.put("src/fromnoise/sample.py", MODULE)
    page = "---\ntitle: A chapter\ndescription: Of\n  things.\n---\n\n# A chapter\n"
    shelf.put("docs/index.md", "---\ntitle: Home\ndescription: All.\n---\n\n# Home\n")
    volume = shelf.load(page)
    volume.urls = {name: name.removesuffix(".md") + "/" for name in volume.pages}
    volume.urls |= {"index.md": "./", "reference/sample.md": "reference/sample/"}
    return volume


def test_the_list_has_the_form_and_names_each_page_once(volume):
    text = machines.llms(volume, "From Noise", "A book\nof things.")
    assert text.startswith("# From Noise\n\n> A book of things.\n\n")
    assert "- [A chapter](chapters/elbo/index.html.md): Of things.\n" in text
    assert "- [Home](index.html.md): All.\n" in text
    assert "- [fromnoise.sample](reference/sample/index.html.md): A module with $x^2$.\n" in text
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert len(targets) == len(set(targets)) == len(volume.pages) + 1
    titles = re.findall(r"^## (.*)$", text, re.M)
    assert titles[-1] == "Optional"
    assert "ledger/index.html.md" in text.partition("## Optional")[2]
    whole = machines.llms(volume, "From Noise", "A book.", "https://example.org/book")
    assert "](https://example.org/book/chapters/elbo/index.html.md)" in whole


def test_a_module_is_its_signatures_and_docstrings(volume):
    [module] = reference.modules(volume.root)
    text = machines.module_text(volume, module)
    assert text.startswith("# fromnoise.sample\n\nA module with $x^2$.\n\n")
    assert (
        "## fromnoise.sample.Thing\n\n```python\nclass Thing(NamedTuple):\n    left: float" in text
    )
    assert "```pycon\n>>> Thing([[1.0]])\nThing(1.0)\n>>> 2\n2\n```\n" in text
    assert "### fromnoise.sample.Thing.__init__" in text
    assert "@property\ndef twin(self) -> 'Thing':\n    ...\n```\n\nAnother one." in text
    assert "def of_one(x: int=1) -> int:" in text
    assert "hidden" not in text
    assert "unsaid" not in text
    assert "return" not in text


def head(source: str, site_url: str = "") -> dict[str, list[str]]:
    page = SimpleNamespace(
        file=SimpleNamespace(src_uri=source),
        title="In the navigation",
        meta={"title": "A chapter", "description": "Of things."},
        canonical_url=f"{site_url}chapters/vae/" if site_url else None,
    )
    found: dict[str, list[str]] = {}
    for _, name, content in metadata.of_page(ROOT, page, "From Noise", site_url):
        found.setdefault(name, []).append(content)
    return found


def test_a_chapter_says_how_to_cite_it():
    whole = metadata.book(ROOT)
    said = head("chapters/vae.md", "https://example.org/")
    assert said["citation_title"] == said["og:title"] == ["A chapter"]
    assert said["citation_inbook_title"] == [whole.title]
    assert said["citation_author"] == whole.authors
    assert re.fullmatch(r"\d{4}/\d\d/\d\d", said["citation_publication_date"][0])
    assert said["citation_public_url"] == said["og:url"] == ["https://example.org/chapters/vae/"]
    assert said["og:image"] == [f"https://example.org/{metadata.SHARE}"]


def test_the_first_page_stands_for_the_book():
    said = head("index.md")
    assert said["citation_title"] == [metadata.book(ROOT).title]
    assert "citation_inbook_title" not in said


def test_a_book_without_an_address_gives_none():
    said = head("chapters/vae.md")
    assert not {"og:url", "og:image", "citation_public_url"} & said.keys()
    assert not any("://" in content for contents in said.values() for content in contents)


def test_other_pages_are_not_cited_and_a_missing_page_has_a_head():
    assert not any(name.startswith("citation_") for name in head("glossary.md"))
    found = metadata.of_page(ROOT, None, "From Noise", "")
    assert ("property", "og:title", "From Noise") in found


def test_the_picture_is_the_same_each_time_and_of_the_size_that_is_said():
    picture = share.picture(ROOT)
    assert picture == share.picture(ROOT)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    size = [int.from_bytes(picture[at : at + 4], "big") for at in (16, 20)]
    said = head("index.md", "https://example.org/")
    assert [str(side) for side in size] == said["og:image:width"] + said["og:image:height"]
    assert len(picture) < 40_000
