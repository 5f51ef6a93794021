"""The Markdown extension: replaces what `book.sources` finds by its HTML.

It runs before all other preprocessors, on the text as written. What it puts in the place of a
formula, a number or a citation is a short mark without any character that Markdown reads; the
marks become HTML when the page is done.
"""

import html
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown import Markdown
from markdown.extensions import Extension
from markdown.extensions.toc import slugify
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor

from book import (
    blocks,
    citations,
    exercises,
    failures,
    figures,
    generated,
    glossary,
    guards,
    results,
)
from book.containers import BoxesExtension
from book.edits import applied, reference_text
from book.errors import BookError, Problem
from book.lean import Stretches
from book.maths import MARK
from book.sources import SPOKEN, Block, Bracket, Citation, Equation, Fence, Page, parse
from book.volume import Volume

STASHED = re.compile("(?P<p><p>)?\ue000(?P<number>\\d+)\ue001(?(p)(?P<end></p>)?)")
BOXED = (*SPOKEN, "figure", "failure", "script")
COLUMN = 76
"""Characters of code that fit into the column of text; longer blocks reach into the margin."""
BLOCK_LEVEL = re.compile(r"<(?:div|details|ul|ol|table|section|p|dl|h\d)\b")


@dataclass
class Head:
    """What a box shows besides its content."""

    title: str = ""
    options: dict[str, str] = field(default_factory=dict)
    number: str = ""
    id: str = ""
    experiment: str = ""
    alt: str = ""
    images: dict[str, str] = field(default_factory=dict)
    size: dict[str, str] = field(default_factory=dict)
    href: str = ""
    widget: str = ""


class BookExtension(Extension):
    """Everything a chapter's Markdown has beyond Markdown."""

    def __init__(self, volume: Volume):
        super().__init__()
        self.volume = volume

    def extendMarkdown(self, md: Markdown) -> None:
        if "$" not in md.ESCAPED_CHARS:
            md.ESCAPED_CHARS = [*md.ESCAPED_CHARS, "$"]
        md.book_stash = []
        md.book_heads = []
        BoxesExtension().extendMarkdown(md)
        md.preprocessors.register(Replacer(md, self.volume), "book", 200)
        md.postprocessors.register(Restorer(md), "book", 1)
        # After the table of contents and the title of the page were found.
        md.treeprocessors.register(Stretches(md, self.volume), "book", -50)


def slug(value: str, separator: str) -> str:
    """Anchor of a heading; a formula in it is left out, so that its number cannot show."""
    return slugify(MARK.sub("", value), separator)


class Restorer(Postprocessor):
    """Puts the stashed HTML in the place of its marks."""

    def run(self, text: str) -> str:
        def restore(match: re.Match[str]) -> str:
            stashed = self.md.book_stash[int(match["number"])]
            whole = match["p"] and match["end"]
            if whole and BLOCK_LEVEL.match(stashed):
                return stashed
            return (match["p"] or "") + stashed + (match["end"] or "")

        while "\ue000" in text:
            text = STASHED.sub(restore, text)
        return text


class Replacer(Preprocessor):
    """Rewrites a page's text before Markdown reads it."""

    def __init__(self, md: Markdown, volume: Volume):
        super().__init__(md)
        self.volume = volume

    def run(self, lines: list[str]) -> list[str]:
        known = self.volume.pages.get(self.volume.current)
        offset = known.offset if known else 0
        page = parse("\n".join(lines) + "\n", self.volume.current, False, offset)
        edits = sorted(self._edits(page), key=lambda edit: (edit[0], edit[1]))
        return applied(page.text, edits, 0, len(page.text)).split("\n")

    def stash(self, markup: str) -> str:
        """A mark that will become this HTML."""
        self.md.book_stash.append(markup)
        return f"\ue000{len(self.md.book_stash) - 1}\ue001"

    def attempt(self, place, function, *arguments) -> str:
        """The HTML that a function makes; where it cannot, note why and show that it is missing."""
        try:
            return function(*arguments)
        except (BookError, KeyError) as error:
            said = str(error) if isinstance(error, BookError) else f"there is no {error}"
            self.volume.late.append(Problem(place, said))
            return f'<mark class="unresolved" title="{html.escape(said)}">unresolved</mark>'

    def _edits(self, page: Page) -> Iterator[tuple[int, int, str]]:
        inline = list(self._inline_edits(page))
        heads = [(b.start, b.body_start) for b in page.blocks if b.name in BOXED]
        inline += self._terms(page, heads)
        for start, end, text in inline:
            if not any(first <= start < last for first, last in heads):
                yield start, end, text
        for equation in page.equations:
            mark = self.stash(self._equation(equation))
            pad = " " * equation.indent
            yield equation.start, equation.end, f"\n{pad}{mark}\n\n"
        exercise = 0
        for block in page.blocks:
            if block.name in BOXED:
                exercise += block.name == "exercise"
                yield from self._box(page, block, inline, exercise)
            elif block.name in generated.PARTS:
                markup = self.attempt(block.place, generated.PARTS[block.name], self.volume)
                yield block.start, block.end, f"\n{self.stash(markup)}\n\n"
        for fence in page.fences:
            if blocks.is_python(fence):
                yield fence.start, fence.end, self._fence(fence)

    def _terms(self, page: Page, heads: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
        """The first use of each term of the glossary on a chapter's page."""
        if page.path not in self.volume.chapters:
            return
        for start, end, term in glossary.first_uses(page, self.volume.terms, heads):
            href = self.volume.href(glossary.FILE, term.anchor)
            yield start, end, self.stash(glossary.link(term, page.text[start:end], href))

    def _inline_edits(self, page: Page) -> Iterator[tuple[int, int, str]]:
        for formula in page.formulas:
            if formula.display:
                # In a docstring: a line of its own, but no numbered equation of the book.
                tex = rf"\displaystyle {formula.tex}"
                mark = self.volume.formulas.mark(tex, False, formula.place)
                yield formula.start, formula.end, self.stash(f'<span class="formula">{mark}</span>')
            else:
                mark = self.volume.formulas.mark(formula.tex, False, formula.place)
                yield formula.start, formula.end, mark
        for number in page.numbers:
            markup = self.attempt(number.place, results.bound_html, self.volume.root, number)
            yield number.start, number.end, self.stash(markup)
        for given in page.givens:
            markup = f'<span class="given">{html.escape(given.text, quote=False)}</span>'
            yield given.start, given.end, self.stash(markup)
        for bracket in page.brackets:
            yield bracket.start, bracket.end, self.stash(self._bracket(page, bracket))

    def _bracket(self, page: Page, bracket: Bracket) -> str:
        before, after = page.text[: bracket.start], page.text[bracket.end :]
        shown = [
            self.attempt(part.place, self._citation, part)
            if isinstance(part, Citation)
            else self.attempt(part.place, self._reference, part.kind, part.name, before)
            for part in bracket.parts
        ]
        text = "; ".join(shown)
        has_citation = any(isinstance(part, Citation) for part in bracket.parts)
        in_parentheses = before.endswith("(") and after.startswith(")")
        return f"[{text}]" if has_citation and not in_parentheses else text

    def _citation(self, citation: Citation) -> str:
        work = self.volume.works[citation.key]
        anchor = f"cite-{citation.key}-{citation.ordinal}"
        href = self.volume.href("bibliography.md", citation.key)
        return citations.label_html(work, citation.locator, href, anchor)

    def _reference(self, kind: str, name: str, before: str) -> str:
        known = self.volume.equations if kind == "eq" else self.volume.figures
        found = known[name]
        anchor = f"eq-{name}" if kind == "eq" else found.item.id
        shown = reference_text(kind, found.number, before)
        href = self.volume.href(found.page, anchor)
        return f'<a class="reference" href="{href}">{shown}</a>'

    def _equation(self, equation: Equation) -> str:
        volume = self.volume
        formula = volume.formulas.mark(equation.tex, True, equation.place)
        numbered = volume.equations.get(equation.name)
        number = numbered.number if numbered else ""
        anchor = f"eq-{equation.name}"
        if equation.check:
            bound = f'data-check="{html.escape(equation.check)}"'
            mark = self.attempt(equation.place, self._check_mark, equation)
        else:
            bound, mark = 'data-kind="definition"', ""
        return (
            f'<div class="equation" id="{anchor}" {bound} data-search-exclude>'
            f'<div class="equation-body" role="group" aria-label="Equation {number}" tabindex="0">'
            f"{formula}</div>"
            f'<a class="equation-number" href="#{anchor}" '
            f'aria-label="Link to equation {number}">({number})</a>{mark}</div>'
        )

    def _check_mark(self, equation: Equation) -> str:
        guard = guards.find_guard(self.volume.root, equation.check, equation.name)
        href = self.volume.href("ledger.md", f"ledger-eq-{equation.name}")
        return (
            f'<a class="equation-check" href="{href}" title="{html.escape(guard.says)}" '
            f'aria-label="How this equation is checked">checked</a>'
        )

    def _box(
        self, page: Page, block: Block, inline: list, place: int
    ) -> Iterator[tuple[int, int, str]]:
        """The opening and closing lines of a box, in the form pymdownx reads."""
        slashes = "/" * (3 + block.depth_below)
        pad = " " * block.indent
        head = Head(title=self._title(page, block, inline), options=self._options(page, block))
        if block.name == "break":
            head.id = failures.anchor(block)
        if block.name == "failure":
            try:
                self._story(block, head)
            except BookError as error:
                mark = self.attempt(block.place, figures.fail, error)
                yield block.start, block.end, f"\n{self.stash(mark)}\n\n"
                return
        if block.name == "exercise":
            head.number = exercises.number_of(self.volume, page, place)
            head.id = exercises.anchor(head.number)
        opening, closing = "", ""
        if block.name == "figure":
            figure = next(f for f in page.figures if f.place == block.place)
            try:
                caption = figures.describe(self.volume, figure, head)
                opening = self.stash(caption.number) if caption.number else ""
                closing = f"\n{pad}{self.stash(caption.reproduce)}\n"
            except BookError as error:
                mark = self.attempt(figure.place, figures.fail, error)
                yield block.start, block.end, f"\n{self.stash(mark)}\n\n"
                return
        self.md.book_heads.append(head)
        number = len(self.md.book_heads) - 1
        body = page.text[block.body_start : block.body_end]
        lead = len(body) - len(body.lstrip())
        yield block.start, block.body_start, f"\n{pad}{slashes} {block.name} | {number}\n\n"
        if opening:
            at = block.body_start + lead
            yield at, at, opening
        yield block.body_end, block.end, f"{closing}\n{pad}{slashes}\n\n"

    def _story(self, block: Block, head: Head) -> None:
        """A card's title, and what was removed, are those of the break that it tells of."""
        path, told = failures.find(self.volume, block.argument)
        head.title = self._inline(told.argument, path)
        head.options = {"removed": self._inline(told.options.get("removed", ""), path)}
        # From source to source: the generator turns it into an address and checks the anchor.
        here = posixpath.dirname(self.volume.current)
        head.href = f"{posixpath.relpath(path, here)}#{failures.anchor(told)}"
        head.id = block.argument.replace("#", "-")

    def _inline(self, text: str, path: str) -> str:
        """A line of text with its formulas and numbers replaced."""
        part = parse(text, path, front_matter=False)
        return applied(part.text, sorted(self._inline_edits(part)), 0, len(part.text))

    def _title(self, page: Page, block: Block, inline: list) -> str:
        """The title of a box with its formulas and numbers replaced."""
        if block.name in ("figure", "failure") or not block.argument:
            return ""
        start, end = block.argument_start, block.argument_start + len(block.argument)
        return applied(page.text, [e for e in inline if start <= e[0] < end], start, end)

    def _options(self, page: Page, block: Block) -> dict[str, str]:
        """The options that are read by people, with their formulas and numbers replaced."""
        options = dict(block.options)
        if "removed" in options:
            options["removed"] = self._inline(options["removed"], page.path)
        return options

    def _fence(self, fence: Fence) -> str:
        pad = " " * fence.indent
        if not fence.source:
            code = fence.code
            info = "{.python}" if fence.info == "python" else fence.info
        else:
            try:
                code = blocks.code_of(fence, self.volume.root)
            except BookError as error:
                self.volume.late.append(Problem(fence.place, str(error)))
                code = "..."
            path, _, section = fence.source.partition(":")
            title = f"{path}: {section}" if section else path
            info = f'{{.python data-source="{fence.source}" title="{title}"}}'
        if info.startswith("{.python") and max(map(len, code.split("\n"))) > COLUMN:
            info = info.replace("{.python", "{.python .wide", 1)
        mark = fence.mark
        while mark in code:
            mark += mark[0]
        body = "".join(f"{pad}{line}\n" if line else "\n" for line in code.rstrip("\n").split("\n"))
        return f"{pad}{mark} {info}\n{body}{pad}{mark}\n"
