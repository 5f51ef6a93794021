"""Terms of the glossary are linked where a chapter first uses them, and nowhere else."""

import re
from pathlib import Path

from book.glossary import ENTRY, first_uses, link, terms
from book.sources import parse

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = """
Score {: #score data-also="scores" }
:   The gradient of a log-density. A second sentence
    over two lines.

Score matching {: #score-matching }
:   Regression on the score.

ELBO {: #elbo data-also="evidence lower bound" }
:   A bound.

Rate {: #rate data-quiet="true" }
:   A cost.
"""


def known(tmp_path):
    (tmp_path / "glossary.md").write_text(GLOSSARY)
    return terms(tmp_path)


def used(text, found, hidden=()):
    page = parse(text, "chapters/one.md")
    return {t.anchor: page.text[a:b] for a, b, t in first_uses(page, found, hidden)}


def test_an_entry_has_its_names_and_its_first_sentence(tmp_path):
    score, matching, elbo = known(tmp_path)
    assert (score.name, score.anchor, score.also) == ("Score", "score", ("scores",))
    assert score.says == "The gradient of a log-density."
    assert (matching.says, elbo.also) == ("Regression on the score.", ("evidence lower bound",))


def test_the_first_plain_use_is_found_and_a_longer_term_wins(tmp_path):
    text = "# A score\n\nBy score matching we find scores, the\nevidence lower\nbound and a rate.\n"
    assert used(text, known(tmp_path)) == {
        "score-matching": "score matching",
        "score": "scores",
        "elbo": "evidence lower\nbound",
    }


def test_code_formulas_links_tables_and_names_in_capitals_are_left_alone(tmp_path):
    text = (
        "The `score` and $score$ of [the score](x.md), <score>, underscore, score-like.\n\n"
        "| score | elbo |\n"
    )
    assert used(text, known(tmp_path)) == {}
    assert used("An elbo hurts. ELBO.", known(tmp_path)) == {"elbo": "ELBO"}


def test_hidden_stretches_are_left_alone(tmp_path):
    assert used("score then score", known(tmp_path), [(0, 5)]) == {"score": "score"}
    page = parse("score then score", "chapters/one.md")
    assert [a for a, _, _ in first_uses(page, known(tmp_path), [(0, 5)])] == [11]


def test_the_card_cannot_break_out_of_its_attribute(tmp_path):
    (tmp_path / "glossary.md").write_text('Score {: #score }\n:   A "<b>" & more.\n')
    shown = link(terms(tmp_path)[0], "score", "../glossary/#score")
    assert 'data-says="A &quot;&lt;b&gt;&quot; &amp; more."' in shown


def test_the_glossary_of_the_book_is_read_whole_and_in_order():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    names = [match["term"] for match in ENTRY.finditer(text)]
    assert len(names) == len(re.findall(r"^:   ", text, re.M))
    assert names == sorted(names, key=str.casefold)
    every = [n for t in terms(ROOT / "docs") for n in (t.name, *t.also)]
    assert len(every) == len({name.casefold() for name in every})
