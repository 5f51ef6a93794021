"""Nothing the generator failed to understand stands on a page as text.

An undefined reference, footnote, citation or macro is not an error to Markdown: it stays in the
text as it was typed. So does TeX that no renderer met. Both are looked for in what is left of a
page without its code and its formulas.
"""

import re
from collections.abc import Iterator

from checking.book import PLACEHOLDER, Book, Fault, Page, has_class

PATTERNS = [
    ("macro-undefined", re.compile(r"\[\[[^\[\]]*\]\]|\{\{.*?\}\}|\{%.*?%\}|<<\[.*?\]>>")),
    ("citation-undefined", re.compile(r"\[@(?!eq:|fig:)[^\[\]]*\]")),
    ("cross-reference-undefined", re.compile(r"\[@(?:eq|fig):[^\[\]]*\]")),
    ("footnote-undefined", re.compile(r"\[\^[^\[\]\s]+\]")),
    ("reference-undefined", re.compile(r"\[[^\[\]]+\] ?\[[^\[\]]*\]")),
    ("snippet-left", re.compile(r"-{1,}8<-{1,}")),
    ("block-left", re.compile(r"(?m)^\s*/{3,}(?:\s|$)")),
    ("tex-raw", re.compile(r"(?<![\w$\\])\$(?!\s)[^$]{1,300}?(?<!\s)\$(?![\w$])|\$\$")),
    ("tex-raw", re.compile(r"\\(?:[A-Za-z]{2,}|[()\[\]])")),
    ("markdown-left", re.compile(r"!\[[^\[\]]*\]\(|(?m:^\s*`{3,})")),
]
# An unresolved reference to the API is left by mkdocstrings as one of these.
UNRESOLVED = f"//autoref|//span[@data-autorefs-identifier]|//*[{has_class('autorefs-missing')}]"
BAD_TEX = " | ".join(
    [
        "//merror",
        "//*[contains(@class, 'temml-error')]",
        "//*[contains(@class, 'katex-error')]",
        # Temml writes what it does not know in this red.
        "//math//*[contains(translate(@mathcolor, 'B', 'b'), '#b22222')]",
        "//math//*[contains(translate(@style, 'B', 'b'), '#b22222')]",
    ]
)


def check(book: Book) -> Iterator[Fault]:
    """Leftovers of the source on the pages."""
    for page in book.pages:
        for owner, text in page.runs():
            for code, found in scan(text):
                yield page.fault(owner, code, f"stands in the text as it was typed: {found}")
        yield from in_attributes(page)
        for element in page.all(BAD_TEX):
            text = (element.get("title") or element.text_content()).strip()[:80]
            yield page.fault(element, "tex-error", f"the formula was not understood: {text}")
        for element in page.all("//math[not(*)]"):
            yield page.fault(element, "tex-error", "the formula is empty")
        for element in page.all(UNRESOLVED):
            name = element.get("identifier") or element.get("data-autorefs-identifier") or ""
            yield page.fault(element, "cross-reference-undefined", f"leads nowhere: {name}")


def in_attributes(page: Page) -> Iterator[Fault]:
    """The same, in what is said to those who do not see the page."""
    for attribute in ("alt", "title", "aria-label", "content"):
        for element in page.all(f"//*[@{attribute}]"):
            for code, found in scan(element.get(attribute)):
                yield page.fault(element, code, f"stands in {attribute} as it was typed: {found}")
    for title in page.all("//title"):
        for code, found in scan(title.text or ""):
            yield page.fault(title, code, f"stands in the title as it was typed: {found}")


def scan(text: str) -> Iterator[tuple[str, str]]:
    """Each leftover in a text; one place is reported once, by the first pattern that knows it."""
    taken: list[tuple[int, int]] = []
    for code, pattern in PATTERNS:
        for found in pattern.finditer(text):
            start, end = found.span()
            if any(start < to and end > since for since, to in taken):
                continue
            taken.append((start, end))
            yield code, " ".join(found[0].replace(PLACEHOLDER, "…").split())[:80]
