"""What every check looks at: the tree of sources, and the pages of the built site.

A check is a function `check(book)` that yields faults. It parses the HTML that a reader gets, and
reads a source only for what the HTML cannot show.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lxml.html
from lxml.html import HtmlElement

_INLINE = (
    "a abbr b bdi cite data del dfn em i ins label mark q s small span strong sub sup "
    "time u var wbr br"
)
INLINE = frozenset(_INLINE.split())
_OPAQUE = "code pre kbd math script style svg template textarea"
OPAQUE = frozenset(_OPAQUE.split())
PLACEHOLDER = "\ufffc"


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, and where."""

    path: str
    line: int
    code: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.sentence}"


class Page:
    """One built HTML file."""

    def __init__(self, file: Path, book: "Book"):
        self.file = file
        self.book = book
        parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
        self.tree: HtmlElement = lxml.html.parse(str(file), parser).getroot()

    @cached_property
    def address(self) -> str:
        """Path from the root of the site, as in `chapters/elbo/index.html`."""
        return self.file.relative_to(self.book.site).as_posix()

    @cached_property
    def ids(self) -> dict[str, int]:
        """How often each id stands on the page."""
        found: dict[str, int] = {}
        for name in self.tree.xpath("//@id"):
            found[name] = found.get(name, 0) + 1
        return found

    @cached_property
    def anchors(self) -> set[str]:
        """Everything a fragment may point at."""
        return set(self.ids) | set(self.tree.xpath("//a/@name"))

    def all(self, path: str) -> list[HtmlElement]:
        """Elements by XPath."""
        return self.tree.xpath(path)

    def fault(self, element: HtmlElement | None, code: str, sentence: str) -> Fault:
        """A fault at the line of an element of this page."""
        line = element.sourceline if element is not None and element.sourceline else 1
        return Fault(self.book.shown(self.file), line, code, sentence)

    def runs(self) -> Iterator[tuple[HtmlElement, str]]:
        """Each run of prose with the element it starts in; code and maths leave a placeholder."""
        body = self.tree.find("body")
        if body is not None:
            yield from prose_runs(body)


def prose_runs(root: HtmlElement) -> Iterator[tuple[HtmlElement, str]]:
    """Split the text under an element at the borders of its block elements."""
    buffer: list[str] = []
    runs: list[tuple[HtmlElement, str]] = []

    def flush(owner: HtmlElement) -> None:
        text = "".join(buffer)
        buffer.clear()
        if text.strip():
            runs.append((owner, text))

    def walk(element: HtmlElement, owner: HtmlElement) -> None:
        buffer.append(element.text or "")
        for child in element:
            if not isinstance(child.tag, str):
                pass
            elif child.tag in OPAQUE:
                buffer.append(PLACEHOLDER)
            elif child.tag in INLINE:
                walk(child, owner)
            else:
                flush(owner)
                walk(child, child)
                flush(child)
            buffer.append(child.tail or "")

    walk(root, root)
    flush(root)
    return iter(runs)


def has_class(name: str) -> str:
    """XPath condition that an element carries a class."""
    return f"contains(concat(' ', normalize-space(@class), ' '), ' {name} ')"


@dataclass
class Book:
    """The sources under `root`, and the site built from them."""

    root: Path
    docs: Path
    site: Path

    @cached_property
    def pages(self) -> list[Page]:
        """Every HTML file of the site that is a page of its own."""
        return [Page(file, self) for file in sorted(self.site.rglob("*.html"))]

    @cached_property
    def by_address(self) -> dict[str, Page]:
        """Pages by their path from the root of the site."""
        return {page.address: page for page in self.pages}

    @cached_property
    def home(self) -> Page | None:
        """The first page, if there is one."""
        return self.by_address.get("index.html")

    @cached_property
    def public_address(self) -> str:
        """Where the site will stand, as its own canonical link says; empty when it does not."""
        found = self.home.all("//link[@rel='canonical']/@href") if self.home else []
        return found[0].rstrip("/") + "/" if found else ""

    @cached_property
    def markdown(self) -> list[Path]:
        """Markdown sources of the site."""
        return sorted(self.docs.rglob("*.md"))

    @cached_property
    def chapters(self) -> list[Path]:
        """Markdown sources of the chapters."""
        return sorted((self.docs / "chapters").glob("*.md"))

    def shown(self, path: Path) -> str:
        """A path as the reader of a report would type it."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return path.as_posix()

    def fault(self, path: Path, line: int, code: str, sentence: str) -> Fault:
        """A fault at a line of a source."""
        return Fault(self.shown(path), line, code, sentence)

    def manifest(self, path: str) -> dict[str, Any] | None:
        """A figure's manifest by its path from the root, or None if it cannot be read."""
        try:
            found = json.loads((self.root / path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def line_of(text: str, position: int) -> int:
    """Line number, from 1, of a position in a text."""
    return text.count("\n", 0, position) + 1
