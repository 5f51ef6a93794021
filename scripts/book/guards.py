"""What guards an equation: the test that proves it and the faults planted there, read not run."""

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from book.errors import BookError


@dataclass(frozen=True)
class Guard:
    """A test of `tests/equations`."""

    test: str
    equations: tuple[str, ...]
    says: str
    """First line of its docstring."""
    faults: tuple[str, ...]
    """Names of the wrong variants planted in it."""


@lru_cache(maxsize=128)
def _guards(file: Path, stamp: int, name: str) -> dict[str, Guard]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        equations = [
            argument.value
            for call in node.decorator_list
            if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "proves"
            for argument in call.args
            if isinstance(argument, ast.Constant)
        ]
        if equations:
            says = (ast.get_docstring(node) or "").strip().partition("\n\n")[0].replace("\n", " ")
            test = f"{name}::{node.name}"
            found[node.name] = Guard(test, tuple(equations), says, tuple(_planted(node)))
    return found


def _planted(test: ast.FunctionDef) -> list[str]:
    """Keys of the dictionary given as `wrong`, where it is written out."""
    for node in ast.walk(test):
        if (
            isinstance(node, ast.keyword)
            and node.arg == "wrong"
            and isinstance(node.value, ast.Dict)
        ):
            return [str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]
    return []


def find_guard(root: Path, check: str, equation: str) -> Guard:
    """The test that a page names as the check of an equation."""
    path, separator, test = check.partition("::")
    file = root / path
    if not separator or not path.startswith("tests/"):
        raise BookError(
            f"equation {equation}: write the check as tests/equations/test_x.py::test_y"
        )
    if not file.is_file():
        raise BookError(f"equation {equation}: there is no file {path}")
    try:
        guards = _guards(file, file.stat().st_mtime_ns, path)
    except SyntaxError as error:
        raise BookError(f"equation {equation}: {path} is not Python: {error.msg}") from error
    if test not in guards:
        raise BookError(f"equation {equation}: {path} has no test {test} that proves anything")
    if equation not in guards[test].equations:
        proved = ", ".join(guards[test].equations)
        raise BookError(f"equation {equation}: {test} proves {proved}, not this equation")
    return guards[test]
