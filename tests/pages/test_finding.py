"""Each equation has an entry in the search, by its label and by what people call it."""

from book import finding

CHAPTER = """# The chapter

Gibbs' inequality, [@eq:gap] of `x` with $a > b^*$ and [[elbo/gap#share|.0%]], says that

/// equation | gap
    check: tests/equations/test_elbo.py::test_gap
    called: Gibbs' inequality
a
///

/// equation | the-other-one
    kind: definition
b
///
"""


def entries(shelf, text=CHAPTER):
    volume = shelf.load(text)
    assert volume.check() == []
    found = finding.entries(volume)
    volume.formulas.render()
    return finding.filled(volume, found)


def test_an_entry_leads_to_the_equation_and_says_what_it_is(shelf):
    first, second = entries(shelf)
    assert first["location"] == "chapters/elbo.md#eq-gap"
    assert first["title"] == "Equation (2.1): Gibbs' inequality (gap)"
    assert first["text"] == (
        "<p>gap. The chapter. Both sides by quadrature. Gibbs' inequality, (equation 2.1 of the "
        "chapter) of x with a > b^* and 43%, says that</p>"
    )
    assert (second["location"], second["title"]) == (
        "chapters/elbo.md#eq-the-other-one",
        "Equation (2.2): the other one",
    )


def test_of_two_labels_the_shorter_counts_for_more(shelf):
    first, second = entries(shelf)
    assert first["boost"] > second["boost"]


def test_a_name_is_text_and_no_markup(shelf):
    first, _ = entries(shelf, CHAPTER.replace("called: Gibbs' inequality", "called: a < b"))
    assert first["title"] == "Equation (2.1): a &lt; b (gap)"
