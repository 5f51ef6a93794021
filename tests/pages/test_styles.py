"""The one style sheet keeps each rule that may match, and only those."""

from pathlib import Path

import pytest
import tinycss2

from book import styles
from book.errors import BookError

PAGE = """<link rel="stylesheet" href="../assets/stylesheets/main.1a.min.css">
<link rel="stylesheet" href="../assets/own.css">
<link rel="stylesheet" href="../assets/stylesheets/home.css">
<body dir="ltr" class="wide layout"><p id="here" data-mode="dark">Red tabbed keys.</p></body>"""


@pytest.fixture
def site(tmp_path) -> Path:
    files = {
        "a/index.html": PAGE,
        "assets/javascripts/own.js": "box.classList.add('made')",
        "assets/javascripts/theme.1a.min.js": "keys(x),y('tabbed-set','late-name')",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def kept(rule: str, site: Path) -> str:
    return "".join(styles.lean(tinycss2.parse_stylesheet(rule, True, True), styles.used(site)))


@pytest.mark.parametrize(
    "selector",
    [
        "p",
        ".wide",
        "body.layout > p#here",
        '[data-mode="dark"] p',
        "[data-mode]",
        ".made",
        ".late-name",
        ":not(.nowhere)",
        "[dir=ltr] p",
        "::after",
        "p:is(.nowhere, a)",
    ],
)
def test_a_rule_that_may_match_stays(selector, site):
    assert kept(f"{selector}{{color:red}}", site) == f"{selector}{{color:red}}"
    inside = f"@media print{{{selector}{{color:red}}}}"
    assert kept(inside, site) == inside


@pytest.mark.parametrize(
    "selector",
    [
        ".nowhere",
        ".wide.nowhere",
        "#nowhere",
        '[data-mode="light"]',
        ".keys",  # a method in the theme's script
        "[dir=rtl] p",
        ".tabbed-set",
        "p:hover .nowhere::before",
    ],
)
def test_a_rule_that_matches_nothing_goes(selector, site):
    assert kept(f"{selector}{{color:red}}", site) == ""
    assert kept(f"@media print{{{selector}{{color:red}}}}", site) == ""
    assert kept(f"p,{selector}{{color:red}}", site) == "p{color:red}"


def test_faces_and_movements_stay(site):
    for rule in (
        '@font-face{font-family:"A B";src:url("a.woff2")}',
        "@keyframes found{from{color:red}}",
        '@charset "UTF-8";',
    ):
        assert kept(rule, site) == rule


def test_a_page_links_the_one_sheet_and_its_own(site):
    sheets = ["assets/stylesheets/main.1a.min.css", "assets/own.css", "assets/late.css"]
    found = styles.relink(PAGE, sheets)
    assert found.count("<link") == 2
    assert found.startswith('<link rel="stylesheet" href="../assets/stylesheets/book.css">')
    assert '"../assets/stylesheets/home.css"' in found


def test_the_parts_are_joined_in_order_and_leave_the_site(site):
    folder = site / "assets" / "stylesheets"
    folder.mkdir()
    (folder / "main.1a.min.css").write_text("p { color: red } /* why */")
    (folder / "main.1a.min.css.map").write_text("{}")
    (site / "assets" / "own.css").write_text(
        "p { background: url('x.png') url(data:image/png;base64,AA==) }"
    )
    styles.write(site, ["assets/stylesheets/main.1a.min.css", "assets/own.css", "assets/none.css"])
    assert [file.name for file in folder.iterdir()] == ["book.css"]
    assert (folder / "book.css").read_text() == (
        'p{color: red}\np{background: url("../x.png") url(data:image/png;base64,AA==)}\n'
    )
    assert not (site / "assets" / "own.css").exists()


def test_a_theme_with_other_files_is_named(tmp_path):
    with pytest.raises(BookError, match="0 style sheets named main"):
        styles.shared(tmp_path, [])
