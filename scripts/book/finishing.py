"""The last hand on the pages: one style sheet, light code, a search that waits to be asked."""

# ruff: noqa: E402 -- the path to the package comes before its imports

import sys
from pathlib import Path

sys.path[:0] = [folder for folder in [str(Path(__file__).parents[1])] if folder not in sys.path]

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.pages import Page

from book import lean, mathfont, styles
from book.errors import BookError


def _sheets(config: MkDocsConfig) -> list[str]:
    theme = next(Path(d) for d in config.theme.dirs if (Path(d) / "assets/stylesheets").is_dir())
    return styles.shared(theme, [*map(str, config.extra_css), mathfont.SHEET_PATH])


@event_priority(-100)
def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """A page as it is sent."""
    return lean.alone(lean.tokens(styles.relink(output, _sheets(config))))


@event_priority(-100)
def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The page for missing pages, which is none of the book's."""
    return styles.relink(output, _sheets(config)) if template_name.endswith(".html") else output


@event_priority(-100)
def on_post_build(config: MkDocsConfig) -> None:
    """What can be said only when all pages stand."""
    try:
        styles.write(Path(config.site_dir), _sheets(config))
        lean.quiet_theme(Path(config.site_dir))
    except BookError as error:
        raise PluginError(str(error)) from error
