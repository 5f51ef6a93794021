"""Two builds of the same sources are told apart by whatever a reader would notice."""

import shutil
import zipfile
from pathlib import Path

import pytest

from checking.book import Book
from checking.likeness import agreement, differences

PAGE = """<!doctype html><html><head><title>A page</title>
    <meta name="generator" content="{by}">
</head><body><article>
<h1 id="top">A page</h1><p>Some words. <a href="b/">A link.</a></p>
<div class="equation" id="eq-one"><math><mi>x</mi></math></div>
<figure data-experiment="scripts/experiments/a/b.py"><img src="b.svg"></figure>
</article></body></html>
"""


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Book, Book]:
    """The same small site by two generators."""
    for by in ("ours", "theirs"):
        (tmp_path / by / "b").mkdir(parents=True)
        (tmp_path / by / "index.html").write_text(PAGE.format(by=by))
        (tmp_path / by / "b" / "index.html").write_text(PAGE.format(by=by))
        (tmp_path / by / "b.svg").write_text("<svg/>")
        (tmp_path / by / "sitemap.xml").write_text(f"<urlset>{by}</urlset>")
    ours, theirs = (
        Book(root=tmp_path, docs=tmp_path, site=tmp_path / by) for by in ("ours", "theirs")
    )
    return ours, theirs


def test_a_signature_and_a_date_make_no_difference(sites):
    assert list(differences(*sites)) == []


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("Some words.", "Some word.", "words (6 here, 6 there; 1 lost, 1 new)"),
        ("<title>A page", "<title>Page", "title"),
        ('id="top"', 'id="page"', "ids"),
        ('href="b/"', 'href="b"', "links"),
        ('class="equation"', "", "equations"),
        ("<mi>x</mi></math>", "x</math><math></math>", "formulas"),
        (' data-experiment="scripts/experiments/a/b.py"', "", "figures"),
        ("b.svg", "c.svg", "images"),
        ("<p>", "<pre></pre><p>", "listings"),
        ("<p>", "<table></table><p>", "tables"),
        ("<title>", '<link rel="stylesheet" href="a.css"><title>', "styles and scripts"),
        ("<p>", '<p class="x">', "its markup alone"),
    ],
)
def test_what_a_reader_would_notice_is_named(sites, old, new, kind):
    file = sites[1].site / "b" / "index.html"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    (found,) = differences(*sites)
    assert found.startswith("b/index.html: differs in ")
    assert kind in found


def test_pages_and_files_that_are_missing_or_new_are_named(sites):
    ours, theirs = sites
    shutil.rmtree(theirs.site / "b")
    (theirs.site / "c.html").write_text(PAGE)
    (theirs.site / "b.svg").write_text("<svg></svg>")
    (theirs.site / "d.css").write_text("")
    (ours.site / "e.js").write_text("")
    assert list(differences(ours, theirs)) == [
        "b/index.html: is missing",
        "c.html: is there in addition",
        "b.svg: has other bytes",
        "d.css: is there in addition",
        "e.js: is missing",
    ]


def test_an_archive_is_judged_by_what_it_holds(sites):
    for book in sites:
        with zipfile.ZipFile(book.site / "all.zip", "w") as made:
            made.write(book.site / "index.html", "index.html")
    assert list(differences(*sites)) == []
    with zipfile.ZipFile(sites[1].site / "all.zip", "w") as made:
        made.writestr("index.html", PAGE.replace("Some words.", "Some word."))
    assert list(differences(*sites)) == ["all.zip: has other bytes"]


def test_what_is_the_same_is_counted_on_the_pages_that_both_have(sites):
    ours, theirs = sites
    file = theirs.site / "b" / "index.html"
    file.write_text(file.read_text().replace("Some words.", "Some word."))
    shared, same = agreement(ours, theirs)
    assert shared == 2
    assert (same["words"], same["formulas"]) == (1, 2)
    shutil.rmtree(theirs.site / "b")
    theirs = Book(root=theirs.root, docs=theirs.docs, site=theirs.site)
    assert agreement(ours, theirs)[0] == 1
