"""The built site, served under a sub-path, in a headless Chromium."""

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright

from checking.book import Book

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("FROMNOISE_SITE") or ROOT / "site")
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
# What is far from the window is not laid out, and what stands out of it is not drawn.
LAID_OUT = """
(() => {
  for (const one of document.querySelectorAll(".stretch")) one.style.contentVisibility = "visible";
  // Two frames, for what is done when a size is known.
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
})()
"""
# A fixed piece of arithmetic; the median of five, in milliseconds.
WORK = """() => {
  const times = [];
  for (let i = 0; i < 5; i += 1) {
    const start = performance.now();
    let x = 0.5;
    for (let k = 0; k < 2e7; k += 1) x = 3.9 * x * (1 - x);
    times.push(performance.now() - start + (x > 2));
  }
  return times.sort((a, b) => a - b)[2];
}"""
WORK_IDLE_MS = 35.0
# Not the root of a host: everything must work from wherever the site is put.
PREFIX = "/some/where/"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a site and a browser."""
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.site)
            item.add_marker(pytest.mark.browser)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a `widget` runs for each one that the built pages offer."""
    if "widget" not in metafunc.fixturenames:
        return
    found: dict[str, str] = {}
    for page in sorted(SITE.glob("**/index.html")):
        for name in re.findall(r'data-widget="([^"]+)"', page.read_text(encoding="utf-8")):
            found.setdefault(name, page.relative_to(SITE).as_posix())
    missing = pytest.param(None, marks=pytest.mark.skip("no page of site/ offers a widget"))
    widgets = [pytest.param((page, name), id=name) for name, page in sorted(found.items())]
    metafunc.parametrize("widget", widgets or [missing])


@pytest.fixture(scope="session")
def book() -> Book:
    if not (SITE / "index.html").is_file():
        pytest.skip("site/ is not built: run make site")
    return Book(root=ROOT, docs=ROOT / "docs", site=SITE)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site under its prefix, and nothing anywhere else."""

    protocol_version = "HTTP/1.1"
    prefix = "/"

    def translate_path(self, path: str) -> str:
        if not path.startswith(self.prefix):
            return str(SITE / "outside the sub-path")
        return super().translate_path("/" + path.removeprefix(self.prefix))

    def log_message(self, *_: object) -> None:
        """Say nothing: what matters is asserted."""


class InFolder(Handler):
    """The same, in a folder of its host."""

    prefix = PREFIX


@contextlib.contextmanager
def served(handler: type[Handler]) -> Iterator[str]:
    """Address of the site while it is served."""
    bound = functools.partial(handler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{handler.prefix}"
        server.shutdown()


@pytest.fixture(scope="session")
def address(book: Book) -> Iterator[str]:
    """Where the site is served, below the root of its host."""
    with served(InFolder) as found:
        yield found


@pytest.fixture(scope="session")
def top_address(book: Book) -> Iterator[str]:
    """The same at the root.

    The page for missing pages is shown at any depth, so it names its files from the root of the
    address that the site was built for; a site that was built for none stands at the root.
    """
    with served(Handler) as found:
        yield found


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Playwright's own Chromium where it is installed, or the one of the system."""
    own = Path(playwright.chromium.executable_path)
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
    path = str(own) if own.is_file() else found
    if path is None:
        pytest.skip("no Chromium here: install chromium, or run playwright install chromium")
    try:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
    except Error as error:
        pytest.fail(f"{path} does not start: {error.message.splitlines()[0]}")
    with contextlib.closing(launched):
        yield launched


@pytest.fixture(scope="session")
def axe() -> Callable[[Page], str]:
    """What axe finds wrong with the present state of a page, a line for each node; or nothing.

    For a state that is not the first, bring the page there and then ask: `assert axe(page) == ""`.
    """
    if not AXE.is_file():
        pytest.fail("axe-core is not installed: run make install")
    rules = AXE.read_text(encoding="utf-8")

    def violations(page: Page) -> str:
        page.evaluate(LAID_OUT)
        page.evaluate(rules)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return "\n".join(
            f"{one['id']} ({one['impact']}): {json.dumps(node['target'])} {node['html'][:160]}"
            for one in found["violations"]
            for node in one["nodes"][:4]
        )

    return violations


class Visit:
    """A page that was opened, and all that went wrong while it was."""

    def __init__(self, page: Page, address: str, top_address: str):
        self.page = page
        self.address = address
        self.top_address = top_address
        self.problems: list[str] = []
        hosts = (address.removesuffix(PREFIX), top_address.removesuffix("/"))
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on(
            "console",
            lambda said: said.type == "error" and self.problems.append(f"console: {said.text}"),
        )
        page.on(
            "request",
            lambda asked: (
                not asked.url.startswith((*hosts, "data:", "blob:"))
                and self.problems.append(f"request to another origin: {asked.url}")
            ),
        )
        page.on(
            "response",
            lambda given: (
                given.status >= 400 and self.problems.append(f"status {given.status}: {given.url}")
            ),
        )

    def open(self, path: str) -> Page:
        """Open a page by its path in the site, and wait until it is at rest."""
        start = self.top_address if path == "404.html" else self.address
        self.page.goto(start + path.removesuffix("index.html"), wait_until="load")
        self.page.evaluate("document.fonts.ready.then(() => true)")
        self.page.wait_for_load_state("networkidle")
        return self.page

    def open_whole(self, path: str) -> Page:
        """The same, with all of the page laid out, as if the reader had been everywhere."""
        page = self.open(path)
        page.evaluate(LAID_OUT)
        return page

    def shared(self, path: str, query: str) -> Page:
        """Open a page by an address that names a widget, and wait until that is ready."""
        self.open(path)
        self.page.goto(f"{self.page.url}?{query}", wait_until="load")
        # Some widgets fetch and run networks, perhaps on a busy machine.
        self.page.wait_for_selector(".widget:not([aria-busy])", timeout=120_000)
        return self.page


@pytest.fixture
def slowness():
    """How many times longer this machine takes now than an idle one; at least 1.

    A limit in milliseconds says something about a page only where nothing else runs.
    """
    return lambda page: max(1.0, page.evaluate(WORK) / WORK_IDLE_MS)


@pytest.fixture
def visit(browser: Browser, address: str, top_address: str):
    """Opens a page in a fresh context: `visit(width=360, scheme="dark")`."""
    contexts = []

    def start(width: int = 1280, scheme: str = "light", **options) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            reduced_motion="no-preference",
            **options,
        )
        contexts.append(context)
        return Visit(context.new_page(), address, top_address)

    yield start
    for context in contexts:
        context.close()
