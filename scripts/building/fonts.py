"""What the site shows is drawn with the page's own font, or not at all."""

from pathlib import Path

from building import lock
from building.tree import BuildError


def are_needed(root: Path, size: str) -> bool:
    """Whether figures of this size are drawn with the page's font."""
    return size != "smoke" and (root / "package.json").exists()


def make(root: Path, size: str) -> None:
    """Make the fonts, where they are needed and not there.

    Raises:
        BuildError: The packages they are made from are not installed.
    """
    if not are_needed(root, size):
        return
    from book import fonts

    try:
        with lock.held(root, ["fonts"]):
            fonts.figure_fonts(root)
    except fonts.FontError as error:
        raise BuildError(str(error)) from error
