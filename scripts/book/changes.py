"""News of the book, kept by hand on one page, and the Atom feed that is made of it.

The dates stand in the text, not in a repository's history: a copy without history builds the same.
"""

import datetime
import re
import uuid
from dataclasses import dataclass
from xml.etree import ElementTree as etree

from book.edits import applied, inline_edits
from book.errors import Place, Problem
from book.extension import slug
from book.volume import Volume, relative

FILE = "changes.md"
FEED = "feed.xml"
HEADING = re.compile(r"(?P<day>\d{4}-\d\d-\d\d): (?P<title>\S.*)")
ATOM = "http://www.w3.org/2005/Atom"


@dataclass(frozen=True)
class Change:
    """One entry."""

    day: datetime.date
    title: str
    anchor: str
    says: str
    place: Place

    @property
    def id(self) -> str:
        """A name that stays when the site moves."""
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'fromnoise:{self.day}:{self.title}')}"


def read(volume: Volume) -> tuple[list[Change], list[Problem]]:
    """The entries, newest first, and what is wrong with their form."""
    page = volume.pages.get(FILE)
    found: list[Change] = []
    problems: list[Problem] = []
    headings = [h for h in page.headings if h.level == 2] if page else []
    ends = [h.start for h in headings[1:]] + [len(page.text) if page else 0]
    for heading, end in zip(headings, ends, strict=bool(headings)):
        parts = HEADING.fullmatch(heading.text)
        try:
            day = datetime.date.fromisoformat(parts["day"] if parts else "")
        except ValueError:
            sentence = f"head a change as in '2026-11-20: What is new', not {heading.text!r}"
            problems.append(Problem(heading.place, sentence))
            continue
        start = page.text.index("\n", heading.start)
        edits = [e for e in inline_edits(volume, page, lambda *_: "") if start <= e[0] < end]
        text = " ".join(applied(page.text, sorted(edits), start, end).split())
        says = re.sub(r"\[([^\[\]]+)\]\([^()\s]+\)", r"\1", re.sub(r"[*`]", "", text))
        if not says:
            problems.append(Problem(heading.place, "a change says nothing below its heading"))
        if found and day > found[-1].day:
            problems.append(Problem(heading.place, "the newest change stands first"))
        change = Change(day, parts["title"], slug(heading.text, "-"), says, heading.place)
        if change.id in {other.id for other in found}:
            problems.append(Problem(heading.place, "a change stands twice"))
        found.append(change)
    return found, problems


def feed(volume: Volume, title: str, author: str, site_url: str = "") -> str:
    """The Atom feed of the changes; empty where there are none.

    Args:
        volume: The book; its addresses must be known.
        title: Title of the site.
        author: Who writes it.
        site_url: Where the site stands; without it the links are relative.
    """
    found, _ = read(volume)
    if not found:
        return ""
    base = site_url.rstrip("/") + "/" if site_url else ""
    page = base + relative(volume.urls.get(FILE, FILE), "")
    root = etree.Element("feed", xmlns=ATOM)
    _add(root, "title", f"{title}: changes")
    _add(root, "id", f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'fromnoise:changes')}")
    _add(root, "updated", _moment(found[0].day))
    _add(etree.SubElement(root, "author"), "name", author)
    etree.SubElement(root, "link", rel="alternate", type="text/html", href=page)
    if base:
        etree.SubElement(root, "link", rel="self", type="application/atom+xml", href=base + FEED)
    for change in found:
        entry = etree.SubElement(root, "entry")
        _add(entry, "title", change.title)
        _add(entry, "id", change.id)
        _add(entry, "updated", _moment(change.day))
        link = f"{page}#{change.anchor}"
        etree.SubElement(entry, "link", rel="alternate", type="text/html", href=link)
        _add(entry, "summary", change.says)
    etree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + etree.tostring(root, "unicode") + "\n"


def _add(parent: etree.Element, name: str, text: str) -> None:
    etree.SubElement(parent, name).text = text


def _moment(day: datetime.date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
