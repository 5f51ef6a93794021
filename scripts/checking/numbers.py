"""A measured number on a page is the number in the experiment's manifest.

The page carries the full value and where it is from; what is shown must be a rounding of it. The
format in which it was written is not asked: it is read off the digits that the reader sees.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from lxml.html import HtmlElement

from checking.book import Book, Fault, Page, has_class

SHOWN = re.compile(
    r"([-\u2212+]?)(\d[\d,\u202f\u00a0]*(?:\.\d+)?|\.\d+)"
    r"(?:e([-+]?\d+)|\s*[\u00d7x]\s*10\^?([-\u2212+]?\d+|[\u2070-\u2079\u00b9\u00b2\u00b3\u207b]+))?"
    r"\s?(%?)",
    re.IGNORECASE,
)
SUPERSCRIPT = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b\u2212", "0123456789--"
)
INTERVAL = ("mean", "low", "high")
MISSING = object()


def check(book: Book) -> Iterator[Fault]:
    """Measured numbers that differ from their manifest, or have none."""
    for page in book.pages:
        for element in page.all(f"//data[{has_class('measured')}]"):
            yield from compare(book, page, element)


def compare(book: Book, page: Page, element: HtmlElement) -> Iterator[Fault]:
    """The faults of one number."""
    source, value = element.get("data-source"), element.get("value")
    text = " ".join(element.text_content().split())
    if not source or value is None:
        yield page.fault(element, "number-unbound", f"{text!r} does not say where it is from")
        return
    path, _, key = source.partition("#")
    manifest = book.manifest(path)
    if manifest is None:
        yield page.fault(element, "number-unbound", f"{text!r}: there is no manifest {path}")
        return
    found = look_up(manifest, key)
    if found is MISSING:
        yield page.fault(element, "number-key", f"{text!r}: {path} has no key {key!r}")
        return
    if not carries(value, found):
        yield page.fault(
            element, "number-differs", f"value {value!r} on the page, {found!r} in {source}"
        )
    elif not shows(text, found):
        yield page.fault(element, "number-differs", f"{text!r} is no rounding of {found!r}")


def look_up(tree: Any, key: str) -> Any:
    """What stands under a dotted key, or MISSING; a name may itself hold a dot, as `beta.0.5`."""
    if not key:
        return tree
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        name, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if isinstance(tree, dict) and name in tree:
            return look_up(tree[name], rest)
        if isinstance(tree, list) and name.lstrip("-").isdigit():
            index = int(name)
            return look_up(tree[index], rest) if -len(tree) <= index < len(tree) else MISSING
    return MISSING


def carries(value: str, found: Any) -> bool:
    """Whether the value attribute is the result in full."""
    if isinstance(found, dict) and set(INTERVAL) <= set(found):
        parts = re.findall(r"[-+\d.einfa]+", value)
        wanted = [found[name] for name in INTERVAL][: max(len(parts), 1)]
        return len(parts) in (1, 3) and all(
            _equal(part, number) for part, number in zip(parts, wanted, strict=True)
        )
    if isinstance(found, bool) or not isinstance(found, int | float):
        return value == str(found)
    return _equal(value, found)


def _equal(text: str, number: float) -> bool:
    try:
        return float(text) == float(number)
    except ValueError:
        return False


def shows(text: str, found: Any) -> bool:
    """Whether what is shown is a correct rounding of the result, or of an interval's three."""
    if isinstance(found, dict) and set(INTERVAL) <= set(found):
        wanted = [float(found[name]) for name in INTERVAL]
    elif isinstance(found, bool) or not isinstance(found, int | float):
        return text == str(found)
    else:
        wanted = [float(found)]
    shown = list(SHOWN.finditer(text))
    return len(shown) == len(wanted) and all(
        is_rounding(one, number) for one, number in zip(shown, wanted, strict=True)
    )


def is_rounding(shown: re.Match[str], number: float) -> bool:
    """Whether a shown number is the given one to within half of its own last digit."""
    sign, digits, short, long, percent = shown.groups()
    if not math.isfinite(number):
        return False
    bare = re.sub(r"[,\u202f\u00a0]", "", digits)
    exponent = int((short or long or "0").translate(SUPERSCRIPT)) - (2 if percent else 0)
    value = float(bare) * 10.0**exponent * (-1 if sign in ("-", "\u2212") else 1)
    decimals = len(bare.partition(".")[2])
    half = 0.5 * 10.0 ** (exponent - decimals)
    return abs(value - number) <= half * (1 + 1e-9) + 1e-12 * abs(number)
