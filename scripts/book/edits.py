"""Pieces of a page's text replaced by others."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from book import results
from book.errors import BookError
from book.sources import Bracket, Page

if TYPE_CHECKING:
    from book.volume import Volume

Edit = tuple[int, int, str]
"""From where to where, and what stands there instead."""


def applied(text: str, edits: list[Edit], start: int, end: int) -> str:
    """A piece of a text with edits applied, in order; one within another is passed over."""
    out, at = [], start
    for first, last, replacement in edits:
        if first < at:
            continue
        out.append(text[at:first])
        out.append(replacement)
        at = last
    out.append(text[at:end])
    return "".join(out)


def inline_edits(
    volume: "Volume", page: Page, mention: Callable[["Volume", Page, Bracket], str]
) -> Iterator[Edit]:
    """Bound numbers, chosen numbers, and brackets as `mention` writes them."""
    for number in page.numbers:
        try:
            shown = re.sub(r"<[^<>]*>", "", results.bound_html(volume.root, number))
        except BookError:
            shown = "?"  # reported with the page
        yield number.start, number.end, shown
    for given in page.givens:
        yield given.start, given.end, given.text
    for bracket in page.brackets:
        yield bracket.start, bracket.end, mention(volume, page, bracket)


def reference_text(kind: str, number: str, before: str) -> str:
    """Number of an equation or figure, after the word that it needs where it stands."""
    shown = f"({number})" if kind == "eq" else number
    if re.search(r"\b(?:equations?|eqs?\.?|figures?|figs?\.?)\s*$", before, re.I):
        return shown
    starts = re.search(r"(?:\A|\n\s*\n|[.!?:]\s+)(?:[-*>#\d.]+ )?\s*$", before)
    word = "equation" if kind == "eq" else "Figure"
    return f"{word.capitalize() if starts else word} {shown}"
