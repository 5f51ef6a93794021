"""The archive holds the pages with links to files, and is the same whenever it is made."""

import io
import json
import os
import zipfile

import pytest

from book import disk

PAGE = (
    '<head><link rel="preload" href="a.woff2" as="font" crossorigin>'
    '<link rel="stylesheet" href="../../a.css"></head>'
    '<a class="x" href="../..">home</a><a href="../../">home</a><a href=\'../vae/#top\'>vae</a>'
    '<a href="#here">here</a><a href="https://example.org/a/">away</a>'
    '<a href="../../a.css?x=1&amp;y=2">sheet</a><a href="mailto:a@b">mail</a>'
    '<a href="./">self</a>'
    '<span class="keep"> <a href="../../from-noise.zip">all</a></span>'
)


@pytest.fixture
def site(tmp_path):
    for name in ("index.html", "chapters/elbo/index.html", "chapters/vae/index.html"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PAGE, encoding="utf-8")
    docs = [{"location": ""}, {"location": "chapters/vae/"}, {"location": "chapters/vae/#a b"}]
    (tmp_path / "search").mkdir()
    (tmp_path / "search/search_index.json").write_text(json.dumps({"config": {}, "docs": docs}))
    for name in ("404.html", "sitemap.xml", "a.css", "b.js.map", disk.ARCHIVE):
        (tmp_path / name).write_text("x")
    return tmp_path


def test_links_lead_to_files(site):
    page = disk.from_disk(PAGE, "chapters/elbo/index.html", site)
    assert page == (
        '<head><link rel="stylesheet" href="../../a.css">'
        '<script src="../../assets/javascripts/from_disk.js"></script></head>'
        '<a class="x" href="../../index.html">home</a><a href="../../index.html">home</a>'
        "<a href='../vae/index.html#top'>vae</a>"
        '<a href="#here">here</a><a href="https://example.org/a/">away</a>'
        '<a href="../../a.css?x=1&amp;y=2">sheet</a><a href="mailto:a@b">mail</a>'
        '<a href="./index.html">self</a>'
    )


def test_the_archive_holds_what_works_from_disk(site):
    with zipfile.ZipFile(io.BytesIO(disk.archive(site))) as packed:
        assert packed.namelist() == [
            "from-noise/a.css",
            "from-noise/chapters/elbo/index.html",
            "from-noise/chapters/vae/index.html",
            "from-noise/index.html",
            "from-noise/search/search_index.js",
        ]
        script = packed.read("from-noise/search/search_index.js").decode()
    found = json.loads(script.removeprefix("var __index = "))
    assert [entry["location"] for entry in found["docs"]] == [
        "index.html",
        "chapters/vae/index.html",
        "chapters/vae/index.html#a b",
    ]


def test_the_search_comes_whole(site):
    workers = site / "assets/javascripts/workers"
    workers.mkdir(parents=True)
    (workers / "search.1.min.js").write_text("loads the other")
    (workers / "search.1.whole.js").write_text("searches")
    with zipfile.ZipFile(io.BytesIO(disk.archive(site))) as packed:
        found = packed.read("from-noise/assets/javascripts/workers/search.1.min.js")
    assert found == b"searches"


def test_the_same_site_makes_the_same_bytes(site):
    first = disk.archive(site)
    for file in site.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    assert disk.archive(site) == first
    (site / "a.css").write_text("y")
    assert disk.archive(site) != first
