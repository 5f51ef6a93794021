"""A companion notebook holds the chapter's code, and a cell that fails is told in one sentence."""

import subprocess

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from mkdocs.exceptions import PluginError

import publish_notebooks
from book import generated, jupyter, notebooks

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


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com/some-one/from.noise",
        "https://github.com/some-one/from.noise/",
        "https://github.com/some-one/from.noise.git",
    ],
)
def test_with_a_public_repository_a_notebook_opens_in_colab_and_brings_the_package(
    shelf, repository
):
    volume = shelf.load(CHAPTER)
    volume.repository = repository
    address = (
        "https://colab.research.google.com/github/some-one/from.noise/blob/notebooks/elbo.ipynb"
    )
    assert notebooks.colab(volume, "elbo") == address
    assert f'<a href="{address}">open in Colab' in generated.companions(volume)
    book = notebooks.companion(volume, volume.pages["chapters/elbo.md"], "stamp")
    nbformat.validate(book)
    first = next(cell.source for cell in book.cells if cell.cell_type == "code")
    assert '%pip install --quiet "fromnoise @ git+https://github.com/some-one/from.noise"' in first
    TransformerManager().transform_cell(first)


@pytest.mark.parametrize("repository", ["", "https://example.org/a/b", "https://github.com/a", "x"])
def test_without_one_that_colab_reads_nothing_speaks_of_it(shelf, repository):
    volume = shelf.load(CHAPTER)
    volume.repository = repository
    assert notebooks.colab(volume, "elbo") == ""
    assert "olab" not in generated.companions(volume)
    book = notebooks.companion(volume, volume.pages["chapters/elbo.md"], "stamp")
    assert not any("pip install" in cell.source for cell in book.cells)


def test_the_notebooks_are_put_on_a_branch_of_their_own(shelf, tmp_path_factory):
    shelf.put("constraints.txt", "")
    volume = shelf.load(CHAPTER)
    volume.repository = "https://github.com/some-one/from.noise"
    remote = tmp_path_factory.mktemp("remote")
    git = ["git", "-C", str(remote)]
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    for _ in range(2):  # the branch is written anew
        assert publish_notebooks.publish(volume, str(remote)) == 1
    listed = subprocess.check_output([*git, "ls-tree", "--name-only", "notebooks"], text=True)
    assert listed.split() == ["elbo.ipynb"]
    commits = subprocess.check_output([*git, "rev-list", "--count", "notebooks"], text=True)
    assert commits.strip() == "1"
    text = subprocess.check_output([*git, "show", "notebooks:elbo.ipynb"], text=True)
    assert text == (shelf.root / notebooks.FOLDER / "notebooks/elbo.ipynb").read_text()


def test_an_address_that_is_no_repository_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("REPO_URL", "https://example.org/x")
    assert publish_notebooks.main() == 2
    assert "https://example.org/x" in capsys.readouterr().err


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
