"""Where things lie: the root of the project, its experiments, and the files of each."""

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIZES = ("smoke", "full", "gpu")
DEVICES = ("auto", "cpu", "cuda")


class BuildError(Exception):
    """Something a user can act on; told in one sentence, without a traceback."""

    status = 1


class UsageError(BuildError):
    """The command asks for something that does not exist."""

    status = 2


@dataclass(frozen=True, order=True)
class Experiment:
    """One file of scripts/experiments, and the places that follow from its name."""

    name: str
    """`<chapter>/<file name without .py>`."""
    root: Path = ROOT

    @property
    def path(self) -> Path:
        return self.root / "scripts" / "experiments" / f"{self.name}.py"

    @property
    def module(self) -> str:
        return "experiments." + self.name.replace("/", ".")

    def folder(self, size: str) -> Path:
        """Where outputs lie; a smoke run never touches what the site shows."""
        chapter = self.name.partition("/")[0]
        top = self.root / (".build/smoke" if size == "smoke" else "docs/figures")
        return top / chapter

    def manifest(self, size: str) -> Path:
        return self.folder(size) / f"{self._stem(size)}.json"

    def figure(self, size: str, mode: str = "light") -> Path:
        return self.folder(size) / f"{self._stem(size)}{'.dark' if mode == 'dark' else ''}.svg"

    def figures(self, size: str) -> tuple[Path, Path]:
        return self.figure(size, "light"), self.figure(size, "dark")

    def weights(self, size: str, name: str) -> Path:
        """Where the weights lie that this experiment publishes under that name."""
        return self.folder(size) / f"{self._stem(size)}.{name}.safetensors"

    def work(self, size: str) -> Path:
        """Scratch folders, one per state of the code, that survive a kill."""
        return self.root / ".build" / "work" / self.name / size

    def log(self, size: str) -> Path:
        return self.root / ".build" / "logs" / f"{self.name}.{size}.log"

    def lock(self, size: str) -> str:
        """Name of the lock that a build of this experiment holds."""
        return f"{self.name.replace('/', '.')}.{size}"

    def command(self, size: str) -> str:
        return f"python scripts/build_figures.py run {self.name} --size {size}"

    def _stem(self, size: str) -> str:
        stem = self.name.partition("/")[2]
        return f"{stem}.gpu" if size == "gpu" else stem


def experiments(root: Path = ROOT) -> list[Experiment]:
    """All experiments, by name. Files that begin with an underscore are shared parts, not ones."""
    files = sorted((root / "scripts" / "experiments").glob("*/*.py"))
    return [
        Experiment(f"{file.parent.name}/{file.stem}", root)
        for file in files
        if not file.name.startswith("_")
    ]


@dataclass(frozen=True)
class Declared:
    """What the text of an experiment says of itself, read without running it."""

    question: str
    sizes: tuple[str, ...]
    needs: tuple[str, ...]
    publishes: tuple[str, ...]
    """Names of the weights that `run` leaves in its work folder for other experiments and pages."""


def declared(experiment: Experiment, module: ast.Module) -> Declared:
    """Read docstring, SIZES, needs and publishes.

    Raises:
        BuildError: A part of an experiment is missing or not written out.
    """
    where = experiment.path.relative_to(experiment.root).as_posix()
    functions = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    for function in ("run", "draw"):
        if function not in functions:
            raise BuildError(f"{where} defines no function {function}()")
    values = dict(_assignments(module))
    sizes = values.get("SIZES")
    if not isinstance(sizes, ast.Dict) or not all(_is_text(key) for key in sizes.keys):
        raise BuildError(f"{where} must hold SIZES, a dict written out with the sizes as keys")
    names = tuple(key.value for key in sizes.keys)
    for size in ("smoke", "full"):
        if size not in names:
            raise BuildError(f"{where} has no size {size!r} in SIZES")
    for size in names:
        if size not in SIZES:
            raise BuildError(f"{where} has an unknown size {size!r}; there are {', '.join(SIZES)}")
    needs = _texts(values, "needs", f"{where}: needs must be a tuple of names of experiments")
    publishes = _texts(values, "publishes", f"{where}: publishes must be a tuple of names")
    docstring = ast.get_docstring(module) or ""
    question = docstring.strip().partition("\n\n")[0].replace("\n", " ")
    return Declared(question, names, needs, publishes)


def _texts(values: dict[str, ast.expr], name: str, otherwise: str) -> tuple[str, ...]:
    """The strings of a tuple; none where it is not assigned."""
    found = values.get(name, ast.Tuple(elts=[]))
    if isinstance(found, ast.Tuple | ast.List):
        texts = [item.value for item in found.elts if isinstance(item, ast.Constant)]
        if len(texts) == len(found.elts) and all(isinstance(text, str) for text in texts):
            return tuple(str(text) for text in texts)
    raise BuildError(f"{otherwise}, written out")


def _assignments(module: ast.Module):
    for node in module.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and node.value is not None:
            yield target.id, node.value


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
