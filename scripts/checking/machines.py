"""What programs read: plain versions of pages, the list of them, the feed, and the site map."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lxml.etree

from checking import links
from checking.book import PLACEHOLDER, Book, Fault, Page, has_class, prose_runs

FENCE = re.compile(r"^ *(?P<mark>`{3,}|~{3,}).*?^ *(?P=mark)`* *$", re.S | re.M)
CODE = re.compile(r"`[^`]+`|\$\$.*?\$\$|\$(?:\\.|[^$\\\n]|\n(?!\s*\n))+\$", re.S)
APART = ("reproduce", "chapter-script", "equation", "break-head")
PARAGRAPHS = (
    "//main//article//*[self::p or self::li or self::figcaption][not(.//p or .//li)]"
    f"[not(ancestor::template or ancestor-or-self::*[{' or '.join(map(has_class, APART))}])]"
)
LINK = re.compile(r"\]\((?P<target>[^()\s]+)\)")
LEFT = re.compile(
    r"^ */{3,}(?: .*)?$|\[\[[^\[\]]+\]\]|\[@[^\[\]]+\]|-{1,}8<-{1,}|[\ue000-\uf8ff]", re.M
)
ATOM = "{http://www.w3.org/2005/Atom}"
MAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
# Without an address of its own, or shown at any.
UNLISTED = frozenset({"404.html"})


def check(book: Book) -> Iterator[Fault]:
    """Faults of the files beside the pages."""
    for file in sorted(book.site.rglob("*.html.md")):
        yield from plain(book, file)
    for page in book.pages:
        if page.address.startswith("chapters/"):
            yield from same_words(page)
    yield from listed(book)
    yield from feed(book)
    yield from site_map(book)


def prose(text: str) -> str:
    """A text with its code and formulas blanked out, line by line."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    return CODE.sub(blank, FENCE.sub(blank, text))


def plain(book: Book, file: Path) -> Iterator[Fault]:
    """A plain version is whole, and its links lead somewhere."""
    text = file.read_text(encoding="utf-8")
    words = prose(text)
    if not text.startswith("# "):
        yield book.fault(file, 1, "plain-broken", "the plain version does not begin with a title")
    for found in LEFT.finditer(words):
        line = words.count("\n", 0, found.start()) + 1
        yield book.fault(file, line, "plain-left", f"stands as it was typed: {found[0].strip()}")
    for found in LINK.finditer(words):
        parts = urlsplit(found["target"])
        if parts.scheme or parts.netloc or not parts.path:
            continue
        target = file.parent / unquote(parts.path)
        if not (target / "index.html" if target.is_dir() else target).is_file():
            line = words.count("\n", 0, found.start()) + 1
            yield book.fault(file, line, "link-broken", f"leads to nothing: {found['target']}")


def words(text: str) -> str:
    """Letters and figures of a text, each word after one blank."""
    return " " + " ".join(re.findall(r"[^\W_]+", text)) + " "


def same_words(page: Page) -> Iterator[Fault]:
    """What a chapter's paragraphs say between their formulas, its plain version says too."""
    file = page.file.with_name(f"{page.file.name}.md")
    if not file.is_file():
        return
    told = words(re.sub(r"\]\([^()\s]*\)", "]", prose(file.read_text(encoding="utf-8"))))
    for element in page.all(PARAGRAPHS):
        for _, run in prose_runs(element):
            for part in run.split(PLACEHOLDER):
                said = words(part)
                # Of fewer words the same may stand elsewhere, or be the mark of a box.
                if said.count(" ") > 4 and said not in told:
                    shown = said.strip()[:80]
                    yield page.fault(element, "plain-differs", f"not in the plain version: {shown}")


def listed(book: Book) -> Iterator[Fault]:
    """`llms.txt` names every plain version once, and nothing that is not there."""
    wanted = {
        posixpath.normpath(posixpath.join(posixpath.dirname(page.address), address))
        for page in book.pages
        for address in page.all("//head/link[@type='text/markdown']/@href")
    }
    file = book.site / "llms.txt"
    if not file.is_file():
        if wanted:
            yield book.fault(file, 1, "list-missing", "the plain versions are listed nowhere")
        return
    text = file.read_text(encoding="utf-8")
    if not re.match(r"# \S.*\n\n> \S", text):
        yield book.fault(file, 1, "list-form", "llms.txt begins with a title and a summary")
    seen: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = re.match(r"- \[[^\[\]]+\]\((?P<target>[^()\s]+)\)(?:: |$)", line)
        if not entry:
            if line.startswith("- "):
                yield book.fault(file, number, "list-form", f"not a link and what it is: {line}")
            continue
        address = entry["target"].removeprefix(book.public_address)
        seen.append(address)
        if not (book.site / address).is_file():
            yield book.fault(file, number, "link-broken", f"leads to nothing: {address}")
    for address in sorted(wanted):
        if seen.count(address) != 1:
            sentence = f"{address} is listed {seen.count(address)} times"
            yield book.fault(file, 1, "list-missing", sentence)


def _parsed(book: Book, file: Path) -> lxml.etree._Element | Fault:
    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        return lxml.etree.parse(str(file), parser).getroot()
    except lxml.etree.XMLSyntaxError as error:
        return book.fault(file, 1, "xml-broken", f"cannot be read: {error.msg}")


def feed(book: Book) -> Iterator[Fault]:
    """A feed has what Atom asks for, and its links lead to places on pages."""
    file = book.site / "feed.xml"
    if not file.is_file():
        return
    root = _parsed(book, file)
    if isinstance(root, Fault):
        yield root
        return
    entries = root.findall(f"{ATOM}entry")
    for element in [root, *entries]:
        for name in ("title", "id", "updated"):
            if not (element.findtext(f"{ATOM}{name}") or "").strip():
                line = element.sourceline or 1
                yield book.fault(file, line, "feed-form", f"an element has no {name}")
    for element in [root, *entries]:
        moment = element.findtext(f"{ATOM}updated") or ""
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment):
            yield book.fault(file, element.sourceline or 1, "feed-form", f"no moment: {moment}")
    names = [element.findtext(f"{ATOM}id") for element in [root, *entries]]
    if len(set(names)) < len(names):
        yield book.fault(file, 1, "feed-form", "an id stands twice")
    for link in root.iter(f"{ATOM}link"):
        if link.get("rel") == "self":
            continue
        address = (link.get("href") or "").removeprefix(book.public_address)
        path, _, fragment = address.partition("#")
        target = links.locate(book.home, path) if book.home else None
        page = book.by_address.get(target or "")
        if page is None or (fragment and unquote(fragment) not in page.anchors):
            line = link.sourceline or 1
            yield book.fault(file, line, "link-broken", f"leads to nothing: {address}")


def site_map(book: Book) -> Iterator[Fault]:
    """A site map names every page, each by its whole address."""
    file = book.site / "sitemap.xml"
    if not file.is_file():
        if book.public_address:
            yield book.fault(file, 1, "map-missing", "the site knows its address and has no map")
        return
    root = _parsed(book, file)
    if isinstance(root, Fault):
        yield root
        return
    seen: set[str] = set()
    for place in root.iter(f"{MAP}loc"):
        address = (place.text or "").strip()
        inside = address.removeprefix(book.public_address) if book.public_address else None
        if inside is None or (inside == address and inside):
            yield book.fault(file, place.sourceline or 1, "map-foreign", f"not here: {address}")
            continue
        target = links.locate(book.home, inside) if book.home else None
        if target is None:
            yield book.fault(file, place.sourceline or 1, "link-broken", f"nothing at: {address}")
        else:
            seen.add(target)
    for page in book.pages:
        if page.address not in seen | UNLISTED:
            yield page.fault(None, "map-missing", f"the site map has no {page.address}")
