"""Which project code an experiment stands on, and a hash of it that prose does not move.

Imports are read from the syntax tree and followed inside the project. An experiment's own file is
cut in two: what `run` reaches, and what only the `draw*` functions reach. A change of the second
part redraws the figure from stored results and trains nothing.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from building.syntax import Unit, canonical, combined, digest, identifiers, sha_of_text, units_of
from building.tree import ROOT, BuildError, Declared, Experiment, declared

RUN_ROOTS = {"run", "SIZES", "Config", "needs", "publishes"}
PAINTER = "fromnoise.figures"
"""Writes every figure, so every drawing stands on it, imported or not."""


@dataclass(frozen=True)
class Source:
    """One project file, parsed."""

    name: str
    path: Path
    module: ast.Module

    @cached_property
    def units(self) -> list[Unit]:
        return units_of(self.module)

    @cached_property
    def digest(self) -> str:
        return digest(self.units)

    @cached_property
    def imports(self) -> set[str]:
        return self.imports_of(self.units)

    @cached_property
    def identifiers(self) -> set[str]:
        return identifiers(self.units)

    @cached_property
    def data_hashes(self) -> dict[str, str] | None:
        """The literal DATA_HASHES: name of a data set to the SHA-256 its loader checks."""
        for unit in self.units:
            if "DATA_HASHES" in unit.binds and isinstance(unit.node, ast.Assign | ast.AnnAssign):
                try:
                    return ast.literal_eval(unit.node.value)
                except (ValueError, TypeError) as error:
                    raise BuildError(f"{self.name}.DATA_HASHES must be written out") from error
        return None

    def imports_of(self, units: Iterable[Unit]) -> set[str]:
        """Dotted names that these may import; some name no module, and find no file."""
        package = self.name.split(".")
        package = package if self.path.name == "__init__.py" else package[:-1]
        found: set[str] = set()
        for node in (node for unit in units for node in unit.imports):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                names = [base, *(f"{base}.{name}" for name in names)]
            found.update(names)
        return found


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
        run_sources = self.closure(source.imports_of(run_units))
        draw_sources = self.closure(source.imports_of(draw_units) | {PAINTER})
        run = {where: digest(run_units), f"{where}:SIZES[{size}]": sha_of_text(canonical(chosen))}
        run |= {self._label(s.path): s.digest for s in _by_name(run_sources)}
        draw = {f"{where}:draw": digest(draw_units)}
        draw |= {
            self._label(s.path): s.digest
            for s in _by_name(draw_sources)
            if s.name not in run_sources
        }
        used = identifiers(run_units)
        for other in run_sources.values():
            used |= other.identifiers if other.data_hashes is None else set()
        data = {
            name: sha
            for other in _by_name(run_sources)
            for name, sha in (other.data_hashes or {}).items()
            if name in used
        }
        return Code(run, draw, data)

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
        except SyntaxError as error:
            where = f"{self._label(path)}, line {error.lineno}"
            raise BuildError(f"{where} is not Python: {error.msg}") from error
        except ValueError as error:  # null bytes, or an encoding that is not what it says
            raise BuildError(f"{self._label(path)} is not Python: {error}") from error
        # The docstring of the module stays: it is an experiment's question. Hashing drops it.
        return module

    def _label(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _by_name(sources: dict[str, Source]) -> list[Source]:
    return [sources[name] for name in sorted(sources)]


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
            # The config has a hash of its own; here it stands for what it uses.
            unit = Unit(unit.node, f"SIZES[{size}]", {"SIZES"}, is_plain=True)
            canonical(chosen, unit)
        kept.append(unit)
    assert chosen is not None
    return kept, chosen
