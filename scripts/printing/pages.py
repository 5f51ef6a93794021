"""Which pages of the site make the book on paper, and in which order."""

from dataclasses import dataclass

from lxml.html import HtmlElement

from checking import links
from checking.book import Book, Page, has_class

# The cover and the contents take the place of the home page. Notebooks say what the chapters say;
# the reference, the ledger and the lists of experiments and changes are looked up on a screen.
LEFT_OUT = ("index.html", "notebooks/", "reference/", "ledger", "experiments", "changes")


@dataclass(frozen=True)
class Part:
    """One page of the site as a part of the book."""

    page: Page
    name: str
    number: int | None

    @property
    def article(self) -> HtmlElement:
        """The text of the page, without what stands around it."""
        (found,) = self.page.all(f"//article[{has_class('md-content__inner')}]")
        return found

    @property
    def title(self) -> str:
        """The heading of the page as plain text."""
        return plain(self.article.xpath(".//h1")[0])


def plain(heading: HtmlElement) -> str:
    """Text of a heading without the sign that links to it."""
    texts = heading.xpath(f".//text()[not(ancestor::a[{has_class('headerlink')}])]")
    return " ".join("".join(texts).split())


def name_of(address: str) -> str:
    """A name for a page that may stand in an id: its path with hyphens."""
    return address.removesuffix(".html").removesuffix("/index").replace("/", "-")


def parts(book: Book) -> list[Part]:
    """The parts in the order of the navigation, chapters with their numbers."""
    found: list[Part] = []
    chapters = 0
    # Every page of a chapter lists the whole book beside its text; the home page may list less.
    listing = next(page for page in book.pages if page.address.startswith("chapters/"))
    for address in listing.all("//nav//a/@href"):
        path = address.partition("#")[0]
        if "://" in path:
            continue
        target = links.locate(listing, path)
        if target is None or not target.endswith(".html") or target.startswith(LEFT_OUT):
            continue
        if any(part.page.address == target for part in found):
            continue
        is_chapter = target.startswith("chapters/")
        chapters += is_chapter
        page = book.by_address[target]
        found.append(Part(page, name_of(target), chapters if is_chapter else None))
    return found
