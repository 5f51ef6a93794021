"""Pages as plain Markdown: what the page shows, for readers that are programs.

Numbers, citations and references become words, boxes become headed paragraphs, code is written out,
formulas stay TeX. Links lead to the plain versions of other pages.
"""

import posixpath
import re
from collections.abc import Iterator

from markdownify import markdownify

from book import blocks, exercises, failures, generated, notebooks
from book.edits import Edit, applied, inline_edits, reference_text
from book.errors import BookError
from book.maths import MARK
from book.sources import Block, Bracket, Citation, Equation, Fence, Figure, Page, parse
from book.volume import Volume, relative

TARGET = re.compile(r"\]\((?P<target>[^()\s]+)\)")
OBJECT = re.compile(r"\]\[(?P<object>fromnoise(?:\.\w+)*)\]")
ATTRIBUTES = re.compile(r"\{:? *[.#][^{}\n]*\}|\{: [^{}\n]*\}")
COMMENT = re.compile(r"^ *<!--.*?-->\n?", re.S | re.M)
LABELS = {
    "predict": "Predict first",
    "answer": "Answer",
    "break": "How it breaks",
    "exercise": "Exercise",
    "solution": "Solution",
    "note": "Note",
    "fold": "In full",
    "remember": "What to remember",
}


def address(volume: Volume, path: str) -> str:
    """Address of a page's plain version from the root of the site: that of its file, and `.md`."""
    url = volume.urls.get(path, path)
    file = url if url.endswith(".html") else posixpath.join(url, "index.html")
    return f"{posixpath.normpath(file)}.md"


def page_text(volume: Volume, page: Page) -> str:
    """A page as plain Markdown.

    Args:
        volume: The book; its addresses must be known.
        page: One of its pages.
    """
    volume.current = page.path
    edits = sorted(_edits(volume, page), key=lambda edit: (edit[0], -edit[1]))
    text = applied(page.text, edits, 0, len(page.text))
    if description := str(page.meta.get("description") or ""):
        text = re.sub(r"^(# .+)$", rf"\1\n\n> {_escaped(description)}", text, count=1, flags=re.M)
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return text + _downloads(volume, page) + _works(volume, page)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\")


def _downloads(volume: Volume, page: Page) -> str:
    """The line below a chapter that shows code."""
    if page.path not in notebooks.chapters_with_code(volume):
        return ""
    here = address(volume, page.path)
    file = relative(page.path.removesuffix(".md") + ".py", here)
    notebook = relative(address(volume, f"notebooks/{page.stem}.ipynb"), here)
    return (
        f"\nThe same code [as a file]({file}), or cell by cell: "
        f"[the notebook of this chapter]({notebook}).\n"
    )


def _works(volume: Volume, page: Page) -> str:
    """The works that a page cites, in the order of their labels."""
    keys = {citation.key for citation in page.citations}
    if not keys:
        return ""
    works = sorted((volume.works[key] for key in keys), key=lambda work: work.label.casefold())
    return "\n## Works cited\n\n" + "".join(f"- {work.label}: {work.plain}\n" for work in works)


def _edits(volume: Volume, page: Page) -> Iterator[Edit]:
    yield from inline_edits(volume, page, _mention)
    yield from _links(volume, page)
    for equation in page.equations:
        yield equation.start, equation.end, _equation(volume, equation)
    for fence in page.fences:
        yield fence.start, fence.end, _fence(volume, fence)
    for comment in COMMENT.finditer(page.text):
        if not any(fence.start <= comment.start() < fence.end for fence in page.fences):
            yield *comment.span(), ""
    exercise = 0
    for block in page.blocks:
        exercise += block.name == "exercise"
        if block.name in generated.PARTS:
            yield block.start, block.end, f"{_from_html(volume, block)}\n"
        elif block.name == "figure":
            figure = next(f for f in page.figures if f.place == block.place)
            head, foot = _figure(volume, page, figure)
            body = page.text[block.body_start : block.body_end]
            lead = block.body_start + len(body) - len(body.lstrip())
            yield block.start, lead, head
            yield block.body_end, block.end, foot
        elif block.name == "failure":
            yield block.start, block.body_start, _card(volume, block)
            yield block.body_end, block.end, "\n"
        elif block.name in LABELS:
            yield block.start, block.body_start, _head(volume, page, block, exercise)
            yield block.body_end, block.end, "\n"


def _mention(volume: Volume, page: Page, bracket: Bracket) -> str:
    """Citations and references as the page words them."""
    before, after = page.text[: bracket.start], page.text[bracket.end :]
    words = []
    for part in bracket.parts:
        if isinstance(part, Citation):
            work = volume.works.get(part.key)
            locator = f", {part.locator}" if part.locator else ""
            words.append((work.label if work else part.key) + locator)
        else:
            known = volume.equations if part.kind == "eq" else volume.figures
            number = known[part.name].number if part.name in known else part.name
            words.append(reference_text(part.kind, number, before))
    text = "; ".join(words)
    cites = any(isinstance(part, Citation) for part in bracket.parts)
    return f"[{text}]" if cites and not (before.endswith("(") and after.startswith(")")) else text


def _links(volume: Volume, page: Page) -> Iterator[Edit]:
    """Links from source to source as links between plain versions; no attribute lists."""
    folder = posixpath.dirname(page.path)
    here = address(volume, page.path)
    for link in TARGET.finditer(page.plain):
        path, _, fragment = link["target"].partition("#")
        path = path.partition("?")[0]  # the state of a widget means nothing in plain text
        if not path or ":" in path:
            continue
        source = posixpath.normpath(posixpath.join(folder, path))
        is_page = source in volume.urls and source.endswith((".md", ".ipynb"))
        there = address(volume, source) if is_page else volume.urls.get(source, source)
        shown = relative(there, here) + (f"#{fragment}" if fragment else "")
        yield link.start("target"), link.end("target"), shown
    for link in OBJECT.finditer(page.plain):
        parts = link["object"].split(".")
        for length in range(len(parts), 0, -1):
            module = f"reference/{'/'.join(parts[1:length])}.md"
            if module in volume.urls:
                shown = f"]({relative(address(volume, module), here)}#{link['object']})"
                yield *link.span(), shown
                break
    for attributes in ATTRIBUTES.finditer(page.plain):
        start, end = attributes.span()
        yield start - page.text[:start].endswith(" "), end, ""


def _equation(volume: Volume, equation: Equation) -> str:
    number = volume.equations[equation.name].number
    guard = f"checked by `{equation.check}`" if equation.check else "a definition"
    called = f", {equation.called}" if equation.called else ""
    lines = f"Equation ({number}), `{equation.name}`{called}, {guard}:\n\n$$\n{equation.tex}\n$$\n"
    return "\n" + "".join(f"{' ' * equation.indent}{line}\n" for line in lines.split("\n"))


def _fence(volume: Volume, fence: Fence) -> str:
    try:
        code = blocks.code_of(fence, volume.root)
    except BookError:
        code = fence.code  # reported with the page
    mark = fence.mark
    while mark in code:
        mark += mark[0]
    source = f"From `{fence.source}`:\n\n" if fence.source else ""
    lines = f"{source}{mark}{fence.language}\n{code.rstrip(chr(10))}\n{mark}"
    return "".join(f"{' ' * fence.indent}{line}".rstrip() + "\n" for line in lines.split("\n"))


def _figure(volume: Volume, page: Page, figure: Figure) -> tuple[str, str]:
    """What stands before and after a caption."""
    here = address(volume, page.path)
    drawing = relative(f"figures/{figure.name}.svg", here)
    counted = volume.chapter_number(page.path) > 0
    number = f"Figure {volume.figures[figure.name].number}. " if counted else ""
    alt = figure.alt.replace("[", "(").replace("]", ")")
    head = f"\n![{alt}]({drawing})\n\n{number}"
    return head, f"\nDrawn by `{figure.experiment}`.\n\n"


def _head(volume: Volume, page: Page, block: Block, place: int) -> str:
    label = LABELS[block.name]
    if block.name == "exercise":
        label += f" {exercises.number_of(volume, page, place)}"
    title = f": {_title(volume, page, block)}" if block.argument else ""
    removed = block.options.get("removed", "")
    removed = f" (removed: {_option(volume, removed)})" if removed else ""
    return f"\n{' ' * block.indent}**{label}{title}**{removed}\n\n"


def _title(volume: Volume, page: Page, block: Block) -> str:
    start, end = block.argument_start, block.argument_start + len(block.argument)
    edits = [e for e in inline_edits(volume, page, _mention) if start <= e[0] < end]
    return applied(page.text, sorted(edits), start, end)


def _option(volume: Volume, text: str) -> str:
    part = parse(text, volume.current, front_matter=False)
    edits = sorted(inline_edits(volume, part, _mention))
    return applied(part.text, edits, 0, len(part.text)).strip()


def _card(volume: Volume, block: Block) -> str:
    """The head of a card of failure: its break, and the way to it."""
    try:
        path, told = failures.find(volume, block.argument)
    except BookError:
        return "\n"  # reported with the page
    title = _option(volume, told.argument)
    removed = _option(volume, told.options.get("removed", ""))
    there = relative(address(volume, path), address(volume, volume.current))
    return f"\n### [{title}]({there})\n\nRemoved: {removed}\n\n"


def _from_html(volume: Volume, block: Block) -> str:
    """A list or table that the build makes; its links hold, since both versions lie together."""
    made = generated.PARTS[block.name](volume)
    text = markdownify(made, heading_style="ATX", bullets="-", bs4_options={"features": "lxml"})

    def tex(match: re.Match[str]) -> str:
        return f"${volume.formulas.asked[int(match[1])].tex}$"

    return MARK.sub(tex, text).strip() + "\n"
