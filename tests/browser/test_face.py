"""The face of the book: the margin, the two palettes, the first page, paper."""

import pytest
from playwright.sync_api import expect

OVERLAPS = """
(() => {
  const shown = [...document.querySelectorAll(
    ".note, .reproduce, .equation-check, .highlight.wide, figure > .drawing")]
    .filter((one) => one.checkVisibility({ contentVisibilityAuto: true }))
    .map((one) => [one, one.getBoundingClientRect()]);
  const found = [];
  shown.forEach(([first, a], index) => shown.slice(index + 1).forEach(([second, b]) => {
    const [beside, level] = [["left", "right"], ["top", "bottom"]].map(
      ([start, end]) => a[start] < b[end] - 1 && b[start] < a[end] - 1);
    if (beside && level)
      found.push([first.textContent.trim().slice(0, 40), second.textContent.trim().slice(0, 40)]);
  }));
  return found;
})()
"""


@pytest.fixture
def chapters(book) -> list[str]:
    return [page for page in book.by_address if page.startswith("chapters/")]


@pytest.mark.parametrize("width", [1280, 1600])
def test_nothing_in_the_margin_covers_anything_else(visit, chapters, width):
    visited = visit(width)
    for chapter in chapters:
        assert visited.open_whole(chapter).evaluate(OVERLAPS) == [], chapter


def test_the_overlap_check_sees_two_notes_in_one_place(visit, chapters):
    page = visit().open(chapters[0])
    page.evaluate("""
      for (const _ of [1, 2]) {
        const note = document.createElement("div");
        note.className = "note";
        note.textContent = "here";
        note.style.cssText = "position: absolute; top: 300px; left: 900px; width: 100px";
        document.querySelector("article").append(note);
      }
    """)
    assert page.evaluate(OVERLAPS) != []


def test_lines_of_text_have_the_length_of_a_book(visit, chapters):
    page = visit().open(chapters[0])
    per_line = page.evaluate("""
      (() => {
        const one = document.createElement("p");
        one.style.width = "max-content";
        one.textContent = "the quick brown fox jumps over the lazy dog ".repeat(10);
        document.querySelector("article").append(one);
        const letter = one.getBoundingClientRect().width / one.textContent.length;
        one.remove();
        return document.querySelector("article p").getBoundingClientRect().width / letter;
      })()
    """)
    assert 64 <= per_line <= 76


def test_the_reader_s_choice_of_palette_is_kept_and_figures_follow(visit, chapters):
    visited = visit(scheme="light")
    page = visited.open(chapters[0])
    light, dark = page.locator("figure img.light").first, page.locator("figure img.dark").first
    assert light.is_visible()
    assert not dark.is_visible()
    page.locator(".palette").click()
    assert dark.is_visible()
    assert not light.is_visible()
    page = visited.open(chapters[1])
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert visited.problems == []


def test_a_system_in_the_dark_needs_no_scripts(visit, chapters):
    page = visit(scheme="dark", java_script_enabled=False).open(chapters[0])
    assert page.locator("figure img.dark").first.is_visible()
    assert not page.locator("figure img.light").first.is_visible()


def test_paper_shows_every_answer_in_light_colors(visit, chapters):
    page = visit(scheme="dark").open(chapters[0])
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("figure img.light").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


PIXELS = """
[...document.querySelectorAll(".player canvas")].map((canvas) =>
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join())
"""


def test_the_first_picture_waits_plays_and_stops(visit):
    visited = visit()
    page = visited.open("index.html")
    slider, button = page.locator(".player input"), page.locator(".player button")
    last = slider.get_attribute("max")
    assert slider.input_value() == last
    whole, broken = page.evaluate(PIXELS)
    assert whole != broken
    slider.fill("0")
    at_noise = page.evaluate(PIXELS)
    alphas = [pixels.split(",")[3::4] for pixels in at_noise]
    assert alphas[0] == alphas[1], "both sides start from the same noise"
    assert at_noise[0] != whole
    button.click()
    assert button.inner_text() == "Pause"
    expect(button).to_have_text("Play")
    assert slider.input_value() == last
    assert page.evaluate(PIXELS) == [whole, broken]
    assert visited.problems == []


def test_the_first_picture_stops_off_screen(visit):
    page = visit().open("index.html")
    page.locator(".player button").click()
    page.evaluate("document.body.style.minHeight = '9000px'; scrollTo(0, 5000)")
    expect(page.locator(".player button")).to_have_text("Play")
    slider = page.locator(".player input")
    assert slider.input_value() != slider.get_attribute("max")


def test_without_scripts_the_first_picture_is_a_drawing(visit):
    page = visit(java_script_enabled=False).open("index.html")
    assert page.locator("figure img.light").first.is_visible()
    assert page.locator(".player").count() == 0
