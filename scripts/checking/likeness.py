"""Are two builds of the same sources the same to a reader?"""

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from checking.book import Book, Page, has_class

# Each generator signs its pages, and dates its map of them.
SIGNATURE = re.compile(rb'\s*<meta name="generator"[^>]*>')
DATED = frozenset({"sitemap.xml", "sitemap.xml.gz"})


def differences(ours: Book, theirs: Book) -> Iterator[str]:
    """What a reader of the second site would find otherwise, one sentence each."""
    for address in sorted(set(ours.by_address) | set(theirs.by_address)):
        if address not in theirs.by_address:
            yield f"{address}: is missing"
        elif address not in ours.by_address:
            yield f"{address}: is there in addition"
        else:
            yield from _of_page(ours.by_address[address], theirs.by_address[address])
    yield from _of_files(ours, theirs)


def agreement(ours: Book, theirs: Book) -> tuple[int, dict[str, int]]:
    """How many pages both have, and on how many of them each kind of thing is the same."""
    shared = sorted(set(ours.by_address) & set(theirs.by_address))
    pairs = [(ours.by_address[address], theirs.by_address[address]) for address in shared]
    return len(shared), {
        name: sum(look(here) == look(there) for here, there in pairs)
        for name, look in LOOKS.items()
    }


def _of_page(ours: Page, theirs: Page) -> Iterator[str]:
    if _unsigned(ours) == _unsigned(theirs):
        return
    found = []
    for name, look in LOOKS.items():
        here, there = look(ours), look(theirs)
        if here != there:
            lost = sum((Counter(here) - Counter(there)).values())
            new = sum((Counter(there) - Counter(here)).values())
            found.append(f"{name} ({len(here)} here, {len(there)} there; {lost} lost, {new} new)")
    yield f"{ours.address}: differs in {', '.join(found) or 'its markup alone'}"


def _unsigned(page: Page) -> bytes:
    return SIGNATURE.sub(b"", page.file.read_bytes())


def _of_files(ours: Book, theirs: Book) -> Iterator[str]:
    files = [
        {
            file.relative_to(book.site).as_posix(): file
            for file in book.site.rglob("*")
            if file.is_file() and file.suffix != ".html" and file.name not in DATED
        }
        for book in (ours, theirs)
    ]
    for name in sorted(set(files[0]) | set(files[1])):
        here, there = files[0].get(name), files[1].get(name)
        if here is None or there is None:
            yield f"{name}: is {'missing' if there is None else 'there in addition'}"
        elif _content(here) != _content(there):
            yield f"{name}: has other bytes"


def _content(file: Path) -> bytes | dict[str, bytes]:
    """The bytes of a file; of an archive, what it holds, since its pages are signed too."""
    if file.suffix != ".zip":
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        return {name: SIGNATURE.sub(b"", archive.read(name)) for name in archive.namelist()}


def _words(page: Page) -> list[str]:
    return [word for article in page.all("//article") for word in article.text_content().split()]


def _values(path: str):
    return lambda page: [str(value) for value in page.all(path)]


def _elements(path: str):
    return lambda page: [element.tag for element in page.all(path)]


LOOKS = {
    "words": _words,
    "title": _values("//head/title/text()"),
    "ids": _values("//@id"),
    "links": _values("//a/@href"),
    "equations": _values(f"//*[{has_class('equation')}]/@id"),
    "formulas": _elements("//math"),
    "figures": _values("//figure/@data-experiment"),
    "images": _values("//img/@src"),
    "listings": _elements("//pre"),
    "tables": _elements("//table"),
    "styles and scripts": _values("//link[@rel='stylesheet']/@href | //script/@src"),
}
