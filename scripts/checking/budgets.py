"""No page weighs more than its kind may, and no image more than is shown of it.

The weight of a page is what a browser fetches over the network before the reader does anything,
compressed as a host would: the page, its style sheets, its scripts, the fonts it asks for ahead,
what waits for the search to be opened, and the images of the first view. These are the images
without `loading="lazy"`, and the first lazy one, in light or dark, whichever is heavier: it may
stand high enough to be fetched. Fonts count as they are; they are compressed already.

Not counted: other lazy images, fonts for letters that are rare, the index of the search, and what a
widget brings after its click.
"""

import gzip
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from checking.book import Book, Fault, Page
from checking.links import locate

KB = 1000
CHAPTER = 250 * KB
# First part of the address -> bytes. The ledger is one table of everything.
LIMITS = {"chapters": CHAPTER, "notebooks": 200 * KB, "reference": 200 * KB, "ledger": 300 * KB}
OTHERS = CHAPTER
# Pages that miss the aim of their kind, with what they are held to instead.
# What a script of the page fetches by itself.
FETCHED = {"index.html": "figures/home/from_noise.json"}
LOADER = "assets/javascripts/widgets.js"
PARTS = "assets/javascripts/widgets/"
LOADER_LIMIT = 2 * KB
PACKED = frozenset({".woff2", ".png", ".jpg", ".webp", ".avif", ".gz"})
WORKERS = "assets/javascripts/workers/*.min.js"
# A drawing for the column may be twice as wide for fine screens.
DENSITY = 2
SHOWN = 680
"""Pixels: the width of the column, 34rem at 20 px; no figure is shown wider."""


def check(book: Book) -> Iterator[Fault]:
    """Pages that are too heavy, images that are not held back, a loader that is no small thing."""
    for page in book.pages:
        if page.all("//main"):
            yield from weight(page)
            yield from images(page)
    yield from loader(book)


@lru_cache(maxsize=4096)
def sent(file: Path) -> int:
    """Bytes of a file as they travel."""
    content = file.read_bytes()
    return len(content) if file.suffix in PACKED else len(gzip.compress(content, 9, mtime=0))


def limit(page: Page) -> int:
    """Bytes that a page may weigh."""
    return LIMITS.get(page.address.partition("/")[0], OTHERS)


def parts(page: Page) -> dict[str, int]:
    """What a first visit fetches, with its weight, by path in the site."""
    asked = page.all("//link[@rel='stylesheet' or @rel='preload' or @rel='icon']/@href")
    asked += page.all("//script/@src")
    # Nothing in a template is fetched before its card opens.
    asked += page.all("//img[not(@loading='lazy' or ancestor::template)]/@src")
    lazy = page.all("//main//img[@loading='lazy']")[:2]
    found = {page.address: sent(page.file)}
    for address in asked:
        if path := local(page, address):
            found[path] = sent(page.book.site / path)
    drawings = [path for image in lazy if (path := local(page, image.get("src") or ""))]
    if drawings:
        heavier = max(drawings, key=lambda path: sent(page.book.site / path))
        found[heavier] = sent(page.book.site / heavier)
    others = [*page.book.site.glob(WORKERS)]
    others += [page.book.site / FETCHED[page.address]] if page.address in FETCHED else []
    for file in others:
        if file.is_file():
            found[file.relative_to(page.book.site).as_posix()] = sent(file)
    return found


def local(page: Page, address: str) -> str | None:
    """The file in the site that an address means; None for data and other hosts."""
    return None if ":" in address.partition("/")[0] else locate(page, address.partition("?")[0])


def weight(page: Page) -> Iterator[Fault]:
    """A page heavier than its kind may be."""
    found = parts(page)
    total = sum(found.values())
    if total > limit(page):
        heaviest = sorted(found.items(), key=lambda part: -part[1])[:4]
        said = ", ".join(f"{path} {size / KB:.0f}" for path, size in heaviest)
        sentence = f"{total / KB:.0f} kB on a first visit, of {limit(page) / KB:.0f}: {said}"
        yield page.fault(None, "page-heavy", sentence)


def images(page: Page) -> Iterator[Fault]:
    """An image below the first view waits until it comes near; none is larger than it is shown."""
    found = page.all("//main//img[not(ancestor::template)]")
    figures = page.all("//main//figure[.//img and not(ancestor::template)]")
    first = set(figures[0].iter("img")) if figures else set(found[:1])
    for image in found:
        source = image.get("src") or ""
        if image.get("loading") != "lazy" and image not in first:
            yield page.fault(image, "image-eager", f"is fetched before it is near: {source}")
        shown = int(image.get("width") or 0)
        if shown > SHOWN:
            yield page.fault(image, "image-large", f"{shown} pixels for {SHOWN}: {source}")
        path = local(page, source)
        pixels = width_of(page.book.site / path) if path else 0
        if shown and pixels > DENSITY * shown:
            sentence = f"{pixels} pixels wide, shown at {shown}: {source}"
            yield page.fault(image, "image-large", sentence)


def width_of(file: Path) -> int:
    """Pixels across of a PNG, GIF or JPEG image; 0 for a drawing, which has none."""
    if file.suffix.lower() not in (".png", ".gif", ".jpg", ".jpeg", ".webp", ".avif"):
        return 0
    from PIL import Image  # comes with matplotlib

    with Image.open(file) as image:
        return image.width


def loader(book: Book) -> Iterator[Fault]:
    """What brings the widgets costs next to nothing before the click."""
    file = book.site / LOADER
    if file.is_file() and sent(file) > LOADER_LIMIT:
        sentence = f"{sent(file)} bytes compressed, of {LOADER_LIMIT}"
        yield book.fault(file, 1, "loader-heavy", sentence)
    for page in book.pages:
        for script in page.all("//script[@src]"):
            if PARTS in script.get("src"):
                sentence = f"a widget comes unasked: {script.get('src')}"
                yield page.fault(script, "loader-heavy", sentence)
