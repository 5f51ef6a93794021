"""Widgets: what a figure becomes at the reader's click, bundled from src/widgets.

A figure names its widget in its head. The page carries a button and a loader of a kilobyte; all
else comes with the click.
"""

from pathlib import Path

from book import models, node
from book.errors import BookError, Problem
from book.volume import Volume

SOURCES = "src/widgets"
FOLDER = "assets/javascripts/widgets"
WORKER = "worker"
"""What runs trained networks; no widget may have its name."""
LOADER = "assets/javascripts/widgets.js"


def wanted(volume: Volume) -> dict[str, str]:
    """Names of the widgets that pages use, and their sources from the root of the repository."""
    return {
        figure.widget: f"{SOURCES}/{figure.widget}.mjs"
        for page in volume.pages.values()
        for figure in page.figures
        if figure.widget
    }


def problems(volume: Volume) -> list[Problem]:
    """Widgets that are named but not there, or named twice on one page."""
    found = []
    for page in volume.pages.values():
        seen = set()
        for figure in page.figures:
            if not figure.widget:
                continue
            if not (volume.root / SOURCES / f"{figure.widget}.mjs").is_file():
                found.append(
                    Problem(figure.place, f"there is no widget {SOURCES}/{figure.widget}.mjs")
                )
            if figure.widget in seen:
                found.append(
                    Problem(figure.place, f"the widget {figure.widget} stands twice on this page")
                )
            seen.add(figure.widget)
    return found


def site_files(volume: Volume) -> dict[str, bytes | str]:
    """Path in the site and content: the widgets, and the networks where one of them runs some.

    Raises:
        BookError: A source does not parse, or imports what is not there; or a network cannot be
            made.
    """
    entries = {name: f"./{path}" for name, path in sorted(wanted(volume).items())}
    if not entries:
        return {}
    made = node.run(Path(__file__).with_name("bundle.mjs"), entries, volume.root)
    if not isinstance(made, dict):
        raise BookError("bundle.mjs gave no widgets")
    networks = models.site_files(volume.root) if WORKER in made else {}
    return {f"{FOLDER}/{name}.js": code for name, code in made.items()} | networks
