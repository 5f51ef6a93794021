"""Companion notebooks: the chapter's blocks in cells that the reader can change and run again."""

import hashlib
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book import blocks
from book.edits import applied, inline_edits
from book.errors import BookError
from book.sources import Page
from book.volume import Volume

FOLDER = ".build/notebooks/docs"
BRANCH = "notebooks"
"""Of the public repository: scripts/publish_notebooks.py puts them there, at its top."""
GITHUB = re.compile(r"https://github\.com/(?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?")
INSTALL = """\
try:
    import fromnoise
except ModuleNotFoundError:
    %pip install --quiet "fromnoise @ git+https://github.com/{name}"
"""


def chapters_with_code(volume: Volume) -> list[str]:
    """Chapters that have a notebook: those that show Python."""
    return [
        path
        for path in volume.chapters
        if any(blocks.is_python(fence) for fence in volume.pages[path].fences)
    ]


def download(volume: Volume, stem: str) -> str:
    """Address, from the root of the site, of the notebook's file."""
    page = volume.urls.get(f"notebooks/{stem}.ipynb", f"notebooks/{stem}/")
    return f"{page.rpartition('/')[0]}/{stem}.ipynb"


def colab(volume: Volume, stem: str) -> str:
    """Where Colab opens the notebook; empty unless the repository is one that it can read."""
    found = GITHUB.fullmatch(volume.repository)
    if not found:
        return ""
    name = found["name"]
    return f"https://colab.research.google.com/github/{name}/blob/{BRANCH}/{stem}.ipynb"


def write(volume: Volume) -> list[str]:
    """Write all notebooks below `FOLDER`; return their paths there."""
    folder = volume.root / FOLDER / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = library_hash(volume.root)
    found = []
    for path in chapters_with_code(volume):
        page = volume.pages[path]
        file = folder / f"{page.stem}.ipynb"
        text = nbformat.writes(companion(volume, page, stamp)) + "\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
        found.append(f"notebooks/{page.stem}.ipynb")
    return found


def library_hash(root: Path) -> str:
    """Hash of the library: a notebook is executed again when anything it may call has changed."""
    digest = hashlib.sha256((root / "constraints.txt").read_bytes())
    for file in sorted((root / "src" / "fromnoise").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def companion(volume: Volume, page: Page, stamp: str) -> nbformat.NotebookNode:
    """The notebook of a chapter: its headings, what leads to each block, and the blocks."""
    cells = [
        new_markdown_cell(
            f"# Notebook: {page.title}\n\n"
            "The code of the chapter, cell by cell, as the page shows it. Change a line and run "
            "the cells below it again: that is the quickest way to see how it breaks."
        )
    ]
    if found := GITHUB.fullmatch(volume.repository):
        cells.append(new_code_cell(INSTALL.format(name=found["name"]).rstrip("\n")))
    events: list[tuple[int, str, object]] = [
        (h.start, "heading", h) for h in page.headings if h.level > 1
    ]
    events += [(f.start, "fence", f) for f in page.fences if blocks.is_python(f)]
    events.sort(key=lambda event: event[0])
    pending = None
    after = 0
    for start, kind, item in events:
        if kind == "heading":
            pending = item
            continue
        if "solution" in item.inside:
            continue
        lead = paragraph_before(volume, page, after, start)
        heading = f"## {_plain(volume, page, pending.text)}\n\n" if pending else ""
        if heading or lead:
            cells.append(new_markdown_cell((heading + lead).strip()))
        pending, after = None, item.end
        try:
            cells.append(new_code_cell(blocks.code_of(item, volume.root).rstrip("\n")))
        except BookError:
            continue  # reported with the page
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index}"  # nbformat draws ids at random
    book = new_notebook(cells=cells)
    book.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        "fromnoise": {"chapter": page.path, "library": stamp},
    }
    return book


def paragraph_before(volume: Volume, page: Page, after: int, start: int) -> str:
    """The paragraph just before a block, if it is one of plain text."""
    chunk = page.text[after:start].rstrip()
    paragraphs = [part.strip() for part in re.split(r"\n[ \t]*\n", chunk)]
    if not paragraphs or re.match(r"(?:#|/{3}|```|<|\||\[\^|---)", paragraphs[-1]):
        return ""
    if re.search(r"^ *(?:/{3,}|```)", paragraphs[-1], re.M):
        return ""
    position = page.text.rfind(paragraphs[-1], after, start)
    return _plain(volume, page, page.text[position : position + len(paragraphs[-1])], position)


def _plain(volume: Volume, page: Page, text: str, position: int = -1) -> str:
    """Text with numbers, citations and references as words, and links to pages as words."""
    if position < 0:
        position = page.text.find(text)
    end = position + len(text)
    edits = sorted(inline_edits(volume, page, _bracket))
    inside = [edit for edit in edits if position <= edit[0] and edit[1] <= end]
    text = applied(page.text, inside, position, end)
    return re.sub(r"\[([^\[\]]+)\](?:\([^()\s]+\)|\[[^\[\]]+\])", r"\1", text)


def _bracket(volume: Volume, page: Page, bracket) -> str:
    said = []
    for part in bracket.parts:
        if hasattr(part, "key"):
            work = volume.works.get(part.key)
            said.append(work.label if work else part.key)
        else:
            known = volume.equations if part.kind == "eq" else volume.figures
            found = known.get(part.name)
            kind = "equation" if part.kind == "eq" else "figure"
            said.append(f"{kind} {found.number if found else part.name} of the chapter")
    return f"({'; '.join(said)})"
