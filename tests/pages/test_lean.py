"""A page loses what nobody sees, and nothing else."""

import re
import xml.etree.ElementTree as etree
from pathlib import Path

import lxml.html
import material
import pytest
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from book import lean
from book.errors import BookError

ROOT = Path(__file__).resolve().parents[2]
CODE = '''@wraps
class Step(Base):
    """Words."""

    def __call__(self, x: int) -> "int":
        return [x, (1.5, None)] and max(x, not_[-1:]) % f"{x!r}"  # why
'''


def marked() -> str:
    return f"<p><span class='n'>x</span></p>{highlight(CODE, PythonLexer(), HtmlFormatter())}"


def test_the_text_of_code_stays():
    before, after = marked(), lean.tokens(marked())
    assert after.count("<span") < 0.7 * before.count("<span")
    texts = [lxml.html.fromstring(one).text_content() for one in (before, after)]
    assert texts[0] == texts[1]


def test_what_is_seen_keeps_its_mark():
    after = lean.tokens(marked())
    for shown in ('class="k">class', 'class="c1"># why', 'class="sd">', 'class="mf">1.5'):
        assert shown in after
    assert 'class="p">[</span>x<span' in after
    assert 'class="p">)]</span>' in after
    assert "class='n'" in after, "outside of code nothing is changed"


def test_what_loses_its_mark_looks_like_the_code_around_it():
    theme = Path(material.__file__).parent / "templates"
    sheets = (theme / "assets" / "stylesheets").glob("main.*.min.css")
    own = (ROOT / "docs" / "assets" / "stylesheets").glob("*.css")
    css = "\n".join(file.read_text(encoding="utf-8") for file in [*sheets, *own])
    colors = dict(re.findall(r"--md-code-hl-(\w+)-color: var\(--(\w+)\);", css))
    looks = {name: set() for name in (*lean.PLAIN.split("|"), *lean.ALIKE, *lean.ALIKE.values())}
    for selectors, rules in re.findall(r"([^{}]*\.highlight[^{}]*)\{([^}]*)\}", css):
        for name in looks:
            if re.search(rf"\.{name}\b(?!-)", selectors):
                looks[name].add(rules.strip())
    ink = re.compile(r"color:var\(--md-code-hl-(\w+)-color\)")
    for name in lean.PLAIN.split("|"):
        for rule in looks[name]:
            found = ink.fullmatch(rule)
            assert found, (name, rule)
            assert colors[found[1]] == "ink", (name, rule)
    for name, other in lean.ALIKE.items():
        first, second = (
            {colors[ink.fullmatch(rule)[1]] for rule in looks[one]} for one in (name, other)
        )
        assert first == second


def test_headings_stand_outside_the_stretches():
    tags = ["h1", "p", "ul", "h2", "h3", "p"]
    grouped = lean.in_stretches(
        [etree.Element(tag) for tag in tags], lambda a: etree.Element("div", a)
    )
    assert [(one.tag, [inner.tag for inner in one]) for one in grouped] == [
        ("h1", []),
        ("div", ["p", "ul"]),
        ("h2", []),
        ("h3", []),
        ("div", ["p"]),
    ]


def test_another_theme_is_not_changed_in_silence(tmp_path):
    folder = tmp_path / "assets" / "javascripts"
    folder.mkdir(parents=True)
    script = folder / "bundle.1a.min.js"
    script.write_text(
        'L($(location.protocol!=="file:"),Je("search")).pipe(M("link[rel=alternate]"))\n'
        "//# sourceMappingURL=bundle.1a.min.js.map\n"
    )
    script.with_name("bundle.1a.min.js.map").write_text("{}")
    worker = folder / "workers" / "search.1b.min.js"
    worker.parent.mkdir()
    worker.write_text("work()")
    lean.quiet_theme(tmp_path)
    assert 'importScripts("search.1b.whole.js")' in worker.read_text()
    assert worker.with_name("search.1b.whole.js").read_text() == "work()"
    assert script.read_text() == 'Je("search").pipe(M("link[rel=alternate][hreflang]"))\n'
    assert not script.with_name("bundle.1a.min.js.map").exists()
    with pytest.raises(BookError, match=r"the index of the search .* is not where it was"):
        lean.quiet_theme(tmp_path)


def test_no_page_is_fetched_ahead():
    head = '<head>\n<link rel="prev" href="a/">\n<link rel="next" href="b/">\n</head>'
    body = '<p><a href="b/">Next</a></p>'
    assert lean.alone(head + body) == '<head>\n<link rel="prev" href="a/">\n</head>' + body
