"""Every kind of page, light and dark, wide and narrow: reachable, quiet, still, and accessible."""

import json
from pathlib import Path

import pytest

from checking.book import Book

ROOT = Path(__file__).resolve().parents[2]
SINGLE = ("index.html", "ledger", "notation", "bibliography", "how-it-is-built", "404.html")
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

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


def addresses(book: Book) -> list[str]:
    """Chapters, the largest page of reference, the largest notebook, and the single pages."""
    found = [page for page in book.by_address if page.startswith("chapters/")]
    for kind in ("reference/", "notebooks/"):
        pages = [page for page in book.pages if page.address.startswith(kind)]
        found += [max(pages, key=lambda page: page.file.stat().st_size).address] if pages else []
    for name in SINGLE:
        address = name if name.endswith(".html") else f"{name}/index.html"
        found += [address] if address in book.by_address else []
    return found


def report(violations: list[dict]) -> str:
    """What axe found, a line for each node."""
    return "\n".join(
        f"{found['id']} ({found['impact']}): {json.dumps(node['target'])} {node['html'][:160]}"
        for found in violations
        for node in found["nodes"][:4]
    )


def cases() -> list:
    """Pages of the built site; without one, a single case, whose fixtures say what to do."""
    site = ROOT / "site"
    if not (site / "index.html").is_file():
        return [pytest.param("index.html", id="no-site")]
    book = Book(root=ROOT, docs=ROOT / "docs", site=site)
    return [
        pytest.param(page, id=page.removesuffix("/index.html").replace("/", "."))
        for page in addresses(book)
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
def test_axe_finds_no_violation(visit, path, width, scheme):
    if not AXE.is_file():
        pytest.fail("axe-core is not installed: run make install")
    page = visit(width, scheme).open(path)
    assert (brightness(page) < 0.5) == (scheme == "dark"), f"the page is not {scheme}"
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["violations"] == [], report(found["violations"])


@pytest.mark.parametrize("path", cases())
def test_nothing_fails_shifts_or_leaves_the_site(visit, path, width):
    visited = visit(width)
    visited.page.add_init_script(WATCH_SHIFTS)
    page = visited.open(path)
    # Down to the end and back, as a reader would, so that what loads late has loaded.
    height = page.evaluate("document.documentElement.scrollHeight")
    for top in [*range(0, height, 3000), height, 0]:
        page.evaluate(f"window.scrollTo(0, {top})")
        page.wait_for_timeout(30)
    page.wait_for_load_state("networkidle")
    assert visited.problems == []
    shifts = page.evaluate("window.shifts")
    assert sum(value for value, _ in shifts) < 0.01, shifts
    for image in page.locator("img").all():
        if image.is_visible():
            assert image.evaluate(LOADED), image.get_attribute("src")


@pytest.mark.parametrize("path", cases())
def test_nothing_stands_out_to_the_side(visit, path, width):
    page = visit(width).open(path)
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
