"""Numbers, equations, figures, citations and references are bound, or the build says where not."""

import pytest

NUMBER = "[[elbo/gap#{}]]"
EQUATION = "/// equation | {}\n    check: {}\na = b\n///\n"
EXPERIMENT = '''"""How wide is the gap?"""

SIZES = {"smoke": 1, "full": 2, "gpu": 3}


def run(config, device, workdir):
    return {}


def draw(results):
    return None
'''
FIGURE = "/// figure | elbo/gap\n    alt: A line that falls.\nThe caption.\n///\n"


@pytest.mark.parametrize(
    ("binding", "shown", "value"),
    [
        ("gap.mean|.2f", "0.61", "0.61234567"),
        ("share|.0%", "43%", "0.4321"),
        ("list.1|g", "2.5", "2.5"),
        ("list.0|d", "1", "1"),
        ("beta.0.5.kl|.1f", "1.2", "1.25"),
        ("name|s", "cosine", "cosine"),
    ],
)
def test_a_number_is_read_from_its_result(shelf, binding, shown, value):
    html = shelf.render(f"It is {NUMBER.format(binding)}.\n")
    key = binding.partition("|")[0]
    source = f"docs/figures/elbo/gap.json#results.{key}"
    assert f'<data class="measured" value="{value}" data-source="{source}">{shown}</data>' in html


def test_an_interval_is_three_bound_numbers(shelf):
    html = shelf.render("It is [[elbo/gap#gap|interval .2f]].\n")
    for part, value, shown in [
        ("mean", "0.61234567", "0.61"),
        ("low", "0.5801", "0.58"),
        ("high", "0.6402", "0.64"),
    ]:
        source = f"docs/figures/elbo/gap.json#results.gap.{part}"
        assert f'value="{value}" data-source="{source}">{shown}</data>' in html


@pytest.mark.parametrize(
    ("binding", "sentence"),
    [
        ("[[elbo/gone#x|.2f]]", "there is no experiment elbo/gone"),
        ("[[elbo/gpa#x|.2f]]", "there is no experiment elbo/gpa; did you mean elbo/gap?"),
        ("[[elbo/gap#gop|.2f]]", "no result gop; did you mean gap?"),
        ("[[elbo/gap#gap.zzz|.2f]]", "has no result gap.zzz; there is mean, low, high"),
        ("[[elbo/gap#list.7|.2f]]", "the list has 2 entries"),
        ("[[elbo/gap#gap|.2f]]", "a group of results, not a number"),
        ("[[elbo/gap#share|.2q]]", "cannot be written as '.2q'"),
        ("[[elbo/gap#name|.2f]]", "cannot be written as '.2f'"),
        ("[[elbo/gap#share|interval .2f]]", "has no mean, low and high"),
    ],
)
def test_a_binding_to_nothing_is_told_with_page_and_line(shelf, binding, sentence):
    [problem] = shelf.problems(f"# T\n\nIt is\n{binding}.\n")
    assert problem.startswith("chapters/elbo.md:4: ")
    assert sentence in problem


def test_a_size_that_nobody_has_run_is_said_and_filled_in_later(shelf):
    number = "[[elbo/gap.gpu#gap|interval .2f]]"
    source = "docs/figures/elbo/gap.gpu.json#results.gap.mean"
    shelf.put("scripts/experiments/elbo/gap.py", EXPERIMENT)
    html = shelf.render(f"It is {number}.\n")
    assert f'<span class="unrun" data-source="{source}">not run</span>' in html
    [problem] = shelf.problems("# T\n\n[[elbo/gap.gpu#gop|.2f]]\n")
    assert "no result gop; did you mean gap?" in problem
    full = (shelf.root / "docs/figures/elbo/gap.json").read_text(encoding="utf-8")
    shelf.put("docs/figures/elbo/gap.gpu.json", full)
    assert f'data-source="{source}">0.61</data>' in shelf.render(f"It is {number}.\n")


def test_a_size_that_is_not_offered_is_no_promise(shelf):
    [problem] = shelf.problems("# T\n\n[[elbo/gap.gpu#share|.2f]]\n")
    assert "there is no docs/figures/elbo/gap.gpu.json" in problem


def test_an_equation_leads_to_its_check(shelf):
    html = shelf.render(EQUATION.format("gap", "tests/equations/test_elbo.py::test_gap"))
    assert '<div class="equation" id="eq-gap"' in html
    assert 'data-check="tests/equations/test_elbo.py::test_gap"' in html
    assert '<a class="equation-number" href="#eq-gap"' in html
    assert "(2.1)" in html  # the second chapter of the navigation
    assert "ledger.md#ledger-eq-gap" in html


def test_a_definition_says_so_and_has_no_mark(shelf):
    html = shelf.render("/// equation | gap\n    kind: definition\na < b & c\n///\n")
    assert 'data-kind="definition"' in html
    assert "equation-check" not in html


@pytest.mark.parametrize(
    ("name", "check", "sentence"),
    [
        ("gap", "tests/equations/test_gone.py::test_gap", "there is no file"),
        ("gap", "tests/equations/test_elbo.py::test_gone", "has no test test_gone"),
        ("gap", "tests/equations/test_elbo.py::test_of_nothing", "has no test test_of_nothing"),
        ("bound", "tests/equations/test_elbo.py::test_gap", "proves gap, other, not this"),
        ("gap", "test_gap", "write the check as"),
    ],
)
def test_an_equation_without_a_sound_check_is_refused(shelf, name, check, sentence):
    [problem] = shelf.problems("# T\n\n" + EQUATION.format(name, check))
    assert problem.startswith("chapters/elbo.md:3: ")
    assert sentence in problem


def test_an_equation_stands_once_in_the_book(shelf):
    text = "/// equation | gap\n    kind: definition\na\n///\n"
    shelf.put("docs/chapters/one.md", f"# One\n\n{text}")
    [problem] = shelf.problems(text)
    assert problem == "chapters/elbo.md:1: equation gap already stands on chapters/one.md:3"
    shelf.put("docs/chapters/one.md", "# One\n")
    [problem] = shelf.problems(text + text)
    assert problem == "chapters/elbo.md:5: equation gap stands twice on this page, first in line 1"


def test_a_figure_has_both_drawings_its_size_and_its_line(shelf):
    html = shelf.render(FIGURE)
    assert 'data-experiment="scripts/experiments/elbo/gap.py"' in html
    assert 'id="fig-elbo-gap"' in html
    for mode, file in (("light", "gap.svg"), ("dark", "gap.dark.svg")):
        assert f'class="{mode}"' in html
        assert f'src="../figures/elbo/{file}"' in html
    assert 'width="400"' in html
    assert 'height="200"' in html
    assert 'loading="lazy"' in html
    assert html.count('alt="A line that falls."') == 2
    assert "Figure 2.1." in html
    line = html[html.index('<p class="reproduce"') :]
    assert "<code>python scripts/build_figures.py run elbo/gap --size full</code>" in line
    assert "seed 3" in line
    assert "cpu" in line
    assert "13 s" in line


def test_a_figure_whose_code_moved_on_says_so(shelf):
    assert "The code has changed since" in shelf.render(FIGURE)


def test_a_figure_outside_the_chapters_has_no_number(shelf):
    html = shelf.render(FIGURE, "index.md")
    assert 'src="figures/elbo/gap.svg"' in html
    assert "Figure" not in html


def test_a_figure_of_no_experiment_is_told_with_the_nearest(shelf):
    problems = shelf.problems("# T\n\n" + FIGURE.replace("elbo/gap", "elbo/gapp"))
    sentence = "there is no experiment elbo/gapp; did you mean elbo/gap?"
    assert problems == [f"chapters/elbo.md:3: {sentence}"]


@pytest.mark.parametrize("gone", ["gap.json", "gap.svg", "gap.dark.svg"])
def test_a_missing_file_of_a_figure_is_told(shelf, gone):
    (shelf.root / "docs/figures/elbo" / gone).unlink()
    [problem] = shelf.problems("# T\n\n" + FIGURE)
    assert problem.startswith("chapters/elbo.md:3: there is no docs/figures/elbo/" + gone)


def test_a_citation_leads_to_its_entry_and_back(shelf):
    text = "So say [@kingma2014vae, section 2] and [@kingma2014vae; @ho2020ddpm].\n"
    html = shelf.render(text)
    assert 'id="cite-kingma2014vae-1"' in html
    assert 'id="cite-kingma2014vae-2"' in html
    assert ">Kingma and Welling 2014, section 2</a>" in html
    assert ">Ho et al. 2020</a>" in html
    shelf.volume.current = "bibliography.md"
    from book.generated import bibliography

    page = bibliography(shelf.volume)
    assert '<li id="ho2020ddpm">' in page
    for ordinal in (1, 2):
        assert f"chapters/elbo.md#cite-kingma2014vae-{ordinal}" in page
    assert "Auto-Encoding Variational" in page


def test_an_unknown_citation_or_reference_is_told(shelf):
    problems = shelf.problems("# T\n\n[@gone2020] [@eq:gone] [@fig:elbo/gone]\n")
    assert [problem.partition(": ")[0] for problem in problems] == ["chapters/elbo.md:3"] * 3
    text = "\n".join(problems)
    assert "no entry gone2020" in text
    assert "no equation called gone" in text
    assert "no figure called elbo/gone" in text


def test_a_bibliography_that_cannot_be_read_is_told(shelf):
    shelf.put("docs/references.bib", "@article{a, title = {unclosed}")
    assert any("references.bib cannot be read" in p for p in shelf.problems("# T\n"))


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        ("By ", "By <a class='reference' href='#eq-gap'>equation (2.1)</a>"),
        ("By equation ", "By equation <a class='reference' href='#eq-gap'>(2.1)</a>"),
        ("So. ", "So. <a class='reference' href='#eq-gap'>Equation (2.1)</a>"),
    ],
)
def test_a_reference_does_not_double_its_word(shelf, before, shown):
    equation = "/// equation | gap\n    kind: definition\na\n///\n\n"
    assert shown.replace("'", '"') in shelf.render(f"{equation}{before}[@eq:gap] it follows.\n")


def test_a_missing_section_is_told_at_the_line_of_its_block(shelf):
    fence = '# T\n\n```python\n--8<-- "src/fromnoise/sample.py:gone"\n```\n'
    [problem] = shelf.problems(fence)
    assert problem.startswith("chapters/elbo.md:3: ")
    assert "has no section gone" in problem


def test_bad_tex_is_told_with_page_line_and_formula(shelf):
    volume = shelf.load("# T\n\nSo\n$\\undefined x$.\n")
    page = volume.pages["chapters/elbo.md"]
    for formula in page.formulas:
        volume.formulas.mark(formula.tex, False, formula.place)
    volume.formulas.render()
    [problem] = volume.formulas.problems
    assert str(problem).startswith("chapters/elbo.md:4: the formula '\\\\undefined x' is not TeX")
