"""Terms of the glossary, and the first place on a page where each is used."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from book.sources import Page

FILE = "glossary.md"
ENTRY = re.compile(
    r"^(?P<term>\S[^\n{]*?) \{: #(?P<id>[\w-]+)(?: data-also=\"(?P<also>[^\"]+)\")?"
    r"(?P<quiet> data-quiet=\"true\")? \}\n"
    r":   (?P<says>[^\n]+(?:\n    [^\n]+)*)",
    re.M,
)
LINK = re.compile(r"\[[^\]]*\]\([^)]*\)|\[[^\]]*\]\[[^\]]*\]|<[^>]+>|https?://\S+")
HEADING = re.compile(r"^#+ .*$|^\|.*$", re.M)


@dataclass(frozen=True)
class Term:
    """One entry."""

    name: str
    anchor: str
    also: tuple[str, ...]
    says: str
    """Its first sentence."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Any of its names; one in capitals is not a common word."""
        names = sorted((self.name, *self.also), key=len, reverse=True)
        each = (re.escape(n) if n[1:2].isupper() else rf"(?i:{re.escape(n)})" for n in names)
        spaced = "|".join(each).replace(r"\ ", r"\s+")
        return re.compile(rf"(?<![\w-])(?:{spaced})(?![\w-])")


def terms(docs: Path) -> list[Term]:
    """The entries of the glossary; none where there is no glossary."""
    file = docs / FILE
    if not file.is_file():
        return []
    found = []
    for match in ENTRY.finditer(file.read_text(encoding="utf-8")):
        if match["quiet"]:
            continue  # a common word: most of its uses mean something else
        text = " ".join(match["says"].split())
        sentence = re.match(r".*?[.?!](?= |$)", text)
        also = tuple(name.strip() for name in (match["also"] or "").split(",") if name.strip())
        found.append(Term(match["term"], match["id"], also, sentence[0] if sentence else text))
    return found


def first_uses(
    page: Page, known: list[Term], hidden: Iterable[tuple[int, int]] = ()
) -> Iterator[tuple[int, int, Term]]:
    """Where each term first stands in the plain text of a page, outside links and headings.

    Longer names come first, so that a term within another is not taken for itself.

    Args:
        page: The page.
        known: Terms.
        hidden: Stretches of the text in which nothing may be linked.
    """
    text = page.plain
    for start, end in hidden:
        text = text[:start] + " " * (end - start) + text[end:]
    for blanked in (LINK, HEADING):
        text = blanked.sub(lambda match: " " * len(match[0]), text)
    for term in sorted(known, key=lambda term: -max(map(len, (term.name, *term.also)))):
        if match := term.pattern.search(text):
            start, end = match.span()
            text = term.pattern.sub(lambda m: " " * len(m[0]), text)
            yield start, end, term


def link(term: Term, shown: str, href: str) -> str:
    """The word as a link that carries its meaning."""
    says = html.escape(term.says)
    return f'<a class="term" href="{href}" data-says="{says}">{html.escape(shown)}</a>'
