"""The cover, the table of contents with its page numbers, and the running heads."""

import html

from lxml.html import HtmlElement, builder, fromstring

from checking.book import Book
from printing.assemble import CONTENTS, page_name, resource, site_name
from printing.headings import Heading
from printing.pages import Part, plain


def add(
    tree: HtmlElement,
    book: Book,
    parts: list[Part],
    listed: list[Heading],
    pages: dict[str, int],
) -> None:
    """Put cover and contents before the text; `pages` says where each place fell, once known."""
    body = tree.find("body")
    body.insert(0, contents(listed, pages))
    body.insert(0, cover(book))
    tree.find("head").append(builder.STYLE(running_heads(book, parts)))


def cover(book: Book) -> HtmlElement:
    """The name of the book and the picture of its home page."""
    home = book.home
    assert home is not None
    name = site_name(book)
    saying = plain(home.all("//article//h1")[0])
    said = home.tree.xpath("//*[@class='md-copyright']//text()[not(ancestor::*[@class='keep'])]")
    rights = " ".join("".join(said).split())
    drawing = home.all("//article//figure//img[@class='light']")
    made = fromstring(
        '<section class="md-typeset cover" id="cover">'
        f'<p class="book-title">{html.escape(name)}</p>'
        f'<p class="saying">{html.escape(saying)}</p>'
        "</section>"
    )
    if drawing:
        image = builder.IMG(
            src=resource(home, drawing[0].get("src")), alt=drawing[0].get("alt", "")
        )
        made.append(image)
    made.append(builder.P(description(book)))
    made.append(builder.P(f"Print edition. {rights}".strip(), {"class": "rights"}))
    if book.public_address:
        link = builder.A(book.public_address, href=book.public_address)
        made.append(builder.P("The living pages: ", link))
    return made


def description(book: Book) -> str:
    """What the home page says the book is."""
    assert book.home is not None
    return book.home.tree.xpath("string(//meta[@name='description']/@content)")


def contents(listed: list[Heading], pages: dict[str, int]) -> HtmlElement:
    """Parts and their sections, each a link, with the number of its page."""
    entries = builder.DIV({"class": "entries"})
    made = builder.E.section(builder.H1("Contents"), entries, id=CONTENTS)
    made.classes |= {"md-typeset", "contents"}
    for heading in listed:
        if heading.depth == 0:
            entries.append(builder.DIV({"class": "entry"}))
        entries[-1].append(line(heading, pages))
    return made


def line(heading: Heading, pages: dict[str, int]) -> HtmlElement:
    """One line of the contents."""
    kind = "entry-section" if heading.depth else "entry-part"
    link = builder.A({"class": kind, "href": f"#{heading.place}"})
    if heading.number:
        link.append(builder.SPAN(str(heading.number), {"class": "entry-number"}))
    link.append(builder.SPAN(heading.title, {"class": "entry-title"}))
    link.append(builder.SPAN(str(pages.get(heading.place, "")), {"class": "entry-page"}))
    return link


def running_heads(book: Book, parts: list[Part]) -> str:
    """A style of paper for each part that carries its title."""
    name = site_name(book)
    rules = []
    for part in parts:
        title = f"{part.number}  {part.title}" if part.number else part.title
        rules.append(
            f"@page {page_name(part)} {{ @top-left {{ content: {quoted(title)} }} "
            f"@top-right {{ content: {quoted(name)} }} }}"
        )
    return "\n".join(rules)


def quoted(text: str) -> str:
    """A text as a string of CSS."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("<", "\\3c ")
    return f'"{escaped}"'
