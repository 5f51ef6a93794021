"""A fault in what programs read is found: in plain versions, their list, the feed, the site map."""

import pytest

from checking import machines
from checking.book import Book

HEAD = '<link rel="alternate" type="text/markdown" href="index.html.md">'
PLAIN = """# Home

[A page](page/index.html.md) and [a folder](page/#x), `[[code]]`, $[[x]]$.

```text
/// shown
[[as/an#example|.2f]]
```
"""
LIST = """# The book

> What it is.

## Pages

- [Home](index.html.md): the first
- [Page](page/index.html.md)
- [One](chapters/one/index.html.md)
"""
FEED = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
<title>T</title><id>urn:a</id><updated>2026-11-21T00:00:00Z</updated>
<link rel="alternate" href="page/"/>
<entry><title>E</title><id>urn:b</id><updated>2026-11-20T00:00:00Z</updated>
<link rel="alternate" href="page/#x"/></entry>
</feed>
"""
MAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc>https://example.org/b/</loc></url>
<url><loc>https://example.org/b/page/</loc></url>
<url><loc>https://example.org/b/chapters/one/</loc></url>
</urlset>
"""
CHAPTER = """<main><article>
<p>It costs <data>0.61</data> nats, as <a href="#">some</a> say of <math><mi>x</mi></math> and of
what comes after <code>code</code> in this place.</p>
<p class="reproduce">One two three four five six seven.</p>
<template><p>This stands on another page, not here.</p></template>
</article></main>"""
SAME = """# One

It costs 0.61 nats, as [some](../../page/index.html.md) say of $x
y$ and *of what comes after* `code` in this place.
"""
CANONICAL = '<link rel="canonical" href="https://example.org/b/">'


@pytest.fixture
def site(tmp_path):
    """A site of two pages with everything beside them."""
    put = {
        "index.html": f"<html><head>{CANONICAL}{HEAD}</head><body>Home</body></html>",
        "page/index.html": f"<html><head>{HEAD}</head><body><p id='x'>Page</p></body></html>",
        "chapters/one/index.html": f"<html><head>{HEAD}</head><body>{CHAPTER}</body></html>",
        "chapters/one/index.html.md": SAME,
        "404.html": "<html><body>None</body></html>",
        "index.html.md": PLAIN,
        "page/index.html.md": "# Page\n",
        "llms.txt": LIST,
        "feed.xml": FEED,
        "sitemap.xml": MAP,
    }
    for name, text in put.items():
        file = tmp_path / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def codes(root) -> list[str]:
    book = Book(root=root, docs=root / "docs", site=root / "site")
    return [fault.code for fault in machines.check(book)]


def test_a_sound_site_has_no_faults(site):
    assert codes(site) == []


@pytest.mark.parametrize(
    "name, old, new, code",
    [
        ("index.html.md", "# Home", "Home", "plain-broken"),
        ("index.html.md", "a folder](page/", "a folder](gone/", "link-broken"),
        ("index.html.md", "(page/index.html.md)", "(page/index.md)", "link-broken"),
        ("index.html.md", "`[[code]]`", "[[code]]", "plain-left"),
        ("index.html.md", "$[[x]]$", "[@x]", "plain-left"),
        ("index.html.md", "\n```text\n", "\n/// note\n\n```text\n", "plain-left"),
        ("index.html.md", "`[[code]]`", "\ue0101\ue011", "plain-left"),
        ("chapters/one/index.html.md", "0.61", "0.62", "plain-differs"),
        ("chapters/one/index.html.md", "comes after", "comes", "plain-differs"),
        ("chapters/one/index.html", "It costs", "It never costs", "plain-differs"),
        ("llms.txt", "> What", "What", "list-form"),
        ("llms.txt", "- [Home]", "- Home ", "list-form"),
        ("llms.txt", "- [Page](page/index.html.md)\n", "", "list-missing"),
        ("llms.txt", "page/index.html.md", "page/gone.md", "link-broken"),
        ("feed.xml", "</feed>", "", "xml-broken"),
        ("feed.xml", "<id>urn:b</id>", "", "feed-form"),
        ("feed.xml", "urn:b", "urn:a", "feed-form"),
        ("feed.xml", "2026-11-20T00:00:00Z", "2026-11-20", "feed-form"),
        ("feed.xml", "page/#x", "page/#y", "link-broken"),
        ("sitemap.xml", "</urlset>", "", "xml-broken"),
        ("sitemap.xml", "b/page/", "b/gone/", "link-broken"),
        ("sitemap.xml", "example.org/b/page", "example.com/b/page", "map-foreign"),
        ("sitemap.xml", "<url><loc>https://example.org/b/page/</loc></url>", "", "map-missing"),
    ],
)
def test_a_planted_fault_is_found(site, name, old, new, code):
    file = site / "site" / name
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")
    assert code in codes(site)


def test_a_missing_list_and_a_missing_map_are_found(site):
    (site / "site/llms.txt").unlink()
    (site / "site/sitemap.xml").unlink()
    assert sorted(codes(site)) == ["list-missing", "map-missing"]


def test_a_site_without_an_address_needs_no_map_and_may_have_none(site):
    home = site / "site/index.html"
    home.write_text(home.read_text().replace(CANONICAL, ""))
    assert "map-foreign" in codes(site)
    (site / "site/sitemap.xml").unlink()
    assert codes(site) == []
