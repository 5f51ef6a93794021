"""A headless Chromium that reads the site from a folder and prints one document."""

import base64
import contextlib
import mimetypes
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

from printing.assemble import HOST, SHEET

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FIT = Path(__file__).parent / "fit.js"
WIDTH = 627  # of the paper between its margins, in CSS pixels: 166 mm


class TooWide(Exception):
    """Something does not fit on the paper."""


class NoBrowser(Exception):
    """There is no Chromium that could print."""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Playwright's own Chromium where it is installed, or the one of the system."""
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = next(filter(None, map(shutil.which, NAMES)), None)
        path = str(own) if own.is_file() else found
        if path is None:
            raise NoBrowser(
                "There is no Chromium here to print with; install the package chromium, or run: "
                ".venv/bin/playwright install chromium"
            )
        try:
            launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except Error as error:
            raise NoBrowser(f"{path} does not start: {error.message.splitlines()[0]}") from error
        with contextlib.closing(launched):
            yield launched


def pdf(press: Browser, site: Path, text: str, sheet: str, tagged: bool) -> bytes:
    """Print a document whose addresses lie under HOST; fail if it asks for what is not there."""
    missing: list[str] = []

    def answer(route: Route) -> None:
        path = unquote(urlsplit(route.request.url).path).lstrip("/")
        file = site / path
        if not route.request.url.startswith(HOST):
            missing.append(route.request.url)
            route.abort()
        elif path == "edition.html":
            route.fulfill(body=text, content_type="text/html; charset=utf-8")
        elif path == SHEET:
            route.fulfill(body=sheet, content_type="text/css; charset=utf-8")
        elif file.is_file():
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            route.fulfill(body=file.read_bytes(), content_type=kind)
        else:
            missing.append(path)
            route.fulfill(status=404, body="")

    context = press.new_context(color_scheme="light")
    try:
        page = context.new_page()
        page.set_viewport_size({"width": WIDTH, "height": 1000})
        page.set_default_timeout(240_000)
        page.route("**/*", answer)
        page.emulate_media(media="print", color_scheme="light")
        page.goto(HOST + "edition.html", wait_until="load")
        page.evaluate("document.fonts.ready.then(() => true)")
        wide = page.evaluate(FIT.read_text(encoding="utf-8"))
        if wide:
            raise TooWide(f"outside the paper's text area: {'; '.join(wide[:5])}")
        if missing:
            raise FileNotFoundError(f"the document asks for what is not there: {missing[:5]}")
        return printed(page, tagged)
    finally:
        context.close()


def printed(page: Page, tagged: bool) -> bytes:
    """The pages as PDF, on demand with tags for those who listen."""
    session = page.context.new_cdp_session(page)
    answer = session.send(
        "Page.printToPDF",
        {
            "printBackground": True,
            "preferCSSPageSize": True,
            "displayHeaderFooter": False,
            "generateDocumentOutline": False,
            "generateTaggedPDF": tagged,
            "transferMode": "ReturnAsStream",
        },
    )
    chunks = []
    while True:
        chunk = session.send("IO.read", {"handle": answer["stream"], "size": 1 << 20})
        data = chunk["data"]
        chunks.append(base64.b64decode(data) if chunk.get("base64Encoded") else data.encode())
        if chunk["eof"]:
            break
    session.send("IO.close", {"handle": answer["stream"]})
    return b"".join(chunks)
