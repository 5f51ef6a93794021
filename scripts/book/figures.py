"""What stands around a figure: its two drawings, its number, and the line that reproduces it."""

import html
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from book.errors import BookError
from book.sources import Figure
from book.volume import Volume, relative

POINT_PX = 4 / 3
UNITS = {"pt": POINT_PX, "px": 1.0, "": 1.0, "in": 96.0}


@dataclass(frozen=True)
class Caption:
    """HTML before and after the caption's own text."""

    number: str
    reproduce: str


def describe(volume: Volume, figure: Figure, head: Any) -> Caption:
    """Fill the head of a figure's box; return what goes around its caption.

    Raises:
        BookError: The figure, its manifest or its experiment is not there.
    """
    light, dark, manifest = volume.figure_files(figure)
    head.id = figure.id
    head.experiment = figure.experiment
    head.alt = figure.alt
    head.widget = figure.widget
    head.images = {
        # As written in a source: mkdocs turns the path of an image into its address.
        "light": relative(light, volume.current),
        "dark": relative(dark, volume.current),
    }
    width, height = size(volume.docs / light)
    head.size = {"width": str(width), "height": str(height)}
    # Outside the chapters nothing refers to a figure, so it has no number.
    is_counted = figure.name in volume.figures and volume.chapter_number(volume.current) > 0
    number = volume.figures[figure.name].number if is_counted else ""
    return Caption(
        f'<span class="figure-number">Figure {number}.</span> ' if number else "",
        reproduce_line(volume.root, figure, manifest),
    )


def fail(error: BookError) -> str:
    """Raise again, where a function is wanted."""
    raise error


def size(svg: Path) -> tuple[int, int]:
    """Width and height of a drawing in CSS pixels."""
    head = svg.read_text(encoding="utf-8")[:4000]
    found = {}
    for side in ("width", "height"):
        said = re.search(rf'<svg\b[^>]*?\s{side}="([\d.]+)(pt|px|in|)"', head, re.S)
        if not said:
            raise BookError(f"{svg.name} does not say its {side}")
        found[side] = round(float(said[1]) * UNITS[said[2]])
    return found["width"], found["height"]


def reproduce_line(root: Path, figure: Figure, manifest: dict[str, Any]) -> str:
    """Command, seed, device and time; and, for a result that few can rerun, that code moved on."""
    try:
        from building.manifest import Manifest
        from building.manifest import reproduce_line as parts_of

        fields = {key: value for key, value in manifest.items() if key != "sha256"}
        parts = parts_of(Manifest(**fields))
    except (TypeError, KeyError, AttributeError) as error:
        raise BookError(f"{figure.manifest} is not a manifest: {error}") from error
    stale = ""
    if why := changed_since(root, figure.name, _stamp(root, figure)):
        stale = f' <span class="stale">The code has changed since: {html.escape(why)}.</span>'
    return (
        f'<p class="reproduce" data-search-exclude><code>{html.escape(parts["command"])}</code> '
        f"<span>seed {html.escape(parts['seed'])}</span> "
        f"<span>{html.escape(parts['device'])}</span> "
        f"<span>{html.escape(parts['wall_time'])}</span>{stale}</p>"
    )


def _stamp(root: Path, figure: Figure) -> int:
    return (root / figure.manifest).stat().st_mtime_ns


@lru_cache(maxsize=256)
def changed_since(root: Path, name: str, stamp: int) -> str:
    """Why a figure is stale; empty when it is fresh."""
    from building.closure import Sources
    from building.freshness import judge
    from building.tree import Experiment

    size = "gpu" if name.endswith(".gpu") else "full"
    state = judge(Experiment(name.removesuffix(".gpu"), root), size, Sources(root))
    return "" if state.is_fresh else state.reason
