"""The printed book: every link leads to a place, no page is empty, nothing is cut off."""

import io
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pikepdf
import pypdfium2
import pytest

from checking.book import Book
from printing import assemble, edition, headings, paper, press
from printing.pages import parts

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("FROMNOISE_SITE") or ROOT / "site")
EMPTY = 2e-4  # a line or two of text covers more of a page than this

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("chromium")]


def faults(data: bytes) -> list[str]:
    """What is wrong with an edition, one sentence each."""
    found = []
    with pikepdf.open(io.BytesIO(data)) as document:
        places = paper.places(document)
        for page, target in paper.links(document):
            if target.startswith("#") and target[1:] not in places:
                found.append(f"page {page}: a link to no place: {target}")
            elif not target.startswith(("#", "https://", "http://", "mailto:")):
                found.append(f"page {page}: a link that leads out of the book: {target!r}")
    shares = enumerate(paper.ink(data), start=1)
    return found + [f"page {page} is empty" for page, share in shares if share < EMPTY]


def texts(data: bytes) -> list[str]:
    """The text of each page, with its lines joined."""
    with pypdfium2.PdfDocument(data) as document:
        return [" ".join(page.get_textpage().get_text_bounded().split()) for page in document]


@pytest.fixture(scope="module")
def chapter() -> tuple[bytes, Book]:
    """One chapter with equations, figures and code, and the works it cites."""
    if not (SITE / "index.html").is_file():
        pytest.skip("site/ is not built: run make site")
    book = Book(root=ROOT, docs=ROOT / "docs", site=SITE)
    return edition.make(book, ["chapters/elbo", "bibliography"]).data, book


@pytest.mark.site
def test_a_chapter_prints_without_faults(chapter):
    data, _ = chapter
    assert faults(data) == []


@pytest.mark.site
def test_the_contents_and_the_bookmarks_name_the_right_pages(chapter):
    data, book = chapter
    pages = texts(data)
    chosen = [part for part in parts(book) if part.name in ("chapters-elbo", "bibliography")]
    listed = headings.headings(chosen)
    with pikepdf.open(io.BytesIO(data)) as document:
        places = paper.places(document)
        with document.open_outline() as outline:
            marks = [*outline.root]
            titles = [mark.title for mark in marks]
            sections = [child.title for mark in marks for child in mark.children]
    assert titles == [heading.numbered for heading in listed if heading.depth == 0]
    assert sections == [heading.title for heading in listed if heading.depth == 1]
    assert len(sections) > 5
    for heading in listed:
        number = places[heading.place]
        start = heading.title[:30]
        assert start in pages[number - 1], heading
        assert start in pages[1]
        # Running heads and the number of the page come before its text.
        assert f"From Noise {number} " in pages[number - 1]
    shown = [int(word) for word in pages[1].split() if word.isdecimal() and int(word) > 2]
    for heading in listed:
        assert places[heading.place] in shown, heading


@pytest.mark.site
def test_a_running_head_says_which_chapter_it_is(chapter):
    data, book = chapter
    (part,) = (part for part in parts(book) if part.name == "chapters-elbo")
    head = f"{part.number} {part.title}"
    assert sum(text.startswith(head) for text in texts(data)) > 5


@pytest.mark.site
def test_the_number_of_a_chapter_stands_on_its_own_line(chapter):
    data, book = chapter
    (part,) = (part for part in parts(book) if part.name == "chapters-elbo")
    with pikepdf.open(io.BytesIO(data)) as document:
        first = paper.places(document)[part.name]
    with pypdfium2.PdfDocument(data) as document:
        lines = document[first - 1].get_textpage().get_text_bounded().splitlines()
    assert f"Chapter {part.number}" in [line.strip() for line in lines]


@pytest.mark.site
def test_listings_of_the_text_stand_where_they_may_reach_into_the_margin(chapter):
    _, book = chapter
    tree = assemble.document(book, parts(book))
    for part in tree.xpath("//section[starts-with(@id, 'chapters-')]"):
        assert part.xpath("./div[contains(@class, 'highlight')]"), part.get("id")


@pytest.mark.site
def test_equal_sites_print_to_equal_bytes(chapter):
    data, book = chapter
    assert edition.make(book, ["chapters/elbo", "bibliography"]).data == data


LONG = "<p>" + "Some words that fill the page. " * 400 + "</p>"


def test_a_small_book_prints_without_faults(small):
    book = small(
        f'<h1>One</h1>{LONG}<p><a href="../two/#end">the end</a></p>',
        f'<h1>Two</h1>{LONG}<h2 id="end">End</h2><p>Here.</p>',
    )
    made = edition.make(book)
    assert faults(made.data) == []
    with pikepdf.open(io.BytesIO(made.data)) as document:
        assert len(document.pages) == made.n_pages
        places = paper.places(document)
        inner = [target for page, target in paper.links(document) if page > 2]
    assert inner == ["#chapters-two--end"]
    starts = [places["chapters-one"], places["chapters-two"], places["chapters-two--end"]]
    assert all(earlier < later for earlier, later in pairwise(starts))


@pytest.mark.parametrize(
    "style",
    [
        "width: 175mm",
        "margin-left: -5mm; width: 9mm",
        "position: relative; left: 160mm; width: 9mm",
    ],
)
def test_what_leaves_the_text_area_is_refused_by_name(small, style):
    band = f'<div class="band" style="{style}; height: 5mm"></div>'
    with pytest.raises(press.TooWide, match=r"chapters-one: .*band"):
        edition.make(small(f"<h1>One</h1>{band}"))


def test_an_empty_page_is_seen(small):
    gap = '<div style="break-before: page; height: 9mm"></div>'
    end = '<p style="break-before: page">The end.</p>'
    found = faults(edition.make(small(f"<h1>One</h1>{gap}{end}")).data)
    assert [fault for fault in found if "is empty" in fault] == ["page 4 is empty"]


def test_a_link_to_no_place_is_seen(small):
    with pikepdf.open(io.BytesIO(edition.make(small("<h1>One</h1>")).data)) as document:
        del document.Root.Dests["/chapters-two"]
        broken = io.BytesIO()
        document.save(broken)
    assert any("a link to no place: #chapters-two" in fault for fault in faults(broken.getvalue()))


def test_what_is_wider_than_the_column_reaches_into_the_margin_or_shrinks(small):
    row = "".join(f"<td>{'w' * 12}</td>" for _ in range(8))
    table = f'<div class="table-wrap"><table><tr>{row}</tr></table></div>'
    assert faults(edition.make(small(f"<h1>One</h1>{table}")).data) == []


def test_the_verb_says_what_is_missing(small, monkeypatch, tmp_path, capsys):
    import print_edition

    monkeypatch.setattr(press, "NAMES", ())
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    book = small("<h1>One</h1>")
    assert print_edition.main(["--site", str(book.site)]) == 2
    assert "There is no Chromium here" in capsys.readouterr().err
    assert not (book.site / "from-noise.pdf").exists()


def test_the_verb_refuses_to_print_a_site_that_is_not_there(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/print_edition.py", "--site", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "make site" in done.stderr
