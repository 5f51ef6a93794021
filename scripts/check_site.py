"""Check the sources and the built site, from outside the generator that built it.

Prints a line for each fault, `path:line: code: sentence`, and a summary. Exit status: 0 without
faults, 1 with faults, 2 when there is nothing to check.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    from checking import (
        bindings,
        blocks,
        budgets,
        equations,
        figures,
        foreign,
        leftovers,
        links,
        machines,
        names,
        navigation,
        numbers,
        pages,
        snippets,
        trail,
        typed,
    )
    from checking.book import Book, Fault
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] in ("checking", "book", "building", "fromnoise"):
        raise  # the tree itself is damaged
    print(
        "The packages are not installed in this Python; "
        "run `make site` once and use .venv/bin/python.",
        file=sys.stderr,
    )
    sys.exit(2)

ROOT = Path(__file__).resolve().parents[1]
CHECKS: dict[str, Callable[[Book], Iterator[Fault]]] = {
    "pages": pages.check,
    "budgets": budgets.check,
    "links": links.check,
    "machines": machines.check,
    "leftovers": leftovers.check,
    "foreign": foreign.check,
    "navigation": navigation.check,
    "snippets": snippets.check,
    "blocks": blocks.check,
    "numbers": numbers.check,
    "typed": typed.check,
    "equations": equations.check,
    "bindings": bindings.check,
    "figures": figures.check,
    "names": names.check,
    "trail": trail.check,
}


def faults(book: Book, wanted: tuple[str, ...] = tuple(CHECKS)) -> list[Fault]:
    """Every fault that the wanted checks find, once, in the order of paths and lines."""
    return sorted({fault for name in wanted for fault in CHECKS[name](book)})


def main(arguments: list[str] | None = None) -> int:
    """Run the checks that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="the built site")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="its Markdown sources")
    parser.add_argument("--run-blocks", action="store_true", help="also run every Python block")
    options = parser.parse_args(arguments)
    site, docs = options.site.resolve(), options.docs.resolve()
    for folder, file, hint in (
        (docs, "index.md", "name the folder of the sources with --docs"),
        (site, "index.html", "build the site first: make site"),
    ):
        if not (folder / file).is_file():
            print(f"Nothing to check: {folder / file} is not there; {hint}.", file=sys.stderr)
            return 2
    start = time.monotonic()
    book = Book(root=docs.parent, docs=docs, site=site)
    found = faults(book)
    if options.run_blocks:
        found = sorted([*found, *blocks.run_all(book)])
    for fault in found:
        print(fault)
    print(summary(book, found, time.monotonic() - start))
    return 1 if found else 0


def summary(book: Book, found: list[Fault], seconds: float) -> str:
    """What was looked at, and what was wrong, in a few lines."""
    formulas = sum(len(page.all("//*[starts-with(@id, 'eq-')]")) for page in book.pages)
    drawn = sum(len(page.all("//figure[@data-experiment]")) for page in book.pages)
    looked = (
        f"{len(book.pages)} pages, {formulas} equations, {len(blocks.all_blocks(book))} blocks, "
        f"{drawn} figures in {seconds:.1f} s"
    )
    if not found:
        return f"No faults: {looked}."
    by_code = Counter(fault.code for fault in found)
    counts = ", ".join(f"{number} {code}" for code, number in sorted(by_code.items()))
    return f"{len(found)} fault{'s' if len(found) > 1 else ''} ({counts}): {looked}."


if __name__ == "__main__":
    sys.exit(main())
