"""The bibliography: one .bib file, short labels for the text, full entries for the page."""

import html
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from pybtex.backends.html import Backend
from pybtex.backends.plaintext import Backend as PlainBackend
from pybtex.database import BibliographyData, Entry, parse_string
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text
from pybtex.style.formatting.unsrt import Style
from pybtex.style.template import field, sentence

from book.errors import BookError


@dataclass(frozen=True)
class Work:
    """One entry, ready to be shown."""

    key: str
    label: str
    """Names and year, as the text shows them."""
    entry: str
    """The full entry as HTML."""
    plain: str
    """The full entry without marks, for a card."""
    line: int


class _Style(Style):
    """pybtex's plain style, which already links DOI, arXiv and addresses; titles as written."""

    def format_title(self, e, which_field, as_sentence=True):
        title = field(which_field)
        return sentence[title] if as_sentence else title


class _Plain(PlainBackend):
    """Text for a card, on one line."""

    symbols: ClassVar[dict[str, str]] = {"ndash": "–", "newblock": " ", "nbsp": " "}


@lru_cache(maxsize=4)
def _read(text: str, name: str) -> dict[str, Work]:
    try:
        data: BibliographyData = parse_string(text, "bibtex")
        formatted = {entry.key: entry for entry in _Style().format_entries(data.entries.values())}
    except PybtexError as error:
        raise BookError(f"{name} cannot be read: {error}") from error
    labels = _labels(data)
    works = {}
    for key in data.entries:
        rich = formatted[key].text
        works[key] = Work(
            key=key,
            label=labels[key],
            entry=_tidy(rich.render(Backend("utf-8"))),
            plain=" ".join(rich.render(_Plain("utf-8")).split()),
            line=_line_of(text, key),
        )
    return works


def works(bib: Path) -> dict[str, Work]:
    """All entries of the file, by key."""
    if not bib.is_file():
        return {}
    return _read(bib.read_text(encoding="utf-8"), bib.name)


def _line_of(text: str, key: str) -> int:
    found = re.search(rf"@\w+\s*\{{\s*{re.escape(key)}\s*,", text)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def _tidy(entry: str) -> str:
    """pybtex writes an address as its own text; drop its class names and stray space."""
    return re.sub(r"\s+", " ", entry).replace('<span class="bibtex-protected">', "<span>").strip()


def _labels(data: BibliographyData) -> dict[str, str]:
    """Names and year of each entry; a letter tells apart those that would read alike."""
    first = {
        key: f"{_names(entry)} {entry.fields.get('year', '')}".strip()
        for key, entry in data.entries.items()
    }
    same: dict[str, list[str]] = {}
    for key, label in first.items():
        same.setdefault(label, []).append(key)
    labels = {}
    for label, keys in same.items():
        for index, key in enumerate(keys):
            labels[key] = label + (chr(ord("a") + index) if len(keys) > 1 else "")
    return labels


def _names(entry: Entry) -> str:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = []
    for person in people:
        words = person.rich_prelast_names + person.rich_last_names
        names.append(str(Text(" ").join(words)))
    if not names:
        return str(entry.fields.get("key", entry.key))
    if len(names) == 1:
        return names[0]
    if len(names) == 2 and names[1] != "others":
        return f"{names[0]} and {names[1]}"
    return f"{names[0]} et al."


def label_html(work: Work, locator: str, href: str, anchor: str) -> str:
    """A mention in the text that leads to the entry."""
    extra = f", {html.escape(locator)}" if locator else ""
    return (
        f'<a class="cite" id="{anchor}" href="{href}" '
        f'data-says="{html.escape(work.plain)}">{html.escape(work.label)}{extra}</a>'
    )
