"""What a reader may type into the search besides the words of the pages: equations by name.

Displayed formulas are left out of the theme's index, because a formula taken apart into letters is
found by everything. Each equation has an entry of its own instead, which leads to it.
"""

import contextlib
import html
import re

from book import guards, notebooks
from book.errors import BookError
from book.volume import Numbered, Volume

Entry = dict[str, object]


def entries(volume: Volume) -> list[Entry]:
    """One entry of the search index for each equation, with marks for formulas."""
    return [
        {
            "location": f"{volume.urls.get(found.page, found.page)}#eq-{name}",
            "title": f"Equation ({found.number}): {spoken(name, found)}",
            "text": f"<p>{_text(volume, name, found)}</p>",
            # Of two labels that hold all that was typed, the shorter is meant.
            "boost": 0.6 + 1 / len(name.split("-")),
        }
        for name, found in volume.equations.items()
    ]


def spoken(name: str, found: Numbered) -> str:
    """What people call an equation and its label, or only the label, as words."""
    called = found.item.called
    return html.escape(f"{called} ({name})" if called else name.replace("-", " "), quote=False)


def _text(volume: Volume, name: str, found: Numbered) -> str:
    """The label, what the check says, and what the page says just before the equation."""
    page = volume.pages[found.page]
    said = [f"{name}. {page.title}."]
    if found.item.check:
        with contextlib.suppress(BookError):  # reported with the page
            said.append(guards.find_guard(volume.root, found.item.check, name).says)
    volume.current = found.page
    lead = notebooks.paragraph_before(volume, page, 0, found.item.start)
    said.append(html.escape(re.sub(r"[*`]", "", volume.with_marks(lead)), quote=False))
    return " ".join(filter(None, said))


def filled(volume: Volume, found: list[Entry]) -> list[Entry]:
    """The same entries with the characters of their formulas, once these are rendered."""
    return [
        entry | {key: volume.formulas.plain(str(entry[key])) for key in ("title", "text")}
        for entry in found
    ]
