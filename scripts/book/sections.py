"""Named sections of source files, and the imports that make a section run alone.

A section stands between `# --8<-- [start:name]` and `# --8<-- [end:name]`. What is shown is the
section without markers, after the imports of its module that it uses and an import of each name
it takes from the rest of the module.
"""

import ast
import re
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from book.errors import BookError

MARKER = re.compile(
    r"^[ \t]*#[ \t]*-+8<-+[ \t]*\[(?P<kind>start|end):[ \t]*(?P<name>[\w-]+)\][ \t]*$"
)


@dataclass(frozen=True)
class Section:
    """Lines of a file between two markers."""

    path: str
    name: str
    text: str
    first_line: int


def read_sections(text: str, path: str) -> dict[str, Section]:
    """All sections of a file; a marker that is unclosed, reversed or crossed raises BookError."""
    lines = text.splitlines()
    found: dict[str, Section] = {}
    waiting: list[tuple[str, int]] = []
    for number, line in enumerate(lines, 1):
        marker = MARKER.match(line)
        if not marker:
            continue
        name = marker["name"]
        if marker["kind"] == "start":
            if name in found or any(name == other for other, _ in waiting):
                raise BookError(f"{path}:{number}: section {name} starts twice")
            waiting.append((name, number))
        elif not waiting or waiting[-1][0] != name:
            if any(name == other for other, _ in waiting):
                raise BookError(
                    f"{path}:{number}: section {name} ends inside section {waiting[-1][0]}"
                )
            raise BookError(f"{path}:{number}: section {name} ends before it starts")
        else:
            _, start = waiting.pop()
            body = [kept for kept in lines[start : number - 1] if not MARKER.match(kept)]
            shown = textwrap.dedent("\n".join(body)).strip("\n") + "\n"
            if not shown.strip():
                raise BookError(f"{path}:{number}: section {name} is empty")
            found[name] = Section(path, name, shown, start + 1)
    if waiting:
        name, number = waiting[-1]
        raise BookError(f"{path}:{number}: section {name} is never ended")
    return found


@lru_cache(maxsize=256)
def _sections_of(file: Path, stamp: int, path: str) -> dict[str, Section]:
    return read_sections(file.read_text(encoding="utf-8"), path)


def find_section(root: Path, source: str) -> Section:
    """The section named `path:name`, or a whole file named `path`."""
    path, _, name = source.partition(":")
    file = root / path
    if not file.is_file():
        raise BookError(f"there is no file {path} to show")
    if not name:
        return Section(path, "", file.read_text(encoding="utf-8"), 1)
    sections = _sections_of(file, file.stat().st_mtime_ns, path)
    if name not in sections:
        there = ", ".join(sorted(sections)) or "none"
        raise BookError(f"{path} has no section {name}; there are {there}")
    return sections[name]


def shown_code(root: Path, source: str) -> str:
    """The text of a Python section as the page shows it: needed imports, then the section."""
    section = find_section(root, source)
    if not section.name or not section.path.endswith(".py"):
        return section.text
    whole = (root / section.path).read_text(encoding="utf-8")
    try:
        imports = needed_imports(whole, section.text, module_name(section.path))
    except SyntaxError as error:
        raise BookError(f"section {source} is not Python on its own: {error.msg}") from error
    if not imports:
        return section.text
    begins_definition = re.match(r"(?:@|def |class |async def )", section.text)
    gap = "\n\n\n" if begins_definition else "\n\n"
    return "\n".join(imports) + gap + section.text


def module_name(path: str) -> str:
    """Dotted name under which a file of `src` is imported; empty for a file that is not."""
    if not path.startswith("src/"):
        return ""
    return path.removeprefix("src/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def needed_imports(whole: str, section: str, module: str) -> list[str]:
    """Import statements without which the section would not run, in the order of the module."""
    used, bound, needs_future = _names(ast.parse(section))
    wanted = used - bound
    lines: list[str] = []
    imported: set[str] = set()
    defined: set[str] = set()
    has_future = False
    for node in _top_level(ast.parse(whole)):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            has_future = True
        elif isinstance(node, ast.Import | ast.ImportFrom):
            kept = [alias for alias in node.names if _binds(alias) in wanted - imported]
            imported |= {_binds(alias) for alias in kept}
            if kept:
                lines.append(_import_line(node, kept, module))
        else:
            defined |= _bound_by(node)
    own = sorted((wanted & defined) - imported)
    if own:
        if not module:
            raise BookError(f"the section uses {', '.join(own)} from the rest of its file")
        lines.append(_wrapped(module, own))
    if needs_future and has_future:
        lines.insert(0, "from __future__ import annotations\n")
    return lines


def _top_level(tree: ast.Module) -> list[ast.stmt]:
    """Statements of a module, with those under `if TYPE_CHECKING` and `try` among them."""
    flat: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If | ast.Try):
            flat.extend(_top_level(ast.Module(body=node.body, type_ignores=[])))
        flat.append(node)
    return flat


def _binds(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _bound_by(node: ast.stmt) -> set[str]:
    """Names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}


def _names(tree: ast.Module) -> tuple[set[str], set[str], bool]:
    """Names read anywhere, names bound at the top, and whether an annotation looks ahead."""
    bound: set[str] = set()
    for node in _top_level(tree):
        bound |= _bound_by(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {_binds(alias) for alias in node.names}
    used: set[str] = set()
    annotated: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            used.add(node.id)
        for annotation in _annotations(node):
            annotated |= {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)}
            for text in ast.walk(annotation):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    used |= _forward(text.value)
    return used, bound, bool(annotated & bound)


def _annotations(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.arg | ast.AnnAssign):
        return [node.annotation] if node.annotation else []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.returns] if node.returns else []
    return []


def _forward(text: str) -> set[str]:
    """The name in a quoted annotation; jaxtyping's shapes are not names of the module."""
    return {text} if text.isidentifier() else set()


def _import_line(node: ast.Import | ast.ImportFrom, kept: list[ast.alias], module: str) -> str:
    if isinstance(node, ast.Import):
        return "\n".join(f"import {ast.unparse(alias)}" for alias in kept)
    origin = node.module or ""
    if node.level:
        package = module.split(".")[: -node.level]
        origin = ".".join([*package, origin] if origin else package)
    return _wrapped(origin, [ast.unparse(alias) for alias in kept])


def _wrapped(origin: str, names: list[str]) -> str:
    line = f"from {origin} import {', '.join(names)}"
    if len(line) <= 88:
        return line
    inside = textwrap.fill(
        ", ".join(names) + ",", 84, initial_indent="    ", subsequent_indent="    "
    )
    return f"from {origin} import (\n{inside}\n)"
