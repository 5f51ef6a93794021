"""Ties the machinery of `book` into mkdocs: what happens at which moment of a build."""

# ruff: noqa: E402 -- the path to the package comes before its imports

import html
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATHS = [str(ROOT / "scripts"), str(ROOT / "src")]
sys.path[:0] = [path for path in PATHS if path not in sys.path]

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink

from book import blocks, fonts, jupyter, mathfont, maths, node, notebooks, reference, widgets
from book.errors import BookError, Problem
from book.extension import BookExtension, slug
from book.volume import Volume, new_formulas

log = logging.getLogger("mkdocs.hooks.book")

VOLUME = Volume()
SERVING = False
DRAFT = os.environ.get("FROMNOISE_DRAFT", "") not in ("", "0")
"""A draft shows what is unresolved in the text instead of failing; `mkdocs serve` is one too."""


def on_startup(command: str, dirty: bool) -> None:
    """Being there makes mkdocs keep this module, and its state, from build to build."""
    # mkdocs puts sys.path back after it has loaded this file; parts imported later need it too.
    sys.path[:0] = [path for path in PATHS if path not in sys.path]
    global SERVING
    SERVING = command == "serve"
    VOLUME.is_draft = DRAFT or SERVING
    jupyter.provide_kernel(ROOT)


@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the Markdown extension, and the generated pages to the navigation."""
    extensions = [e for e in config.markdown_extensions if not isinstance(e, BookExtension)]
    config.markdown_extensions = [*extensions, BookExtension(VOLUME)]
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    VOLUME.root, VOLUME.docs = ROOT, Path(config.docs_dir)
    VOLUME.repository = config.repo_url or ""
    VOLUME.formulas = new_formulas(ROOT)
    VOLUME.late = []
    VOLUME.load()
    if config.strict:
        _let_warnings_through()
    _choose_notebook_cache(config.plugins["mkdocs-jupyter"].config)
    config.extra["preloads"] = list(fonts.preloads())
    # Named by `make print`, which puts it there: a link may not lead to what is not made.
    config.extra["print_edition"] = os.environ.get("FROMNOISE_PRINT", "")
    config.nav = _navigation(config.nav or [])
    return config


def _let_warnings_through() -> None:
    """Let --strict see warnings: it counts what the logger passes on, and --quiet stops them."""
    logger = logging.getLogger("mkdocs")
    logger.setLevel(min(logger.level or logging.WARNING, logging.WARNING))


def _choose_notebook_cache(settings: Any) -> None:
    """Keep pages of unexecuted notebooks apart: each build evicts what it did not use itself."""
    if SERVING:
        settings["execute"] = False
    if not settings["execute"]:
        settings["cache_dir"] = f"{settings['cache_dir']}-unexecuted"


def _navigation(nav: list[Any]) -> list[Any]:
    """The navigation with modules and notebooks in it; a draft drops what is not written."""
    extra = {
        "reference/index.md": [m.path for m in reference.modules(ROOT)],
        "notebooks/index.md": [
            {VOLUME.pages[path].title: f"notebooks/{VOLUME.pages[path].stem}.ipynb"}
            for path in notebooks.chapters_with_code(VOLUME)
        ],
    }

    def walk(tree: Any) -> Any:
        if isinstance(tree, list):
            kept = [item for item in map(walk, tree) if item not in (None, [], {})]
            for index, added in extra.items():
                if index in kept:
                    kept += [page for page in added if page not in kept]
            return kept
        if isinstance(tree, dict):
            walked = {title: walk(value) for title, value in tree.items()}
            return {title: value for title, value in walked.items() if value not in (None, [])}
        if (
            VOLUME.is_draft
            and isinstance(tree, str)
            and tree.endswith(".md")
            and tree not in VOLUME.pages
        ):
            log.info("left out of the navigation, not written yet: %s", tree)
            return None
        return tree

    return walk(nav)


@event_priority(100)
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Check all sources, then add the generated pages."""
    _report([*VOLUME.check(), *widgets.problems(VOLUME)])
    for module in reference.modules(ROOT):
        if files.get_file_from_path(module.path) is None:
            files.append(File.generated(config, module.path, content=_reference(module)))
    for path in notebooks.write(VOLUME):
        # mkdocs-jupyter wants a file on disk, so these are not generated in mkdocs' sense.
        folder = str(ROOT / notebooks.FOLDER)
        files.append(File(path, folder, config.site_dir, config.use_directory_urls))
    return files


def _reference(module: reference.Module) -> str:
    VOLUME.current = module.path
    return reference.page(module, VOLUME.with_marks(module.says))


@event_priority(-100)
def on_nav(nav: Any, config: MkDocsConfig, files: Files) -> None:
    """Note where each file will stand, for the links between pages."""
    VOLUME.urls = {file.src_uri: file.url for file in files}


@event_priority(-100)
def on_pre_page(page: Page, config: MkDocsConfig, files: Files) -> Page:
    """Say whose text is read next; watch over the execution of a notebook."""
    VOLUME.current = path = page.file.src_uri
    if path.endswith(".ipynb"):
        page.render = jupyter.in_one_sentence(page.render, path)
    return page


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Add to the end of a chapter its code as one script and the way to its notebook."""
    path = page.file.src_uri
    VOLUME.current = path
    source = VOLUME.pages.get(path)
    if path not in VOLUME.chapters or source is None:
        return markdown
    try:
        ending = blocks.ending(source, ROOT)
    except BookError as error:
        VOLUME.late.append(Problem(source.place(0), str(error)))
        return markdown
    return f"{markdown.rstrip()}{ending}" if ending else markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make what other tools wrote fit for the site: notebooks and the reference."""
    if page.file.src_uri.endswith(".ipynb"):
        chapter = VOLUME.pages[f"chapters/{Path(page.file.src_uri).stem}.md"].title
        # Not before the page was read: that puts an empty dictionary here.
        page.meta = {
            "title": f"Notebook: {chapter}",
            "description": f"The code of the chapter {chapter} as an executed Jupyter notebook.",
            "search": {"exclude": True},  # the chapter says the same
        }
        return jupyter.clean(html, page, VOLUME)
    if page.file.src_uri.startswith("reference/"):
        return reference.tidy(html)
    return html


@event_priority(-100)
def on_env(env: Any, config: MkDocsConfig, files: Files) -> Any:
    """Render all formulas at once, put them into the pages, and add fonts and style sheets."""
    env.globals["chapter_of"] = VOLUME.chapter_number
    env.globals["address_of"] = lambda path: VOLUME.urls.get(path, ".")
    formulas = VOLUME.formulas
    try:
        node.ensure_packages(ROOT)
        formulas.render()
    except BookError as error:
        raise PluginError(str(error)) from error
    _report([*VOLUME.late, *formulas.problems])
    drawn: set[str] = set()
    classes: set[str] = set()
    said: set[str] = set()
    for file in files.documentation_pages():
        page = file.page
        if page is None or page.content is None:
            continue
        page.content = formulas.fill(page.content)
        said |= set(html.unescape(page.content))
        page.title = formulas.plain(page.title) if page.title else page.title
        if page.meta and page.meta.get("description"):
            page.meta["description"] = formulas.plain(page.meta["description"])
        for item in page.toc or ():
            _fill(item)
    for rendered in formulas.html:
        drawn |= maths.characters(rendered)
        classes |= {c for names in re.findall(r'class="([^"]*)"', rendered) for c in names.split()}
    try:
        sheet = mathfont.stylesheet(ROOT, classes, formulas.style_rules())
        made = {mathfont.SHEET_PATH: sheet, mathfont.FONT_PATH: mathfont.cut(ROOT, drawn)}
        made |= widgets.site_files(VOLUME)
        for path, content in made.items():
            if path.endswith(".js"):
                said |= set(content if isinstance(content, str) else content.decode())
        made |= fonts.site_files(frozenset(said), ROOT)
    except (BookError, fonts.FontError) as error:
        raise PluginError(str(error)) from error
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return env


def _fill(item: AnchorLink) -> None:
    item.title = VOLUME.formulas.fill(item.title)
    for child in item.children:
        _fill(child)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give pages with formulas the math font and its sheet, and pages with widgets the loader."""
    base = "../" * page.url.count("/") if page.url not in ("", "./", ".") else ""
    head = ""
    if "data-widget=" in output:
        head += f'<script defer src="{base}{widgets.LOADER}"></script>'
    if "<math" in output:
        head += _math_head(base)
    return output.replace("</head>", f"{head}</head>", 1)


def _math_head(base: str) -> str:
    return (
        f'<link rel="preload" href="{base}{mathfont.FONT_PATH}" as="font" type="font/woff2" '
        f'crossorigin><link rel="stylesheet" href="{base}{mathfont.SHEET_PATH}">'
    )


def _report(problems: list[Problem]) -> None:
    """Fail with one sentence per problem; in a draft, only say them."""
    problems = sorted(set(problems))
    if not problems:
        return
    if VOLUME.is_draft:
        for problem in problems:
            log.warning("%s", problem)
        return
    raise PluginError("\n".join(str(problem) for problem in problems))
