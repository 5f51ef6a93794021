"""A command run by another Python says so in a sentence, however old that Python is."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
OLD = ("python2.7", "python3.6", "python3.8", "python3.9", "python3.10")


def call(python: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([python, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("script", ["build_figures.py", "check_site.py"])
def test_without_the_packages_one_sentence_says_where_they_are(script):
    done = call(sys.executable, "-S", str(SCRIPTS / script))  # -S: without site-packages
    assert done.returncode == 2
    assert done.stderr == (
        "The packages are not installed in this Python; "
        "run `make site` once and use .venv/bin/python.\n"
    )


def test_a_module_of_the_tree_that_is_missing_is_not_taken_for_a_package(project):
    (project.root / "scripts/building/lock.py").unlink()
    done = project.call("list")
    assert done.returncode == 1
    assert "No module named 'building.lock'" in done.stderr or "'lock'" in done.stderr


def test_the_bootstrap_uses_only_what_every_python_can_read():
    text = (SCRIPTS / "bootstrap.py").read_text(encoding="ascii")
    tree = ast.parse(text)
    young = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.FunctionDef | ast.NamedExpr)
        or (isinstance(node, ast.ImportFrom) and node.module == "pathlib")
    ]
    assert [ast.unparse(node) for node in young] == []
    check = next(i for i, node in enumerate(tree.body) if isinstance(node, ast.If))
    imports = [node for node in tree.body[:check] if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import sys"]


@pytest.mark.parametrize("name", OLD)
def test_an_old_python_is_told_that_it_is_old(name):
    python = shutil.which(name)
    if python is None or call(python, "-c", "").returncode != 0:
        pytest.skip(f"this machine has no {name}")
    done = call(python, str(SCRIPTS / "bootstrap.py"))
    assert done.returncode == 1
    version = name.removeprefix("python")
    assert done.stderr.startswith(
        f"From Noise needs Python 3.11 or newer; this is Python {version}."
    )
    assert done.stderr.count("\n") == 1
