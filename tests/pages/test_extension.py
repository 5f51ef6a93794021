"""What a page's Markdown becomes."""

import re

import pytest


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^<>]*>", " ", html).split())


def test_a_bar_in_a_formula_or_a_binding_does_not_split_a_table(shelf):
    html = shelf.render("| a | b |\n|---|---|\n| $p(x|z)$ | [[elbo/gap#share|.0%]] |\n")
    assert html.count("<td>") == 2
    assert "<mi>p(x|z)</mi>" in html
    assert ">43%</data>" in html


def test_markdown_leaves_tex_alone(shelf):
    html = shelf.render("So $a_1 * b_2 * c_3$ and $\\{x\\}$ *hold*.\n")
    assert "<mi>a_1 * b_2 * c_3</mi>" in html
    assert "<mi>\\{x\\}</mi>" in html
    assert "<em>hold</em>" in html


def test_bindings_in_code_stay_as_they_are(shelf):
    html = shelf.render("Write `[[given|0.5]]`, `$x$` and `[@key]`.\n\n```text\n[[x]] $y$\n```\n")
    assert "<code>[[given|0.5]]</code>" in html
    assert "<code>$x$</code>" in html
    assert "<code>[@key]</code>" in html
    assert "[[x]] $y$" in text_of(html)


def test_the_anchor_of_a_heading_does_not_hang_on_its_formula(shelf):
    from book.extension import slug

    assert slug("The gap \ue01017\ue011 closes", "-") == "the-gap-closes"
    assert "<mi>x</mi>" in shelf.render("## The gap $x$ closes\n")


def test_boxes_nest_with_equal_slashes(shelf):
    html = shelf.render(
        "/// predict\nWhat if?\n\n/// answer\nIt *fails*.\n///\n///\n\n"
        "/// exercise | Show it\nDo.\n\n/// solution\nDone.\n///\n///\n\nAfter.\n"
    )
    assert re.search(
        r'<div class="predict">.*What if\?.*<details class="answer">\s*<summary>Answer</summary>'
        r".*<em>fails</em>.*</details>\s*</div>",
        html,
        re.S,
    )
    assert re.search(
        r'<div class="exercise" id="exercise-2-1">.*Exercise 2\.1\. Show it', html, re.S
    )
    assert html.rstrip().endswith("</details>\n</div>\n<p>After.</p>\n</div>")


def test_the_frame_of_a_break_names_what_was_removed(shelf):
    html = shelf.render(
        "/// break | Without the $D$\n    removed: the $D$ term\n"
        "It costs [[elbo/gap#gap.mean|.2f]] nats.\n///\n"
    )
    assert '<p class="label break-title">Without the <math><mi>D</mi></math></p>' in html
    assert '<span class="break-removed">the <math><mi>D</mi></math> term</span>' in html
    assert ">0.61</data> nats." in html


def test_a_break_that_does_not_say_what_was_removed_is_refused(shelf):
    for option in ("", "    removed:\n"):
        [problem] = shelf.problems(f"# T\n\n/// break | Worse\n{option}It fails.\n///\n")
        assert problem.startswith("chapters/elbo.md:3: the break block needs an option removed: ")


def test_note_fold_and_remember(shelf):
    html = shelf.render(
        "/// note\nAside.\n///\n\n/// fold | Long\nAlgebra.\n///\n\n"
        "/// remember\n- one\n- two\n///\n"
    )
    assert '<div class="note" role="note">' in html
    assert '<details class="fold">\n<summary>Long</summary>' in html
    assert '<div class="remember">' in html
    assert html.count("<li>") == 2


def test_a_library_block_carries_source_imports_and_class(shelf):
    html = shelf.render('```python\n--8<-- "src/fromnoise/sample.py:scale"\n```\n')
    block = re.search(r'<div class="lang[^<>]*>', html)[0]
    assert "language-python" in block
    assert 'data-source="src/fromnoise/sample.py:scale"' in block
    assert "from fromnoise.sample import HALF" in re.sub(r"<[^<>]*>", "", html)


def test_every_python_block_has_its_class(shelf):
    html = shelf.render("```python\nx = 1\n```\n\n```python\n" + "y = " + "1 + " * 30 + "1\n```\n")
    blocks = re.findall(r'<div class="(?!stretch)([^"]*)"', html)
    assert all("language-python" in names for names in blocks)
    assert ["wide" in names for names in blocks] == [False, True]


@pytest.mark.parametrize("text", ["Costs \\$5.\n", "Costs $5.\n"])
def test_a_dollar_is_a_dollar(shelf, text):
    assert "Costs $5." in shelf.render(text)


def test_nothing_of_the_machinery_is_left_in_a_page(shelf):
    html = shelf.render(
        "# A $x$\n\n/// fold | $y$ and [[given|0.5]]\n\n- one $z$\n\n    - two [@ho2020ddpm]\n///\n"
    )
    assert not re.search("[\ue000-\ue0ff]", html)
    assert "///" not in html


def test_the_ledger_lists_everything_and_counts_it(shelf):
    from book.generated import ledger

    shelf.load(
        "/// equation | gap\n    check: tests/equations/test_elbo.py::test_gap\na\n///\n\n"
        "/// equation | def\n    kind: definition\nb\n///\n\n"
        "/// figure | elbo/gap\n    alt: words here\nIt is [[elbo/gap#share|.0%]].\n///\n\n"
        '```python\n--8<-- "src/fromnoise/sample.py:scale"\n```\n\n```python\nx = 1\n```\n'
    )
    shelf.volume.current = "ledger.md"
    page = ledger(shelf.volume)
    assert 'id="ledger-eq-gap"' in page
    assert "half forgotten; sign" in page
    assert "Both sides by quadrature." in page
    assert "scripts/<wbr>experiments/<wbr>elbo/<wbr>gap.py" in page
    counts = dict(re.findall(r'<th scope="row">([^<>]*)</th><td>(\d+)</td>', page))
    assert counts["Displayed equations"] == "2"
    assert counts["of them checked numerically"] == "1"
    assert counts["Faults planted in those checks"] == "2"
    assert counts["Figures, each drawn by its experiment"] == "1"
    assert counts["Measured numbers, each read from a result"] == "1"
    assert counts["Python blocks, each run alone"] == "2"
    assert counts["of them sections of the library"] == "1"


BREAK = "/// break | {}\n    removed: the $D$ term\nIt fails.\n///\n"
CARD = "# Failures\n\n/// failure | elbo#{}\nIt cost [[elbo/gap#gap.mean|.2f]] nats.\n///\n"


def test_a_card_takes_title_and_removed_part_from_its_break(shelf):
    shelf.put("docs/chapters/elbo.md", "# T\n\n" + BREAK.format("Without the $D$"))
    html = shelf.render(CARD.format("without-the"), "failures.md")
    assert '<section class="failure" id="elbo-without-the">' in html
    assert '<a href="chapters/elbo.md#break-without-the">Without the <math>' in html
    assert "Removed: <span>the <math><mi>D</mi></math> term</span>" in html
    assert ">0.61</data> nats." in html
    assert 'id="break-without-the"' in shelf.render(BREAK.format("Without the $D$"))


def test_breaks_and_cards_belong_to_each_other(shelf):
    shelf.put("docs/failures.md", CARD.format("worse"))
    text = "# T\n\n" + BREAK.format("Worse")
    assert shelf.problems(text) == []
    [problem] = shelf.problems(text + "\n" + BREAK.format("Worst"))
    assert problem.endswith("failures.md has no card for elbo#worst")
    [problem] = shelf.problems(text + "\n" + BREAK.format("Worse"))
    assert problem.endswith("two breaks are called Worse")
    shelf.put("docs/failures.md", CARD.format("worse") + CARD.format("bad").partition("\n\n")[2])
    [problem] = shelf.problems(text)
    assert problem == "failures.md:6: there is no break elbo#bad; elbo has elbo#worse"
