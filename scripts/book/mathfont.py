"""The font and the style sheet of the formulas, cut to what the site uses."""

import hashlib
import io
import re
from pathlib import Path

import tinycss2

from book.errors import BookError

SOURCE = "node_modules/@fontsource/stix-two-math/files/stix-two-math-latin-400-normal.woff2"
SHEET = "node_modules/temml/dist/Temml-STIX2.css"
FONT_PATH = "assets/math/math.woff2"
SHEET_PATH = "assets/math/math.css"
# Drawn by the browser without standing in the text: the root sign, primes, the minus.
ALWAYS = set("0123456789+-=()[]{}|,./<>\u221a\u2032\u2212")


def cut(root: Path, characters: set[str]) -> bytes:
    """STIX Two Math with the glyphs for these characters and all their larger variants."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    source = root / SOURCE
    wanted = sorted(ord(c) for c in (characters | ALWAYS) if not c.isspace())
    key = hashlib.sha256(source.read_bytes() + repr(wanted).encode()).hexdigest()[:32]
    kept = root / ".build" / "math" / f"{key}.woff2"
    if kept.exists():
        return kept.read_bytes()
    font = TTFont(source, recalcTimestamp=False)
    # Invisible operators and the like need no glyph.
    lacking = [c for c in wanted if c not in font.getBestCmap() and not 0x2060 <= c <= 0x2064]
    if lacking:
        listed = ", ".join(f"U+{c:04X} {chr(c)}" for c in lacking)
        raise BookError(f"the math font has no glyph for {listed}")
    options = subset.Options()
    options.layout_features = ["*"]
    options.flavor = "woff2"
    options.hinting = False
    options.recalc_timestamp = False
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=wanted)
    cutter.subset(font)
    if "MATH" not in font:
        raise BookError("the math font lost its MATH table")
    buffer = io.BytesIO()
    font.flavor = "woff2"
    font.save(buffer)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def stylesheet(root: Path, used: set[str], extra: str) -> str:
    """Temml's style sheet for our font, without rules for classes that no formula carries."""
    text = (root / SHEET).read_text(encoding="utf-8")
    kept = _filtered(tinycss2.parse_stylesheet(text, True, True), used)
    face = (
        "@font-face{font-family:'STIX Two Math';src:url('math.woff2') format('woff2');"
        "font-display:swap}\n"
    )
    own = (
        "math.tml-display{display:block math}\n"
        ".formula{display:block;margin-block:.6rem;overflow:auto hidden;text-align:center}\n"
    )
    return face + kept.replace("STIX2, math", "'STIX Two Math', math") + own + extra + "\n"


def _filtered(rules: list, used: set[str]) -> str:
    out = []
    for rule in rules:
        if rule.type == "at-rule":
            prelude = tinycss2.serialize(rule.prelude)
            if rule.at_keyword == "font-face" or rule.content is None:
                continue
            inner = _filtered(tinycss2.parse_rule_list(rule.content, True, True), used)
            if inner:
                out.append(f"@{rule.at_keyword}{prelude}{{{inner}}}\n")
        elif rule.type == "qualified-rule":
            selectors = tinycss2.serialize(rule.prelude).strip()
            body = tinycss2.serialize(rule.content)
            if selectors == "body" or "url(" in body or "flex" in body:
                # Counters for numbering, which the build does; images as data; and flex boxes for
                # line breaks, in which Chromium forgets the spacing of operators.
                continue
            classes = [set(re.findall(r"\.([\w-]+)", one)) for one in selectors.split(",")]
            if any(one <= used for one in classes):
                out.append(f"{selectors}{{{' '.join(body.split())}}}\n")
    return "".join(out)
