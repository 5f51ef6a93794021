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

from book import (
    blocks,
    changes,
    disk,
    finding,
    hovercards,
    machines,
    metadata,
    notebooks,
    share,
    words,
)
from book.errors import BookError
from book.extension import BookExtension
from book.volume import Volume

EQUATIONS: list[finding.Entry] = []
SERVING = False


def on_startup(command: str, dirty: bool) -> None:
    """Being there makes mkdocs keep this module from build to build."""
    global SERVING
    SERVING = command == "serve"


def volume_of(config: MkDocsConfig) -> Volume:
    """The book that this build reads."""
    return next(e.volume for e in config.markdown_extensions if isinstance(e, BookExtension))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each chapter's code as one file, the lists, and the picture for links from elsewhere."""
    volume = volume_of(config)
    for path in notebooks.chapters_with_code(volume):
        try:
            script = blocks.script_file(volume.pages[path], volume.root)
        except BookError:
            continue  # reported with the page
        if script:
            name = path.removesuffix(".md") + ".py"
            files.append(File.generated(config, name, content=script))
    if config.site_url:
        picture = share.picture(volume.root)
        files.append(File.generated(config, metadata.SHARE, content=picture))
    volume.late += changes.read(volume)[1]
    # Their links need addresses, which are known later; that they will be there, now.
    for name in (changes.FEED, machines.LIST):
        files.append(File.generated(config, name, content=""))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Add what the cards of the page need from other pages."""
    volume = volume_of(config)
    source = volume.pages.get(page.file.src_uri)
    return html + hovercards.templates(volume, source) if source else html


def on_env(env: Any, config: MkDocsConfig, files: Files) -> Any:
    """Ask for the formulas around each equation while they can still be rendered."""
    volume = volume_of(config)
    EQUATIONS[:] = finding.entries(volume)
    site_url = config.site_url or ""
    env.globals["said_of"] = lambda page: metadata.of_page(
        volume.root, page, config.site_name, site_url
    )
    env.globals["archive"] = "" if SERVING else disk.ARCHIVE
    env.globals["plain_version"] = lambda page: words.address(volume, page.file.src_uri)
    return env


@event_priority(100)
def _add_to_search(config: MkDocsConfig) -> None:
    """Before the search plugin writes its index."""
    plugin = config.plugins.get("search") or config.plugins["material/search"]
    plugin.search_index.entries.extend(finding.filled(volume_of(config), EQUATIONS))


def _write_plain(config: MkDocsConfig) -> None:
    """Put the plain versions and the lists of pages and changes into the site."""
    volume, site = volume_of(config), Path(config.site_dir)
    url = config.site_url or ""
    made = dict(machines.plain_pages(volume))
    made[machines.LIST] = machines.llms(volume, config.site_name, config.site_description, url)
    author = ", ".join(metadata.book(volume.root).authors)
    made[changes.FEED] = changes.feed(volume, config.site_name, author, url)
    for name, text in made.items():
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@event_priority(-1000)
def _write_archive(config: MkDocsConfig) -> None:
    """Last of all: the archive holds what everything else has made."""
    if not SERVING:
        site = Path(config.site_dir)
        (site / disk.ARCHIVE).write_bytes(disk.archive(site))


on_post_build = CombinedEvent(_add_to_search, _write_plain, _write_archive)
