"""The faults: each is one small change in the body of one function.

A sign, an operator, a comparison, a constant one larger, a root or a logarithm exchanged for
something like it. Messages of errors, annotations, decorators and docstrings are left alone: no
test of the mathematics should see those.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
CALLS = {
    "sqrt": "abs",
    "rsqrt": "reciprocal",
    "square": "abs",
    "exp": "expm1",
    "expm1": "exp",
    "log": "log1p",
    "log1p": "log",
    "cos": "sin",
    "sin": "cos",
    "sigmoid": "tanh",
    "tanh": "sigmoid",
    "sum": "mean",
    "mean": "sum",
    "logsumexp": "sum",
    "min": "max",
    "max": "min",
    "amin": "amax",
    "amax": "amin",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "cumsum": "cumprod",
    "softmax": "log_softmax",
    "log_softmax": "softmax",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
    "all": "any",
    "any": "all",
}


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    path: Path
    function: str
    """Qualified name of the function or method that holds the fault."""
    line: int
    before: str
    after: str
    tree: ast.Module = field(repr=False, compare=False)
    """The whole module with the fault in it."""
    ordinal: int = 1
    """Which of several like it in the same function."""

    @property
    def label(self) -> str:
        """What identifies the fault when lines above it move."""
        again = f" ({self.ordinal})" if self.ordinal > 1 else ""
        return f"{self.path.stem}.{self.function}: {self.before} -> {self.after}{again}"

    def code(self) -> dict[str, CodeType]:
        """Code objects of the function and of those nested in it, by qualified name."""
        found: dict[str, CodeType] = {}

        def walk(code: CodeType) -> None:
            for constant in code.co_consts:
                if isinstance(constant, CodeType):
                    name = constant.co_qualname
                    if name == self.function or name.startswith(f"{self.function}.<locals>."):
                        found.setdefault(name, constant)
                    walk(constant)

        walk(compile(self.tree, str(self.path), "exec", dont_inherit=True))
        return found


def mutants(path: Path) -> list[Mutant]:
    """Every fault of one module, in the order of its lines."""
    tree = ast.parse(path.read_text())
    found: list[Mutant] = []
    seen: Counter[str] = Counter()
    for name, function in _functions(tree):
        for node in _points(function):
            for change in _changes(node):
                planted = _planted(path, tree, name, node, change)
                seen[planted.label] += 1
                found.append(replace(planted, ordinal=seen[planted.label]))
    return found


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods, not those nested in functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")


def _points(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Nodes of the body in which a fault can sit."""
    ahead: list[ast.AST] = list(reversed(function.body))
    while ahead:
        node = ahead.pop()
        yield node
        if isinstance(node, ast.Raise | ast.JoinedStr):
            continue
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.FunctionDef):
            children = list(node.body)
        elif isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value else []
        ahead.extend(reversed(children))


Change = ast.AST
"""A node to stand in the place of another."""


def _changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            yield _with(node, op=OPERATORS[type(op)]())
        case ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield _with(node, op=OPERATORS[type(op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield operand
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                if type(op) in COMPARISONS:
                    changed = [*ops[:index], COMPARISONS[type(op)](), *ops[index + 1 :]]
                    yield _with(node, ops=changed)
        case ast.BoolOp(op=ast.And()):
            yield _with(node, op=ast.Or())
        case ast.BoolOp(op=ast.Or()):
            yield _with(node, op=ast.And())
        case ast.IfExp(body=body, orelse=orelse):
            yield _with(node, body=orelse, orelse=body)
        case ast.Constant(value=bool(value)):
            yield _with(node, value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield _with(node, value=value + 1)
        case ast.Attribute(attr=name) if name in CALLS:
            yield _with(node, attr=CALLS[name])
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            yield _with(node, func=ast.Name(CALLS[name], ast.Load()))


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _planted(path: Path, tree: ast.Module, name: str, node: ast.AST, change: ast.AST) -> Mutant:
    class Plant(ast.NodeTransformer):
        def visit(self, other: ast.AST) -> ast.AST:
            return change if other is node else super().generic_visit(_shallow(other))

    # The transformer writes into what it visits; each node is copied on the way down.
    planted = ast.fix_missing_locations(Plant().visit(tree))
    line = getattr(node, "lineno", 0)
    return Mutant(path, name, line, ast.unparse(node), ast.unparse(change), planted)


def _shallow(node: ast.AST) -> ast.AST:
    twin = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(twin, name, list(value))
    return twin
