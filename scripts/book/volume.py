"""The book as a whole: its pages in reading order, what is numbered, and what is wrong anywhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from book import blocks, citations, failures, glossary, guards, maths, node, results, sections
from book.errors import BookError, Place, Problem
from book.sources import DISPLAY, INLINE, Equation, Figure, Page, parse_page

ROOT = Path(__file__).resolve().parents[2]
BIB = "references.bib"


@dataclass(frozen=True)
class Numbered:
    """An equation or a figure with its number and the page it stands on."""

    item: Equation | Figure
    page: str
    number: str


@dataclass
class Volume:
    """All sources of the book, read once per build."""

    root: Path = ROOT
    docs: Path = ROOT / "docs"
    pages: dict[str, Page] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    current: str = ""
    is_draft: bool = False
    repository: str = ""
    """Where the sources are public, if anywhere."""
    formulas: maths.Formulas = None  # type: ignore[assignment]
    late: list[Problem] = field(default_factory=list)
    """Problems met while rendering, such as in a docstring."""

    def __post_init__(self) -> None:
        if self.formulas is None:
            self.formulas = new_formulas(self.root)

    def load(self) -> "Volume":
        """Read every page, in the order of the navigation."""
        paths = {path.relative_to(self.docs).as_posix(): path for path in self.docs.rglob("*.md")}
        paths = {name: path for name, path in paths.items() if not name.startswith("overrides/")}
        nav = [name for name in navigation(self.root / "mkdocs.yml") if name in paths]
        self.order = nav + sorted(set(paths) - set(nav))
        self.pages = {name: parse_page(paths[name], self.docs) for name in self.order}
        for cached in ("chapters", "equations", "figures", "terms"):
            self.__dict__.pop(cached, None)
        return self

    @cached_property
    def chapters(self) -> list[str]:
        """Paths of the chapters in reading order."""
        return [name for name in self.order if name.startswith("chapters/")]

    def chapter_number(self, path: str) -> int:
        """Place of a chapter in the reading order, from 1; 0 for a page that is no chapter."""
        return self.chapters.index(path) + 1 if path in self.chapters else 0

    @cached_property
    def equations(self) -> dict[str, Numbered]:
        """Equations by name."""
        found: dict[str, Numbered] = {}
        for path, page in self.pages.items():
            for count, equation in enumerate(page.equations, 1):
                number = self._number(path, count)
                found.setdefault(equation.name, Numbered(equation, path, number))
        return found

    @cached_property
    def figures(self) -> dict[str, Numbered]:
        """Figures by name; a figure shown twice is numbered in its chapter."""
        found: dict[str, Numbered] = {}
        for path in sorted(self.order, key=lambda path: path not in self.chapters):
            for count, figure in enumerate(self.pages[path].figures, 1):
                found.setdefault(figure.name, Numbered(figure, path, self._number(path, count)))
        return found

    def _number(self, path: str, count: int) -> str:
        chapter = self.chapter_number(path)
        return f"{chapter}.{count}" if chapter else str(count)

    @property
    def works(self) -> dict[str, citations.Work]:
        """Entries of the bibliography by key."""
        return citations.works(self.docs / BIB)

    @cached_property
    def terms(self) -> list[glossary.Term]:
        """Entries of the glossary."""
        return glossary.terms(self.docs)

    def cited(self) -> dict[str, list[tuple[str, int]]]:
        """For each cited work, the page and the ordinal of each citation, in reading order."""
        found: dict[str, list[tuple[str, int]]] = {}
        for path, page in self.pages.items():
            for citation in page.citations:
                found.setdefault(citation.key, []).append((path, citation.ordinal))
        return found

    def href(self, path: str, anchor: str = "") -> str:
        """Relative link from the current page to another page of the book."""
        fragment = f"#{anchor}" if anchor else ""
        if path == self.current:
            return fragment or "#"
        target, here = self.urls.get(path, path), self.urls.get(self.current, self.current)
        return relative(target, here) + fragment

    def with_marks(self, text: str) -> str:
        """Text with a mark in the place of each formula between dollars."""
        place = Place(self.current)

        def mark(match: re.Match[str]) -> str:
            return self.formulas.mark(" ".join(match["tex"].split()), False, place)

        return INLINE.sub(mark, DISPLAY.sub(mark, text))

    def check(self) -> list[Problem]:
        """Everything that is wrong with the sources, each with its page and line."""
        return sorted(set(self._check()))

    def _check(self) -> Iterator[Problem]:
        try:
            works = self.works
        except BookError as error:
            yield Problem(Place(BIB), str(error))
            works = {}
        homes: dict[str, Place] = {}
        for path, page in self.pages.items():
            yield from page.problems
            for equation in page.equations:
                if homes.setdefault(equation.name, equation.place).path != path:
                    sentence = f"equation {equation.name} already stands on {homes[equation.name]}"
                    yield Problem(equation.place, sentence)
                if equation.check:
                    yield from _try(
                        equation.place, guards.find_guard, self.root, equation.check, equation.name
                    )
            for figure in page.figures:
                yield from _try(figure.place, self.figure_files, figure)
            for number in page.numbers:
                yield from _try(number.place, results.bound_html, self.root, number)
            for citation in page.citations:
                if citation.key not in works:
                    yield Problem(citation.place, f"{BIB} has no entry {citation.key}")
            for reference in page.references:
                known = self.equations if reference.kind == "eq" else self.figures
                if reference.name not in known:
                    kind = "equation" if reference.kind == "eq" else "figure"
                    yield Problem(reference.place, f"there is no {kind} called {reference.name}")
            for fence in page.fences:
                if fence.source and blocks.is_python(fence):
                    yield from _try(fence.place, sections.shown_code, self.root, fence.source)
        yield from failures.problems(self)

    def figure_files(self, figure: Figure) -> tuple[str, str, dict[str, Any]]:
        """Light and dark drawing of a figure, as paths under docs, and its manifest."""
        manifest = results.manifest(self.root, figure.manifest)
        light, dark = f"figures/{figure.name}.svg", f"figures/{figure.name}.dark.svg"
        for path in (light, dark):
            if not (self.docs / path).is_file():
                raise BookError(f"there is no docs/{path}: draw the figure first")
        if not (self.root / figure.experiment).is_file():
            raise BookError(f"there is no experiment {figure.experiment}")
        return light, dark, manifest


def _try(place: Place, function: Any, *arguments: Any) -> Iterator[Problem]:
    try:
        function(*arguments)
    except BookError as error:
        yield Problem(place, str(error))


def new_formulas(root: Path) -> maths.Formulas:
    """A fresh collection of formulas, rendered with the Temml of this checkout."""
    script = Path(__file__).with_name("render_math.mjs")
    lock = root / "package-lock.json"
    version = script.read_text() + (lock.read_text() if lock.exists() else "")
    return maths.Formulas(
        cache=root / ".build" / "math",
        renderer=lambda wanted: node.run(script, wanted, ROOT),  # type: ignore[return-value]
        version=version,
    )


def relative(target: str, here: str) -> str:
    """Relative address from one page of the site to another, both given from the site's root."""
    here_parts = here.split("/")[:-1]
    target_parts = target.split("/")
    while len(here_parts) > 0 and len(target_parts) > 1 and here_parts[0] == target_parts[0]:
        here_parts.pop(0)
        target_parts.pop(0)
    return "../" * len(here_parts) + "/".join(target_parts) or "./"


class _Loader(yaml.SafeLoader):
    """YAML that passes over the tags of mkdocs."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def navigation(config: Path) -> list[str]:
    """Pages in reading order, from mkdocs.yml."""

    def leaves(tree: Any) -> Iterator[str]:
        if isinstance(tree, str):
            yield tree
        elif isinstance(tree, dict):
            for value in tree.values():
                yield from leaves(value)
        elif isinstance(tree, list):
            for value in tree:
                yield from leaves(value)

    if not config.is_file():
        return []
    found = yaml.load(config.read_text(encoding="utf-8"), Loader=_Loader)
    return list(leaves(found.get("nav") or []))
