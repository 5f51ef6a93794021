"""The archive of the site, unpacked and opened from disk."""

import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from book import disk
from checking import links
from checking.book import Book

# A lazy image is asked for, and waited for.
LOADED = """
(image) => {
  image.loading = "eager";
  return image.decode().then(() => image.naturalWidth > 0, () => false);
}
"""


@pytest.fixture(scope="module")
def unpacked(book: Book, tmp_path_factory) -> Path:
    archive = book.site / disk.ARCHIVE
    assert archive.is_file(), "the build made no archive"
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as packed:
        assert packed.testzip() is None
        packed.extractall(folder)
    return folder / disk.NAME


@pytest.fixture
def opened(browser):
    """A page, and all that goes wrong on it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    page.on("requestfailed", lambda asked: problems.append(f"failed: {asked.url}"))
    page.on(
        "request",
        lambda asked: (
            not asked.url.startswith(("file:", "data:", "about:"))
            and problems.append(f"asked for: {asked.url}")
        ),
    )
    yield page, problems
    context.close()


def test_every_link_in_the_archive_leads_to_a_file(book, unpacked):
    copy = Book(root=book.root, docs=book.docs, site=unpacked)
    assert len(copy.pages) >= len(book.pages) - 1
    assert [str(fault) for fault in links.check(copy)] == []
    folders = [
        f"{page.address}: {href}"
        for page in copy.pages
        for href in page.all("//a/@href | //link/@href")
        if "://" not in href and (href.partition("#")[0].endswith(("/", ".")))
    ]
    assert folders == [], "from disk a folder is a list of files"


def kinds(book: Book) -> list[str]:
    """One page of each kind, and the chapters."""
    chapters = [page for page in book.by_address if page.startswith("chapters/")]
    wanted = ("index.html", "ledger", "failures", "glossary", "bibliography", "changes")
    single = [name if name.endswith(".html") else f"{name}/index.html" for name in wanted]
    return [*single, *chapters, "reference/samplers/index.html", "notebooks/vae/index.html"]


def test_pages_open_whole_and_quiet(book, unpacked, opened):
    page, problems = opened
    for address in kinds(book):
        page.goto((unpacked / address).as_uri(), wait_until="load")
        page.evaluate("document.fonts.ready.then(() => true)")
        assert page.locator("main h1").first.is_visible()
        fonts = page.evaluate("[...document.fonts].filter((f) => f.status === 'error').length")
        assert fonts == 0, address
        for image in page.locator("img").all():
            if image.is_visible():
                assert image.evaluate(LOADED), (address, image.get_attribute("src"))
        assert problems == [], address


def test_a_reader_walks_from_page_to_page(unpacked, opened):
    page, problems = opened
    page.goto((unpacked / "index.html").as_uri())
    page.locator("article a[href*='chapters/elbo']").first.click()
    page.wait_for_url("**/chapters/elbo/index.html")
    page.locator("a.turn--on").click()
    page.wait_for_url("**/chapters/autoencoders/index.html")
    page.locator("a.md-logo").first.click()
    page.wait_for_url("**/from-noise/index.html")
    assert problems == []


def test_the_search_works_from_disk(unpacked, opened):
    page, problems = opened
    page.goto((unpacked / "chapters/vae/index.html").as_uri())
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.matches('input')")
    page.keyboard.type("elbo-gap", delay=10)
    found = page.locator(".md-search-result__item a[href*='#eq-elbo-gap']")
    found.first.wait_for(timeout=20_000)
    found.click()
    page.wait_for_url("**/chapters/elbo/index.html*#eq-elbo-gap")
    assert page.locator("#eq-elbo-gap").is_visible()
    assert problems == []


def test_cards_open_from_disk(unpacked, opened):
    page, problems = opened
    page.goto((unpacked / "chapters/diffusion/index.html").as_uri())
    page.locator("main a.reference[href^='#eq-']").locator("visible=true").first.hover()
    expect(page.locator("#card math").first).to_be_visible()
    assert problems == []


def test_the_site_as_served_would_fail_here(book, opened):
    """The folder that is served, opened from disk: what the copy mends is seen by these tests."""
    page, problems = opened
    page.goto((book.site / "chapters/vae/index.html").as_uri())
    page.wait_for_timeout(500)
    assert problems != []
    href = page.locator("a.turn--on").get_attribute("href")
    assert href.endswith("/")
