"""What a source binds is bound on its page, and what a page binds is in the ledger.

A generator that forgot to mark a number would leave nothing to check on the page; so the marks are
counted against the source. The ledger is a promise of completeness, so it is held to it.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from book import sources
from checking import equations
from checking.book import Book, Fault, Page, has_class, line_of

LEDGER = "ledger/index.html"


def check(book: Book) -> Iterator[Fault]:
    """Bindings lost between a source and its page, or between the pages and the ledger."""
    for source in book.markdown:
        page = built_page(book, source)
        if page is not None:
            yield from lost(book, source, page)
    yield from not_in_ledger(book)
    yield from proved_for_nobody(book)


def built_page(book: Book, source: Path) -> Page | None:
    """The page that was built from a source."""
    place = source.relative_to(book.docs).with_suffix("")
    folder = place.parent if place.name == "index" else place
    return book.by_address.get((folder / "index.html").as_posix())


def lost(book: Book, source: Path, page: Page) -> Iterator[Fault]:
    """Equations, figures, numbers and shown sections of a source that its page does not mark."""
    parsed = sources.parse(source.read_text(encoding="utf-8"))
    shown = set(page.all("//*[@data-source]/@data-source"))
    experiments = set(page.all("//figure/@data-experiment"))
    wanted = [
        *(
            (f"equation {e.name}", e.place.line, f"eq-{e.name}" in page.ids)
            for e in parsed.equations
        ),
        *(
            (f"figure {f.name}", f.place.line, f"scripts/experiments/{f.name}.py" in experiments)
            for f in parsed.figures
        ),
        *(
            (f"code of {f.source}", f.place.line, f.source in shown)
            for f in parsed.fences
            if f.source and f.language == "python"
        ),
    ]
    for what, line, there in wanted:
        if not there:
            yield book.fault(source, line, "binding-lost", f"{page.address} does not mark {what}")
    values = page.all(f"//data[{has_class('measured')}]/@data-source")
    values += [
        value
        for value in page.all(f"//span[{has_class('unrun')}]/@data-source")
        if book.manifest(value.partition("#")[0]) is None
    ]
    marked = Counter(value.replace("#results.", "#") for value in values)
    for number in parsed.numbers:
        # An interval is marked as three numbers; its mean stands for it.
        part = ".mean" if number.spec.startswith("interval") else ""
        name = f"{number.manifest}#{number.key}{part}"
        marked[name] -= 1
        if marked[name] < 0:
            sentence = f"{page.address} does not mark the number {name}"
            yield book.fault(source, number.place.line, "binding-lost", sentence)


def not_in_ledger(book: Book) -> Iterator[Fault]:
    """Equations and figures that the ledger does not lead to."""
    ledger = book.by_address.get(LEDGER)
    if ledger is None:
        return
    listed = {href.partition("#")[2] for href in ledger.all("//main//a/@href")}
    for page in book.pages:
        marked = "//*[starts-with(@id, 'eq-')] | //figure[@data-experiment][@id]"
        for element in page.all(marked):
            if element.get("id") not in listed and page.address.startswith("chapters/"):
                sentence = f"the ledger does not list {element.get('id')}"
                yield page.fault(element, "ledger-incomplete", sentence)


def proved_for_nobody(book: Book) -> Iterator[Fault]:
    """Checks of equations that no page shows, once their page is written."""
    chapters = {page.stem for page in [*book.chapters, *book.docs.glob("*.md")]}
    shown = {name.removeprefix("eq-") for page in book.pages for name in page.ids}
    for file in sorted((book.root / "tests" / "equations").glob("test_*.py")):
        if file.stem.removeprefix("test_") not in chapters:
            continue
        text = file.read_text(encoding="utf-8")
        for test, names in equations.proofs(file).items():
            line = line_of(text, text.index(f"def {test}("))
            for name in sorted(names - shown):
                sentence = f"{test} proves {name!r}, which no page shows"
                yield book.fault(file, line, "equation-orphan", sentence)
