r"""The one style of every figure: colors with one meaning, the page's font and width, exact files.

An experiment's `draw` is called under `theme("light")` and again under `theme("dark")`. It asks
for colors by role, never by value, and leaves the ground transparent: the page is the ground.

Source:
    The book's own.
"""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from cycler import Cycler, cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from numpy.typing import ArrayLike

Number = float | int
Dash = str | tuple[float, tuple[float, ...]]

# Blue, teal, plum, vermilion after Okabe and Ito (2008), with lightness moved until every pair
# stays apart for readers who lack one kind of cone, and each reaches 4.5:1 against the page.
# The style sheet of the site holds the same values; a test keeps the two equal.
PALETTE: dict[str, dict[str, str]] = {
    "light": {
        "data": "#0c5ab4",
        "model": "#1c8374",
        "noise": "#6b3765",
        "broken": "#c8440d",
        "ink": "#1f2226",
        "muted": "#5c636e",
        "grid": "#dedbd3",
        "paper": "#fdfcf9",
        "ground": "none",
    },
    "dark": {
        "data": "#55a6fb",
        "model": "#7ee6c6",
        "noise": "#d3729b",
        "broken": "#f59a42",
        "ink": "#e6e3dc",
        "muted": "#9ea5b0",
        "grid": "#363a42",
        "paper": "#15171b",
        "ground": "none",
    },
}
DASHES: dict[str, Dash] = {
    "data": "-",
    "model": (0.0, (7.0, 2.0)),
    "noise": (0.0, (1.0, 1.6)),
    "broken": (0.0, (4.0, 1.6, 1.0, 1.6)),
    "ink": "-",
    "muted": (0.0, (2.5, 2.5)),
}
MARKERS = {"data": "o", "model": "s", "noise": "v", "broken": "X", "ink": "D", "muted": "^"}

COLUMN_PX = 680
COLUMN_INCHES = 6.4
FONT_SIZE = 9.5  # points; 14 px once the drawing is shown at the width of the column
FONT = "Source Sans 3"
FONT_DIR = Path(__file__).resolve().parents[2] / ".build" / "fonts"

_mode: ContextVar[str] = ContextVar("mode", default="light")
_log = logging.getLogger(__name__)


def _of(table: dict[str, Any], role: str) -> Any:
    if role not in table:
        raise ValueError(f"role must be one of {', '.join(table)}, got {role!r}")
    return table[role]


def color(role: str) -> str:
    """Color of a role in the current theme, as a matplotlib color.

    Args:
        role: `data`, `model`, `noise`, `broken`, or the furniture `ink`, `muted`, `grid`,
            `paper` (the page itself, for halos) and `ground` (nothing).

    Raises:
        ValueError: The role is unknown.
    """
    return str(_of(PALETTE[_mode.get()], role))


def dash(role: str) -> Dash:
    """Line style of a role, so that print in gray still tells the roles apart.

    Raises:
        ValueError: If there is no such role.
    """
    style: Dash = _of(DASHES, role)
    return style


def marker(role: str) -> str:
    """Marker of a role, so that print in gray still tells the roles apart.

    Raises:
        ValueError: If there is no such role.
    """
    return str(_of(MARKERS, role))


def line_style(role: str, **changes: Any) -> dict[str, Any]:
    """Keyword arguments of `ax.plot` for a role: its color and its dash."""
    return {"color": color(role), "linestyle": dash(role), **changes}


def shades(role: str, n: int) -> list[str]:
    """Colors for an ordered quantity: `n` steps from pale to the full color of the role.

    Raises:
        ValueError: If `n` is below 1, or there is no such role.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    full, paper = np.array(to_rgb(color(role))), np.array(to_rgb(color("paper")))
    # Start at 0.45: paler steps would not stand out from the page.
    weights = np.linspace(0.45, 1.0, n) if n > 1 else np.ones(1)
    return [to_hex(weight * full + (1 - weight) * paper) for weight in weights]


def _font_family(font_dir: Path, strict: bool) -> list[str]:
    """Register the page's sans with matplotlib and return the families to ask for."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    files = sorted(font_dir.glob("*.ttf"))
    for file in files:
        if str(file) not in known:
            font_manager.fontManager.addfont(str(file))
    if any(entry.name == FONT for entry in font_manager.fontManager.ttflist):
        return [FONT, f"{FONT} Greek", "DejaVu Sans"]
    message = f"the font {FONT} is not in {font_dir}; `python scripts/book/fonts.py` makes it"
    if strict:
        raise FileNotFoundError(message)
    _log.warning("%s; drawing with DejaVu Sans", message)
    return ["DejaVu Sans"]


def _settings(family: list[str]) -> dict[Any, Any]:
    ink, muted, grid = color("ink"), color("muted"), color("grid")
    return {
        "font.family": family,
        "font.size": FONT_SIZE,
        "axes.titlesize": FONT_SIZE,
        "axes.labelsize": FONT_SIZE,
        "legend.fontsize": FONT_SIZE,
        "xtick.labelsize": FONT_SIZE - 0.5,
        "ytick.labelsize": FONT_SIZE - 0.5,
        "mathtext.fontset": "stix",  # the shapes of STIX Two, which sets the page's formulas
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.titlelocation": "left",
        "axes.edgecolor": muted,
        "axes.facecolor": "none",
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "axes.prop_cycle": _cycle(),
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.size": 3.0,
        "ytick.major.size": 3.0,
        "xtick.minor.size": 1.5,
        "ytick.minor.size": 1.5,
        "grid.color": grid,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "lines.markeredgewidth": 0.0,
        "lines.solid_capstyle": "round",
        "patch.linewidth": 0.8,
        "errorbar.capsize": 0.0,
        "legend.frameon": False,
        "legend.handlelength": 2.4,
        "image.cmap": "gray",
        "figure.facecolor": "none",
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        # Flush with the column outside, well apart inside.
        "figure.constrained_layout.w_pad": 0.02,
        "figure.constrained_layout.h_pad": 0.02,
        "figure.constrained_layout.wspace": 0.07,
        "figure.constrained_layout.hspace": 0.07,
        "savefig.facecolor": "none",
        "savefig.transparent": True,
        "savefig.dpi": 200,
        "svg.fonttype": "path",
        "svg.image_inline": True,
    }


def _cycle() -> Cycler[Any, Any]:
    roles = ("data", "model", "broken", "noise")
    return cycler(color=[color(role) for role in roles]) + cycler(linestyle=[*map(dash, roles)])


@contextmanager
def theme(mode: str, *, strict: bool = False, font_dir: Path | None = None) -> Iterator[None]:
    """Draw in the style of the page; matplotlib's settings are put back at the end.

    Args:
        mode: `light` or `dark`.
        strict: Refuse to draw with another font when the page's font is missing.
        font_dir: Folder of the page's fonts as TTF files.

    Raises:
        ValueError: The mode is unknown.
        FileNotFoundError: `strict`, and the font is missing.
    """
    if mode not in PALETTE:
        raise ValueError(f"mode must be 'light' or 'dark', got {mode!r}")
    token = _mode.set(mode)
    try:
        family = _font_family(font_dir or FONT_DIR, strict)
        with mpl.rc_context():
            mpl.rcdefaults()
            for name, value in _settings(family).items():
                mpl.rcParams[name] = value
            yield
    finally:
        _mode.reset(token)


def column_width(fraction: Number = 1.0) -> float:
    """Width of the page's column, or of a fraction of it, in inches.

    Raises:
        ValueError: If `fraction` is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1], got {fraction}")
    return COLUMN_INCHES * fraction


def figure(
    height: Number, *, ncols: int = 1, nrows: int = 1, width: Number = 1.0, **subplots: Any
) -> tuple[Figure, Any]:
    """Figure as wide as the column, with its axes.

    Args:
        height: Height in inches.
        ncols: Panels side by side; they share the y axis.
        nrows: Panels one below the other; they share the x axis.
        width: Fraction of the column.
        subplots: Passed to `Figure.subplots`, such as `sharey=False` or `width_ratios`.
            `squeeze=False` always returns a grid of axes.

    Raises:
        ValueError: Height or width out of range.
    """
    if not 0 < height <= 12:
        raise ValueError(f"height must lie in (0, 12] inches, got {height}")
    drawn = Figure(figsize=(column_width(width), height), layout="constrained")
    options = {"sharex": "col" if nrows > 1 else False, "sharey": "row" if ncols > 1 else False}
    return drawn, drawn.subplots(nrows, ncols, **{**options, **subplots})


def panel_label(ax: Axes, text: str, role: str = "ink") -> None:
    """Name a panel at its upper left, in the color of a role.

    Args:
        ax: The panel.
        text: Its name.
        role: The role whose color it takes.
    """
    ax.set_title(text, loc="left", color=color(role), pad=5)


def label_line(
    line: Line2D,
    text: str,
    *,
    x: Number | None = None,
    dx: Number = 4.0,
    dy: Number = 0.0,
    ha: str = "left",
    va: str = "center",
) -> Annotation:
    """Write a line's name beside it, in its color, instead of in a legend.

    Args:
        line: The line.
        text: Its name.
        x: Where along the axis, in data units; the end of the line if not given.
        dx: Shift to the right in points.
        dy: Shift upward in points.
        ha: Horizontal alignment of the text.
        va: Vertical alignment of the text.

    Raises:
        ValueError: The line has no points.
    """
    xs = np.asarray(line.get_xdata(), dtype=float)
    ys = np.asarray(line.get_ydata(), dtype=float)
    seen = np.isfinite(xs) & np.isfinite(ys)
    if not seen.any() or line.axes is None:
        raise ValueError("label_line needs a drawn line with at least one finite point")
    xs, ys = xs[seen], ys[seen]
    if x is None:
        place = (float(xs[-1]), float(ys[-1]))
    else:
        order = np.argsort(xs, kind="stable")
        place = (float(x), float(np.interp(x, xs[order], ys[order])))
    axes: Any = line.axes
    return axes.annotate(
        text,
        place,
        xytext=(dx, dy),
        textcoords="offset points",
        color=line.get_color(),
        ha=ha,
        va=va,
        annotation_clip=False,
        path_effects=[withStroke(linewidth=2.5, foreground=color("paper"))],
    )


def image_grid(
    ax: Axes,
    images: ArrayLike,
    *,
    levels: tuple[Number, Number],
    ncols: int | None = None,
    gap: int = 1,
    role: str = "ink",
) -> AxesImage:
    """Show images pixel by pixel: high values are ink in light and chalk in dark.

    Args:
        ax: Axes to fill; its frame is removed.
        images: `(n, height, width)`, or `(rows, columns, height, width)`.
        levels: The value drawn as nothing and the value drawn as full ink; others are clipped.
        ncols: Images per row when `images` has no rows of its own; all in one row if not given.
        gap: Empty pixels between images.
        role: Color of the ink.

    Raises:
        ValueError: Wrong shape, or levels out of order.
    """
    pixels = np.asarray(images, dtype=float)
    low, high = levels
    if not low < high:
        raise ValueError(f"levels must be (low, high) with low < high, got {levels}")
    if pixels.ndim == 3 and pixels.size:
        per_row = len(pixels) if ncols is None else ncols
        missing = -len(pixels) % per_row
        blank = np.full((missing, *pixels.shape[1:]), np.nan)
        pixels = np.concatenate([pixels, blank])
        pixels = pixels.reshape(-1, per_row, *pixels.shape[1:])
    if pixels.ndim != 4 or pixels.size == 0:
        raise ValueError(
            "images must have shape (n, height, width) or (rows, columns, height, width), "
            f"got {np.shape(images)}"
        )
    rows, columns, height, width = pixels.shape
    strength = np.clip((pixels - low) / (high - low), 0.0, 1.0)
    # A trace of ink under the blank pixels shows where each image ends.
    alpha = np.where(np.isnan(strength), 0.0, 0.06 + 0.94 * strength)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4))
    sheet[..., :3] = to_rgb(color(role))
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width, 3] = alpha[row, column]
    shown = ax.imshow(sheet, interpolation="none")
    ax.set_axis_off()
    return shown


def save(figure: Figure, path: str | os.PathLike[str], salt: str) -> None:
    """Write the figure as SVG: the same figure and salt give the same bytes.

    Args:
        figure: The figure.
        path: File to write, ending in `.svg`.
        salt: Seed of the ids inside the file, such as `diffusion/terminal_snr`.

    Raises:
        ValueError: The path does not end in `.svg`.
    """
    target = Path(path)
    if target.suffix != ".svg":
        raise ValueError(f"path must end in .svg, got {target.name!r}")
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    target.write_text(_trimmed(buffer.getvalue()), encoding="utf-8", newline="\n")


def _trimmed(svg: str) -> str:
    """Drop comments, document type and empty metadata; give the size in pixels of the page."""
    svg = re.sub(r"<!--.*?-->\s*|<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.S)

    def in_pixels(match: re.Match[str]) -> str:
        pixels = float(match[2]) * COLUMN_PX / (72 * COLUMN_INCHES)
        return f'{match[1]}="{pixels:.6g}"'

    head, body = svg.split(">", 2)[:2], svg.split(">", 2)[2]
    root = re.sub(r'\b(width|height)="([\d.]+)pt"', in_pixels, head[1])
    return f"{head[0]}>{root}>{body}"


def sequence_axis(ax: Axes, labels: Sequence[str], *, axis: Literal["x", "y"] = "x") -> None:
    """Name categories along an axis, without tick marks.

    Args:
        ax: The panel.
        labels: Names, first to last.
        axis: Which of its axes.
    """
    ticks = range(len(labels))
    (ax.set_xticks if axis == "x" else ax.set_yticks)(list(ticks), list(labels))
    ax.tick_params(axis=axis, length=0)
