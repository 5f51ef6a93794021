"""Every page can be reached by its navigation, and every source of a page became one."""

from collections.abc import Iterator

from checking import links
from checking.book import Book, Fault

# Shown in place of a page that does not exist, so nothing leads to it.
UNLISTED = frozenset({"404.html"})


def check(book: Book) -> Iterator[Fault]:
    """Pages that no navigation of another page or of their own leads to."""
    listed: set[str] = set()
    for page in book.pages:
        for address in page.all("//nav//a/@href"):
            path = address.partition("#")[0]
            if path and "://" not in path and (target := links.locate(page, path)):
                listed.add(target)
    for page in book.pages:
        if page.address not in listed | UNLISTED and not is_redirect(page):
            yield page.fault(None, "page-unlisted", f"no navigation leads to {page.address}")
    for source in book.markdown:
        place = source.relative_to(book.docs).with_suffix("")
        if place.parts[0] in ("overrides", "assets"):
            continue
        folder = place.parent if place.name in ("index", "README") else place
        built = {(folder / "index.html").as_posix(), place.with_suffix(".html").as_posix()}
        if not built & set(book.by_address):
            yield book.fault(source, 1, "page-missing", "no page of the site was built from it")


def is_redirect(page) -> bool:
    """Whether a page only sends its reader on."""
    return bool(page.all("//meta[@http-equiv='refresh']"))
