"""A page carries what its cards need from other pages, and nothing that it has itself."""

from book import hovercards

OTHER = """# One & only

/// equation | gap
    kind: definition
a < b
///

/// figure | elbo/gap
    alt: A "curve".
A *caption* with [[elbo/gap#share|.0%]], $x^*$ and [a link](elbo.md).
///
"""


def templates(shelf, text):
    shelf.put("docs/chapters/one.md", OTHER)
    volume = shelf.load(text)
    assert volume.check() == []
    volume.urls = {"chapters/one.md": "chapters/one/", "chapters/elbo.md": "chapters/elbo/"}
    made = hovercards.templates(volume, volume.pages["chapters/elbo.md"])
    volume.formulas.render()
    return volume.formulas.fill(made)


def test_an_equation_of_another_page_comes_with_the_page(shelf):
    made = templates(shelf, "# T\n\n[@eq:gap], and again [@eq:gap].\n")
    assert made.count("<template") == 1
    assert made.startswith('<template data-for="eq-gap" data-search-exclude>')
    assert "Equation (1.1) of One &amp; only</p>" in made
    assert "<math display=block>" in made
    assert " id=" not in made, "the anchor stands on the other page"


def test_a_figure_comes_as_its_address_and_its_caption(shelf):
    made = templates(shelf, "# T\n\n[@fig:elbo/gap].\n")
    assert 'src="../../figures/elbo/gap.dark.svg" alt="A &quot;curve&quot;."' in made
    assert 'width="400" height="200"' in made
    assert "<p>A caption with 43%, <math><mi>x^*</mi></math> and a link.</p>" in made


def test_what_stands_on_the_page_is_not_carried_twice(shelf):
    own = "# T\n\n[@eq:own].\n\n/// equation | own\n    kind: definition\nc\n///\n"
    assert templates(shelf, own) == ""
