"""A reader without a mouse gets everywhere and sees where they are."""

import pytest

# A hidden box is shown by its label, or by the one beside it, which then carries the mark.
FOCUSED = """
(() => {
  const element = document.activeElement;
  const shown = [element, ...(element.labels || []), element.nextElementSibling]
    .filter((one) => one === element || one?.tagName === "LABEL");
  const style = (one) => getComputedStyle(one);
  return {
    tag: element.tagName,
    text: (element.innerText || element.getAttribute("aria-label") || "").trim().slice(0, 40),
    href: element.getAttribute("href"),
    seen: shown.some((one) => {
      const box = one.getBoundingClientRect();
      return box.width > 0 && box.height > 0 && Number(style(one).opacity) > 0
        && box.bottom > 0 && box.top < innerHeight;
    }),
    marked: shown.some((one) => style(one).boxShadow !== "none"
      || (style(one).outlineStyle !== "none" && parseFloat(style(one).outlineWidth) > 0)),
  };
})()
"""


@pytest.fixture
def chapter(book) -> str:
    return next(page for page in book.by_address if page.startswith("chapters/"))


def test_the_first_stop_skips_to_the_content(visit, chapter):
    page = visit().open(chapter)
    page.keyboard.press("Tab")
    # The link slides in.
    page.wait_for_timeout(400)
    focused = page.evaluate(FOCUSED)
    assert focused["href"], focused
    assert focused["href"].startswith("#"), focused
    assert focused["seen"], focused
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_every_stop_is_seen_and_marked(visit, chapter):
    page = visit().open(chapter)
    stops = []
    for _ in range(30):
        page.keyboard.press("Tab")
        page.wait_for_timeout(300 if not stops else 60)
        stops.append(page.evaluate(FOCUSED))
    assert [stop for stop in stops if not (stop["seen"] and stop["marked"])] == []
    assert len({(stop["tag"], stop["text"], stop["href"]) for stop in stops}) > 15


@pytest.mark.parametrize("key", ["/", "s"])
def test_a_key_opens_the_search_and_escape_leaves_it(visit, chapter, key):
    visited = visit()
    page = visited.open(chapter)
    page.keyboard.press(key)
    page.wait_for_function("document.activeElement.matches('input')")
    page.keyboard.type("posterior", delay=20)
    page.locator(".md-search-result__item a, [role=dialog] li a").first.wait_for(timeout=20_000)
    page.keyboard.press("Escape")
    page.wait_for_function("!document.activeElement.matches('input')")
    assert visited.problems == []


def test_a_fold_opens_by_key(visit, chapter):
    page = visit().open(chapter)
    fold = page.locator("main details").first
    assert not fold.evaluate("fold => fold.open")
    fold.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("fold => fold.open")
