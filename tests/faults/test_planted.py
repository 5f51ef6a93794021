"""Each fault is planted in a copy of the clean book, and is the one that the checker reports."""

import hashlib
from dataclasses import dataclass

import pytest
from PIL import Image

import check_site
from checking import budgets
from checking.book import Book

CHAPTER = "built/chapters/toy/index.html"
SOURCE = "docs/chapters/toy.md"
MODULE = "src/fromnoise/toy.py"
GAP = '<data class="measured" value="0.123456789" data-source="docs/figures/toy/line.json#results'
EQUATION = 'id="eq-double" data-check="tests/equations/test_toy.py::test_twice_is_the_sum"'
FIGURE = 'data-experiment="scripts/experiments/toy/line.py"'
BREAK = "/// break | Without the half\nIt doubles.\n///"
ALT = 'alt="A straight line that rises from left to right."'


@dataclass(frozen=True)
class Plant:
    """A fault: replace some text in a file (the first time it stands there), and expect a code."""

    title: str
    code: str
    file: str
    old: str
    new: str
    only: bool = True
    """Whether nothing else may be reported."""


SNIPPETS = [
    Plant("file", "snippet-missing", SOURCE, "fromnoise/toy.py:halve", "none.py:halve", only=False),
    Plant("section", "snippet-missing", SOURCE, "toy.py:halve", "toy.py:third", only=False),
    Plant(
        "block form",
        "snippet-form",
        SOURCE,
        '--8<-- "src/fromnoise/toy.py:halve"',
        "--8<--\nsrc/fromnoise/toy.py:halve\n--8<--",
        only=False,
    ),
    Plant(
        "shown section is gone",
        "snippet-missing",
        CHAPTER,
        "toy.py:halve",
        "toy.py:third",
        only=False,
    ),
    Plant("unclosed", "snippet-unclosed", MODULE, "# --8<-- [end:double]\n", ""),
    Plant("unopened", "snippet-unopened", MODULE, "# --8<-- [start:double]\n", ""),
    Plant(
        "reversed",
        "snippet-reversed",
        MODULE,
        "class Line:",
        "# --8<-- [end:line]\nSLOPE = 1\n# --8<-- [start:line]\n\n\nclass Line:",
        only=False,
    ),
    Plant(
        "overlapping",
        "snippet-overlap",
        MODULE,
        "# --8<-- [end:halve]\n\n\n# --8<-- [start:double]",
        "# --8<-- [start:double]\n# --8<-- [end:halve]",
    ),
    Plant(
        "repeated",
        "snippet-repeated",
        MODULE,
        "class Line:",
        "# --8<-- [start:halve]\n# --8<-- [end:halve]\nclass Line:",
    ),
]

LINKS = [
    Plant("anchor on another page", "anchor-broken", CHAPTER, "#fromnoise.toy.double", "#nothing"),
    Plant("anchor on this page", "anchor-broken", CHAPTER, 'href="#eq-double"', 'href="#eq-two"'),
    Plant("internal link", "link-broken", "built/index.html", "chapters/toy/#", "chapters/two/#"),
    Plant(
        "link to the site's own address",
        "link-broken",
        CHAPTER,
        "https://book.example/toy/reference/toy/",
        "https://book.example/toy/reference/two/",
    ),
    Plant(
        "raw-HTML link",
        "link-broken",
        CHAPTER,
        '<h2 id="code">',
        '<div><a href="../none.html">there</a></div><h2 id="code">',
    ),
    Plant(
        "raw-HTML image",
        "image-broken",
        CHAPTER,
        '<h2 id="code">',
        '<p><img src="none.png" width="9" height="9" loading="lazy" alt=""></p><h2 id="code">',
    ),
    Plant("image", "image-broken", CHAPTER, "figures/toy/line.dark.svg", "figures/toy/lines.svg"),
    Plant(
        "image in a set",
        "image-broken",
        CHAPTER,
        '<img class="light"',
        '<img class="light" srcset="../../figures/toy/line.svg 1x, large.svg 2x"',
    ),
    Plant("style sheet", "resource-broken", CHAPTER, "assets/style.css", "assets/gone.css"),
    Plant("script", "resource-broken", CHAPTER, "assets/app.js", "assets/gone.js"),
    Plant("in a style", "resource-broken", "built/assets/style.css", "ground.svg", "sky.svg"),
    Plant("in an import", "resource-broken", "built/assets/style.css", "more.css", "less.css"),
    Plant("out of the site", "link-broken", CHAPTER, "../../index.html", "../../../index.html"),
    Plant("sub-path", "link-absolute", CHAPTER, "../../index.html", "/index.html"),
    Plant("sub-path on the page not found", "link-absolute", "built/404.html", '"/toy/a', '"/a'),
]

LEFTOVERS = [
    Plant(
        f"{title} {where}",
        code,
        CHAPTER,
        old,
        new.format(text),
    )
    for where, old, new in [
        ("in the text", "A choice was", "{} A choice was"),
        ("in a table", '<h2 id="code">', '<table><tr><td>{}</td></tr></table><h2 id="code">'),
        ("in a heading", '<h2 id="code">Code', '<h2 id="code">{}'),
        ("in a caption", "<p>The line.</p>", "<p>The line. {}</p>"),
    ]
    for title, code, text in [
        ("reference label", "reference-undefined", "see [the proof][proof]"),
        ("reference label of code", "reference-undefined", "see [<code>halve</code>][none.halve]"),
        ("collapsed reference", "reference-undefined", "see [the proof][]"),
        ("footnote", "footnote-undefined", "so it is.[^why]"),
        ("citation", "citation-undefined", "as in [@nobody1999nothing]"),
        ("citations", "citation-undefined", "as in [@nobody1999nothing; @somebody2000, Eq. 1]"),
        ("equation reference", "cross-reference-undefined", "by [@eq:nothing]"),
        ("figure reference", "cross-reference-undefined", "in [@fig:toy/nothing]"),
        ("number macro", "macro-undefined", "is [[toy/line#gap|.2f]]"),
        ("page macro", "macro-undefined", "is {{{{ gap }}}}"),
        ("raw formula", "tex-raw", "is $x_0$ here"),
        ("raw formula over lines", "tex-raw", "is $x_0 +\ny$ here"),
        ("raw displayed formula", "tex-raw", "is $$x_0$$ here"),
        ("raw parenthesised formula", "tex-raw", r"is \(x\) here"),
        ("raw bracketed formula", "tex-raw", r"is \[x\] here"),
        ("raw command", "tex-raw", r"is \alpha here"),
        ("snippet line", "snippet-left", "--8&lt;-- &quot;src/none.py&quot;"),
        ("block", "block-left", "\n/// note\nAside."),
    ]
]

FORMULAS = [
    Plant("bad TeX", "tex-error", CHAPTER, "<mn>2</mn>", "<merror><mtext>\\frac</mtext></merror>"),
    Plant(
        "bad TeX as Temml writes it",
        "tex-error",
        CHAPTER,
        "A choice was",
        '<span class="temml-error" title="Expected group">x</span> A choice was',
    ),
    Plant(
        "a command that Temml does not know",
        "tex-error",
        CHAPTER,
        "<mn>2</mn>",
        '<mtext style="color:#B22222">\\undefined</mtext>',
    ),
    Plant("an empty formula", "tex-error", CHAPTER, "A choice was", "<math></math> A choice was"),
    Plant("without a check", "equation-unguarded", CHAPTER, EQUATION, 'id="eq-double"'),
    Plant(
        "without an id",
        "equation-unguarded",
        CHAPTER,
        '<h2 id="code">',
        '<math display="block"><mi>x</mi></math><h2 id="code">',
    ),
    Plant(
        "on a card of one that is nowhere",
        "equation-unguarded",
        CHAPTER,
        '<h2 id="code">',
        '<template data-for="eq-gone"><math display="block"><mi>x</mi></math></template>'
        '<h2 id="code">',
    ),
    Plant(
        "of another kind",
        "equation-unguarded",
        CHAPTER,
        EQUATION,
        'id="eq-double" data-kind="obvious"',
    ),
    Plant(
        "both defined and checked",
        "equation-unguarded",
        CHAPTER,
        EQUATION,
        f'{EQUATION} data-kind="definition"',
    ),
    Plant("test is gone", "equation-check-missing", CHAPTER, "::test_twice", "::test_thrice"),
    Plant("file is gone", "equation-check-missing", CHAPTER, "test_toy.py", "test_two.py"),
    Plant(
        "test proves another",
        "equation-check-other",
        "tests/equations/test_toy.py",
        '@proves("double")',
        '@proves("triple")',
        only=False,
    ),
    Plant(
        "test proves nothing",
        "equation-check-other",
        "tests/equations/test_toy.py",
        '@proves("double")\n',
        "",
    ),
]

NUMBERS = [
    Plant("decimal", "number-typed", SOURCE, "A choice was", "It fell by 0.37. A choice was"),
    Plant("bare decimal", "number-typed", SOURCE, "A choice was", "It fell by .37. A choice was"),
    Plant("per cent", "number-typed", SOURCE, "A choice was", "It fell by 12 %. A choice was"),
    Plant("time", "number-typed", SOURCE, "A choice was", "It took 40 s. A choice was"),
    Plant("nats", "number-typed", SOURCE, "A choice was", "It cost 3 nats. A choice was"),
    Plant("ratio", "number-typed", SOURCE, "A choice was", "It is 10× worse. A choice was"),
    Plant("times", "number-typed", SOURCE, "A choice was", "It took 3 times as long. A choice was"),
    Plant("exponent", "number-typed", SOURCE, "A choice was", "It is 1e-4. A choice was"),
    Plant("as a formula", "number-typed", SOURCE, "A choice was", "It is $0.37$. A choice was"),
    Plant("in alt text", "number-typed", SOURCE, "A straight line", "A line of slope 0.37"),
    Plant("in a caption", "number-typed", SOURCE, "The line.", "The line, of slope 0.37."),
    Plant("on the home page", "number-typed", "docs/index.md", "Read", "Of 97 % of books, read"),
    Plant("key gone in source", "number-key", SOURCE, "line#gap|.2f", "line#slope|.2f", only=False),
    Plant(
        "manifest gone in source",
        "number-unbound",
        SOURCE,
        "line#gap|.2f",
        "curve#gap|.2f",
        only=False,
    ),
    Plant("key gone on page", "number-key", CHAPTER, f"{GAP}.gap", f"{GAP}.slope", False),
    Plant(
        "manifest gone on page", "number-unbound", CHAPTER, "toy/line.json", "toy/curve.json", False
    ),
    Plant(
        "no source",
        "number-unbound",
        CHAPTER,
        ' data-source="docs/figures/toy/line.json#results.gap"',
        "",
        only=False,
    ),
    Plant("value differs", "number-differs", CHAPTER, 'value="0.123456789"', 'value="0.123456788"'),
    Plant("text is another number", "number-differs", CHAPTER, ">0.12<", ">0.13<"),
    Plant("text is cut off", "number-differs", CHAPTER, ">0.12<", ">0.1234<"),
    Plant("text has another sign", "number-differs", CHAPTER, ">0.12<", ">−0.12<"),
    Plant("text in another unit", "number-differs", CHAPTER, ">12%<", ">12<"),
    Plant("interval", "number-differs", CHAPTER, ">0.75<", ">0.76<"),
]

NAMES = [
    Plant("in a source", "name-unknown", SOURCE, "`halve`", "`halven`"),
    Plant("in a method's name", "name-unknown", SOURCE, "`Line.slope`", "`Line.rise`"),
    Plant("in a reference", "name-unknown", SOURCE, "fromnoise.toy.double", "fromnoise.toy.twice"),
    Plant("dotted", "name-unknown", SOURCE, "`halve`", "`fromnoise.toy.halven`"),
    Plant("short dotted", "name-unknown", SOURCE, "`halve`", "`toy.halven`"),
    Plant("called", "name-unknown", SOURCE, "`halve`", "`halven(x)`"),
    Plant("a value called", "name-unknown", SOURCE, "`halve`", "`slope(x)`"),
    Plant("in a docstring", "name-unknown", MODULE, "undone by `halve`", "undone by `half`"),
    Plant("of a library", "name-unknown", SOURCE, "`halve`", "`torch.randm`"),
    Plant("file", "name-unknown", SOURCE, "`halve`", "`src/fromnoise/two.py`"),
    Plant("file in the README", "name-unknown", "README.md", "chapters/toy.md", "chapters/two.md"),
    Plant("verb of make", "name-unknown", "README.md", "`make test`", "`make tests`"),
    Plant(
        "experiment",
        "name-unknown",
        SOURCE,
        "`halve`",
        "`python scripts/build_figures.py run toy/curve`",
    ),
]

PAGES = [
    Plant("title", "title-missing", CHAPTER, "<title>Halves</title>", "<title> </title>"),
    Plant("description", "description-missing", CHAPTER, 'name="description"', 'name="keywords"'),
    Plant("title in a source", "front-matter", SOURCE, "title: Halves\n", ""),
    Plant("description in a source", "front-matter", SOURCE, "description: What", "says: What"),
    Plant("empty description", "front-matter", SOURCE, "What halving undoes.", "", only=False),
    Plant("front matter of a plain page", "front-matter", "docs/index.md", "description", "about"),
    Plant("language", "lang-missing", CHAPTER, '<html lang="en">', "<html>"),
    Plant("policy", "csp-missing", CHAPTER, "Content-Security-Policy", "X-Policy"),
    Plant(
        "policy after a script",
        "csp-late",
        CHAPTER,
        '<meta charset="utf-8">',
        '<script src="../../assets/app.js"></script>',
    ),
    Plant(
        "policy lets inline scripts run",
        "csp-open",
        CHAPTER,
        "default-src 'self'",
        "default-src 'self'; script-src 'self' 'unsafe-inline'",
    ),
    Plant(
        "policy lets another host in",
        "csp-open",
        CHAPTER,
        "default-src 'self'",
        "default-src 'self' https://cdn.example",
    ),
    Plant("policy without default", "csp-open", CHAPTER, "default-src 'self';", ""),
    Plant("heading skipped", "heading-order", CHAPTER, '<h2 id="code">Code</h2>', "<h3>Code</h3>"),
    Plant("second h1", "heading-order", CHAPTER, '<h2 id="code">Code</h2>', "<h1>Code</h1>"),
    Plant("duplicate id", "id-duplicate", CHAPTER, 'id="code"', 'id="halves"'),
    Plant("unsized image", "image-unsized", CHAPTER, 'width="40" height="20" ', 'width="40" '),
    Plant("image without alt", "image-alt", CHAPTER, ALT, "", only=False),
    Plant(
        "inline script",
        "script-inline",
        CHAPTER,
        "</main>",
        "<script>document.title = 'x'</script></main>",
    ),
    Plant(
        "inline module",
        "script-inline",
        CHAPTER,
        "</main>",
        '<script type="module">import "./x.js"</script></main>',
    ),
    Plant("inline handler", "script-inline", CHAPTER, "<main>", '<main onclick="go()">'),
    Plant(
        "script in an address",
        "script-inline",
        CHAPTER,
        'href="../../index.html"',
        'href="javascript:go()"',
    ),
    Plant(
        "script in a drawing",
        "script-inline",
        "built/assets/ground.svg",
        "</svg>",
        "<script>alert(1)</script></svg>",
    ),
]

FOREIGN = [
    Plant(
        f"{title}",
        "third-party",
        CHAPTER,
        "</main>",
        f"{text}</main>",
        only=False,
    )
    for title, text in [
        ("script", '<script src="https://cdn.example/x.js"></script>'),
        ("script without a scheme", '<script src="//cdn.example/x.js"></script>'),
        ("style", '<link rel="stylesheet" href="https://fonts.example/css">'),
        ("connection", '<link rel="preconnect" href="https://fonts.example">'),
        ("preload", '<link rel="preload" as="font" href="https://fonts.example/x.woff2">'),
        ("image", '<img src="https://img.example/x.png" width="1" height="1" alt="">'),
        ("image set", '<picture><source srcset="https://img.example/x.png 2x"></picture>'),
        ("frame", '<iframe src="https://frame.example/" title="x"></iframe>'),
        ("form", '<form action="https://post.example/"></form>'),
        ("style attribute", "<p style=\"background: url('https://img.example/x.png')\">x</p>"),
        ("style element", "<style>p { background: url(https://img.example/x.png) }</style>"),
        ("style import", "<style>@import 'https://css.example/x.css';</style>"),
        ("drawing", '<svg><use href="https://img.example/x.svg#a"></use></svg>'),
    ]
] + [
    Plant(
        "in a style sheet",
        "third-party",
        "built/assets/style.css",
        'url("ground.svg")',
        "url(https://img.example/ground.svg)",
    ),
    Plant(
        "in an import",
        "third-party",
        "built/assets/style.css",
        '@import "more.css"',
        '@import "https://css.example/more.css"',
    ),
    Plant(
        "in a nested rule",
        "third-party",
        "built/assets/style.css",
        "body {",
        "@media print { p { background: image-set('//img.example/x.png' 1x) } } body {",
    ),
    Plant(
        "fetched by a script",
        "third-party",
        "built/assets/app.js",
        "document",
        'fetch("https://api.example/x");\ndocument',
    ),
    Plant(
        "fetched without a scheme",
        "third-party",
        "built/assets/app.js",
        "document",
        "fetch('//api.example/x');\ndocument",
    ),
    Plant(
        "in a drawing",
        "third-party",
        "built/assets/ground.svg",
        "</svg>",
        '<image href="https://img.example/x.png"/></svg>',
    ),
    Plant(
        "in a drawing's style",
        "third-party",
        "built/assets/ground.svg",
        "</svg>",
        "<style>@import url(https://css.example/x.css);</style></svg>",
    ),
]

FIGURES = [
    Plant("without alt text", "figure-alt", CHAPTER, ALT, 'alt=""'),
    Plant("with hollow alt text", "figure-alt", CHAPTER, ALT, 'alt="Figure 1"'),
    Plant("without reproduce line", "figure-reproduce", CHAPTER, " run toy/line", ""),
    Plant(
        "reproduce line of another", "figure-reproduce", CHAPTER, "run toy/line", "run toy/curve"
    ),
    Plant("without experiment", "figure-unbound", CHAPTER, f" {FIGURE}", "", only=False),
    Plant(
        "of an experiment that is gone",
        "figure-unbound",
        CHAPTER,
        FIGURE,
        FIGURE.replace("line", "curve"),
        only=False,
    ),
    Plant(
        "without caption",
        "figure-caption",
        CHAPTER,
        "<figcaption>",
        "<figcaption></figcaption><div>",
    ),
    Plant("edited by hand", "figure-edited", "docs/figures/toy/line.svg", "#124", "#125", False),
    Plant("edited in the site", "figure-edited", "built/figures/toy/line.svg", "#124", "#125"),
    Plant(
        "results edited by hand",
        "figure-edited",
        "docs/figures/toy/line.json",
        "0.123456789",
        "0.123456788",
        only=False,
    ),
    Plant("stale", "figure-stale", "scripts/experiments/toy/line.py", "0.1234", "0.2345"),
    Plant("stale drawing", "figure-stale", "scripts/experiments/toy/line.py", "[0, 1]", "[0, 2]"),
]

BLOCKS = [
    Plant("not Python", "block-syntax", CHAPTER, "assert double(2.0)", "assert assert double(2.0)"),
    Plant("not its source", "block-differs", CHAPTER, "return x / 2</span>", "return x / 3</span>"),
    Plant(
        "empty",
        "block-syntax",
        CHAPTER,
        "from fromnoise.toy import double\n\nassert double(2.0) == 4.0\n",
        "",
    ),
]

SOURCES = [
    Plant("block never closed", "source", SOURCE, "The line.\n///", "The line."),
    Plant("no such option", "source", SOURCE, "    alt:", "    alternative:", only=False),
    Plant("break of nothing", "source", SOURCE, "/// figure", f"{BREAK}\n\n/// figure"),
    Plant("no such macro", "source", SOURCE, "[[given|0.5]]", "[[chosen|0.5]]"),
    Plant(
        "equation without a check",
        "source",
        SOURCE,
        "    check: tests/equations/test_toy.py::test_twice_is_the_sum\n",
        "",
    ),
]

BINDINGS = [
    Plant("equation not marked", "binding-lost", CHAPTER, EQUATION, "", only=False),
    Plant("figure not marked", "binding-lost", CHAPTER, f" {FIGURE}", "", only=False),
    Plant(
        "code not marked", "binding-lost", CHAPTER, ' data-source="src/fromnoise/toy.py:halve"', ""
    ),
    Plant("number not marked", "binding-lost", CHAPTER, '<data class="measured"', "<data"),
    Plant("not in the ledger", "ledger-incomplete", "built/ledger/index.html", "#eq-double", ""),
    Plant(
        "proved for nobody",
        "equation-orphan",
        "tests/equations/test_toy.py",
        '"double"',
        '"double", "triple"',
    ),
]

# Of digests nothing can be compressed away but that they are written in sixteen letters.
NOISE = "".join(hashlib.sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(10_000))
IMAGE = '<p><img src="../../figures/toy/line.svg" width="40" height="20" alt="A line."></p>'

BUDGETS = [
    Plant("heavy page", "page-heavy", CHAPTER, "<main>", f"<main><!-- {NOISE} -->"),
    Plant("heavy script", "page-heavy", "built/assets/app.js", "document", f"`{NOISE}`;\ndocument"),
    Plant("early image", "image-eager", CHAPTER, '<h2 id="code">', f'{IMAGE}<h2 id="code">', False),
    Plant("wide drawing", "image-large", CHAPTER, 'width="40"', 'width="700"'),
    Plant(
        "part of a widget",
        "loader-heavy",
        CHAPTER,
        "</head>",
        '<script defer src="../../assets/javascripts/widgets/toy.js"></script></head>',
        only=False,
    ),
]

PLANTS = {
    "budgets": BUDGETS,
    "bindings": BINDINGS,
    "snippets": SNIPPETS,
    "links": LINKS,
    "leftovers": LEFTOVERS,
    "formulas": FORMULAS,
    "numbers": NUMBERS,
    "names": NAMES,
    "pages": PAGES,
    "foreign": FOREIGN,
    "figures": FIGURES,
    "blocks": BLOCKS,
    "sources": SOURCES,
}


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(plant, id=f"{family}-{plant.title}".replace(" ", "_"))
        for family, plants in PLANTS.items()
        for plant in plants
    ],
)
def test_a_planted_fault_is_caught(book, plant):
    file = book.root / plant.file
    text = file.read_text()
    assert plant.old in text, "the fault cannot be planted"
    file.write_text(text.replace(plant.old, plant.new, 1))
    found = check_site.faults(book)
    assert plant.code in {fault.code for fault in found}, found
    if plant.only:
        assert {fault.code for fault in found} == {plant.code}, found


def test_a_loader_of_widgets_that_grew_is_caught(book):
    file = book.site / "assets" / "javascripts" / "widgets.js"
    file.parent.mkdir()
    for length, wanted in ((1000, set()), (5000, {"loader-heavy"})):
        file.write_text(f"`{NOISE[:length]}`;")
        budgets.sent.cache_clear()
        assert {fault.code for fault in check_site.faults(book)} == wanted


def test_an_image_with_more_pixels_than_are_shown_is_caught(book):
    page = book.root / CHAPTER
    text = page.read_text().replace(
        "<figcaption>", '<img src="dots.png" width="40" height="20" alt="Dots."><figcaption>'
    )
    page.write_text(text)
    for width, wanted in ((80, set()), (81, {"image-large"})):
        Image.new("L", (width, 20)).save(page.parent / "dots.png")
        found = check_site.faults(
            Book(root=book.root, docs=book.docs, site=book.site), ("budgets",)
        )
        assert {fault.code for fault in found} == wanted


def test_a_path_of_this_machine_is_caught(book):
    page = book.root / CHAPTER
    page.write_text(page.read_text().replace("A choice was", f"In {book.root} a choice was"))
    found = check_site.faults(book)
    assert [(fault.code, fault.path) for fault in found] == [("path-leaked", CHAPTER)]


def gone(book, path):
    (book.root / path).unlink()
    return check_site.faults(book)


@pytest.mark.parametrize(
    "path, code",
    [
        ("docs/figures/toy/line.svg", "figure-missing"),
        ("docs/figures/toy/line.json", "figure-missing"),
        ("built/figures/toy/line.svg", "image-broken"),
        ("scripts/experiments/toy/line.py", "figure-unbound"),
        ("docs/figures/toy/line.json", "number-unbound"),
        ("tests/equations/test_toy.py", "equation-check-missing"),
        ("built/chapters/toy/index.html", "page-missing"),
        ("built/assets/more.css", "resource-broken"),
    ],
)
def test_a_missing_file_is_caught(book, path, code):
    assert code in {fault.code for fault in gone(book, path)}


def test_a_figure_of_no_experiment_is_caught(book):
    (book.root / "docs/figures/toy/drawn_by_hand.svg").write_text("<svg/>")
    codes = {fault.code for fault in check_site.faults(book)}
    assert codes == {"figure-unbound"}


def test_a_page_in_no_navigation_is_caught(book):
    page = book.site / "chapters" / "hidden" / "index.html"
    page.parent.mkdir()
    text = (book.site / "chapters/toy/index.html").read_text().replace("eq-double", "eq-twice")
    page.write_text(text.replace("../../chapters/toy/", "../toy/"))
    found = check_site.faults(book, ("navigation",))
    assert [(fault.code, fault.path) for fault in found] == [
        ("page-unlisted", "built/chapters/hidden/index.html")
    ]


def test_an_equation_on_two_pages_is_caught(book):
    home = book.site / "index.html"
    text = home.read_text().replace(
        "</main>",
        f'<div {EQUATION}><math display="block"><mi>x</mi></math></div></main>',
    )
    home.write_text(text)
    found = check_site.faults(book)
    assert {fault.code for fault in found} == {"equation-duplicate"}
