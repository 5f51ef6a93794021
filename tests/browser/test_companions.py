"""Each chapter with code has its notebook, executed in the build, and its script, to keep."""

import ast
import os
import re
from pathlib import PurePosixPath

import nbformat
import pytest

from checking import links
from checking.book import Book, Page, has_class

NOT_RUN = os.environ.get("FROMNOISE_EXECUTE", "") in ("false", "0")


def with_code(book: Book) -> list[Page]:
    return [
        page
        for page in book.pages
        if page.address.startswith("chapters/") and page.all(f"//*[{has_class('language-python')}]")
    ]


def named(page: Page, kind: str) -> list[str]:
    """The files of the site that links of a page name, of one kind."""
    found = (links.locate(page, address) for address in page.all("//article//a/@href"))
    return sorted({target for target in found if target and kind in target})


def outputs(page: Page) -> list[str]:
    return [element.text_content() for element in page.all(f"//*[{has_class('cell-output')}]")]


def prints(code: str) -> bool:
    """Whether a cell says something: it prints at its top level."""
    code = re.sub(r"^( *)%.*", r"\1pass", code, flags=re.MULTILINE)  # a command to Jupyter
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
        for line in ast.parse(code).body
        if not isinstance(line, (ast.FunctionDef, ast.ClassDef))
        for call in ast.walk(line)
    )


@pytest.fixture
def companions(book) -> dict[str, tuple[Page, Page, list[str]]]:
    """For each chapter with code: the chapter, the page of its notebook, the notebook's cells."""
    found = {}
    for chapter in with_code(book):
        (target,) = named(chapter, "notebooks/")
        notebook = book.by_address[target]
        (file,) = named(notebook, ".ipynb")
        content = nbformat.read(book.site / file, as_version=4)
        nbformat.validate(content)
        cells = [cell.source for cell in content.cells if cell.cell_type == "code"]
        found[chapter.address] = (chapter, notebook, cells)
    return found


def test_every_chapter_with_code_leads_to_its_own_notebook_and_back(book, companions):
    assert len(companions) == len(book.chapters)
    for chapter, notebook, cells in companions.values():
        stem = PurePosixPath(chapter.address.removesuffix("/index.html")).stem
        assert stem in notebook.address
        assert chapter.address in named(notebook, "chapters/")
        assert cells, chapter.address
    assert sum(len(cells) for *_, cells in companions.values()) > 3 * len(companions)


def test_the_notebook_to_download_holds_the_cells_of_its_page(companions):
    for chapter, notebook, cells in companions.values():
        shown = [
            element.text_content().strip()
            for element in notebook.all(f"//*[{has_class('highlight')}]//pre")
        ]
        assert shown == [cell.strip() for cell in cells], chapter.address


@pytest.mark.skipif(NOT_RUN, reason="this build was told not to run notebooks")
def test_what_a_notebook_prints_stands_on_its_page(companions):
    for chapter, notebook, cells in companions.values():
        assert len(outputs(notebook)) >= sum(map(prints, cells)), chapter.address
    assert sum(len(outputs(notebook)) for _, notebook, _ in companions.values()) > 0


def test_a_cell_that_only_defines_is_not_expected_to_say_anything():
    assert prints("x = 1\nprint(x)")
    assert prints("for x in (1, 2):\n    print(x)")
    assert not prints("try:\n    import x\nexcept ImportError:\n    %pip install x")
    assert not prints("def f():\n    print(1)")


@pytest.mark.parametrize("kind", [".ipynb", ".py"])
def test_a_click_brings_the_file(visit, book, companions, kind):
    chapter, notebook, _ = companions[min(companions)]
    page = notebook if kind == ".ipynb" else chapter
    (file,) = named(page, kind)
    opened = visit().open(page.address)
    link = opened.locator(f"article a[download][href$='{kind}']")
    with opened.expect_download() as waiting:
        link.click()
    assert waiting.value.suggested_filename == PurePosixPath(file).name
    assert waiting.value.path().read_bytes() == (book.site / file).read_bytes()
