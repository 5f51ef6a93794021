"""Every widget opens in Firefox too, says the same as in Chromium, and nothing complains."""

import re
import shutil
from pathlib import Path

import pytest

from book import node
from checking.book import Book

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def offered(book: Book) -> list[tuple[str, str]]:
    """Each widget once, with the first page that offers it."""
    homes: dict[str, str] = {}
    for page in book.pages:
        for figure in page.all("//figure[@data-widget]"):
            homes.setdefault(figure.get("data-widget"), page.address)
    return [(address, name) for name, address in homes.items()]


def without_times(words: str) -> str:
    return re.sub(r"[\d.]+ (?:s|seconds)\b", "", words)


@pytest.fixture(scope="module")
def in_firefox(book: Book, address: str) -> list[dict]:
    firefox = next(filter(None, map(shutil.which, ("firefox", "firefox-esr"))), None)
    if firefox is None:
        pytest.skip("no Firefox here: install firefox or firefox-esr")
    pages = [[address + path.removesuffix("index.html"), name] for path, name in offered(book)]
    assert pages, "no page offers a widget"
    found = node.run(HERE / "firefox.mjs", {"firefox": firefox, "pages": pages}, ROOT)
    assert isinstance(found, list)
    return found


@pytest.mark.timeout(900)
def test_every_widget_opens_and_paints(in_firefox: list[dict]) -> None:
    for each in in_firefox:
        assert each["ready"], each
        assert not each["trouble"], each
        assert not each["problems"], each
        assert each["isDrawingHidden"], each
        assert all(share > 0 for share in each["painted"]), each


@pytest.mark.timeout(900)
def test_it_says_what_it_says_in_chromium(in_firefox: list[dict], visit, book: Book) -> None:
    homes = {name: path for path, name in offered(book)}
    for each in in_firefox:
        page = visit().open(homes[each["name"]])
        figure = page.locator(f'figure[data-widget="{each["name"]}"]')
        figure.locator(".widget-open").click()
        figure.locator(".widget:not([aria-busy])").wait_for(timeout=90_000)
        says = figure.locator(".widget-says").text_content() or ""
        assert without_times(each["says"]) == without_times(says)
        assert says
