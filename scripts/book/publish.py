"""What goes out with the pages: files to download, and what machines read."""

# ruff: noqa: E402 -- the path to the package comes before its imports

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATHS = [str(ROOT / "scripts"), str(ROOT / "src")]
sys.path[:0] = [path for path in PATHS if path not in sys.path]

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import CombinedEvent, event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from book import blocks, finding, hovercards, notebooks
from book.errors import BookError
from book.extension import BookExtension
from book.volume import Volume

EQUATIONS: list[finding.Entry] = []


def volume_of(config: MkDocsConfig) -> Volume:
    """The book that this build reads."""
    return next(e.volume for e in config.markdown_extensions if isinstance(e, BookExtension))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each chapter's code as one file."""
    volume = volume_of(config)
    for path in notebooks.chapters_with_code(volume):
        try:
            script = blocks.script_file(volume.pages[path], volume.root)
        except BookError:
            continue  # reported with the page
        if script:
            name = path.removesuffix(".md") + ".py"
            files.append(File.generated(config, name, content=script))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Add what the cards of the page need from other pages."""
    volume = volume_of(config)
    source = volume.pages.get(page.file.src_uri)
    return html + hovercards.templates(volume, source) if source else html


def on_env(env: Any, config: MkDocsConfig, files: Files) -> Any:
    """Ask for the formulas around each equation while they can still be rendered."""
    EQUATIONS[:] = finding.entries(volume_of(config))
    return env


@event_priority(100)
def _add_to_search(config: MkDocsConfig) -> None:
    """Before the search plugin writes its index."""
    plugin = config.plugins.get("search") or config.plugins["material/search"]
    plugin.search_index.entries.extend(finding.filled(volume_of(config), EQUATIONS))


on_post_build = CombinedEvent(_add_to_search)
