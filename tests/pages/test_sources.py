"""The scanner finds each thing a page may hold, at its line, and says what it cannot read."""

import pytest

from book.sources import parse

PAGE = """---
title: A title
---

# Heading $x$

Text with `[[code|x]]` and $p(x|z)$ and [[elbo/gap#gap.mean|.2f]] and [[given|0.5]],
as [@kingma2014vae, section 2; @ho2020ddpm] and [@kingma2014vae] say; see [@eq:gap].

/// equation | gap
    check: tests/equations/test_elbo.py::test_gap
a < b [[not|read]] $
///

/// predict
    Why?

/// answer
```python
x = 1  # [[not|read]]
```
///
///

<!-- [[a comment]] -->
"""


def test_each_thing_is_found_at_its_line():
    page = parse(PAGE, "chapters/elbo.md")
    assert page.problems == []
    assert page.title == "A title"
    assert [(h.text, h.place.line) for h in page.headings] == [("Heading $x$", 5)]
    assert [(f.tex, f.place.line) for f in page.formulas] == [("x", 5), ("p(x|z)", 7)]
    assert [(n.key, n.spec, n.place.line) for n in page.numbers] == [("gap.mean", ".2f", 7)]
    assert [g.text for g in page.givens] == ["0.5"]
    assert [(c.key, c.locator, c.ordinal) for c in page.citations] == [
        ("kingma2014vae", "section 2", 1),
        ("ho2020ddpm", "", 1),
        ("kingma2014vae", "", 2),
    ]
    assert [(r.kind, r.name, r.place.line) for r in page.references] == [("eq", "gap", 8)]
    assert [(e.name, e.tex, e.place.line) for e in page.equations] == [
        ("gap", "a < b [[not|read]] $", 10)
    ]
    assert [(f.language, f.inside, f.place.line) for f in page.fences] == [
        ("python", ("predict", "answer"), 19)
    ]
    assert [b.name for b in page.blocks] == ["equation", "predict", "answer"]


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        r"It costs \$5, not \$6.",
        "A lone $ sign.",
        "`$x$` in code",
        "From $5$4 nothing.",
    ],
)
def test_a_price_is_no_formula(text):
    assert parse(text).formulas == []


def test_a_formula_may_run_over_a_line_but_not_over_a_paragraph():
    assert [f.tex for f in parse("So $a +\nb$ holds.").formulas] == ["a + b"]
    assert parse("So $a +\n\nb$ holds.").formulas == []


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("\n/// fold | x\ntext\n", 2, "the fold block is never closed"),
        ("text\n\n///\n", 3, "closes a block that was never opened"),
        ("/// sidebar\n///\n", 1, "there is no block called sidebar"),
        ("/// fold\n///\n", 1, "needs a name or title"),
        ("/// answer\n///\n", 1, "stands only inside predict"),
        ("/// equation | gap\na\n///\n", 1, "needs a check"),
        ("/// equation | gap\n    kind: theorem\na\n///\n", 1, "the only kind is definition"),
        ("/// equation | Gap_1\n    kind: definition\na\n///\n", 1, "lower-case"),
        ("/// equation | gap\n    kind: definition\n///\n", 1, "is empty"),
        ("/// equation | gap\n    kind: definition\na \\tag{1}\n///\n", 1, "\\tag"),
        ("/// equation | gap\n    kind: definition\n    colour: red\na\n///\n", 1, "colour"),
        ("/// figure | gap\n    alt: words\ntext\n///\n", 1, "must be <chapter>/<experiment>"),
        ("/// figure | elbo/gap\ntext\n///\n", 1, "no alt text"),
        ("```python\nx = 1\n", 1, "never closed"),
        ("a\n[[elbo/gap]]\n", 2, "is neither"),
        ("a\n[[elbo/gap#key]]\n", 2, "is neither"),
        ("[@kingma2014vae and more]\n", 1, "cannot read the citation"),
        ("[@sec:one]\n", 1, "begins with eq: or fig:"),
        ("a\n\n$$x$$\n", 3, "equation block"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text, line, sentence):
    problems = parse(text, "chapters/elbo.md").problems
    assert any(p.place.line == line and sentence in p.sentence for p in problems), problems


def test_the_same_name_twice_is_refused():
    equation = "/// equation | gap\n    kind: definition\na\n///\n"
    figure = "/// figure | elbo/gap\n    alt: words\ntext\n///\n"
    for block in (equation, figure):
        problems = parse(block + "\n" + block).problems
        assert any("twice" in problem.sentence for problem in problems)


def test_nested_blocks_close_from_the_inside():
    page = parse("/// exercise | A\ntext\n\n/// solution\nso\n///\nmore\n///\n")
    outer, inner = page.blocks
    assert (outer.name, inner.name, inner.parents) == ("exercise", "solution", ("exercise",))
    assert outer.depth_below == 1
    assert "more" in page.text[outer.body_start : outer.body_end]
    assert "more" not in page.text[inner.body_start : inner.body_end]
