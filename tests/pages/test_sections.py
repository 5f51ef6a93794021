"""A shown section runs alone: it carries its imports, and markers that are wrong are refused."""

import subprocess
import sys

import pytest

from book.errors import BookError
from book.sections import find_section, needed_imports, read_sections, shown_code

GOOD = "# --8<-- [start:a]\nx = 1\n# --8<-- [end:a]\n"


def test_a_section_is_the_text_between_its_markers():
    found = read_sections(f"import os\n\n{GOOD}", "a.py")
    assert found["a"].text == "x = 1\n"
    assert found["a"].first_line == 4


def test_an_inner_section_leaves_no_marker_in_the_outer_one():
    text = f"# --8<-- [start:all]\ny = 0\n{GOOD}# --8<-- [end:all]\n"
    assert read_sections(text, "a.py")["all"].text == "y = 0\nx = 1\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# --8<-- [start:a]\nx = 1\n", "never ended"),
        ("# --8<-- [end:a]\nx = 1\n# --8<-- [start:a]\n", "ends before it starts"),
        (
            "# --8<-- [start:a]\nx\n# --8<-- [start:b]\ny\n# --8<-- [end:a]\n# --8<-- [end:b]\n",
            "ends inside section b",
        ),
        (GOOD + GOOD, "starts twice"),
        ("# --8<-- [start:a]\n# --8<-- [end:a]\n", "is empty"),
    ],
)
def test_unsound_markers_are_refused(text, sentence):
    with pytest.raises(BookError, match=sentence):
        read_sections(text, "a.py")


def test_a_missing_file_or_section_names_what_there_is(shelf):
    with pytest.raises(BookError, match=r"no file src/gone\.py"):
        find_section(shelf.root, "src/gone.py:a")
    with pytest.raises(BookError, match="has no section gone; there are pair, plain, scale"):
        find_section(shelf.root, "src/fromnoise/sample.py:gone")


def test_a_section_carries_the_imports_and_names_it_uses(shelf):
    code = shown_code(shelf.root, "src/fromnoise/sample.py:scale")
    head, _, body = code.partition("\n\n\n")
    assert head.splitlines() == [
        "import math",
        "import torch",
        "from torch import Tensor",
        "from collections.abc import Callable",
        "from fromnoise.sample import HALF",
    ]
    assert body.startswith("def scale(")


def test_a_section_without_needs_stands_as_it_is(shelf):
    code = shown_code(shelf.root, "src/fromnoise/sample.py:plain")
    assert code == "def plain(x):\n    return x + 1\n"


def test_a_class_that_names_itself_runs_alone(shelf):
    code = shown_code(shelf.root, "src/fromnoise/sample.py:pair")
    assert code.startswith("from __future__ import annotations\n\nfrom typing import NamedTuple\n")
    subprocess.run([sys.executable, "-c", code + "\nPair(1.0).twin()"], check=True)


def test_a_name_from_elsewhere_in_a_script_is_refused():
    with pytest.raises(BookError, match="uses HALF from the rest of its file"):
        needed_imports("HALF = 1\n", "y = HALF\n", module="")


def test_relative_imports_become_absolute():
    found = needed_imports("from .targets import a, b\n", "a()\n", module="fromnoise.sample")
    assert found == ["from fromnoise.targets import a"]
