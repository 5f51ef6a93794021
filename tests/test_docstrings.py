"""What a caller must know and cannot see stands in the docstring; the reference shows each once."""

import ast
import doctest
import functools
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from book import reference
from edge_table import public

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "fromnoise"
Definition = ast.FunctionDef | ast.ClassDef
Faults = Iterator[str]


@dataclass(frozen=True)
class Public:
    """A public name of a module, its docstring, and what the module's docstrings say around it."""

    name: str
    node: Definition
    doc: str
    around: str


@dataclass(frozen=True)
class Source:
    """A module as its text has it."""

    name: str
    tree: ast.Module

    @property
    def doc(self) -> str:
        """The module's own docstring."""
        return ast.get_docstring(self.tree) or ""

    def functions(self) -> dict[str, ast.FunctionDef]:
        """Functions at the top, public or not."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}

    def names(self) -> list[Public]:
        """Public functions, classes and methods, in source order."""
        found = []
        for node in self.tree.body:
            if not isinstance(node, Definition) or node.name.startswith("_"):
                continue
            found.append(Public(node.name, node, documented(node), self.doc))
            if isinstance(node, ast.ClassDef):
                for part in methods(node):
                    # What a class and the interface it keeps have said need not be said again.
                    kept = [m for base in self.bases(node) for m in (base, *methods(base))]
                    around = [node, *(m for m in kept if m.name == part.name or m in kept[:1])]
                    words = "\n".join([self.doc, *(documented(other) for other in around)])
                    found.append(Public(f"{node.name}.{part.name}", part, documented(part), words))
        return found

    def bases(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """The classes of the library that a class is made from."""
        names = [ast.unparse(base).partition("[")[0] for base in node.bases]
        found = [b for b in self.tree.body if isinstance(b, ast.ClassDef) and b.name in names]
        for line in self.tree.body:
            if isinstance(line, ast.ImportFrom) and (line.module or "").startswith("fromnoise."):
                wanted = [a.name for a in line.names if a.name in names]
                home = read(line.module.removeprefix("fromnoise.")).tree if wanted else self.tree
                found += [b for b in home.body if getattr(b, "name", "") in wanted]
        return found + [far for near in found for far in self.bases(near)]


def documented(node: Definition) -> str:
    """A docstring; that of a class goes on with its `__init__`, as on its page of reference."""
    inits = [p for p in node.body if getattr(p, "name", "") == "__init__"]
    docs = [ast.get_docstring(n) or "" for n in (node, *inits) if isinstance(n, Definition)]
    return "\n\n".join(doc for doc in docs if doc)


def methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """What may be called from outside, without the variants of an overload."""
    return [
        part
        for part in node.body
        if isinstance(part, ast.FunctionDef)
        and (not part.name.startswith("_") or part.name == "__call__")
        and "overload" not in decorators(part)
    ]


def decorators(node: Definition) -> set[str]:
    """The last words of the decorators: `property`, `setter`."""
    return {ast.unparse(d).rpartition(".")[2] for d in node.decorator_list}


@functools.cache
def read(name: str) -> Source:
    file = PACKAGE / f"{name.replace('.', '/')}.py"
    return Source(name, ast.parse(file.read_text(encoding="utf-8")))


MODULES = [module.name for module in reference.modules(ROOT)]
CLASSES = {"Generator", "device"} | {
    entry.name
    for module in MODULES
    for entry in read(module).names()
    if isinstance(entry.node, ast.ClassDef)
}
# Symbols that the page of notation gives a meaning for the whole book: its column "Code".
NOTATION = {
    name
    for line in (ROOT / "docs" / "notation.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| $")
    for name in re.findall(r"`(\w+)", line.split("|")[2])
}


# The rules -----------------------------------------------------------------------------


def summary(module: Source) -> Faults:
    """The first line is a sentence, and stands alone."""
    for entry in module.names():
        first, _, rest = entry.doc.partition("\n")
        if not first.strip():
            yield f"{entry.name}: no docstring"
        elif first.rstrip()[-1] not in ".?:" or (rest and not rest.startswith("\n")):
            yield f"{entry.name}: its first line is no sentence on its own"


def arguments(module: Source) -> Faults:
    """Every parameter is named in `Args`, in the text or by its class, unless it explains itself.

    What explains itself: a symbol of the notation page, an argument whose type is a class of the
    library or a generator, and a name whose own words stand in the text.
    """
    for entry in module.names():
        text = f"{entry.doc}\n{entry.around}"
        for name, type_ in parameters(entry).items():
            words = [name, *(word for word in name.split("_") if len(word) > 3)]
            named = any(re.search(rf"(?<![A-Za-z0-9]){word}", text, re.I) for word in words)
            typed = CLASSES & set(re.findall(r"\w+", type_))
            if not (named or typed or name in NOTATION):
                yield f"{entry.name}: {name} is not named"


def parameters(entry: Public) -> dict[str, str]:
    """Parameters of a function, or of what makes an object of the class, with their types.

    A field with a string below it is documented there.
    """
    node: Definition | None = entry.node
    if isinstance(node, ast.ClassDef):
        inits = [p for p in node.body if isinstance(p, ast.FunctionDef) and p.name == "__init__"]
        if not inits:
            after = [*node.body[1:], None]
            fields = [
                field
                for field, below in zip(node.body, after, strict=True)
                if isinstance(field, ast.AnnAssign) and not isinstance(below, ast.Expr)
            ]
            return {ast.unparse(f.target): ast.unparse(f.annotation) for f in fields}
        node = inits[0]
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    types = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in given}
    return {name: types[name] for name in types if name not in ("self", "cls") and name[0] != "_"}


def raises(module: Source) -> Faults:
    """What the body raises, or a checking helper, stands under `Raises` or in the text, by type."""
    for entry in module.names():
        node = entry.node
        if isinstance(node, ast.ClassDef):
            made_by = ("__init__", "__post_init__", "__new__")
            bodies = [p for p in node.body if getattr(p, "name", "") in made_by]
        else:
            bodies = [node]
        errors = {error for body in bodies for error in raised(body, module)}
        section = re.search(r"^Raises:\n(.*?)(?=^\S|\Z)", entry.doc, re.S | re.M)
        said = section[1] if section else ""
        for error in sorted(errors):
            told = re.search(rf"\b[Rr]aises?\s+{error}\b", f"{entry.doc}\n{entry.around}")
            if not told and not re.search(rf"\b{error}:", said):
                yield f"{entry.name}: raises {error}, and does not say when"


BATCHES = read("batches")


def raised(node: ast.AST, module: Source, seen: frozenset[str] = frozenset()) -> set[str]:
    """Types of the errors that a body raises itself or by a helper."""
    found = set()
    # A method that is an interface raises for those who forgot it, not for its callers.
    inner = {"NotImplementedError", "StopIteration", "AssertionError", "AttributeError"}
    for part in ast.walk(node):
        if isinstance(part, ast.Raise) and part.exc is not None:
            error = ast.unparse(part.exc).partition("(")[0]
            if error[:1].isupper() and error not in inner:
                found.add(error)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            name = part.func.id
            private = name.startswith("_") and name in module.functions()
            home = module if private else BATCHES
            if name in home.functions() and name not in seen and node is not home.functions()[name]:
                found |= raised(home.functions()[name], home, seen | {name})
    return found


QUANTITY = re.compile(
    r"log_prob|likelihood|entropy|divergence|(^|_)kl(_|$)|(^|_)elbo(_|$)|nats|bits|loss"
    r"|perplexity|surprise|distortion"
)


def units(module: Source) -> Faults:
    """A likelihood, entropy or divergence says nats or bits; a loss may say mean or sum instead."""
    for entry in module.names():
        last = entry.name.rpartition(".")[2]
        found = QUANTITY.search(last)
        if found is None or isinstance(entry.node, ast.ClassDef) or not is_number(entry.node):
            continue
        words = r"\bnats?\b|\bbits?\b" + r"|\bmean|\bsum|\baverage" * (found[0] == "loss")
        if not re.search(words, f"{entry.doc}\n{entry.around}", re.I):
            yield f"{entry.name}: in nats or bits, a mean or a sum?"


def is_number(node: ast.FunctionDef) -> bool:
    """Answers with a tensor or a float, not with codes, objects or functions."""
    answer = ast.unparse(node.returns) if node.returns else ""
    return bool(re.search(r"Float\[|Tensor|float", answer)) and "Callable" not in answer


def source(module: Source) -> Faults:
    """A module names a work it rests on, or says that it is the book's own."""
    docs = "\n".join([module.doc, *(entry.doc for entry in module.names())])
    if not re.search(r"^\s*Source:\s+\S", docs, re.M):
        yield f"{module.name}: no Source, and does not say that it is the book's own"


RULES = (summary, arguments, raises, units, source)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("module", MODULES)
def test_docstrings_say_what_a_caller_must_know(module: str, rule: Callable[[Source], Faults]):
    assert list(rule(read(module))) == []


PLANTED = {
    summary: (
        "def f(x):\n    return x",
        'def f(x):\n    """Doubles x"""\n    return 2 * x',
        'def f(x):\n    """Double x,\n    and no more.\n    """\n    return 2 * x',
        'class A:\n    """A thing."""\n\n    def f(self):\n        return 1',
    ),
    arguments: (
        'def f(x, slack):\n    """Double x."""\n    return 2 * x',
        'class A:\n    """A thing."""\n\n    def __init__(self, slack):\n        pass',
        'class A(NamedTuple):\n    """A thing."""\n\n    slack: float',
    ),
    raises: (
        'def f(x):\n    """Double x."""\n    raise ValueError("no")',
        'def f(x):\n    """Double x.\n\n    Raises:\n        TypeError: Never.\n    """\n'
        '    raise ValueError("no")',
        'def f(x):\n    """Double x."""\n    _check(x)\n\n\n'
        'def _check(x):\n    raise ValueError("no")',
        'def f(x, y):\n    """Add x and y."""\n    require_shape("x", x, y)',
        'class A:\n    """A thing."""\n\n    def __post_init__(self):\n        raise ValueError()',
    ),
    units: (
        'def entropy(p) -> Tensor:\n    """Mean surprise of p."""',
        'def kl_of(p) -> Tensor:\n    """Mean difference of p."""',
        'def bits(p) -> float:\n    """Length of p."""',
        'def x_loss(p) -> Tensor:\n    """Difference of p."""',
    ),
    source: ('"""A module."""\n\n\ndef f(x):\n    """Double x."""', '"""A module.\n\nSource:\n"""'),
}


@pytest.mark.parametrize(
    ("rule", "text"), [(rule, text) for rule in RULES for text in PLANTED[rule]]
)
def test_each_rule_finds_its_planted_faults(rule: Callable[[Source], Faults], text: str):
    assert list(rule(Source("planted", ast.parse(text))))


SOUND = '''r"""Things of our own.

Source:
    The book's own.
"""


class Gap(NamedTuple):
    """What is left.

    Attributes:
        slack: How much.
    """

    slack: float
    width: float
    """How wide."""


def kl(p, q, scales: Scales, eps) -> Tensor:
    """Extra cost of coding `p` with `q`, nats.

    Raises:
        ValueError: If they differ in shape.
    """
    require_shape("p", p, q)
    _nothing(p)


def _nothing(p):
    return p
'''


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_rule_finds_fault_with_a_sound_module(rule: Callable[[Source], Faults]):
    assert list(rule(Source("sound", ast.parse(SOUND)))) == []


# The examples --------------------------------------------------------------------------


@functools.cache
def examples() -> dict[str, str]:
    """Docstrings with examples, by the name of what they document."""
    entries = {
        f"{module}.{entry.name}": entry for module in MODULES for entry in read(module).names()
    }
    return {name: entry.doc for name, entry in entries.items() if ">>>" in entry.doc}


def failures(name: str, text: str, names: dict[str, object]) -> str:
    """What running the examples of a docstring printed that stands otherwise in it."""
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, dict(names), name, None, None)
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", sorted(examples()))
def test_examples_print_what_they_say(name: str):
    module = max((m for m in MODULES if name.startswith(f"{m}.")), key=len)
    assert (
        failures(name, examples()[name], vars(importlib.import_module(f"fromnoise.{module}"))) == ""
    )


def test_an_example_that_says_another_number_fails():
    assert "Expected" in failures("planted", ">>> 1 + 1\n3\n", {})
    assert "NameError" in failures("planted", ">>> unknown\n3\n", {})


def test_examples_are_short_and_there_are_enough():
    assert len(examples()) >= 20
    for name, text in examples().items():
        lines = [line for line in text.splitlines() if line.strip().startswith((">>>", "..."))]
        assert len(lines) <= 5, name


# The reference -------------------------------------------------------------------------


def documented_names() -> list[str]:
    return [f"fromnoise.{m}.{entry.name}" for m in MODULES for entry in read(m).names()]


def test_what_the_edge_tests_find_by_inspection_is_what_is_documented_here():
    here = documented_names()
    assert len(here) == len(set(here))
    for entry in public().values():
        # A method may be documented where the interface that it keeps is.
        homes = entry.owner.__mro__ if entry.owner else [entry.call]
        end = f".{entry.name.rpartition('.')[2]}" if entry.owner else ""
        assert {f"{home.__module__}.{home.__qualname__}{end}" for home in homes} & set(here)


def shown(pages: list[str]) -> list[str]:
    """Names that have a heading of their own on pages of the reference, in order."""
    heading = re.compile(r'<h[1-6] id="(fromnoise\.[\w.]+)" class="doc doc-heading"')
    return [name for page in pages for name in heading.findall(page)]


@pytest.mark.site
@pytest.mark.skipif(not (ROOT / "site" / "index.html").is_file(), reason="site/ is not built")
def test_the_reference_shows_every_public_name_once_in_source_order():
    site = ROOT / "site"
    found = [
        (site / module.path).with_suffix("") / "index.html" for module in reference.modules(ROOT)
    ]
    names = shown([page.read_text(encoding="utf-8") for page in found])
    wanted = documented_names()
    assert [name for name in names if name in set(wanted)] == wanted


def test_a_name_shown_twice_or_out_of_order_is_seen():
    a, b = (f'<h2 id="fromnoise.m.{x}" class="doc doc-heading">' for x in "ab")
    right = ["fromnoise.m.a", "fromnoise.m.b"]
    assert shown([a, b]) == shown([a + b]) == right
    assert shown([b, a]) != right
    assert shown([a + a + b]) != right
