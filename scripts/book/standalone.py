"""The Markdown extension by itself, for a generator that runs Markdown in Python but no hooks.

What hooks do when all pages are read is done here at the end of each page: formulas become MathML,
a chapter gets its script, and a page the cards that speak of others. `scripts/exit.py` builds the
book with it; the site itself is built with `hooks.py`.
"""

import copy
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

from book import blocks, hovercards, reference
from book.errors import BookError
from book.extension import BookExtension, slug
from book.volume import Volume, new_formulas

ROOT = Path(__file__).resolve().parents[2]
# A link to somewhere else in the site.
HREF = re.compile(r'(?<=\bhref=")(?![a-z]+:|[/#])[^"#?]+')


def address(name: str) -> str:
    """Where a source stands in the site: each page in a folder of its own, all else as it is."""
    stem, suffix = posixpath.splitext(name)
    if suffix not in (".md", ".ipynb"):
        return name
    folder, last = posixpath.split(stem)
    return f"{folder if last == 'index' else stem}/".lstrip("/") or "./"


def from_source(link: str, page: str) -> str:
    """A link from where a page stands, as a link from the folder of its source."""
    target = posixpath.normpath(posixpath.join(address(page), link))
    folder = posixpath.dirname(page) or "."
    return posixpath.relpath(target, folder) + "/" * link.endswith(("/", "."))


@cache
def _volume(root: Path) -> Volume:
    """The sources, read once for all pages."""
    volume = Volume(root, root / "docs").load()
    files = [f for f in volume.docs.rglob("*") if f.is_file()]
    names = [f.relative_to(volume.docs).as_posix() for f in files]
    names += [f"notebooks/{Path(chapter).stem}.ipynb" for chapter in volume.chapters]
    names += [module.path for module in reference.modules(root)]
    volume.urls = {name: address(name) for name in names}
    return volume


class StandaloneExtension(BookExtension):
    """The extension with a view of the book of its own, since pages may be read side by side."""

    def __init__(self, page: str = "", root: Path = ROOT):
        volume = copy.copy(_volume(root))
        volume.current, volume.formulas, volume.late = page, new_formulas(root), []
        super().__init__(volume)

    def extendMarkdown(self, md: Markdown) -> None:
        super().extendMarkdown(md)
        if "toc" in md.treeprocessors:
            md.treeprocessors["toc"].slugify = slug
        md.preprocessors.register(Opening(md, self.volume), "book-opening", 300)
        closing = Closing(md, self.volume)
        md.postprocessors.register(Addresses(md, closing), "book-addresses", 2)
        md.treeprocessors.register(Ready(md, closing), "book-ready", -100)
        md.postprocessors.register(closing, "book-closing", -100)


class Opening(Preprocessor):
    """Finds out which page is read, and adds what stands at its end."""

    def __init__(self, md: Markdown, volume: Volume):
        super().__init__(md)
        self.volume = volume

    def run(self, lines: list[str]) -> list[str]:
        # Zensical leaves the page with a preprocessor that does nothing else.
        pages = (getattr(known, "page", None) for known in self.md.preprocessors)
        page = next((page for page in pages if page is not None), None)
        if page is not None:
            self.volume.current = page.path
        path = self.volume.current
        if path not in self.volume.chapters:
            return lines
        ending = blocks.ending(self.volume.pages[path], self.volume.root)
        return ("\n".join(lines).rstrip() + ending).split("\n") if ending else lines


class Ready(Treeprocessor):
    """Last of its kind, it tells the next step that what comes is the page.

    The table of contents sends the text of each heading through all postprocessors.
    """

    def __init__(self, md: Markdown, closing: "Closing"):
        super().__init__(md)
        self.closing = closing

    def run(self, root: Element) -> None:
        self.closing.is_ready = True


class Addresses(Postprocessor):
    """Lets links in HTML lead from the source, as links in Markdown do: Zensical moves them all."""

    def __init__(self, md: Markdown, closing: "Closing"):
        super().__init__(md)
        self.closing = closing

    def run(self, text: str) -> str:
        path = self.closing.volume.current
        if self.closing.is_ready and path:
            stash = self.md.book_stash
            stash[:] = [HREF.sub(lambda m: from_source(m[0], path), made) for made in stash]
        return text


class Closing(Postprocessor):
    """Puts in what is known only when the page is read."""

    def __init__(self, md: Markdown, volume: Volume):
        super().__init__(md)
        self.volume = volume
        self.is_ready = False

    def run(self, text: str) -> str:
        if not self.is_ready:
            return text
        path, formulas = self.volume.current, self.volume.formulas
        if path in self.volume.pages:
            text += hovercards.templates(self.volume, self.volume.pages[path])
        formulas.render()
        problems = sorted({*self.volume.late, *formulas.problems})
        if problems:
            raise BookError("\n".join(map(str, problems)))
        self._fill(getattr(self.md, "toc_tokens", []))
        text = formulas.fill(text)
        return reference.tidy(text) if path.startswith("reference/") else text

    def _fill(self, tokens: list[dict[str, Any]]) -> None:
        """The formulas in the table of contents."""
        for token in tokens:
            token["name"] = self.volume.formulas.plain(token["name"])
            token["html"] = self.volume.formulas.fill(token["html"])
            self._fill(token["children"])


def makeExtension(**settings: Any) -> StandaloneExtension:
    """What Python-Markdown asks a module for."""
    return StandaloneExtension(**settings)
