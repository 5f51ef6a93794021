"""What a page would carry, or ask for, without any use to the reader."""

import re
import xml.etree.ElementTree as etree
from pathlib import Path

from markdown.treeprocessors import Treeprocessor

from book.errors import BookError

# Names of any kind and spaces look like the code around them; tests/pages/test_lean.py compares
# with the style sheets.
PLAIN = "n|na|nb|nc|nd|ne|nf|nn|no|nt|nv|nx|bp|fm|vm|w"
ALIKE = {"o": "p"}
"""Operators and punctuation have one color."""

NAMED = re.compile(rf'<span class="(?:{PLAIN})">([^<]*)</span>')
RUN = re.compile(r'(<span class="(\w\w?)">[^<]*)</span>(\s*)<span class="\2">(?=[^<]*</span>)')
CODE = re.compile(r"<pre\b.*?</pre>", re.DOTALL)

# Firefox fetches such a page ahead; the security policy forbids it, and it says so as an error.
AHEAD = re.compile(r'\s*<link rel="next"[^>]*>')

HEADINGS = ("h1", "h2", "h3")

# What the theme's script does on every page and need not: what it says, what it should say, why.
EDITS = (
    (
        re.compile(r'\w+\(\$\(location\.protocol!=="file:"\),(\w+\("search"\))\)'),
        r"\1",
        "fetches the index of the search before the search is opened",
    ),
    (
        re.compile(r'"link\[rel=alternate\]"'),
        '"link[rel=alternate][hreflang]"',
        "takes every other form of a page for a translation, and asks for its sitemap",
    ),
)

MAPPED = re.compile(r"^//# sourceMappingURL=.*\n?", re.MULTILINE)

# In the place of the theme's worker; it starts on every page.
WAITING = """// Brings the search when the page first asks it something.
addEventListener(
  "message",
  ({ data }) => {
    importScripts("%s");
    dispatchEvent(new MessageEvent("message", { data }));
  },
  { once: true },
);
"""


def alone(html: str) -> str:
    """The page without word of the next one in its head; the foot of the page leads there."""
    return AHEAD.sub("", html, count=1)


def tokens(html: str) -> str:
    """The page with no mark on code that changes nothing to the eye."""
    return CODE.sub(lambda found: _tokens(found[0]), html)


def _tokens(code: str) -> str:
    code = NAMED.sub(r"\1", code.replace("<span></span>", ""))
    for name, other in ALIKE.items():
        code = code.replace(f'<span class="{name}">', f'<span class="{other}">')
    merged = 1
    while merged:
        code, merged = RUN.subn(r"\1\3", code)
    return code


def quiet_theme(site: Path) -> None:
    """Let the theme's script ask for nothing that nobody wants yet."""
    for script in (site / "assets" / "javascripts").glob("bundle.*.min.js"):
        text = script.read_text(encoding="utf-8")
        for old, new, what in EDITS:
            text, changed = old.subn(new, text)
            if changed != 1:
                raise BookError(f"{script.name}: where the theme {what} is not where it was")
        # The map is one of the script as it was.
        script.write_text(MAPPED.sub("", text), encoding="utf-8")
        script.with_name(f"{script.name}.map").unlink(missing_ok=True)
    for worker in (site / "assets" / "javascripts" / "workers").glob("search.*.min.js"):
        whole = worker.rename(worker.with_name(worker.name.replace(".min.", ".whole.")))
        worker.write_text(WAITING % whole.name, encoding="utf-8")


def in_stretches(elements: list[etree.Element], div) -> list[etree.Element]:
    """The elements of a page, those between two headings in a box that is laid out when near.

    Headings stay outside: the theme measures where they stand.
    """
    grouped: list[etree.Element] = []
    box = None
    for element in elements:
        if element.tag in HEADINGS:
            box = None
            grouped.append(element)
            continue
        if box is None:
            box = div({"class": "stretch"})
            grouped.append(box)
        box.append(element)
    return grouped


class Stretches(Treeprocessor):
    """Groups what stands between the headings of a page; the first page is one screen."""

    def __init__(self, md, volume):
        super().__init__(md)
        self.volume = volume

    def run(self, root):
        path = self.volume.current
        if path == "index.md" or path.startswith("reference/"):
            return
        grouped = in_stretches(list(root), lambda names: etree.Element("div", names))
        root[:] = grouped
