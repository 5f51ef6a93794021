"""What a page says of itself to catalogs and to places that show a link to it.

The source is CITATION.cff. Catalogs and reference managers read the `citation_` names; the others
are the Open Graph. Addresses are given only when the book knows where it stands.
"""

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from mkdocs.structure.pages import Page

SHARE = "assets/images/share.png"
SHARE_SAYS = (
    "Three rows of ten small images: noise, the digits that a network makes of it, and the strokes "
    "it makes once its sense of time is switched off."
)
Meta = tuple[str, str, str]
"""Attribute that holds the name (`name` or `property`), the name, and the content."""


@dataclass(frozen=True)
class Book:
    """Title, authors, date and key words of the book."""

    title: str
    authors: list[str]
    released: str
    keywords: list[str] = field(default_factory=list)


def book(root: Path) -> Book:
    """What CITATION.cff says."""
    said = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    authors = [
        author.get("name") or f"{author['given-names']} {author['family-names']}"
        for author in said["authors"]
    ]
    return Book(said["title"], authors, str(said["date-released"]), list(said.get("keywords", [])))


def of_page(root: Path, page: Page | None, site_name: str, site_url: str) -> list[Meta]:
    """The entries of a page's head; those of the site for a page without a source."""
    source = page.file.src_uri if page else ""
    title = str(page.meta.get("title") or page.title or site_name) if page else site_name
    says = str(page.meta.get("description") or "") if page else ""
    is_chapter = source.startswith("chapters/")
    found: list[Meta] = [
        ("property", "og:type", "article" if is_chapter else "website"),
        ("property", "og:site_name", site_name),
        ("property", "og:locale", "en"),
        ("property", "og:title", title),
    ]
    if says:
        found.append(("property", "og:description", says))
    address = (page.canonical_url or "") if page and site_url else ""
    if address:
        found.append(("property", "og:url", address))
    if site_url:
        found += [
            ("property", "og:image", f"{site_url.rstrip('/')}/{SHARE}"),
            ("property", "og:image:width", "1200"),
            ("property", "og:image:height", "630"),
            ("property", "og:image:alt", SHARE_SAYS),
            ("name", "twitter:card", "summary_large_image"),
        ]
    if is_chapter or source == "index.md":
        found += _citation(book(root), title if is_chapter else "", address)
    return found


def _citation(whole: Book, chapter: str, address: str) -> list[Meta]:
    """How to cite a chapter, or without one the book."""
    found: list[Meta] = [("name", "citation_title", chapter or whole.title)]
    if chapter:
        found.append(("name", "citation_inbook_title", whole.title))
    found += [("name", "citation_author", author) for author in whole.authors]
    found += [
        ("name", "citation_publication_date", whole.released.replace("-", "/")),
        ("name", "citation_language", "en"),
        ("name", "citation_keywords", "; ".join(whole.keywords)),
    ]
    if address:
        found.append(("name", "citation_public_url", address))
    return found
