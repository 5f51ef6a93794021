"""No measured number is typed, and every binding in a chapter has a key to be bound to.

In the prose of a chapter, digits with a decimal point, an exponent, a percent sign or a unit are
taken for a measurement, and must come from a manifest: `[[diffusion/snr#error.mean|.2f]]`. A
number that is a choice or a known constant says so: `[[given|0.5]]`. Whole numbers without a unit
are free, and so are code and maths, except for a formula that is nothing but such a number.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from book import sources
from checking import numbers
from checking.book import Book, Fault, line_of
from checking.prose import prose

UNITS = (
    r"%|percent\b|per cent\b|nats?\b|bits?\b|ms\b|s\b|sec\b|seconds?\b|minutes?\b|hours?\b|dB\b|"
    r"[kMGT]i?B\b|times (?:as|the|\w+er|more|less|worse)\b|[x×](?!\w)|-?fold\b|"
    r"standard (?:deviations?|errors?)\b"
)
TYPED = re.compile(
    r"(?<![\w.])[-\u2212+]?(?:"
    r"\d[\d,]*\.\d+(?:e[-+]?\d+)?"  # a decimal point
    r"|\.\d+"
    r"|\d+e[-+]?\d+"  # an exponent
    rf"|\d[\d,]*(?:[-\u2009\u00a0 ]?(?:{UNITS}))"  # a unit
    r")",
    re.IGNORECASE,
)

ALONE = re.compile(r"[-+]?(?:\d[\d,]*)?\.\d+\s*(?:\\?%)?|[-+]?\d+\s*\\?%")


def check(book: Book) -> Iterator[Fault]:
    """Typed numbers in the chapters and on the home page, and bindings to nothing."""
    for source in [*book.chapters, book.docs / "index.md"]:
        if not source.is_file():
            continue
        text = source.read_text(encoding="utf-8")
        for found in TYPED.finditer(prose(text)):
            sentence = f"{found[0].strip()!r} is typed: bind it to a result, or mark it as given"
            yield book.fault(source, line_of(text, found.start()), "number-typed", sentence)
        for formula in sources.parse(text).formulas:
            if ALONE.fullmatch(formula.tex):
                sentence = f"${formula.tex}$ is typed: bind it to a result, or mark it as given"
                yield book.fault(source, formula.place.line, "number-typed", sentence)
    for source in book.markdown:
        page = sources.parse(source.read_text(encoding="utf-8"))
        for problem in page.problems:
            yield book.fault(source, problem.place.line, "source", problem.sentence)
        for number in page.numbers:
            yield from binding(book, source, number)


def binding(book: Book, source: Path, number: sources.Number) -> Iterator[Fault]:
    """The fault of one binding, by its source."""
    manifest = book.manifest(number.manifest)
    line = number.place.line
    if manifest is None and number.experiment.endswith(".gpu"):
        # A size that nobody has run: the one that was run must hold the number.
        manifest = book.manifest(number.manifest.replace(".gpu.json", ".json"))
    if manifest is None:
        yield book.fault(source, line, "number-unbound", f"there is no manifest {number.manifest}")
    elif numbers.look_up(manifest.get("results"), number.key) is numbers.MISSING:
        yield book.fault(source, line, "number-key", f"{number.manifest} has no {number.key!r}")
