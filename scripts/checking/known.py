"""The names that a book knows: what its code defines and uses, read without importing it."""

import ast
import builtins
import keyword
import re
import sys
from functools import cached_property
from pathlib import Path

from checking.book import Book

KEY = re.compile(r"^\s*(?:-\s+)?[\"']?([A-Za-z_]\w*)[\"']?\s*[:=]", re.MULTILINE)
VERB = re.compile(r"^([a-z][\w-]*):", re.MULTILINE)
CONFIGURATION = ("mkdocs.yml", "pyproject.toml", "package.json", "Makefile")
PACKAGE = "fromnoise"
LIBRARIES = {"torch": "torch", "numpy": "numpy", "np": "numpy", "scipy": "scipy"} | {
    name: name for name in ("sklearn", "jaxtyping", "safetensors", "matplotlib")
}
ALWAYS = frozenset(
    {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *sys.stdlib_module_names, "self"}
    | {*LIBRARIES, PACKAGE, "plt", "F"}
    | {"make", "git", "node", "npm", "pip", "python"}
)
DEPENDENCY = re.compile(r"^\s*\"([A-Za-z][\w-]*)", re.MULTILINE)
UNSEEN = frozenset({".git", ".venv", "node_modules", "site", ".build", "__pycache__"})


class Known:
    """The names that the code of a book defines and uses."""

    def __init__(self, book: Book):
        self.book = book
        self.modules: dict[str, ast.Module] = {}
        self.defined: set[str] = set()
        self.callables: set[str] = set()
        self.used: set[str] = set()
        for folder in ("src", "scripts", "tests/equations"):
            for file in sorted((book.root / folder).rglob("*.py")):
                self.read(file, folder)

    def read(self, file: Path, folder: str) -> None:
        """Collect the names of one file."""
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except SyntaxError:
            return
        self.defined |= {file.stem, file.parent.name}
        if folder == "src":
            parts = file.relative_to(self.book.root / "src").with_suffix("").parts
            self.modules[".".join(parts).removesuffix(".__init__")] = tree
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.defined.add(node.name)
                self.callables.add(node.name)
            elif isinstance(node, ast.arg):
                self.defined.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                # The package's own variables are symbols of the book; those of a script are not.
                self.defined |= {node.id} if folder == "src" else set()
            elif isinstance(node, ast.keyword) and node.arg:
                self.used.add(node.arg)
            elif isinstance(node, ast.Attribute):
                self.used.add(node.attr)
            elif isinstance(node, ast.alias):
                self.used |= {*node.name.split("."), node.asname or ""}
            # The keys of a check are names of planted faults, which are words, not code.
            elif isinstance(node, ast.Dict) and folder != "tests/equations":
                self.used |= {key.value for key in node.keys if is_text(key)}
            elif isinstance(node, ast.Subscript) and is_text(node.slice):
                self.used.add(node.slice.value)
        # Names bound at the top of a module or of a class.
        for scope in ast.walk(tree):
            if isinstance(scope, ast.Module | ast.ClassDef):
                self.defined |= bound(scope.body)

    @cached_property
    def verbs(self) -> set[str]:
        """Targets of the Makefile."""
        makefile = self.book.root / "Makefile"
        return set(VERB.findall(makefile.read_text())) if makefile.is_file() else set()

    @cached_property
    def names(self) -> set[str]:
        """Everything known to the whole book."""
        keys: set[str] = set()
        for name in CONFIGURATION:
            file = self.book.root / name
            if file.is_file():
                keys |= set(KEY.findall(file.read_text(encoding="utf-8")))
        project = self.book.root / "pyproject.toml"
        if project.is_file():
            keys |= set(DEPENDENCY.findall(project.read_text(encoding="utf-8")))
        return self.defined | self.used | self.verbs | keys | ALWAYS

    @cached_property
    def files(self) -> set[str]:
        """Names of the files of the repository."""
        found: set[str] = set()
        for entry in self.book.root.iterdir():
            if entry.name in UNSEEN:
                continue
            files = entry.rglob("*") if entry.is_dir() else [entry]
            found |= {file.name for file in files}
        return found

    def resolves(self, dotted: str) -> bool:
        """Whether a dotted name of the package leads to something that is defined."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            tree = self.modules.get(".".join(parts[:length]))
            if tree is not None:
                return leads(tree, parts[length:])
        return False


def is_text(node: ast.expr | None) -> bool:
    """Whether a node is a literal string."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def bound(body: list[ast.stmt]) -> set[str]:
    """Names that statements bind by assignment, import or definition."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {
                name.id
                for target in targets
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            }
        elif isinstance(node, ast.If | ast.Try | ast.With):
            found |= bound(node.body) | bound(getattr(node, "orelse", []))
    return found


def leads(scope: ast.Module | ast.ClassDef, parts: list[str]) -> bool:
    """Whether the names follow each other from a module into its classes."""
    if not parts:
        return True
    first, *rest = parts
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and node.name == first:
            # Inheritance is not followed: a class with bases is trusted with the rest.
            return leads(node, rest) or bool(node.bases and rest)
    return first in bound(scope.body) and len(rest) <= 1
