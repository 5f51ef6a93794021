"""Named sections of source files are marked soundly, and every section that a page shows exists.

Markers are lines that hold `[start:name]` and `[end:name]` after the scissors. A section may stand
inside another; it may not cross one.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from checking.book import Book, Fault

FOLDERS = ("src", "scripts", "tests")
# Files whose text plants these very faults.
PLANTED = "tests/faults/"
MARKER = re.compile(r"^\s*(?:#|//|<!--)\s*-{1,}8<-{1,}\s*\[\s*(start|end)\s*:\s*([\w-]+)\s*\]")
INCLUDE = re.compile(r"^\s*-{1,}8<-{1,}\s*(?P<path>(?P<quote>[\"'])(?P<what>.*?)(?P=quote))?\s*$")
LINES = re.compile(r"^(?P<file>[^:]+)(?P<lines>(?::-?\d*){1,2})$")


def check(book: Book) -> Iterator[Fault]:
    """Faults of the markers in the sources, and of the lines that include them."""
    for folder in FOLDERS:
        for file in sorted((book.root / folder).rglob("*.py")):
            if not book.shown(file).startswith(PLANTED):
                yield from markers(book, file)
    for source in book.markdown:
        text = source.read_text(encoding="utf-8")
        for number, line in enumerate(text.split("\n"), 1):
            if found := INCLUDE.match(line):
                yield from include(book, source, number, found["what"])


def markers(book: Book, file: Path) -> Iterator[Fault]:
    """Unclosed, reversed, overlapping or repeated sections of one file."""
    open_sections: list[tuple[str, int]] = []
    seen: dict[str, int] = {}
    stray: dict[str, int] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        found = MARKER.match(line)
        if not found:
            continue
        kind, name = found.groups()
        names = [section for section, _ in open_sections]
        if kind == "start":
            if name in stray:
                sentence = f"section {name!r} ends on line {stray.pop(name)}, before its start"
                yield book.fault(file, number, "snippet-reversed", sentence)
            elif name in seen:
                sentence = f"section {name!r} already starts on line {seen[name]}"
                yield book.fault(file, number, "snippet-repeated", sentence)
            seen.setdefault(name, number)
            open_sections.append((name, number))
        elif name not in names:
            stray[name] = number
        else:
            if names[-1] != name:
                sentence = f"section {name!r} ends inside section {names[-1]!r}"
                yield book.fault(file, number, "snippet-overlap", sentence)
            del open_sections[len(names) - 1 - names[::-1].index(name)]
    for name, number in open_sections:
        yield book.fault(file, number, "snippet-unclosed", f"section {name!r} never ends")
    for name, number in stray.items():
        yield book.fault(file, number, "snippet-unopened", f"section {name!r} never starts")


def include(book: Book, source: Path, line: int, what: str | None) -> Iterator[Fault]:
    """The fault of one line that shows a file or a section of it."""
    if what is None:
        yield book.fault(source, line, "snippet-form", "write the file on the line of the scissors")
        return
    by_lines = LINES.match(what)
    path, _, section = (by_lines["file"], "", "") if by_lines else what.partition(":")
    file = book.root / path
    if not file.is_file():
        yield book.fault(source, line, "snippet-missing", f"there is no file {path}")
    elif section and section_text(file, section) is None:
        yield book.fault(source, line, "snippet-missing", f"{path} has no section {section!r}")


@lru_cache(maxsize=512)
def section_text(file: Path, name: str) -> str | None:
    """The lines of a section without any marker, or None where it is not soundly marked."""
    inside = False
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").split("\n"):
        found = MARKER.match(line)
        if found and found[2] == name:
            if (found[1] == "start") == inside:
                return None
            if inside:
                return "\n".join(lines)
            inside = True
        elif inside and not found:
            lines.append(line)
    return None
