"""Every Python block of the built site runs alone, as the copy button yields it."""

from pathlib import Path

import pytest

from checking import blocks
from checking.book import Book

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.site


def built_blocks() -> list:
    """A case for each block; one case that says what to do when there is no site."""
    if not (ROOT / "site" / "index.html").is_file():
        missing = pytest.mark.skip(reason="site/ is not built: run make site")
        return [pytest.param(None, id="no-site", marks=missing)]
    book = Book(root=ROOT, docs=ROOT / "docs", site=ROOT / "site")
    return [pytest.param(block, id=block.name) for block in blocks.all_blocks(book)]


@pytest.fixture(scope="module")
def warm():
    interpreter = blocks.Warm()
    yield interpreter
    interpreter.close()


@pytest.mark.parametrize("block", built_blocks())
def test_block_runs_alone(block: blocks.Block, warm: blocks.Warm):
    problem = warm.run(block.text)
    assert problem is None, f"{block.name}\n{problem}\n\n{block.text}"


@pytest.mark.thorough
@pytest.mark.parametrize("block", built_blocks())
def test_block_runs_in_an_interpreter_that_has_read_nothing(block: blocks.Block):
    problem = blocks.run_alone(block.text)
    assert problem is None, f"{block.name}\n{problem}\n\n{block.text}"


@pytest.mark.skipif(not (ROOT / "site" / "index.html").is_file(), reason="site/ is not built")
def test_every_chapter_has_blocks_and_can_be_copied_as_one_script():
    book = Book(root=ROOT, docs=ROOT / "docs", site=ROOT / "site")
    for chapter in book.chapters:
        page = book.by_address[f"chapters/{chapter.stem}/index.html"]
        found = blocks.of_page(page)
        scripts = [
            block
            for block in found
            if block.element.xpath("ancestor::details[contains(@class, 'chapter-script')]")
        ]
        assert len(scripts) == 1, f"{chapter.stem} has no section to copy it as one script"
        assert len(found) > len(scripts), f"{chapter.stem} shows no code"
