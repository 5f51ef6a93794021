"""Code that the prose names exists: a function that was renamed is not named any more.

The rule. Text in backticks that has the form of a name (`perturb`, `Scales.alpha_t`, `sample(...)`)
is a name of code, and must be known:

- to the book: what `src`, `scripts` and the equation checks define (modules, functions, classes,
  methods, fields, parameters, constants), the attributes and imports they use, the string keys of
  their dictionaries, the variables of the package, the keys and dependencies of the project, the
  verbs of the Makefile;
- to Python: keywords, builtins, modules of the standard library;
- to the page: every name in the Python blocks that the page shows.

A dotted name that starts with the package, or with a module of it, must resolve part by part; one
that starts with a library the package depends on is looked up there. A name with parentheses must
be something that can be called. Text with a slash that starts with a folder of the repository must
be a file or folder in it, `make` must be followed by a verb, and `build_figures.py run` by an
experiment. Single letters are symbols, not code. A name that belongs to somebody else's code is
marked: `` `alphas_cumprod`{.foreign} ``. Prose is read in the Markdown sources, the README, the
guide for contributors and the docstrings of the package.
"""

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from book import sources
from checking import snippets
from checking.book import Book, Fault, line_of
from checking.known import LIBRARIES, PACKAGE, UNSEEN, Known
from checking.prose import CODE, without_fences

NAME = re.compile(r"^(?P<name>@?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?P<call>\(.*\))?$", re.DOTALL)
FOREIGN = re.compile(r"\{[^{}\n]*\.foreign\b[^{}\n]*\}")
REFERENCE = re.compile(r"\]\[(fromnoise(?:\.\w+)*)\]")
FILE = re.compile(r"^[\w.-]+\.(?:py|md|toml|yml|json|txt|svg|js|css|bib|ipynb|html|cff|lock)$")
COMMAND = re.compile(r"build_figures\.py\s+run\s+(?P<name>[\w-]+/[\w-]+)")
MAKE = re.compile(r"\bmake\s+(?P<verb>[a-z]\w*)")
# Variables of the environment that other programs read.
ENVIRONMENT = re.compile(r"^(?:PIP|OMP|CUDA)_[A-Z_]+$")


def check(book: Book) -> Iterator[Fault]:
    """Names in prose that no code defines."""
    known = Known(book)
    extra = (book.root / name for name in ("README.md", "CONTRIBUTING.md"))
    for source in [*book.markdown, *(file for file in extra if file.is_file())]:
        text = source.read_text(encoding="utf-8")
        yield from in_text(known, source, text, local=page_names(book, text))
    for file in sorted((book.root / "src").rglob("*.py")):
        yield from in_docstrings(known, file)


def in_text(known: Known, source: Path, text: str, local: set[str]) -> Iterator[Fault]:
    """Faults of the names in one text of Markdown."""
    bare = without_fences(text)
    for found in CODE.finditer(bare):
        if FOREIGN.match(bare, found.end()):
            continue
        quoted = found[0].strip("`").strip()
        problem = judge(known, quoted, local)
        if problem:
            yield known.book.fault(source, line_of(bare, found.start()), "name-unknown", problem)
    for found in REFERENCE.finditer(bare):
        if not known.resolves(found[1]):
            sentence = f"no such name in the package: {found[1]}"
            yield known.book.fault(source, line_of(bare, found.start()), "name-unknown", sentence)


def in_docstrings(known: Known, file: Path) -> Iterator[Fault]:
    """Faults of the names in the docstrings of one module."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        text = ast.get_docstring(node)
        if not text:
            continue
        line = node.body[0].lineno
        # A docstring may name what its own function computes.
        local = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        for fault in in_text(
            known, file, text, local if not isinstance(node, ast.Module) else set()
        ):
            yield Fault(fault.path, line + fault.line - 1, fault.code, fault.sentence)


def judge(known: Known, quoted: str, local: set[str]) -> str | None:
    """What is wrong with one piece of text in backticks."""
    experiment = COMMAND.search(quoted)
    if experiment:
        path = f"scripts/experiments/{experiment['name']}.py"
        return None if (known.book.root / path).is_file() else f"no such experiment: {path}"
    verb = MAKE.search(quoted)
    if verb:
        return None if verb["verb"] in known.verbs else f"make has no verb {verb['verb']!r}"
    if FILE.match(quoted):
        return None if quoted in known.files else f"no file of the repository is called {quoted}"
    if "/" in quoted and re.fullmatch(r"[\w./-]+", quoted):
        top = known.book.root / quoted.partition("/")[0]
        path = known.book.root / quoted
        missing = top.is_dir() and top.name not in UNSEEN and not path.exists()
        return f"no such file or folder: {quoted}" if missing else None
    form = NAME.match(quoted)
    if form is None:
        return None
    return unknown(known, form["name"].removeprefix("@"), form["call"] is not None, local)


def unknown(known: Known, name: str, called: bool, local: set[str]) -> str | None:
    """Why a name is not known, or None if it is."""
    parts = name.split(".")
    if len(name) == 1 or ENVIRONMENT.match(name):
        return None
    if parts[0] == PACKAGE or (len(parts) > 1 and f"{PACKAGE}.{parts[0]}" in known.modules):
        dotted = name if parts[0] == PACKAGE else f"{PACKAGE}.{name}"
        return None if known.resolves(dotted) else f"no such name in the package: {name}"
    if len(parts) > 1 and parts[0] in LIBRARIES:
        return None if in_library(parts) else f"no such name in the library: {name}"
    for part in parts:
        if part not in known.names and part not in local:
            return f"no code is called {part!r}: rename it, or mark it {{.foreign}}"
    last = parts[-1]
    callable_names = known.callables | known.used | local | set(dir(builtins))
    if called and last not in callable_names and len(parts) == 1:
        return f"{last!r} cannot be called"
    return None


def in_library(parts: list[str]) -> bool:
    """Whether a library has an attribute or a module by a dotted name."""
    try:
        found = importlib.import_module(LIBRARIES[parts[0]])
    except ImportError:
        return True  # not installed here, so nothing can be said
    for length, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join([LIBRARIES[parts[0]], *parts[1:length]]))
            except ImportError:
                return False
        found = getattr(found, part)
    return True


def page_names(book: Book, text: str) -> set[str]:
    """Every name in the Python fences of a source, with the sections that they include."""
    found: set[str] = set()
    for fence in sources.parse(text).fences:
        if fence.language == "python":
            found |= identifiers(included(book, fence.source) if fence.source else fence.code)
    return found


def included(book: Book, source: str) -> str:
    """The text of the section that a fence shows, or nothing where there is none."""
    path, _, section = source.partition(":")
    file = book.root / path
    return (snippets.section_text(file, section) or "") if section and file.is_file() else ""


def identifiers(text: str) -> set[str]:
    """Words of a block that could be names; a block that does not parse still has them."""
    return set(re.findall(r"[A-Za-z_]\w*", re.sub(r"#[^\n]*", "", text)))
