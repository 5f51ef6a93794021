"""The fonts of the page and of the figures, made from the @fontsource packages at build time.

Each face is cut to the weights and optical size the style sheet uses, and those that every page
asks for to the characters of the site. The style sheet of faces is written here too, with fallbacks
adjusted to the metrics of our fonts, so that text keeps its place when a font arrives late.

    python scripts/book/fonts.py        make the fonts of the figures
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path("node_modules") / "@fontsource-variable"
Limits = dict[str, float | tuple[float, float]]


@dataclass(frozen=True)
class Face:
    """One font file of the site."""

    name: str
    family: str
    package: str
    subset: str = "latin"
    style: str = "normal"
    axes: str = "wght"  # which of the package's files: `opsz` holds weight and optical size
    limits: Limits = field(default_factory=lambda: {"wght": 400.0})
    preload: bool = False

    @property
    def source(self) -> Path:
        """Path of the package's file, from the root of the repository."""
        file = f"{self.package}-{self.subset}-{self.axes}-{self.style}.woff2"
        return PACKAGES / self.package / "files" / file

    @property
    def weight(self) -> str:
        """The weights it holds, as CSS wants them."""
        weight = self.limits["wght"]
        return f"{weight[0]:g} {weight[1]:g}" if isinstance(weight, tuple) else f"{weight:g}"


# Optical size 18 is drawn for running text, 36 for headings.
TEXT: Limits = {"opsz": 18.0, "wght": (400.0, 600.0)}
SERIF, SANS, CODE = "source-serif-4", "source-sans-3", "source-code-pro"
FACES = (
    Face("serif", "Book Serif", SERIF, axes="opsz", limits=TEXT, preload=True),
    Face(
        "serif-italic",
        "Book Serif",
        SERIF,
        style="italic",
        axes="opsz",
        limits={"opsz": 18.0, "wght": 400.0},
        preload=True,
    ),
    Face(
        "serif-ext",
        "Book Serif",
        SERIF,
        subset="latin-ext",
        axes="opsz",
        limits={"opsz": 18.0, "wght": 400.0},
    ),
    Face(
        "display",
        "Book Display",
        SERIF,
        axes="opsz",
        limits={"opsz": 36.0, "wght": 600.0},
        preload=True,
    ),
    Face("sans", "Book Sans", SANS, limits={"wght": (400.0, 600.0)}, preload=True),
    Face("sans-greek", "Book Sans", SANS, subset="greek"),
    Face("code", "Book Code", CODE, limits={"wght": (400.0, 600.0)}, preload=True),
    Face("code-greek", "Book Code", CODE, subset="greek"),
)
FIGURE_FACES = {
    "SourceSans3-Regular.ttf": (Face("", "Source Sans 3", SANS), "Regular", 400),
    "SourceSans3-Italic.ttf": (Face("", "Source Sans 3", SANS, style="italic"), "Italic", 400),
    "SourceSans3-Semibold.ttf": (
        Face("", "Source Sans 3", SANS, limits={"wght": 600.0}),
        "Semibold",
        600,
    ),
    "SourceSans3Greek-Regular.ttf": (
        Face("", "Source Sans 3 Greek", SANS, subset="greek"),
        "Regular",
        400,
    ),
}
# Fonts most machines have, with their mean letter width in em for English text (measured by
# `mean_width` on the metric-compatible Liberation fonts).
FALLBACKS = {
    "Book Serif": (("Times New Roman", "Liberation Serif"), 0.3991),
    "Book Display": (("Times New Roman Bold", "Liberation Serif Bold"), 0.4249),
    "Book Sans": (("Arial", "Liberation Sans"), 0.4405),
    "Book Code": (("Courier New", "Liberation Mono"), 0.6001),
}
# Letters per thousand of English text, the space included (rounded from common tables).
FREQUENCY = {
    " ": 180, "e": 102, "t": 75, "a": 65, "o": 62, "i": 57, "n": 57, "s": 53, "r": 50, "h": 50,
    "l": 33, "d": 33, "c": 23, "u": 23, "m": 20, "f": 18, "p": 16, "g": 16, "w": 17, "y": 14,
    "b": 13, "v": 8, "k": 6, "x": 2, "j": 1, "q": 1, "z": 1,
}  # fmt: skip


# Kept whatever the site says: what a reader or a script may write.
ALWAYS = frozenset(map(chr, range(0x20, 0x7F))) | set("\u00a0éèüöäß°±²³µ·×÷–—‘’“”…−")
FEATURES = ["ccmp", "kern", "liga", "locl", "mark", "tnum"]


class FontError(Exception):
    """A font package is missing."""


def mean_width(font: Any) -> float:
    """Mean width of a letter of English text, in em."""
    widths, glyphs = font["hmtx"], font.getBestCmap()
    total = sum(n * widths[glyphs[ord(letter)]][0] for letter, n in FREQUENCY.items())
    return float(total / sum(FREQUENCY.values()) / font["head"].unitsPerEm)


def cut(face: Face, root: Path = ROOT) -> Any:
    """The face with its axes fixed or narrowed, as a fontTools font."""
    from fontTools.ttLib import TTFont
    from fontTools.varLib import instancer

    source = root / face.source
    if not source.exists():
        raise FontError(
            f"{face.source} is missing: run `npm ci --ignore-scripts` or `make install`"
        )
    # The time stamp in the file must not move, or equal inputs would give unequal bytes.
    font = TTFont(source, recalcTimestamp=False)
    return instancer.instantiateVariableFont(font, dict(face.limits))


def narrowed(font: Any, characters: frozenset[str]) -> Any:
    """The font with these characters and no others."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    # The cutter trips over tables that were narrowed and not yet written.
    font = TTFont(io.BytesIO(written(font, None)), recalcTimestamp=False)
    options = subset.Options(layout_features=FEATURES, hinting=False, recalc_timestamp=False)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=sorted(map(ord, characters | ALWAYS)))
    cutter.subset(font)
    return font


def written(font: Any, flavor: str | None) -> bytes:
    """Bytes of the font; `flavor` is `woff2` for the page and None for matplotlib."""
    font.flavor = flavor
    buffer = io.BytesIO()
    font.save(buffer)
    return buffer.getvalue()


def unicode_range(face: Face, root: Path = ROOT) -> str:
    """The characters the face is asked for, as the package lists them."""
    table = json.loads((root / PACKAGES / face.package / "unicode.json").read_text())
    return str(table[face.subset])


def stylesheet(fonts: dict[str, Any], root: Path = ROOT) -> str:
    """The `@font-face` rules of the site, and of the adjusted fallbacks."""
    rules = ["/* Made by scripts/book/fonts.py from the fonts' own metrics. */"]
    # Swap: on a slow line the adjusted fallback holds the place until the font is there. A face
    # that the page does not load ahead may come too late to take its place without moving lines;
    # then the fallback stays, and the face is there on the next page.
    rules += [
        f'@font-face{{font-family:"{face.family}";font-style:{face.style};'
        f"font-weight:{face.weight};"
        f"font-display:{'swap' if face.preload else 'optional'};"
        f'src:url("../fonts/{face.name}.woff2") format("woff2");'
        f"unicode-range:{unicode_range(face, root)}}}"
        for face in FACES
    ]
    for family, (locals_, fallback_width) in FALLBACKS.items():
        face = next(f for f in FACES if f.family == family)
        font = fonts[face.name]
        scale = mean_width(font) / fallback_width
        em = font["head"].unitsPerEm * scale
        sources = ",".join(f'local("{name}")' for name in locals_)
        rules.append(
            f'@font-face{{font-family:"{family} Fallback";src:{sources};'
            f"size-adjust:{100 * scale:.2f}%;"
            f"ascent-override:{100 * font['hhea'].ascent / em:.2f}%;"
            f"descent-override:{-100 * font['hhea'].descent / em:.2f}%;line-gap-override:0%}}"
        )
    return "\n".join(rules) + "\n"


def fingerprint(root: Path = ROOT) -> str:
    """Hash of all that decides the bytes of the fonts."""
    from fontTools import version

    digest = hashlib.sha256(version.encode() + Path(__file__).read_bytes())
    faces = [*FACES, *(face for face, _, _ in FIGURE_FACES.values())]
    for face in faces:
        source = root / face.source
        digest.update(repr(asdict(face)).encode())
        digest.update(source.read_bytes() if source.exists() else b"")
    return digest.hexdigest()


def site_files(characters: frozenset[str], root: Path = ROOT) -> dict[str, bytes]:
    """Font files and their style sheet, by path in the site; made once and kept in `.build`."""
    key = hashlib.sha256((fingerprint(root) + "".join(sorted(characters))).encode()).hexdigest()
    folder = root / ".build" / "fonts" / "site" / key[:16]
    stamp = folder / "stamp"
    paths = {f"assets/fonts/{face.name}.woff2": folder / f"{face.name}.woff2" for face in FACES}
    paths["assets/stylesheets/fonts.css"] = folder / "fonts.css"
    if not stamp.exists():
        fonts = {face.name: cut(face, root) for face in FACES}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fonts.css").write_text(stylesheet(fonts, root))
        for face in FACES:
            font = fonts[face.name]
            if face.preload:
                font = narrowed(font, characters)
            (folder / f"{face.name}.woff2").write_bytes(written(font, "woff2"))
        stamp.touch()
    return {target: path.read_bytes() for target, path in paths.items()}


def preloads() -> Iterator[str]:
    """Paths in the site of the fonts that every page asks for at once."""
    return (f"assets/fonts/{face.name}.woff2" for face in FACES if face.preload)


def _renamed(font: Any, family: str, style: str, weight: int) -> Any:
    names = font["name"]
    for record in list(names.names):
        names.removeNames(nameID=record.nameID)
    parts = {1: family, 2: style, 4: f"{family} {style}", 6: f"{family}-{style}".replace(" ", "")}
    for name_id, text in parts.items():
        names.setName(text, name_id, 3, 1, 0x409)
        names.setName(text, name_id, 1, 0, 0)
    font["OS/2"].usWeightClass = weight
    return font


def figure_fonts(root: Path = ROOT) -> Path:
    """Make the TTF files that `fromnoise.figures` draws with; return their folder."""
    folder = root / ".build" / "fonts"
    stamp = folder / "stamp"
    key = fingerprint(root)
    if not (stamp.exists() and stamp.read_text() == key):
        folder.mkdir(parents=True, exist_ok=True)
        for name, (face, style, weight) in FIGURE_FACES.items():
            font = _renamed(cut(face, root), face.family, style, weight)
            (folder / name).write_bytes(written(font, None))
        stamp.write_text(key)
    return folder


if __name__ == "__main__":
    print(figure_fonts().relative_to(ROOT))
