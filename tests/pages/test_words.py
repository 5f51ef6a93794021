"""The plain version of a page says what the page shows, in Markdown that any reader knows."""

import re

from book import words

CHAPTER = """---
title: The chapter
description: A chapter \\d to test with.
---

# The chapter

<!-- a note to editors -->

The mean is [[elbo/gap#gap|interval .2f]] of [[given|0.5]], as [@ho2020ddpm, section 2] and
[@eq:gap] say of `perturb`{.foreign}, [the other](one.md?widget=play#top) and
[`plain`][fromnoise.sample.plain]. See equation [@eq:gap] and [@fig:elbo/gap].

/// predict
How much is $x^*$?

/// answer
Half.
///
///

/// equation | gap
    check: tests/equations/test_elbo.py::test_gap
    called: the gap
a \\\\
b
///

/// figure | elbo/gap
    alt: A [curve].
A caption with [[elbo/gap#share|.0%]].
///

/// break | Without $p$
    removed: the [[given|one]] term
It fails.
///

/// exercise | Half
Do.

/// solution
```python
assert 1
```
///
///

```python
--8<-- "src/fromnoise/sample.py:plain"
```

    <!-- kept -->
"""


def plain(shelf, text=CHAPTER, path="chapters/elbo.md"):
    volume = shelf.load(text, path)
    volume.urls = {
        "chapters/elbo.md": "chapters/elbo/",
        "chapters/one.md": "chapters/one/",
        "reference/sample.md": "reference/sample/",
        "bibliography.md": "bibliography/",
        "notebooks/elbo.ipynb": "notebooks/elbo/",
    }
    return words.page_text(volume, volume.pages[path])


def test_the_plain_version_says_what_the_page_shows(shelf):
    text = plain(shelf)
    assert text.startswith("# The chapter\n\n> A chapter \\d to test with.\n\nThe mean is")
    assert "The mean is 0.61 (0.58 to 0.64) of 0.5, as [Ho et al. 2020, section 2; " not in text
    assert "0.61 (0.58 to 0.64) of 0.5, as [Ho et al. 2020, section 2] and\nequation (2.1)" in text
    assert "`perturb`, [the other](../one/index.html.md#top)" in text
    assert "[`plain`](../../reference/sample/index.html.md#fromnoise.sample.plain)" in text
    assert "See equation (2.1) and Figure 2.1." in text
    assert "**Predict first**\n\nHow much is $x^*$?\n\n**Answer**\n\nHalf." in text
    assert (
        "Equation (2.1), `gap`, the gap, checked by `tests/equations/test_elbo.py::test_gap`:\n\n"
        "$$\na \\\\\nb\n$$\n"
    ) in text
    assert "![A (curve).](../../figures/elbo/gap.svg)\n\nFigure 2.1. A caption with 43%." in text
    assert "**How it breaks: Without $p$** (removed: the one term)\n\nIt fails." in text
    assert "**Exercise 2.1: Half**\n\nDo.\n\n**Solution**\n\n```python\nassert 1\n```" in text
    assert "From `src/fromnoise/sample.py:plain`:\n\n```python\ndef plain(x):" in text
    assert text.endswith(
        "\n\nThe same code [as a file](../elbo.py), or cell by cell: [the notebook of this chapter]"
        "(../../notebooks/elbo/index.html.md).\n\n## Works cited\n\n- Ho et al. 2020: "
        "Jonathan Ho, Ajay Jain, and Pieter Abbeel. "
        "Denoising Diffusion Probabilistic Models. A Journal, 2020.\n"
    )


def test_nothing_of_the_book_s_own_markup_is_left(shelf):
    text = re.sub(r"```.*?```", "", plain(shelf), flags=re.S)
    assert not re.search(r"^ */{3,}|\[\[|\[@|\{:|\{\.|--8<--|<!--|[\ue000-\uf8ff]", text, re.M)


def test_markup_that_is_shown_as_an_example_stays(shelf):
    text = plain(shelf, "# T\n\n````markdown\n[[a/b#c|.2f]]\n/// note\n<!-- x -->\n///\n````\n")
    assert "[[a/b#c|.2f]]\n/// note\n<!-- x -->\n///" in text


def test_a_list_that_the_build_makes_is_markdown_too(shelf):
    shelf.load(CHAPTER)
    text = plain(shelf, "# B\n\n/// bibliography\n///\n", "bibliography.md")
    assert "- Ho et al. 2020. Jonathan Ho" in text
    assert "Cited in [The chapter](../chapters/elbo/#cite-ho2020ddpm-1)." in text
    assert "<" not in text


def test_the_plain_version_lies_beside_the_page(shelf):
    volume = shelf.load(CHAPTER)
    volume.urls = {"index.md": "./", "a.md": "a/", "b.md": "b.html", "c.md": ""}
    assert [words.address(volume, name) for name in volume.urls] == [
        "index.html.md",
        "a/index.html.md",
        "b.html.md",
        "index.html.md",
    ]
