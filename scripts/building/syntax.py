"""Python without its prose: a text of each statement that comments, docstrings, positions and the
order of imports leave alone, and what the statement binds and mentions.
"""

import ast
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# Fields of the tree that no meaning hangs on, or that differ between versions of Python.
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}
_NOTED = {ast.Name, ast.Attribute, ast.Import, ast.ImportFrom}


@dataclass
class Unit:
    """A top-level statement: its canonical text, what it binds, and what it mentions."""

    node: ast.stmt
    text: str = ""
    binds: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    is_plain: bool = False
    """A definition, import or assignment to names: needed only if one of its names is."""


def units_of(module: ast.Module) -> list[Unit]:
    """The statements of a module, one unit per imported name, prose left out."""
    return [_unit(node) for statement in module.body for node in _split(statement)]


def canonical(node: object, unit: Unit | None = None) -> str:
    """A text of a syntax tree that is the same in every version of Python that we support.

    Args:
        node: The tree, or a part of it.
        unit: Takes note of the names, attributes and imports that are met.
    """
    if isinstance(node, ast.AST):
        kind = type(node)
        if unit is not None and kind in _NOTED:
            _note(node, unit)
        if kind is ast.JoinedStr:
            return f"JoinedStr([{', '.join(_merged(node.values, unit))}])"
        parts = [
            f"{name}={canonical(value, unit)}"
            for name in node._fields
            if name not in _IGNORED
            and (value := getattr(node, name, None)) is not None
            and value != []
        ]
        return f"{kind.__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join([canonical(item, unit) for item in node if not _is_prose(item)])}]"
    return repr(node)


def _note(node: ast.AST, unit: Unit) -> None:
    if isinstance(node, ast.Name):
        unit.uses.add(node.id)
    elif isinstance(node, ast.Attribute):
        unit.attributes.add(node.attr)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        unit.imports.append(node)


def _merged(parts: Iterable[ast.expr], unit: Unit | None) -> Iterator[str]:
    """Texts of the parts of an f-string; versions of Python cut its constants differently."""
    for is_text, group in itertools.groupby(parts, lambda part: isinstance(part, ast.Constant)):
        if not is_text:
            yield from (canonical(part, unit) for part in group)
        elif text := "".join(part.value for part in group):
            yield repr(text)


def identifiers(units: Iterable[Unit]) -> set[str]:
    """Every name that is read, imported, or taken as an attribute."""
    found: set[str] = set()
    for unit in units:
        found |= unit.uses | unit.attributes
        found |= {alias.name.rpartition(".")[2] for node in unit.imports for alias in node.names}
    return found


def digest(units: Iterable[Unit]) -> str:
    """SHA-256 of statements; imports are sorted, because their order is a matter of style."""
    units = list(units)
    imports = sorted(u.text for u in units if isinstance(u.node, ast.Import | ast.ImportFrom))
    rest = [u.text for u in units if not isinstance(u.node, ast.Import | ast.ImportFrom)]
    return sha_of_text("\n".join([*imports, *rest]))


def combined(hashes: dict[str, str]) -> str:
    """One SHA-256 for several."""
    return sha_of_text("\n".join(f"{name} {sha}" for name, sha in sorted(hashes.items())))


def sha_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _split(statement: ast.stmt) -> Iterator[ast.stmt]:
    """One statement per imported name; prose is left out."""
    if isinstance(statement, ast.Import):
        yield from (ast.Import(names=[alias]) for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            yield ast.ImportFrom(statement.module, [alias], statement.level)
    elif not _is_prose(statement):
        yield statement


def _unit(node: ast.stmt) -> Unit:
    unit = Unit(node)
    unit.text = canonical(node, unit)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        unit.binds, unit.is_plain = {node.name}, True
    elif isinstance(node, ast.Import | ast.ImportFrom):
        alias = node.names[0]
        unit.binds = {alias.asname or alias.name.partition(".")[0]}
        unit.is_plain = alias.name != "*" and getattr(node, "module", "") != "__future__"
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        unit.binds = {target.id for target in targets if isinstance(target, ast.Name)}
        unit.is_plain = all(isinstance(target, ast.Name) for target in targets)
    return unit


def _is_prose(node: object) -> bool:
    """A string that stands alone: the docstring of a module, class, function or attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
