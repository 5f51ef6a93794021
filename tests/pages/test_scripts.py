"""A chapter's blocks make one script that runs, with every import once."""

import subprocess
import sys
from pathlib import Path

import pytest

from book.blocks import assemble, chapter_script, runnable, script_file
from book.sources import parse_page

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "docs" / "chapters").glob("*.md"))


def test_imports_come_first_and_once():
    script = assemble(
        [
            "import math\nfrom torch import Tensor\n\nx = math.pi\n",
            "import math\nfrom torch import tensor\n\nprint(math.e)\n",
        ]
    )
    assert script == (
        "import math\nfrom torch import Tensor, tensor\n\n\nx = math.pi\n\n\nprint(math.e)\n"
    )


def test_an_import_stays_where_its_name_means_something_else():
    script = assemble(
        ["from math import log\n\na = log(1.0)\n", "from cmath import log\n\nb = log(-1.0)\n"]
    )
    values: dict = {}
    exec(script, values)
    assert values["a"] == 0.0
    assert values["b"].imag > 3


def test_an_import_is_repeated_where_an_earlier_block_took_its_name():
    script = assemble(
        ["from math import pi\n\nx = pi\n", "pi = 3\n", "from math import pi\n\ny = pi\n"]
    )
    values: dict = {}
    exec(script, values)
    assert values["y"] > 3.1


def test_future_imports_lead():
    script = assemble(["import math\n\nx = 1\n", "from __future__ import annotations\n\ny = 2\n"])
    assert script.startswith("from __future__ import annotations\n")
    compile(script, "script", "exec")


def test_solutions_are_left_out(shelf):
    volume = shelf.load(
        "# T\n\n```python\nx = 1\n```\n\n/// exercise | A\nDo.\n\n/// solution\n"
        "```python\nassert x\n```\n///\n///\n\n```console\n$ make\n```\n"
    )
    page = volume.pages["chapters/elbo.md"]
    assert len(runnable(page, shelf.root)) == 2
    assert chapter_script(page, shelf.root) == "x = 1\n"


def test_the_file_to_download_is_the_script_with_a_head(shelf):
    volume = shelf.load("# T\n\n```python\nx = 1\n```\n")
    file = script_file(volume.pages["chapters/elbo.md"], shelf.root)
    assert file.startswith("# The code of the chapter: T\n#\n#")
    assert file.endswith("\n\nx = 1\n")
    volume = shelf.load("# T\n\n/// exercise | A\nDo.\n///\n")
    assert script_file(volume.pages["chapters/elbo.md"], shelf.root) == ""


@pytest.mark.site
def test_the_files_of_the_site_are_the_scripts_that_run():
    files = sorted((ROOT / "site" / "chapters").glob("*.py"))
    if not (ROOT / "site" / "index.html").is_file():
        pytest.skip("site/ is not built: run make site")
    assert [file.stem for file in files] == [chapter.stem for chapter in CHAPTERS]
    for file, chapter in zip(files, CHAPTERS, strict=True):
        assert file.read_text(encoding="utf-8") == script_file(parse_page(chapter)), file.name


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_script_of_each_chapter_runs(chapter, tmp_path):
    # Under the name it is downloaded by: beside it, nothing may be taken for a module it imports.
    script = tmp_path / f"{chapter.stem}.py"
    script.write_text(script_file(parse_page(chapter)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
