"""Every link, anchor, image and resource inside the site leads somewhere, from any sub-path."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from checking import addresses
from checking.book import Book, Fault, Page

CODES = {"link": "link-broken", "image": "image-broken", "resource": "resource-broken"}
# Fragments that every browser knows.
ALWAYS = frozenset({"", "top"})


def check(book: Book) -> Iterator[Fault]:
    """Broken addresses in pages, style sheets and drawings."""
    for page in book.pages:
        for address in addresses.of_page(page):
            yield from follow(book, page, address)
    for sheet in sorted(book.site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8", errors="replace")
        for found in sorted(set(addresses.of_style(text))):
            parts = urlsplit(found)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            if not (sheet.parent / unquote(parts.path)).is_file():
                yield book.fault(sheet, 1, "resource-broken", f"the style loads nothing: {found}")


def follow(book: Book, page: Page, address: addresses.Address) -> Iterator[Fault]:
    """The fault of one address of a page, if it has one."""
    text = address.text.strip()
    # The site's own address is a link into the site.
    if book.public_address and (text + "/").startswith(book.public_address):
        text = "/" + text.removeprefix(book.public_address.rstrip("/")).lstrip("/")
        own = True
    else:
        own = False
    parts = urlsplit(text)
    if parts.scheme or parts.netloc:
        return
    path = unquote(parts.path)
    if path.startswith("/") and not own:
        # Only the page for missing pages is served from any depth, so it names the full path.
        prefix = urlsplit(book.public_address).path or "/"
        if page.address != "404.html" or not path.startswith(prefix):
            yield page.fault(
                address.element, "link-absolute", f"breaks under a sub-path: {address.text}"
            )
            return
        path = "/" + path[len(prefix) :]
    target = locate(page, path)
    if target is None:
        sentence = f"leads to nothing: {address.text}"
        yield page.fault(address.element, CODES[address.use], sentence)
        return
    fragment = unquote(parts.fragment)
    if target.endswith(".html") and fragment not in ALWAYS and not fragment.startswith(":~:"):
        there = book.by_address.get(target)
        if there is not None and fragment not in there.anchors:
            yield page.fault(
                address.element, "anchor-broken", f"no such place on the page: {address.text}"
            )


def locate(page: Page, path: str) -> str | None:
    """The file in the site that a path on a page means, or None if there is none."""
    site: Path = page.book.site
    if not path:
        return page.address
    base = "" if path.startswith("/") else posixpath.dirname(page.address)
    joined = posixpath.normpath(posixpath.join(base, path.lstrip("/")))
    if joined.startswith(".."):
        return None
    file = site / joined
    if file.is_dir():
        joined = posixpath.normpath(posixpath.join(joined, "index.html"))
        file = site / joined
    return joined if file.is_file() else None
