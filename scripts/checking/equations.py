"""Every displayed equation is a definition, or is proved by a test that names it.

The page says which test; the test file is read, not imported, so that a check of the site needs no
torch. Whether the test would see a planted fault is judged when it runs: see
`tests/equations/proof.py`.
"""

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from lxml.html import HtmlElement

from checking.book import Book, Fault, Page

PREFIX = "eq-"


def check(book: Book) -> Iterator[Fault]:
    """Equations without a check, with a check that is not there, or that proves another."""
    homes: dict[str, str] = {}
    cards = []
    for page in book.pages:
        for element in page.all(f"//*[starts-with(@id, '{PREFIX}')]"):
            name = element.get("id").removeprefix(PREFIX)
            first = homes.setdefault(name, page.address)
            if first != page.address:
                yield page.fault(
                    element, "equation-duplicate", f"{name!r} already stands on {first}"
                )
            yield from guard(book, page, element, name)
        for formula in page.all("//math[@display='block']"):
            above = list(formula.iterancestors())
            card = next((each for each in above if each.tag == "template"), None)
            if card is not None:
                # What a pointer sees of an equation of another page: that one is guarded.
                cards.append((page, card, (card.get("data-for") or "").removeprefix(PREFIX)))
            elif not any((each.get("id") or "").startswith(PREFIX) for each in above):
                text = formula.text_content().strip()[:60]
                yield page.fault(
                    formula, "equation-unguarded", f"a displayed equation without an id: {text}"
                )
    for page, card, name in cards:
        if name not in homes:
            yield page.fault(card, "equation-unguarded", f"a card of {name!r}, which is nowhere")


def guard(book: Book, page: Page, element: HtmlElement, name: str) -> Iterator[Fault]:
    """What is wrong with the guard of one equation."""
    kind, test = element.get("data-kind"), element.get("data-check")
    if not element.xpath(".//math[@display='block']"):
        yield page.fault(element, "equation-empty", f"{name!r} holds no displayed formula")
    if kind is None and test is None:
        yield page.fault(
            element, "equation-unguarded", f"{name!r} is neither a definition nor checked"
        )
    elif kind is not None and test is not None:
        yield page.fault(
            element, "equation-unguarded", f"{name!r} says both that it is {kind} and checked"
        )
    elif kind is not None and kind != "definition":
        yield page.fault(element, "equation-unguarded", f"{name!r} is of unknown kind {kind!r}")
    elif test is not None:
        file, _, function = test.partition("::")
        found = proofs(book.root / file).get(function)
        if found is None:
            yield page.fault(element, "equation-check-missing", f"{name!r}: there is no {test}")
        elif name not in found:
            sentence = f"{name!r}: {test} proves {', '.join(sorted(found)) or 'nothing'}"
            yield page.fault(element, "equation-check-other", sentence)


@lru_cache(maxsize=128)
def proofs(file: Path) -> dict[str, set[str]]:
    """Each test function of a file with the equations its `proves` decorator names."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return {}
    return {
        node.name: {
            argument.value
            for call in node.decorator_list
            if isinstance(call, ast.Call) and _name(call.func) == "proves"
            for argument in call.args
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        }
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
