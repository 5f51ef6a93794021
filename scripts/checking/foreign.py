"""No page, style, script or drawing loads anything from another host, or names this one.

A link that a reader follows may lead anywhere; a resource may not. The theme's own script, and what
runs the networks, hold a few addresses for features that this site leaves off. They are listed here
one by one, with the reason why they are never fetched; the browser tests watch that none ever is.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import lxml.etree

from checking import addresses
from checking.book import Book, Fault

# Names of vocabularies: compared, never fetched.
NAMESPACES = ("http://www.w3.org/", "https://www.w3.org/")
# Start of the address -> why the theme's bundle never fetches it here.
INERT = {
    "https://api.github.com/": "counts stars, only when a repository is configured",
    "https://${": "the same for a GitLab host",
    "https://unpkg.com/mermaid": "diagrams, only when a page holds one; the policy refuses it",
    "https://unpkg.com/resize-observer-polyfill": "only in browsers older than the policy",
    "https://github.com/isaacs/node-glob/issues/": "in the text of an error",
    "https://bit.ly/2s3ChXG": "in the text of a warning of the search library",
    "https://unpkg.com/iframe-worker": "search from disk; the policy refuses it",
    "https://web.dev/cross-origin-isolation-guide/": "in a warning of what runs the networks",
}
THEME = "assets/javascripts/"
SCRIPTS = ("*.js", "*.mjs", "*.cjs")
TEXTS = frozenset({".html", ".js", ".css", ".json", ".svg", ".ipynb", ".xml", ".txt", ".inv"})


def check(book: Book) -> Iterator[Fault]:
    """Third-party addresses that a browser would load."""
    for page in book.pages:
        for address in addresses.of_page(page):
            if address.use != "link" and is_foreign(book, address.text):
                yield page.fault(address.element, "third-party", f"loads {address.text}")
    for sheet in sorted(book.site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8", errors="replace")
        for found in addresses.of_style(text):
            if is_foreign(book, found):
                line = text.count("\n", 0, max(text.find(found), 0)) + 1
                yield book.fault(sheet, line, "third-party", f"loads {found}")
    for file in sorted(file for glob in SCRIPTS for file in book.site.rglob(glob)):
        for line, found in addresses.of_script(file):
            if not (found.startswith(NAMESPACES) or is_inert(book, file, found)):
                yield book.fault(file, line, "third-party", f"holds the address {found}")
    for drawing in sorted(book.site.rglob("*.svg")):
        yield from in_drawing(book, drawing)
    yield from of_this_machine(book)


def of_this_machine(book: Book) -> Iterator[Fault]:
    """Where the site was built is nobody's business, and a sign of output that will not repeat."""
    place = str(book.root).encode()
    for file in sorted(book.site.rglob("*")):
        if file.suffix in TEXTS and place in (content := file.read_bytes()):
            line = content.count(b"\n", 0, content.index(place)) + 1
            yield book.fault(file, line, "path-leaked", "names the folder it was built in")


def in_drawing(book: Book, drawing: Path) -> Iterator[Fault]:
    """Faults of one SVG file."""
    try:
        found = list(addresses.of_drawing(drawing))
    except (lxml.etree.XMLSyntaxError, OSError) as error:
        yield book.fault(drawing, 1, "image-broken", f"not a drawing: {error}")
        return
    for line, text in found:
        if text.startswith("javascript:"):
            yield book.fault(drawing, line, "script-inline", "the drawing holds a script")
        elif is_foreign(book, text):
            yield book.fault(drawing, line, "third-party", f"loads {text}")


def is_foreign(book: Book, address: str) -> bool:
    """Whether an address names another host than the site's own."""
    parts = urlsplit(address.strip())
    if parts.scheme in ("data", "blob", "mailto", "about"):
        return False
    own = urlsplit(book.public_address).netloc
    return bool(parts.netloc) and parts.netloc != own


def is_inert(book: Book, file: Path, address: str) -> bool:
    """Whether the theme holds this address for a feature that is off."""
    place = file.relative_to(book.site).as_posix()
    return place.startswith(THEME) and address.startswith(tuple(INERT))
