"""A companion notebook holds the chapter's code, and a cell that fails is told in one sentence."""

import nbformat
import pytest
from mkdocs.exceptions import PluginError

from book import jupyter, notebooks

CHAPTER = """# A chapter

Not this one.

The mean is [[elbo/gap#share|.0%]], as [@ho2020ddpm] and [@eq:gap] say of `x` and
[the other](one.md):

```python
--8<-- "src/fromnoise/sample.py:plain"
```

/// equation | gap
    kind: definition
a
///

## More $y$

```python
x = 1
```

/// exercise | E
Do.

/// solution
```python
assert False
```
///
///
"""


def test_a_notebook_holds_the_blocks_and_what_leads_to_them(shelf):
    volume = shelf.load(CHAPTER)
    book = notebooks.companion(volume, volume.pages["chapters/elbo.md"], "stamp")
    nbformat.validate(book)
    assert [cell.cell_type for cell in book.cells] == [
        "markdown",
        "markdown",
        "code",
        "markdown",
        "code",
    ]
    head, lead, plain, more, own = (cell.source for cell in book.cells)
    assert head.startswith("# Notebook: A chapter")
    assert lead == (
        "The mean is 43%, as (Ho et al. 2020) and (equation 2.1 of the chapter) say of `x` and\n"
        "the other:"
    )
    assert plain == "def plain(x):\n    return x + 1"
    assert more == "## More $y$"
    assert own == "x = 1"


def test_a_notebook_is_written_anew_only_when_it_changes(shelf):
    shelf.put("constraints.txt", "")
    volume = shelf.load(CHAPTER)
    [path] = notebooks.write(volume)
    file = shelf.root / notebooks.FOLDER / path
    before = file.stat().st_mtime_ns
    notebooks.write(volume)
    assert file.stat().st_mtime_ns == before
    shelf.put("src/fromnoise/sample.py", "# changed\n")
    assert notebooks.library_hash(shelf.root) not in file.read_text()


@pytest.mark.slow
def test_a_cell_that_raises_is_told_in_one_sentence(tmp_path, monkeypatch):
    from mkdocs_jupyter.convert import nb2html

    monkeypatch.setenv("JUPYTER_PATH", "")
    jupyter.provide_kernel(tmp_path)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1\nx / 0")])
    file = tmp_path / "bad.ipynb"
    nbformat.write(book, file)

    def render():
        nb2html(str(file), execute=True, kernel_name=jupyter.KERNEL, allow_errors=False)

    with pytest.raises(PluginError, match=r"^a\.ipynb: a cell raises ZeroDivisionError") as caught:
        jupyter.in_one_sentence(render, "a.ipynb")()
    assert "'x = 1'" in str(caught.value)
    assert "\n" not in str(caught.value)
