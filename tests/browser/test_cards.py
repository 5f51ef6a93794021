"""What a term, a citation or a reference means is shown in place, and nothing else changes."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from checking.book import Book

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""
KINDS = {
    "term": "main a.term",
    "citation": "main a.cite",
    "equation": "main a.reference[href^='#eq-']",
    "figure": "main a.reference[href^='#fig-']",
}


def card(page: Page) -> Locator:
    return page.locator("#card:not([hidden])")


def with_link(book: Book, kind: str) -> str:
    """A chapter that has such a link."""
    start = KINDS[kind].partition("[")[2].strip("]").partition("'")[2].strip("'")
    name = "reference" if start else KINDS[kind].rpartition(".")[2]
    for page in book.pages:
        if page.address.startswith("chapters/") and page.all(
            f"//main//a[@class='{name}' and starts-with(@href, '{start}')]"
        ):
            return page.address
    raise AssertionError(f"no chapter has a link to a {kind}")


def first(page: Page, kind: str) -> Locator:
    link = page.locator(KINDS[kind]).locator("visible=true").first
    link.scroll_into_view_if_needed()
    return link


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1280, 360])
def test_the_pointer_opens_a_card_and_leaving_closes_it(visit, book, kind, width):
    visited = visit(width)
    visited.page.add_init_script(SHIFTS)
    page = visited.open(with_link(book, kind))
    asked = []
    link = first(page, kind)
    page.wait_for_load_state("networkidle")
    before = page.evaluate("shifts")
    page.on("request", lambda request: asked.append(request.url))
    link.hover()
    expect(card(page)).to_be_visible()
    if kind in ("term", "citation"):
        assert card(page).inner_text().strip() == link.get_attribute("data-says")
    else:
        name = link.get_attribute("href").removeprefix("#")
        wanted = f"#{name} math" if kind == "equation" else f"#{name} .drawing img"
        copy = card(page).locator("math, img").locator("visible=true").first
        expect(copy).to_be_visible()
        source = page.locator(wanted).locator("visible=true").first
        attribute = "textContent" if kind == "equation" else "src"
        assert copy.evaluate(f"one => one.{attribute}") == source.evaluate(
            f"one => one.{attribute}"
        )
    box = card(page).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert card(page).evaluate("card => card.scrollWidth <= card.clientWidth + 1")
    assert box["height"] > 10
    assert page.evaluate("document.querySelectorAll('[id]').length") == page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size"
    )
    there = link.bounding_box()
    page.mouse.move(2, 2)
    expect(card(page)).to_have_count(0)
    assert link.bounding_box() == there
    assert page.evaluate("shifts") == before
    drawings = [url for url in asked if not url.endswith(".svg")]
    assert drawings == [], "a card asks for nothing but the drawing"
    assert visited.problems == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_keyboard_opens_a_card_and_escape_closes_it(visit, book, kind):
    page = visit().open(with_link(book, kind))
    link = first(page, kind)
    # To the link by the key: from the stop before it.
    link.evaluate("""(link) => {
      const stop = document.createElement("button");
      link.before(stop);
      stop.focus();
    }""")
    page.keyboard.press("Tab")
    assert link.evaluate("link => link === document.activeElement")
    expect(card(page)).to_be_visible()
    assert link.get_attribute("aria-describedby") == "card"
    page.keyboard.press("Escape")
    expect(card(page)).to_have_count(0)
    assert link.get_attribute("aria-describedby") is None
    assert link.evaluate("link => link === document.activeElement")


def test_the_pointer_may_rest_on_the_card(visit, book):
    page = visit().open(with_link(book, "equation"))
    first(page, "equation").hover()
    expect(card(page)).to_be_visible()
    card(page).hover()
    page.wait_for_timeout(400)
    expect(card(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(card(page)).to_have_count(0)


def test_the_first_tap_follows_the_link(visit, book):
    address = with_link(book, "citation")
    visited = visit(360, has_touch=True, is_mobile=True)
    page = visited.open(address)
    first(page, "citation").tap()
    page.wait_for_url("**/bibliography/**")
    page = visited.open(with_link(book, "equation"))
    link = first(page, "equation")
    href = link.get_attribute("href")
    link.tap()
    page.wait_for_function("(href) => location.hash === href", arg=href)
    expect(card(page)).to_have_count(0)


def test_an_equation_of_another_page_is_shown_too(visit, book):
    pages = {page.address: page.all("//template[@data-for]/@data-for") for page in book.pages}
    address, names = next((address, names) for address, names in pages.items() if names)
    visited = visit()
    page = visited.open(address)
    link = page.locator(f"main a.reference[href$='#{names[0]}']").locator("visible=true").first
    link.hover()
    shown = card(page).locator("math, img").first
    expect(shown).to_be_visible()
    home = link.get_attribute("href")
    copied = shown.evaluate("one => one.textContent")
    other = visited.page.context.new_page()
    other.goto(page.evaluate("(href) => new URL(href, location).href", home))
    assert other.locator(f"#{names[0]} math").first.evaluate("one => one.textContent") == copied
    assert visited.problems == []


def test_a_reference_to_nothing_on_the_page_opens_no_card(visit, book):
    page = visit().open(with_link(book, "equation"))
    link = first(page, "equation")
    link.evaluate("link => { link.href = '#eq-there-is-none'; }")
    link.hover()
    page.wait_for_timeout(400)
    expect(card(page)).to_have_count(0)


def test_without_scripts_the_words_are_shown(visit, book):
    page = visit(java_script_enabled=False).open(with_link(book, "citation"))
    link = first(page, "citation")
    link.hover()
    content = link.evaluate("link => getComputedStyle(link, '::after').content")
    assert link.get_attribute("data-says")[:40] in content.replace("\\", "")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_an_open_card(visit, book, kind, scheme):
    if not AXE.is_file():
        pytest.fail("axe-core is not installed: run make install")
    page = visit(scheme=scheme).open(with_link(book, kind))
    first(page, kind).hover()
    expect(card(page)).to_be_visible()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert card(page).is_visible()
    assert [(one["id"], one["nodes"][0]["html"][:160]) for one in found["violations"]] == []
