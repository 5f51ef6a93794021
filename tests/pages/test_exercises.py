"""Every exercise of the chapters has its line, under the number that its chapter gives it."""

PAGE = "# E\n\n/// exercises\n///\n"
CHAPTER = """# One

/// exercise | Count $n$ & see
Why?

/// solution
Because.
///
///

/// exercise
How?
///
"""


def test_each_has_its_number_its_title_and_a_way_to_it(shelf):
    shelf.put("docs/chapters/one.md", CHAPTER)
    html = shelf.render(PAGE)
    assert '<h2 id="exercises-one">One</h2>' in html
    for number in (1, 2):
        assert f'<a href="one.md#exercise-1-{number}">1.{number} ' in html
    assert "&amp; see" in html
