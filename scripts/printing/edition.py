"""The whole of it: printed once to see where everything falls, and again with page numbers."""

import io
from dataclasses import dataclass
from pathlib import Path

import pikepdf

from checking.book import Book
from printing import assemble, front, paper, press
from printing.finish import finish
from printing.headings import headings
from printing.pages import parts

SHEET = Path(__file__).parent / "edition.css"
ROUNDS = 4


class Unsettled(Exception):
    """The page numbers in the contents keep moving what they count."""


@dataclass(frozen=True)
class Edition:
    """The printed book."""

    data: bytes
    n_pages: int


def make(book: Book, only: list[str] | tuple[str, ...] = ()) -> Edition:
    """Print the book, or some of its pages; links to what is left out become plain text."""
    chosen = parts(book)
    if only:
        wanted = {f"{name.strip('/')}{end}" for name in only for end in ("/index.html", ".html")}
        chosen = [part for part in chosen if part.page.address in wanted]
        if not chosen:
            raise assemble.DanglingLink(f"no page of the book is called {' '.join(only)}")
    listed = headings(chosen)
    sheet = SHEET.read_text(encoding="utf-8")
    pages: dict[str, int] = {}
    with press.browser() as browser:
        for _ in range(ROUNDS):
            tree = assemble.document(book, chosen)
            front.add(tree, book, chosen, listed, pages)
            broken = assemble.dangling(tree)
            if broken:
                raise assemble.DanglingLink(f"ids missing or twice in the book: {broken[:5]}")
            data = press.pdf(browser, book.site, assemble.source(tree), sheet, tagged=bool(pages))
            with pikepdf.open(io.BytesIO(data)) as document:
                fell = paper.places(document)
                if fell == pages:
                    about = front.description(book)
                    done = finish(document, listed, assemble.site_name(book), about)
                    return Edition(done, len(document.pages))
            pages = fell
    raise Unsettled(f"the contents did not settle in {ROUNDS} rounds")
