"""The block runner takes what the copy button takes, and sees a block that needs another."""

import lxml.html
import pytest

import check_site
from checking import blocks


@pytest.fixture(scope="module")
def warm():
    interpreter = blocks.Warm()
    yield interpreter
    interpreter.close()


CHAPTER = "built/chapters/toy/index.html"


def test_the_text_is_that_of_the_copy_button(book):
    first, second = blocks.all_blocks(book)
    assert first.name == "chapters/toy#1"
    assert first.source == "src/fromnoise/toy.py:halve"
    assert first.text.startswith("import math\n\n\ndef halve(x: float) -> float:\n    ")
    assert second.text == "from fromnoise.toy import double\n\nassert double(2.0) == 4.0"


def test_line_numbers_are_not_copied_and_a_given_text_comes_first():
    code = lxml.html.fromstring(
        '<pre><code><span class="linenos">1</span><a id="__codelineno-1">1</a>x = 1\n</code></pre>'
    )
    assert blocks.copied(code.find("code")) == "x = 1"
    code = lxml.html.fromstring('<div data-copy="y = 2\n"><pre><code>x = 1</code></pre></div>')
    assert blocks.copied(code.find(".//code")) == "y = 2"


def test_signatures_and_listings_are_not_blocks(book):
    assert {block.page.address for block in blocks.all_blocks(book)} == {"chapters/toy/index.html"}


@pytest.mark.parametrize(
    "text, problem",
    [
        ("x = 1\nassert x == 1", None),
        ("from fromnoise.schedules import Cosine\nprint(Cosine())", None),
        ("assert halve(2.0) == 1.0", "NameError"),
        ("import torch\nassert torch.ones(1).sum() == 2", "AssertionError"),
        ("from proof import Sides", "ModuleNotFoundError"),
        ("import checking", "ModuleNotFoundError"),
        ("open('data.txt')", "FileNotFoundError"),
        ("input()", "EOFError"),
        ("raise SystemExit(3)", "exit status 3"),
        ("print('unclosed", "SyntaxError"),
    ],
)
def test_a_block_runs_with_the_package_and_nothing_else(text, problem, warm):
    for found in (blocks.run_alone(text), warm.run(text)):
        assert found is None if problem is None else problem in found


def test_a_block_that_never_ends_is_stopped(warm):
    assert "still running" in blocks.run_alone("while True: pass", timeout=0.5)
    assert "still running" in warm.run("while True: pass", timeout=0.5)


def test_a_fork_knows_libraries_and_nothing_of_the_project_or_of_the_block_before(warm):
    assert warm.run("import math\nmath.pi = 3\nx = 1\nopen('left.txt', 'w').close()") is None
    assert (
        warm.run("import math, os\nassert math.pi > 3.1 and os.listdir() != ['left.txt']") is None
    )
    assert "NameError" in warm.run("x")
    known = "import sys\nassert not any('fromnoise' in n or 'checking' in n for n in sys.modules)"
    assert warm.run(known) is None
    assert warm.run("import sys\nassert 'torch' in sys.modules") is None


def test_a_block_that_needs_the_one_before_is_a_fault(book):
    page = book.root / CHAPTER
    planted = page.read_text().replace("from fromnoise.toy import double\n\nassert", "assert")
    page.write_text(planted)
    assert check_site.faults(book) == []
    (fault,) = [fault for fault in blocks.run_all(book) if "chapters/toy#2" in fault.sentence]
    assert fault.code == "block-fails"
    assert "NameError" in fault.sentence
