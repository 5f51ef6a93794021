"""Pages that mkdocs-jupyter makes, brought into line: no scripts, no styles, maths as MathML."""

import html
import re

from lxml import etree
from lxml.html import HtmlElement, fragments_fromstring, tostring
from mkdocs.structure.pages import Page

from book.errors import Place
from book.sources import DISPLAY, INLINE
from book.volume import Volume

DROPPED = ("script", "style", "link", "svg", "clipboard-copy")


def clean(content: str, page: Page, volume: Volume) -> str:
    """The notebook's HTML with only what the site's own style sheet knows."""
    root = etree.Element("div")
    for part in fragments_fromstring(content):
        if isinstance(part, str):
            root.text = (root.text or "") + part
        else:
            root.append(part)
    etree.strip_elements(root, *DROPPED, etree.Comment, with_tail=False)
    place = Place(page.file.src_uri)
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        for name in list(element.attrib):
            if name == "style" or name.startswith("on") or name.startswith("data-mime"):
                del element.attrib[name]
        if element.tag == "a" and "anchor-link" in element.get("class", ""):
            element.set("class", "headerlink")
            element.set("title", "Permanent link")
    for cell in root.xpath('.//*[contains(@class, "jp-RenderedMarkdown")]'):
        _formulas(cell, place, volume)
    inner = html.escape(root.text or "", quote=False)
    return inner + "".join(tostring(child, encoding="unicode") for child in root)


def _formulas(cell: HtmlElement, place: Place, volume: Volume) -> None:
    """Replace TeX between dollars by marks."""

    def mark(match: re.Match[str]) -> str:
        return volume.formulas.mark(" ".join(match["tex"].split()), False, place)

    for element in cell.iter():
        if element.tag in ("code", "pre"):
            continue
        if element.text:
            element.text = INLINE.sub(mark, DISPLAY.sub(mark, element.text))
        for child in element:
            if child.tail:
                child.tail = INLINE.sub(mark, DISPLAY.sub(mark, child.tail))
