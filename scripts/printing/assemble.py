"""One document out of many pages: ids made unique, links turned inward, the screen's parts gone."""

import posixpath
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from urllib.parse import quote, unquote, urljoin, urlsplit

import lxml.html
from lxml.html import HtmlElement, builder

from checking import links
from checking.book import Book, Page, has_class
from printing.pages import Part

HOST = "http://book.invalid/"
"""The browser reads the site under this address, so that no path of a machine enters the print."""

SHEET = "edition.css"
CONTENTS = "contents"
DROPPED = (
    "*[self::script or self::noscript or self::template or self::button or self::input "
    "or self::select or self::textarea]",
    f"a[{has_class('headerlink')}]",
    f"a[{has_class('equation-check')}]",
    f"img[{has_class('dark')}]",
    # Its code stands in the chapter already, block by block; paper offers no download.
    f"details[{has_class('chapter-script')}]/following-sibling::*[self::p or self::ul]",
    f"details[{has_class('chapter-script')}]",
)
POINTING = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")


class DanglingLink(Exception):
    """A link within the book that leads to no place in it."""


def document(book: Book, parts: list[Part]) -> HtmlElement:
    """The whole book as one HTML document, without its front matter."""
    inside = {part.page.address: part for part in parts}
    body = builder.BODY(
        *(section(book, part, inside) for part in parts),
        dir="ltr",
        **{"data-md-color-scheme": "default"},
    )
    head = builder.HEAD(builder.META(charset="utf-8"), builder.TITLE(site_name(book)))
    for sheet in [*sheets(parts), HOST + SHEET]:
        head.append(builder.LINK(rel="stylesheet", href=sheet))
    return builder.HTML(head, body, lang="en")


def site_name(book: Book) -> str:
    """The name of the book, from the head of its home page."""
    title = book.home.tree.findtext("head/title") if book.home is not None else None
    return (title or "").rpartition(" - ")[2]


def sheets(parts: list[Part]) -> list[str]:
    """The style sheets of all pages, each once, in the order of the pages' heads."""
    found: list[str] = []
    for part in parts:
        for address in part.page.all("//head/link[@rel='stylesheet']/@href"):
            sheet = HOST + str(links.locate(part.page, urlsplit(address).path))
            if sheet not in found:
                found.append(sheet)
    return found


def section(book: Book, part: Part, inside: dict[str, Part]) -> HtmlElement:
    """One page as a section whose ids and addresses hold in the whole book."""
    text = deepcopy(part.article)
    for path in DROPPED:
        for element in text.xpath(f".//{path}"):
            element.drop_tree()
    # A long page is laid out stretch by stretch on a screen; the rules for paper know none.
    for element in text.xpath(f"./div[{has_class('stretch')}]"):
        element.drop_tag()
    # Nothing folds on paper, and Chromium would not split an opened fold between two pages.
    for element in text.xpath(".//details"):
        element.tag = "div"
        element.attrib.pop("open", None)
    for element in text.xpath(".//summary"):
        element.tag = "p"
        element.classes |= {"label", "summary"}
    for element in text.xpath(".//*[@loading]"):
        del element.attrib["loading"]
    for element in text.xpath(".//*[@id]"):
        element.set("id", place(part.name, element.get("id")))
    for attribute in POINTING:
        for element in text.xpath(f".//*[@{attribute}]"):
            names = element.get(attribute).split()
            element.set(attribute, " ".join(place(part.name, name) for name in names))
    for element in text.xpath(".//*[@src]"):
        element.set("src", resource(part.page, element.get("src")))
    for element in text.xpath(".//a[@href]"):
        turn(book, part, element, inside)
    for name in text.xpath(f".//span[{has_class('filename')}]"):
        head_of_listing(name)
    if part.number is not None:
        number = builder.SPAN(f"Chapter {part.number}")
        number.classes.add("chapter-number")
        heading = text.xpath(".//h1")[0]
        number.tail, heading.text = heading.text, None
        heading.insert(0, number)
    made = builder.E.section(*text, id=part.name)
    made.classes |= {"md-typeset", "part"}
    made.set("style", f"page: {page_name(part)}")
    return made


def head_of_listing(name: HtmlElement) -> None:
    """Make the name of a file the first line of its listing: a page would end between the two."""
    code = name.getparent().find(".//code")
    if code is None:
        return
    name.drop_tree()
    name.tail, code.text = "\n" + (code.text or ""), None
    code.insert(0, name)


def page_name(part: Part) -> str:
    """The name of the paper's style for a part; running heads hang on it."""
    return f"part-{part.name.replace('_', '-')}"


def place(name: str, fragment: str) -> str:
    """The id that a place on a page has in the book."""
    return f"{name}--{fragment}"


def resource(page: Page, address: str) -> str:
    """A file of the site, by its address on a page."""
    if urlsplit(address).scheme:
        return address
    found = links.locate(page, unquote(urlsplit(address).path))
    if found is None:
        raise DanglingLink(f"{page.address}: nothing stands at {address}")
    return HOST + quote(found)


def turn(book: Book, part: Part, link: HtmlElement, inside: dict[str, Part]) -> None:
    """Point a link to its place in the book, or to the site, or make it plain text."""
    for attribute in ("title", "data-says", "target", "download"):
        link.attrib.pop(attribute, None)
    parts = urlsplit(link.get("href"))
    if parts.scheme or parts.netloc:
        return
    target = links.locate(part.page, unquote(parts.path))
    fragment = unquote(parts.fragment)
    if target in inside:
        there = inside[target]
        if fragment and fragment not in there.page.anchors:
            raise DanglingLink(f"{part.page.address}: no such place: {link.get('href')}")
        name = place(there.name, fragment) if fragment else there.name
        link.set("href", "#" + quote(name))
    elif target == "index.html":
        link.set("href", f"#{CONTENTS}")
    elif target is not None and book.public_address:
        address = posixpath.join(*posixpath.split(target.removesuffix("index.html")))
        online = urljoin(book.public_address, quote(address))
        link.set("href", online + (f"#{quote(fragment)}" if fragment else ""))
    else:
        link.drop_tag()


def destinations(tree: HtmlElement) -> Iterator[str]:
    """Every place within the document that a link of it names."""
    for address in tree.xpath("//a/@href[starts-with(., '#')]"):
        yield unquote(address[1:])


def dangling(tree: HtmlElement) -> list[str]:
    """Places that links name and that are not there, and ids that stand twice."""
    ids = tree.xpath("//@id")
    twice = [name for name, number in Counter(ids).items() if number > 1]
    return sorted(set(destinations(tree)) - set(ids)) + sorted(twice)


def source(tree: HtmlElement) -> str:
    """The document as text."""
    return "<!doctype html>\n" + lxml.html.tostring(tree, encoding="unicode")
