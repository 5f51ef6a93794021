"""The Python blocks of a page as a reader copies them, and all of them as one script."""

import ast
from dataclasses import dataclass
from pathlib import Path

from book.errors import BookError, Place
from book.sections import shown_code
from book.sources import Fence, Page, parse_page

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Shown:
    """A Python block: its text as copied, and where it stands."""

    code: str
    source: str
    place: Place
    inside: tuple[str, ...]


def is_python(fence: Fence) -> bool:
    """Whether the fence is a Python block, which must run alone."""
    return fence.language in ("python", "py")


def code_of(fence: Fence, root: Path = ROOT) -> str:
    """The text that the page shows for a fence."""
    return shown_code(root, fence.source) if fence.source else fence.code


def runnable(page: Path | Page, root: Path = ROOT) -> list[Shown]:
    """All Python blocks of a page, in order."""
    read = page if isinstance(page, Page) else parse_page(Path(page))
    return [
        Shown(code_of(fence, root), fence.source, fence.place, fence.inside)
        for fence in read.fences
        if is_python(fence)
    ]


def chapter_script(page: Path | Page, root: Path = ROOT) -> str:
    """The blocks of a chapter as one script, imports first; solutions are left out."""
    shown = [block for block in runnable(page, root) if "solution" not in block.inside]
    return assemble([block.code for block in shown])


def script_file(page: Page, root: Path = ROOT) -> str:
    """The same as a file to keep, which says where it comes from; empty without code."""
    script = chapter_script(page, root)
    if not script.strip():
        return ""
    says = (
        f"The code of the chapter: {page.title}\n\n"
        "From the book From Noise, under the MIT license. It needs the package fromnoise, and\n"
        "does what the blocks of the page do, in their order; the solutions are left out."
    )
    return "".join(f"# {line}".rstrip() + "\n" for line in says.split("\n")) + f"\n{script}"


def ending(page: Page, root: Path) -> str:
    """What stands at the end of a chapter: its code as one script and the way to its notebook."""
    script = chapter_script(page, root)
    if not script.strip():
        return ""
    fence = "````" if "```" in script else "```"
    return (
        f"\n\n/// script\n\n{fence}python\n{script}{fence}\n\n///\n\n"
        f'The same code [as a file]({page.stem}.py){{: download="" }}, or cell by cell: '
        f"[the notebook of this chapter](../notebooks/{page.stem}.ipynb).\n"
    )


def assemble(blocks: list[str]) -> str:
    """Join blocks so that they run together, each import once and first where that changes nothing.

    An import stays where it stands when its name means something else elsewhere: imported from
    two places, or assigned in an earlier block.
    """
    parsed = []
    for code in blocks:
        try:
            parsed.append((code, ast.parse(code)))
        except SyntaxError as error:
            raise BookError(f"a block is not Python: {error.msg}: {code.strip()[:60]}") from error
    origins: dict[str, set[str]] = {}
    for _, tree in parsed:
        for node, alias in _imports(tree):
            origins.setdefault(_bound(alias), set()).add(_one(node, alias))
    hoisted: dict[str, None] = {}
    bodies: list[str] = []
    assigned: set[str] = set()
    for code, tree in parsed:
        lines = code.rstrip("\n").split("\n")
        kept: list[str] = []
        for node in tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = "\0"
            for alias in node.names:
                line = _one(node, alias)
                if len(origins[_bound(alias)]) == 1 and _bound(alias) not in assigned:
                    hoisted[line] = None
                else:
                    kept.append(line)
        body = "\n".join(line for line in lines if line != "\0").strip("\n")
        if kept:
            body = "\n".join(kept) + "\n\n" + body
        if body.strip() and body not in bodies:
            bodies.append(body)
        assigned |= _assigned(tree)
    head = _grouped(list(hoisted))
    return "\n\n\n".join([part for part in [head, *bodies] if part]) + "\n"


def _imports(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield node, alias


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name


def _one(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    if isinstance(node, ast.Import):
        return f"import {ast.unparse(alias)}"
    return f"from {node.module} import {ast.unparse(alias)}"


def _assigned(tree: ast.Module) -> set[str]:
    """Names that the block itself gives a meaning, imports aside."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            names |= {
                n.id
                for n in ast.walk(node)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
    return names


def _grouped(lines: list[str]) -> str:
    """Imports in the usual order, those from one module on one line."""
    plain = sorted(line for line in lines if line.startswith("import "))
    modules: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("from "):
            module, _, name = line.removeprefix("from ").partition(" import ")
            modules.setdefault(module, []).append(name)
    future = modules.pop("__future__", [])
    out = [f"from __future__ import {', '.join(sorted(future))}", ""] if future else []
    out += plain
    for module in sorted(modules):
        names = sorted(modules[module])
        line = f"from {module} import {', '.join(names)}"
        if len(line) > 88:
            line = f"from {module} import (\n" + "".join(f"    {n},\n" for n in names) + ")"
        out.append(line)
    return "\n".join(out)
