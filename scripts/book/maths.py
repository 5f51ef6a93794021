"""Formulas: collected while pages are read, rendered in one go to MathML, with styles as classes.

While a page is being made, a formula is a short mark in the text. `Formulas.fill` replaces the
marks once all are known. A rendered formula is kept in `.build/math` under the hash of its TeX.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from book.errors import Place, Problem

MARK = re.compile("\ue010(\\d+)\ue011")
HELD = re.compile(rf"(?:[(\[]?{MARK.pattern})(?:[,.;:?!)\]]+|'s)")
STYLE = re.compile(r' style="([^"]*)"')
TAG = re.compile(r"<(/?)([a-z]+)((?: [^<>]*)?)>")

Renderer = Callable[[list[dict[str, object]]], list[dict[str, str]]]


@dataclass(frozen=True)
class Asked:
    """A formula and the first place that asks for it."""

    tex: str
    display: bool
    place: Place


@dataclass
class Formulas:
    """All formulas of one build."""

    cache: Path
    renderer: Renderer
    version: str = ""
    asked: list[Asked] = field(default_factory=list)
    index: dict[tuple[str, bool], int] = field(default_factory=dict)
    html: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    styles: dict[str, str] = field(default_factory=dict)

    def mark(self, tex: str, display: bool, place: Place) -> str:
        """Ask for a formula; the mark stands for it until it is rendered."""
        number = self.index.setdefault((tex, display), len(self.asked))
        if number == len(self.asked):
            self.asked.append(Asked(tex, display, place))
        return f"\ue010{number}\ue011"

    def render(self) -> None:
        """Render all that was asked for, from the cache where it is there."""
        self.cache.mkdir(parents=True, exist_ok=True)
        found: list[str | None] = [self._cached(formula) for formula in self.asked]
        missing = [n for n, html in enumerate(found) if html is None]
        if missing:
            wanted = [{"tex": self.asked[n].tex, "display": self.asked[n].display} for n in missing]
            for n, result in zip(missing, self.renderer(wanted), strict=True):
                formula = self.asked[n]
                if "error" in result:
                    reason = " ".join(_plain(result["error"]).split())
                    self.problems.append(
                        Problem(formula.place, f"the formula {formula.tex!r} is not TeX: {reason}")
                    )
                    found[n] = '<mark class="unresolved">bad TeX</mark>'
                else:
                    found[n] = result["html"]
                    self._file(formula).write_text(json.dumps(result["html"]), encoding="utf-8")
        self.html = [self._with_classes(html or "") for html in found]

    def fill(self, text: str) -> str:
        """Replace the marks in a piece of HTML by the rendered formulas."""
        # A browser may break a line between a formula and the comma after it.
        text = HELD.sub(r'<span class="held">\g<0></span>', text)
        return MARK.sub(lambda m: self.html[int(m[1])], text)

    def plain(self, text: str) -> str:
        """Replace the marks by the characters of the formulas, for titles."""
        return MARK.sub(lambda m: re.sub(r"<[^<>]*>", "", self.html[int(m[1])]), text)

    def style_rules(self) -> str:
        """CSS for the classes that took the place of style attributes."""
        return "".join(f".{name}{{{rule}}}" for rule, name in sorted(self.styles.items()))

    def _file(self, formula: Asked) -> Path:
        key = f"{self.version}\n{formula.display}\n{formula.tex}"
        return self.cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _cached(self, formula: Asked) -> str | None:
        try:
            return json.loads(self._file(formula).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _with_classes(self, html: str) -> str:
        """Style attributes as classes: a strict content-security policy refuses the former."""

        def tag(match: re.Match[str]) -> str:
            style = STYLE.search(match[3])
            if not style:
                return match[0]
            rest = STYLE.sub("", match[3])
            rule = style[1].strip()
            if rule == "display:block math;":  # the class tml-display says so already
                return f"<{match[2]}{rest}>"
            name = self.styles.setdefault(rule, f"m{hashlib.sha256(rule.encode()).hexdigest()[:6]}")
            if ' class="' in rest:
                rest = rest.replace(' class="', f' class="{name} ', 1)
            else:
                rest += f' class="{name}"'
            return f"<{match[2]}{rest}>"

        return TAG.sub(tag, html)


def _plain(message: str) -> str:
    """Temml underlines the faulty spot with combining marks; leave them out."""
    return message.replace("\u0332", "")


def characters(html: str) -> set[str]:
    """Characters a browser draws for this MathML: single letters of <mi> become italic."""
    drawn: set[str] = set()
    for attributes, text in re.findall(r"<mi((?: [^<>]*)?)>([^<>]*)</mi>", html):
        if len(text) == 1 and 'mathvariant="normal"' not in attributes:
            drawn.add(italic(text))
    drawn |= set(re.sub(r"<[^<>]*>", "", html))
    return drawn


_ITALIC_SPECIAL = {
    "h": "\u210e",
    "ı": "\U0001d6a4",
    "ȷ": "\U0001d6a5",
    "∇": "\U0001d6fb",
    "∂": "\U0001d715",
    "ϵ": "\U0001d716",
    "ϑ": "\U0001d717",
    "ϰ": "\U0001d718",
    "ϕ": "\U0001d719",
    "ϱ": "\U0001d71a",
    "ϖ": "\U0001d71b",
    "ϴ": "\U0001d6f3",
}


def italic(letter: str) -> str:
    """The mathematical italic that MathML Core gives a single letter of <mi>."""
    if letter in _ITALIC_SPECIAL:
        return _ITALIC_SPECIAL[letter]
    code = ord(letter)
    for first, last, base in (
        ("A", "Z", 0x1D434),
        ("a", "z", 0x1D44E),
        ("Α", "Ω", 0x1D6E2),
        ("α", "ω", 0x1D6FC),
    ):
        if ord(first) <= code <= ord(last):
            return chr(base + code - ord(first))
    return letter
