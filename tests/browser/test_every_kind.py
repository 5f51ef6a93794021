"""Every kind of page, light and dark, wide and narrow: reachable, quiet, still, and accessible."""

import os
from pathlib import Path

import pytest

from checking import budgets
from checking.book import Book

ROOT = Path(__file__).resolve().parents[2]
SINGLE = (
    *(
        "index.html",
        "paths",
        "failures",
        "exercises",
        "notation",
        "equivalences",
        "glossary",
        "bibliography",
    ),
    *("experiments", "cards", "ledger", "how-it-is-built", "changes", "404.html"),
    *("reference", "notebooks"),
)

# A busy machine draws seldom, and who jumps on before the next stretch was laid out sees it late.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (!entry.hadRecentInput)
      window.shifts.push([entry.value, entry.sources.map((source) => {
        const node = source.node && (source.node.parentElement || source.node);
        return node ? (source.node.outerHTML || node.outerHTML).slice(0, 120) : "";
      })]);
}).observe({type: "layout-shift", buffered: true});
"""
# A lazy image is asked for, and waited for.
LOADED = """
(image) => {
  image.loading = "eager";
  return image.decode().then(() => image.naturalWidth > 0, () => false);
}
"""
WIDE_BLOCKS = """
[...document.querySelectorAll("article pre > code")]
  .filter((code) => code.offsetParent && code.scrollWidth > code.clientWidth + 1)
  .map((code) => code.innerText.split("\\n").sort((a, b) => b.length - a.length)[0])
"""
BEYOND = """
[...document.querySelectorAll("body *")]
  .filter((element) => element.offsetParent
    && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .slice(0, 5).map((element) => element.outerHTML.slice(0, 120))
"""


def largest(book: Book, kind: str) -> list[str]:
    """The heaviest page of a kind, if there is one."""
    pages = [page for page in book.pages if page.address.startswith(kind)]
    return [max(pages, key=lambda page: page.file.stat().st_size).address] if pages else []


def addresses(book: Book) -> list[str]:
    """Chapters, the largest page of reference, the largest notebook, and the single pages."""
    found = [page for page in book.by_address if page.startswith("chapters/")]
    found += [*largest(book, "reference/"), *largest(book, "notebooks/")]
    for name in SINGLE:
        address = name if name.endswith(".html") else f"{name}/index.html"
        found += [address] if address in book.by_address else []
    return found


def one_of_each(book: Book) -> list[str]:
    """As above, with the largest chapter for all."""
    pages = [page for page in addresses(book) if not page.startswith("chapters/")]
    return largest(book, "chapters/") + pages


def cases(choose=addresses, weekly: tuple[str, ...] = ()) -> list:
    """Pages of the built site; without one, a single case, whose fixtures say what to do.

    Chapters other than the longest, and the pages named `weekly`, have their turn once a week.
    """
    site = Path(os.environ.get("FROMNOISE_SITE") or ROOT / "site")
    if not (site / "index.html").is_file():
        return [pytest.param("index.html", id="no-site")]
    book = Book(root=ROOT, docs=ROOT / "docs", site=site)
    first = one_of_each(book)
    return [
        pytest.param(
            page,
            id=page.removesuffix("/index.html").replace("/", "."),
            marks=[] if page in first and not page.startswith(weekly) else pytest.mark.thorough,
        )
        for page in choose(book)
    ]


# Did a font that the page asks for at once come after the first picture?
FONTS_WERE_LATE = """
Math.max(...performance.getEntriesByType("resource")
    .filter((one) => one.initiatorType === "link" && one.name.endsWith(".woff2"))
    .map((one) => one.responseEnd))
  > performance.getEntriesByName("first-contentful-paint")[0].startTime
"""

LOOKS = [
    pytest.param(1280, "light"),
    pytest.param(360, "dark"),
    pytest.param(1280, "dark", marks=pytest.mark.thorough),
    pytest.param(360, "light", marks=pytest.mark.thorough),
]


@pytest.fixture(params=[1280, 360], ids=["wide", "narrow"])
def width(request) -> int:
    return request.param


@pytest.fixture(params=["light", "dark"])
def scheme(request) -> str:
    return request.param


def brightness(page) -> float:
    """Of the ground that the text stands on, from 0 to 1."""
    return page.evaluate("""
      const shown = [document.querySelector("main"), document.body, document.documentElement]
        .map((element) => getComputedStyle(element).backgroundColor)
        .find((color) => !/, 0\\)$|transparent/.test(color)) || "rgb(255, 255, 255)";
      shown.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
    """)


@pytest.mark.parametrize("path", cases())
@pytest.mark.parametrize("width, scheme", LOOKS)
def test_axe_finds_no_violation(visit, axe, path, width, scheme):
    page = visit(width, scheme).open(path)
    assert (brightness(page) < 0.5) == (scheme == "dark"), f"the page is not {scheme}"
    assert axe(page) == ""


# The ledger is one table after the other, and axe needs most of a minute for it.
@pytest.mark.parametrize("path", cases(one_of_each, weekly=("ledger",)))
def test_axe_finds_no_violation_at_twice_the_size(visit, axe, path, scheme):
    # 200 % of a window of 1280 pixels: half as wide, drawn twice as fine.
    page = visit(640, scheme, device_scale_factor=2).open(path)
    assert axe(page) == ""


def test_axe_sees_what_is_wrong_far_below(visit, axe, book):
    page = visit().open(largest(book, "chapters/")[0])
    assert axe(page) == ""
    page.evaluate("""
      const image = document.createElement("img");
      image.src = document.querySelector("img").src;
      [...document.querySelectorAll(".stretch")].at(-1).append(image);
      const pale = document.createElement("p");
      pale.textContent = "Hard to read.";
      pale.style.color = "rgb(200, 200, 200)";
      [...document.querySelectorAll(".stretch")].at(-1).append(pale);
    """)
    found = axe(page)
    assert "image-alt" in found
    assert "color-contrast" in found


def shifts_of_a_reader(page) -> list:
    """What moves by itself while someone goes down to the end by screens and back."""
    top = 0
    while top < page.evaluate("document.documentElement.scrollHeight"):
        page.evaluate(f"window.scrollTo(0, {top})")
        page.evaluate(TWO_FRAMES)
        page.wait_for_timeout(30)  # what loads late loads now
        top += 600
    page.evaluate("window.scrollTo(0, 0)")
    page.evaluate(TWO_FRAMES)
    page.wait_for_timeout(30)
    page.wait_for_load_state("networkidle")
    return page.evaluate("window.shifts")


@pytest.mark.parametrize("path", cases())
def test_nothing_fails_shifts_or_leaves_the_site(visit, slowness, path, width):
    visited = visit(width)
    visited.page.add_init_script(WATCH_SHIFTS)
    page = visited.open(path)
    shifts = shifts_of_a_reader(page)
    if shifts and (page.evaluate(FONTS_WERE_LATE) or slowness(page) > 1.5):
        # On a slow line or a busy machine the letters change under the reader; that is the price of
        # showing the text before its fonts, which now lie in the cache. And a busy machine may lay
        # out a stretch a frame after it is seen. What is a fault of the page moves again.
        page = visited.open(path)
        shifts = shifts_of_a_reader(page)
    assert visited.problems == []
    assert shifts == []
    for image in page.locator("img").all():
        if image.is_visible():
            assert image.evaluate(LOADED), image.get_attribute("src")


@pytest.mark.parametrize("path", cases(one_of_each))
def test_a_first_visit_fetches_what_the_budget_counts(visit, book, path, width):
    visited = visit(width)
    asked: set[str] = set()
    visited.page.on("request", lambda request: asked.add(request.url))
    page = visited.open(path)
    start = visited.top_address if path == "404.html" else visited.address
    drawings = page.evaluate("[...document.images].map((image) => image.src)")
    counted = set(budgets.parts(book.by_address[path]))
    beyond = {
        address
        for url in asked - set(drawings)
        if (address := url.removeprefix(start).partition("#")[0]) not in counted
        and not url.startswith("data:")
    }
    assert beyond <= {path.removesuffix("index.html")}, "the check of budgets forgets these"


def test_the_index_of_the_search_waits(visit, book):
    visited = visit()
    asked: list[str] = []
    visited.page.on("request", lambda request: asked.append(request.url))
    page = visited.open(largest(book, "chapters/")[0])
    waiting = [url for url in asked if "search_index" in url or "search." in url]
    assert not any("search_index" in url for url in waiting)
    assert sum(budgets.sent(book.site / url.removeprefix(visited.address)) for url in waiting) < 500
    page.keyboard.press("/")
    page.keyboard.type("posterior")
    page.locator(".md-search-result__item").first.wait_for()
    assert any("search_index" in url for url in asked)


@pytest.mark.parametrize("path", cases())
def test_nothing_stands_out_to_the_side(visit, path, width):
    page = visit(width).open_whole(path)
    # What is folded counts too: a long formula there is as wide as one in the open.
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    # A page that scrolls sideways shows a strip of nothing on a phone.
    wide, shown = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= shown, page.evaluate(BEYOND)
    if width == 1280 and path.startswith("chapters/"):
        assert page.evaluate(WIDE_BLOCKS) == [], "code scrolls sideways"


@pytest.mark.parametrize("path", cases())
def test_the_page_prints(visit, path):
    page = visit().open(path)
    page.emulate_media(media="print")
    assert page.locator("main h1").first.is_visible()
    for furniture in page.locator(".md-header, .md-sidebar, .md-footer").all():
        assert not furniture.is_visible(), furniture.evaluate("e => e.className")
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF-")
    assert len(printed) > 5000


@pytest.mark.parametrize("path", cases())
def test_the_page_reads_without_scripts(visit, path):
    page = visit(java_script_enabled=False).open(path)
    heading = page.locator("main h1").first
    assert heading.is_visible()
    assert heading.inner_text().strip()
    for formula in page.locator("main math[display=block]").all()[:20]:
        # What stands in a closed fold has no size.
        if not formula.evaluate("formula => formula.closest('details:not([open])')"):
            box = formula.bounding_box()
            assert box["width"] > 1, formula.inner_html()
            assert box["height"] > 1, formula.inner_html()
