"""Every figure is drawn by the experiment that it names, and is what that experiment wrote.

The hashes are compared here, on the file that the reader gets. Whether the experiment has changed
since is asked of `building.freshness`, which knows its code.
"""

import hashlib
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lxml.html import HtmlElement

from building import freshness
from checking import links
from checking.book import Book, Fault, Page

EXPERIMENT = re.compile(r"^scripts/experiments/(?P<name>[\w-]+/[\w-]+)\.py$")
REPRODUCE = re.compile(r"build_figures\.py\s+run\s+(?P<name>[\w-]+/[\w-]+)")
DRAWN = (".svg", ".png", ".webp")
# What `building.freshness` calls a state -> the code of the fault.
STATES = {
    "stale": "figure-stale",
    "redraw": "figure-stale",
    "missing": "figure-missing",
    "corrupt": "figure-edited",
    "broken": "figure-unbound",
    "orphan": "figure-unbound",
}
# "Figure", "plot of" and the like say nothing; neither does a file name.
HOLLOW = re.compile(r"^(figure|image|plot|chart|graph|picture)?\s*\d*\.?$|\.(svg|png)$", re.I)


def check(book: Book) -> Iterator[Fault]:
    """Faults of the figures on the pages, and of the files they were drawn to."""
    shown: dict[str, Page] = {}
    for page in book.pages:
        for figure in page.all("//figure[@data-experiment]"):
            name = EXPERIMENT.match(figure.get("data-experiment"))
            if name:
                shown.setdefault(name["name"], page)
            yield from on_page(book, page, figure, name["name"] if name else "")
        # A template is the card of a figure on another page.
        inside = "ancestor::figure[@data-experiment] or ancestor::template"
        for image in page.all(f"//img[contains(@src, 'figures/') and not({inside})]"):
            sentence = f"{image.get('src')} stands outside a figure that names its experiment"
            yield page.fault(image, "figure-unbound", sentence)
    for name in sorted(shown):
        yield from files(book, name)
    for file in sorted((book.docs / "figures").rglob("*")):
        if file.suffix in DRAWN and not file.name.startswith("."):
            yield from drawn_by(book, file)
    for state in freshness.states(book.root):
        if state.is_failure:
            manifest = book.root / "docs" / "figures" / f"{state.name}.json"
            sentence = f"{state.state} at size {state.size}: {state.reason}"
            yield book.fault(manifest, 1, STATES[state.state], sentence)


def on_page(book: Book, page: Page, figure: HtmlElement, name: str) -> Iterator[Fault]:
    """What the reader of one figure lacks."""
    path = figure.get("data-experiment")
    if not name or not (book.root / path).is_file():
        yield page.fault(figure, "figure-unbound", f"there is no experiment {path}")
    pictures = figure.xpath(".//img | .//*[name()='svg' and @role='img']")
    if not pictures:
        yield page.fault(figure, "figure-missing", f"the figure of {path} shows no image")
    for picture in pictures:
        spoken = picture.get("alt") if picture.tag == "img" else picture.get("aria-label")
        words = " ".join((spoken or "").split())
        if HOLLOW.search(words) or len(words.split()) < 3:
            sentence = f"the figure of {path} says nothing to those who cannot see it: {words!r}"
            yield page.fault(picture, "figure-alt", sentence)
        if picture.tag == "img" and name:
            yield from is_the_drawing(book, page, picture, name)
    commands = [REPRODUCE.search(" ".join(e.text_content().split())) for e in figure.iter("code")]
    if name not in {found["name"] for found in commands if found}:
        sentence = f"no line says how to reproduce the figure of {path}"
        yield page.fault(figure, "figure-reproduce", sentence)
    if not figure.xpath(".//figcaption[normalize-space()]"):
        yield page.fault(figure, "figure-caption", f"the figure of {path} has no caption")


def is_the_drawing(book: Book, page: Page, image: HtmlElement, name: str) -> Iterator[Fault]:
    """Whether an image of a figure is, byte for byte, what the manifest says was drawn."""
    address = unquote(urlsplit(image.get("src") or "").path)
    place = links.locate(page, address)
    if place is None:
        return  # a broken image, and reported as that
    stem = posixpath.splitext(place)[0].removesuffix(".dark")
    if not stem.removesuffix(".gpu").endswith(f"figures/{name}"):
        yield page.fault(image, "figure-unbound", f"{address} is not drawn by {name}")
        return
    drawn = f"{name}.gpu" if stem.endswith(".gpu") else name
    wanted = outputs(book, drawn).get(posixpath.basename(place))
    if wanted is not None and digest(book.site / place) != wanted:
        sentence = f"{place} is not what {name} drew: its SHA-256 differs from the manifest's"
        yield page.fault(image, "figure-edited", sentence)


def files(book: Book, name: str) -> Iterator[Fault]:
    """Missing and hand-edited files of one experiment."""
    manifest = book.docs / "figures" / f"{name}.json"
    found = outputs(book, name)
    if not found:
        yield book.fault(manifest, 1, "figure-missing", "no manifest that lists drawn files")
    for file, wanted in sorted(found.items()):
        path = manifest.parent / file
        if not path.is_file():
            yield book.fault(path, 1, "figure-missing", f"{name} drew it, and it is gone")
        elif digest(path) != wanted:
            sentence = f"not what {name} drew: its SHA-256 differs from the manifest's"
            yield book.fault(path, 1, "figure-edited", sentence)


def drawn_by(book: Book, file: Path) -> Iterator[Fault]:
    """A drawing that no experiment answers for."""
    name = file.relative_to(book.docs / "figures").with_suffix("")
    name = name.with_name(name.name.removesuffix(".dark")).as_posix()
    experiment = name.removesuffix(".gpu")
    if not (book.root / "scripts" / "experiments" / f"{experiment}.py").is_file():
        yield book.fault(file, 1, "figure-unbound", f"no experiment scripts/experiments/{name}.py")
    elif file.name not in outputs(book, name):
        yield book.fault(file, 1, "figure-edited", f"the manifest of {name} does not list it")


def outputs(book: Book, name: str) -> dict[str, str]:
    """File name to SHA-256, as the manifest of an experiment has them."""
    manifest = book.manifest(f"docs/figures/{name}.json") or {}
    found = manifest.get("outputs")
    return {Path(file).name: str(value) for file, value in found.items()} if found else {}


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
