"""Without any hook, the Markdown extension alone makes the whole text of a page."""

import re
from types import SimpleNamespace

import pytest
from markdown import Markdown
from markdown.preprocessors import Preprocessor

from book import standalone
from book.errors import BookError

OTHER = """# One

/// equation | gap
    kind: definition
a < b
///
"""
CHAPTER = """# The gap $x^*$

## A number, $y$

The share is [[elbo/gap#share|.0%]], see [@eq:gap] and [@kingma2014vae].

```python
import math

print(math.pi)
```
"""
EXTENSIONS = ["attr_list", "tables", "toc", "pymdownx.superfences", "pymdownx.highlight"]


class Known(Preprocessor):
    """What a generator without hooks leaves in the parser to say which page it reads."""

    def __init__(self, md, path):
        super().__init__(md)
        self.page = SimpleNamespace(path=path)

    def run(self, lines):
        return lines


@pytest.fixture
def parser(shelf, monkeypatch):
    """A parser for a page of the small book, as a generator without hooks makes it."""
    shelf.put("docs/chapters/one.md", OTHER)
    small = shelf.load(CHAPTER).formulas
    monkeypatch.setattr(
        standalone,
        "new_formulas",
        lambda root: type(small)(cache=small.cache, renderer=small.renderer),
    )

    def made(path):
        extension = standalone.StandaloneExtension(root=shelf.root)
        md = Markdown(extensions=[*EXTENSIONS, extension])
        md.preprocessors.register(Known(md, path), "known", 0)
        return md

    yield made
    standalone._volume.cache_clear()


def test_a_chapter_comes_whole(parser):
    md = parser("chapters/elbo.md")
    made = md.convert(CHAPTER)
    assert not re.search("[\ue000-\ue011]", made), "a mark was left"
    assert "43%" in made
    assert "<mi>y</mi>" in made
    assert 'href="one/#eq-gap"' in made, "from the source, as links in Markdown are"
    assert "Kingma" in made
    assert made.count('<template data-for="eq-gap"') == 1, "the card of the other page's equation"
    assert 'href="elbo.py"' in made, "the chapter's code as a file"
    assert 'id="a-number"' in made, "a formula is no part of an anchor"


def test_the_table_of_contents_has_its_formulas(parser):
    md = parser("chapters/elbo.md")
    md.convert(CHAPTER)
    (top,) = md.toc_tokens
    assert top["name"] == "The gap x^*"
    assert "<mi>y</mi>" in top["children"][0]["html"]


def test_two_pages_that_are_read_side_by_side_do_not_mix(parser):
    first, second = parser("chapters/elbo.md"), parser("chapters/one.md")
    assert 'id="eq-gap"' in second.convert(OTHER)
    made = first.convert(CHAPTER)
    assert "<mi>y</mi>" in made
    assert 'href="elbo.py"' in made


def test_a_fault_stops_the_page_with_its_place(parser):
    md = parser("chapters/elbo.md")
    with pytest.raises(BookError, match=r"chapters/elbo\.md.*is not TeX"):
        md.convert(CHAPTER.replace("$y$", r"$\undefined$"))


@pytest.mark.parametrize(
    ("link", "page", "there"),
    [
        ("../../glossary/", "chapters/vae.md", "../glossary/"),
        ("../elbo/", "chapters/vae.md", "elbo/"),
        ("../../vae.py", "chapters/vae.md", "../vae.py"),
        ("../../", "chapters/vae.md", "../"),
        ("../notation/", "paths.md", "notation/"),
        ("chapters/vae/", "index.md", "chapters/vae/"),
        ("../chapters/vae/", "notebooks/index.md", "../chapters/vae/"),
    ],
)
def test_a_link_from_a_page_is_one_from_its_source(link, page, there):
    assert standalone.from_source(link, page) == there


def test_only_links_within_the_site_are_moved():
    kept = '<a href="#x"><a href="https://a.org/b/"><a href="mailto:a@b"><img src="../a.svg">'
    assert standalone.HREF.findall(kept) == []
    assert standalone.HREF.findall('<a class="a" href="../b/#c">') == ["../b/"]


@pytest.mark.parametrize(
    ("name", "stands"),
    [
        ("index.md", "./"),
        ("paths.md", "paths/"),
        ("notebooks/index.md", "notebooks/"),
        ("chapters/vae.md", "chapters/vae/"),
        ("notebooks/vae.ipynb", "notebooks/vae/"),
        ("figures/vae/map.svg", "figures/vae/map.svg"),
    ],
)
def test_sources_stand_where_mkdocs_puts_them(name, stands):
    from mkdocs.structure.files import File

    assert standalone.address(name) == stands
    if name.endswith((".md", ".svg")):
        assert File(name, "docs", "site", use_directory_urls=True).url == stands
