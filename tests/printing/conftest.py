"""A site of two chapters, small enough to be printed in a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from checking.book import Book
from printing import press

NAVIGATION = (
    '<nav><a href="../../">Home</a><a href="../one/">One</a><a href="../two/">Two</a>'
    '<a href="../../reference/one/">one</a></nav>'
)
HOME = (
    "<!doctype html><html><head><title>Home - Small</title>"
    '<meta name="description" content="A small book."></head><body><article '
    'class="md-content__inner md-typeset"><h1>Small</h1></article></body></html>'
)


def page(text: str) -> str:
    return (
        '<!doctype html><html><head><link rel="stylesheet" href="../../book.css"></head>'
        f'<body>{NAVIGATION}<article class="md-content__inner md-typeset">{text}</article>'
        "</body></html>"
    )


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Book]:
    """Writes the site: `small(one="<h1>One</h1> ...", two="...")`."""

    def write(one: str, two: str = '<h1 id="two">Two</h1>', home: str = HOME) -> Book:
        site = tmp_path / "site"
        for name, text in (
            ("index.html", home),
            ("chapters/one/index.html", page(one)),
            ("chapters/two/index.html", page(two)),
            ("reference/one/index.html", page('<h1 id="one">one</h1>')),
        ):
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        (site / "book.css").write_text("")
        return Book(root=tmp_path, docs=tmp_path / "docs", site=site)

    return write


@pytest.fixture(scope="session")
def _chromium() -> None:
    try:
        with press.browser():
            pass
    except press.NoBrowser as error:
        pytest.skip(str(error))


@pytest.fixture
def chromium(_chromium: None) -> None:
    """There is a browser that prints; each edition starts its own."""
