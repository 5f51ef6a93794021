"""Formulas become MathML with the site's own font, or the build says which one cannot."""

import io
from pathlib import Path

import pytest

from book import mathfont
from book.errors import Place
from book.maths import MARK, characters, italic
from book.node import ensure_packages
from book.volume import new_formulas

ROOT = Path(__file__).resolve().parents[2]
PLACE = Place("chapters/elbo.md", 3)


@pytest.fixture
def formulas(tmp_path):
    """Formulas rendered by Temml, in a cache of their own."""
    ensure_packages(ROOT)
    fresh = new_formulas(ROOT)
    fresh.cache = tmp_path
    return fresh


def test_a_formula_becomes_mathml_in_its_place(formulas):
    text = f"<p>So {formulas.mark('x_0', False, PLACE)} and {formulas.mark('x_0', False, PLACE)}"
    assert len(formulas.asked) == 1
    formulas.render()
    assert not MARK.search(formulas.fill(text))
    assert formulas.fill(text).count("<msub><mi>x</mi><mn>0</mn></msub>") == 2
    assert formulas.plain(text).startswith("<p>So x0 and x0")


def test_display_and_inline_differ(formulas):
    formulas.mark("a", True, PLACE)
    formulas.mark("a", False, PLACE)
    formulas.render()
    assert 'display="block"' in formulas.html[0]
    assert 'display="block"' not in formulas.html[1]


@pytest.mark.parametrize("tex", [r"\frac{1", r"\undefinedmacro x", r"\begin{aligned} a", "a_b_c"])
def test_bad_tex_names_page_line_and_formula(formulas, tex):
    formulas.mark("good", False, PLACE)
    formulas.mark(tex, False, PLACE)
    formulas.render()
    [problem] = formulas.problems
    assert str(problem).startswith("chapters/elbo.md:3: the formula")
    assert tex in problem.sentence.replace("\\\\", "\\")


def test_no_style_attribute_is_left(formulas):
    formulas.mark(r"\begin{aligned} a &= \hat{x} \\ &= \color{red} b \end{aligned}", True, PLACE)
    formulas.render()
    assert " style=" not in formulas.html[0]
    rules = formulas.style_rules()
    for name in formulas.styles.values():
        assert name in formulas.html[0]
        assert f".{name}{{" in rules


def test_a_second_build_reads_the_cache(formulas):
    formulas.mark("x", False, PLACE)
    formulas.render()
    again = new_formulas(ROOT)
    again.cache = formulas.cache
    again.renderer = lambda wanted: pytest.fail(f"rendered again: {wanted}")
    again.mark("x", False, PLACE)
    again.render()
    assert again.html == formulas.html


@pytest.mark.parametrize("pair", ["x𝑥", "hℎ", "A𝐴", "θ𝜃", "Γ𝛤"])
def test_letters_are_drawn_italic(pair):
    letter, name = pair
    assert italic(letter) == name
    assert name in characters(f"<math><mi>{letter}</mi></math>")


def test_upright_letters_and_words_stay():
    assert "𝑑" not in characters('<math><mi mathvariant="normal">d</mi></math>')
    assert characters("<math><mi>KL</mi></math>") == {"K", "L"}


def test_the_font_holds_what_is_drawn_and_how_it_grows():
    from fontTools.ttLib import TTFont

    ensure_packages(ROOT)
    drawn = characters("<math><mi>x</mi><mo>∑</mo><mo>(</mo><mi>ℒ</mi></math>")
    font = TTFont(io.BytesIO(mathfont.cut(ROOT, drawn)))
    held = font.getBestCmap()
    assert {ord(c) for c in "𝑥∑(ℒ√−"} <= set(held)
    assert 0x1D466 not in held  # y is not used
    variants = font["MATH"].table.MathVariants.VertGlyphConstruction
    assert len(variants) > 3
    assert len(font.getGlyphOrder()) < 400


def test_a_character_the_font_lacks_is_refused():
    ensure_packages(ROOT)
    with pytest.raises(mathfont.BookError, match="U\\+4E2D"):
        mathfont.cut(ROOT, {"中"})


def test_the_style_sheet_holds_only_rules_for_classes_in_use():
    ensure_packages(ROOT)
    sheet = mathfont.stylesheet(ROOT, {"tml-display"}, ".mabc{color:red}")
    assert "math.tml-display" in sheet
    assert "textcircle" not in sheet
    assert "http" not in sheet
    assert "data:" not in sheet
    assert sheet.count("@font-face") == 1
    assert ".mabc{color:red}" in sheet
