"""Which project code an experiment stands on, and a hash of it that prose does not move.

Imports are read from the syntax tree and followed inside the project. What is hashed is the tree
without comments, docstrings, positions and the order of imports. An experiment's own file is cut
in two: what `run` reaches, and what only the `draw*` functions reach. A change of the second part
redraws the figure from stored results and trains nothing.
"""

import ast
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from building.tree import ROOT, BuildError, Declared, Experiment, declared

RUN_ROOTS = {"run", "SIZES", "Config", "needs"}
PAINTER = "fromnoise.figures"
"""Writes every figure, so every drawing stands on it, imported or not."""

# Fields of the tree that no meaning hangs on, or that differ between versions of Python.
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}


@dataclass(frozen=True)
class Unit:
    """A top-level statement: what it binds and the names it uses."""

    node: ast.stmt
    binds: frozenset[str]
    uses: frozenset[str]
    is_plain: bool
    """A definition, import or assignment to names: needed only if one of its names is."""

    @cached_property
    def text(self) -> str:
        return canonical(self.node)


@dataclass(frozen=True)
class Source:
    """One project file, parsed."""

    name: str
    path: Path
    module: ast.Module

    @cached_property
    def units(self) -> list[Unit]:
        return [_unit(node) for statement in self.module.body for node in _split(statement)]

    @cached_property
    def digest(self) -> str:
        return digest(self.units)

    @cached_property
    def imports(self) -> frozenset[str]:
        return frozenset(_imported(self.module.body, self.name, self.path))

    @cached_property
    def identifiers(self) -> frozenset[str]:
        return frozenset(_identifiers([self.module]))


@dataclass(frozen=True)
class Code:
    """The code an experiment stands on: path or part to SHA-256."""

    run: dict[str, str]
    draw: dict[str, str]
    data: dict[str, str]
    """Data sets that the code names, with the SHA-256 that the code holds them to."""

    @property
    def run_hash(self) -> str:
        return combined(self.run)

    @property
    def draw_hash(self) -> str:
        return combined(self.draw)

    @property
    def paths(self) -> set[str]:
        return {entry.partition(":")[0] for entry in (*self.run, *self.draw)}


class Sources:
    """The project's files, each parsed once."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._sources: dict[str, Source | None] = {}

    def get(self, name: str) -> Source | None:
        """The project module of that name, or None for one that lies outside the project."""
        if name not in self._sources:
            path = self._find(name)
            self._sources[name] = None if path is None else Source(name, path, self._parse(path))
        return self._sources[name]

    def closure(self, names: Iterable[str]) -> dict[str, Source]:
        """The project modules among these, those they import, and the packages that hold them."""
        found: dict[str, Source] = {}
        ahead = list(names)
        while ahead:
            name = ahead.pop()
            parent = name.rpartition(".")[0]
            if parent:
                ahead.append(parent)
            source = self.get(name)
            if name not in found and source is not None:
                found[name] = source
                ahead.extend(source.imports)
        return found

    def experiment(self, experiment: Experiment) -> tuple[Source, Declared]:
        source = self.get(experiment.module)
        if source is None:
            raise BuildError(f"there is no file {experiment.path}")
        return source, declared(experiment, source.module)

    def code(self, experiment: Experiment, size: str) -> Code:
        """What the experiment stands on at that size.

        Raises:
            BuildError: A file does not parse, or the experiment lacks a part or the size.
        """
        source, says = self.experiment(experiment)
        where = self._label(source.path)
        if size not in says.sizes:
            raise BuildError(f"{where} has no size {size!r}; it has {', '.join(says.sizes)}")
        units, chosen = _only_size(source.units, size)
        run_units, draw_units = _parted(units)
        run_sources = self.closure(self._imports_of(run_units, source))
        draw_sources = self.closure(self._imports_of(draw_units, source) | {PAINTER})
        run = {where: digest(run_units), f"{where}:SIZES[{size}]": _sha(canonical(chosen))}
        run |= {self._label(s.path): s.digest for s in _by_name(run_sources)}
        draw = {f"{where}:draw": digest(draw_units)}
        draw |= {
            self._label(s.path): s.digest
            for s in _by_name(draw_sources)
            if s.name not in run_sources
        }
        used = set(_identifiers(unit.node for unit in run_units))
        for other in run_sources.values():
            used |= other.identifiers if _data_hashes(other) is None else set()
        data = {
            name: sha
            for other in _by_name(run_sources)
            for name, sha in (_data_hashes(other) or {}).items()
            if name in used
        }
        return Code(run, draw, data)

    def _imports_of(self, units: list[Unit], source: Source) -> set[str]:
        return set(_imported([unit.node for unit in units], source.name, source.path))

    def _find(self, name: str) -> Path | None:
        for top in ("src", "scripts"):
            place = self.root.joinpath(top, *name.split("."))
            for path in (place / "__init__.py", place.with_name(place.name + ".py")):
                if path.is_file():
                    return path
        return None

    def _parse(self, path: Path) -> ast.Module:
        try:
            module = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            raise BuildError(f"{self._label(path)}{line} is not Python: {error}") from error
        # The docstring of the module stays: it is an experiment's question. Hashing drops it.
        return module

    def _label(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def canonical(node: object) -> str:
    """A text of a syntax tree that is the same in every version of Python that we support."""
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr([{', '.join(_merged(node.values))}])"
    if isinstance(node, ast.AST):
        parts = [
            f"{field}={canonical(value)}"
            for field, value in ast.iter_fields(node)
            if field not in _IGNORED and value is not None and value != []
        ]
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(canonical(item) for item in node if not _is_prose(item))}]"
    return repr(node)


def _merged(parts: Iterable[ast.expr]) -> Iterator[str]:
    """Texts of the parts of an f-string; versions of Python cut its constants differently."""
    for is_text, group in itertools.groupby(parts, lambda part: isinstance(part, ast.Constant)):
        if not is_text:
            yield from map(canonical, group)
        elif text := "".join(part.value for part in group):
            yield repr(text)


def digest(units: Iterable[Unit]) -> str:
    """SHA-256 of statements; imports are sorted, because their order is a matter of style."""
    units = list(units)
    imports = sorted(u.text for u in units if isinstance(u.node, ast.Import | ast.ImportFrom))
    rest = [u.text for u in units if not isinstance(u.node, ast.Import | ast.ImportFrom)]
    return _sha("\n".join([*imports, *rest]))


def combined(hashes: dict[str, str]) -> str:
    """One SHA-256 for several."""
    return _sha("\n".join(f"{name} {sha}" for name, sha in sorted(hashes.items())))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _by_name(sources: dict[str, Source]) -> list[Source]:
    return [sources[name] for name in sorted(sources)]


def _is_prose(node: object) -> bool:
    """A string that stands alone: the docstring of a module, class, function or attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


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
    binds: set[str] = set()
    is_plain = True
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        binds = {node.name}
    elif isinstance(node, ast.Import | ast.ImportFrom):
        alias = node.names[0]
        binds = {alias.asname or alias.name.partition(".")[0]}
        is_plain = alias.name != "*" and getattr(node, "module", "") != "__future__"
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        is_plain = all(isinstance(target, ast.Name) for target in targets)
        binds = {target.id for target in targets if isinstance(target, ast.Name)}
    else:
        is_plain = False
    uses = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return Unit(node, frozenset(binds), frozenset(uses), is_plain)


def _reached(units: list[Unit], names: Iterable[str], start: Iterable[Unit] = ()) -> set[int]:
    """Indices of the units that these names, and the units in `start`, stand on."""
    by_name: dict[str, list[int]] = {}
    for index, unit in enumerate(units):
        for name in unit.binds:
            by_name.setdefault(name, []).append(index)
    ahead = [*names, *(name for unit in start for name in unit.uses)]
    found: set[int] = set()
    while ahead:
        for index in by_name.get(ahead.pop(), []):
            if index not in found:
                found.add(index)
                ahead.extend(units[index].uses)
    return found


def _parted(units: list[Unit]) -> tuple[list[Unit], list[Unit]]:
    """Units of the run, and units that only the drawing reaches; in doubt, of the run."""
    always = [unit for unit in units if not unit.is_plain]
    run = _reached(units, RUN_ROOTS, always)
    painters = {name for u in units for name in u.binds if name.lstrip("_").startswith("draw")}
    draw_only = _reached(units, painters) - run
    draw_only = {index for index in draw_only if units[index].is_plain}
    kept = [unit for index, unit in enumerate(units) if index not in draw_only]
    return kept, [units[index] for index in sorted(draw_only)]


def _only_size(units: list[Unit], size: str) -> tuple[list[Unit], ast.expr]:
    """The units with the other sizes gone, and the expression that makes this size's config."""
    kept, chosen = [], None
    for unit in units:
        if "SIZES" in unit.binds and isinstance(unit.node, ast.Assign | ast.AnnAssign):
            sizes = unit.node.value
            assert isinstance(sizes, ast.Dict)
            for key, value in zip(sizes.keys, sizes.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == size:
                    chosen = value
            marker = ast.Assign(targets=[ast.Name("SIZES")], value=ast.Constant(size))
            uses = {child.id for child in ast.walk(chosen) if isinstance(child, ast.Name)}
            unit = Unit(marker, unit.binds, frozenset(uses), True)
        kept.append(unit)
    assert chosen is not None
    return kept, chosen


def _imported(nodes: Iterable[ast.AST], module: str, path: Path) -> Iterator[str]:
    """Dotted names that these statements may import; some name no module, and find no file."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes:
        for child in ast.walk(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*above, base] if base else above)
                yield base
                yield from (f"{base}.{alias.name}" for alias in child.names)


def _identifiers(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                yield child.id
            elif isinstance(child, ast.Attribute):
                yield child.attr
            elif isinstance(child, ast.alias):
                yield child.name.rpartition(".")[2]


def _data_hashes(source: Source) -> dict[str, str] | None:
    """The literal DATA_HASHES of a module: name of a data set to the SHA-256 its loader checks."""
    for node in source.module.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == "DATA_HASHES" for t in targets):
                try:
                    return ast.literal_eval(node.value)
                except ValueError as error:
                    raise BuildError(f"{source.name}.DATA_HASHES must be written out") from error
    return None
