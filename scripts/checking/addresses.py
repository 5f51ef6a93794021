"""Every address that a built file holds, and whether the browser loads it or the reader follows it.

Scripts are read without their comments: what stands in a license notice is loaded by nobody.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import lxml.etree
import tinycss2
from lxml.html import HtmlElement

from checking.book import Page

# rel values that make the browser fetch, connect or resolve.
_LOADING_RELS = (
    "stylesheet preload modulepreload prefetch prerender preconnect dns-prefetch icon "
    "apple-touch-icon mask-icon manifest"
)
LOADING_RELS = frozenset(_LOADING_RELS.split())
SOURCES = {
    "src": "//img|//script|//iframe|//video|//audio|//source|//embed|//input|//track|//frame",
    "poster": "//video",
    "data": "//object",
    "href": "//use|//image|//feimage",
    "xlink:href": "//use|//image|//feimage",
    "action": "//form",
    "formaction": "//button|//input",
    "background": "//body|//table|//td",
}


class Address(NamedTuple):
    """An address as written, where it stands, and how it is used."""

    text: str
    element: HtmlElement | None
    use: str
    """`link` where a reader follows it; `image` or `resource` where the browser loads it."""


def of_page(page: Page) -> Iterator[Address]:
    """Addresses in the elements and styles of a page."""
    for element in page.all("//a[@href]|//area[@href]"):
        yield Address(element.get("href"), element, "link")
    for element in page.all("//link[@href]"):
        rels = set((element.get("rel") or "").lower().split())
        use = "resource" if rels & LOADING_RELS else "link"
        yield Address(element.get("href"), element, use)
    for attribute, elements in SOURCES.items():
        for element in page.all(elements):
            text = element.get(attribute)
            if text is not None:
                pictured = element.tag in ("img", "image", "source")
                yield Address(text, element, "image" if pictured else "resource")
    for element in page.all("//*[@srcset or @imagesrcset]"):
        for choice in (element.get("srcset") or element.get("imagesrcset")).split(","):
            if choice.strip():
                yield Address(choice.split()[0], element, "image")
    for element in page.all("//*[@style]"):
        for text in of_style(element.get("style"), declarations=True):
            yield Address(text, element, "resource")
    for element in page.all("//style"):
        for text in of_style(element.text or ""):
            yield Address(text, element, "resource")
    for element in page.all("//meta[@http-equiv='refresh' or @http-equiv='Refresh']"):
        _, found, text = (element.get("content") or "").partition("url=")
        if found:
            yield Address(text.strip("'\" "), element, "resource")


def of_style(text: str, declarations: bool = False) -> list[str]:
    """Addresses that a style sheet, or the value of a style attribute, loads."""
    if "url" not in text.lower() and "@import" not in text.lower():
        return []
    parse = tinycss2.parse_component_value_list
    return list(_style_addresses(parse(text)))


def _style_addresses(tokens: list) -> Iterator[str]:
    importing = False
    for token in tokens:
        if token.type == "url":
            yield token.value
        elif token.type == "function" and token.lower_name in ("url", "src"):
            yield from (inner.value for inner in token.arguments if inner.type == "string")
        elif token.type == "function":
            # image-set("a.png" 1x) takes bare strings too.
            if token.lower_name.endswith("image-set"):
                yield from (inner.value for inner in token.arguments if inner.type == "string")
            yield from _style_addresses(token.arguments)
        elif token.type == "at-keyword":
            importing = token.lower_value == "import"
            continue
        elif token.type == "string" and importing:
            yield token.value
        elif hasattr(token, "content") and isinstance(token.content, list):
            yield from _style_addresses(token.content)
        if token.type not in ("whitespace", "comment"):
            importing = False


# A slash after a letter, a colon or a quote belongs to an address, not to a comment.
SCRIPT_COMMENT = re.compile(
    r"/\*[!*].*?\*/|(?:^|(?<=[\s;,{}()&|]))//[^\n]*$", re.DOTALL | re.MULTILINE
)
SCRIPT_ADDRESS = re.compile(
    r"""(?:https?|wss?)://[\w.$-]+[^\s"'`)<>\\]*|(?<=["'`])//[\w-]+\.[\w.-]+[^\s"'`)<>\\]*"""
)


@lru_cache(maxsize=256)
def of_script(file: Path) -> tuple[tuple[int, str], ...]:
    """Addresses with a host in a script, with their lines, outside its comments."""
    text = file.read_text(encoding="utf-8", errors="replace")
    bare = SCRIPT_COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)
    return tuple(
        (bare.count("\n", 0, found.start()) + 1, found[0])
        for found in SCRIPT_ADDRESS.finditer(bare)
    )


def of_drawing(file: Path) -> Iterator[tuple[int, str]]:
    """Addresses that an SVG file loads, and the scripts that it would run."""
    # A drawing is read as untrusted: no entity is resolved, nothing is fetched.
    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    for element in lxml.etree.parse(str(file), parser).iter():
        if not isinstance(element.tag, str):
            continue
        name = lxml.etree.QName(element).localname
        line = element.sourceline or 1
        for attribute, text in element.attrib.items():
            local = lxml.etree.QName(attribute).localname
            if local in ("href", "src") and not text.startswith("#") and name != "a":
                yield line, text
            elif local == "style" or "url(" in text:
                yield from ((line, found) for found in of_style(text) if found[:1] != "#")
            elif local.startswith("on"):
                yield line, f"javascript:{text}"
        if name == "style":
            yield from ((line, found) for found in of_style(element.text or "") if found[:1] != "#")
        elif name == "script":
            yield line, "javascript:"
