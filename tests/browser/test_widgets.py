"""Every widget of the built site, used as readers do: by pointer, key and touch, and badly.

A widget is covered by standing on a page. What a single one must do has tests of its own.
"""

import itertools
from pathlib import Path
from urllib.parse import quote

import pytest

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
READY = ".widget:not([aria-busy])"
PATIENCE = 90_000  # milliseconds; some widgets load and run networks, perhaps on a busy machine
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "1e999",
    "-1e999",
    "NaN",
    "__proto__",
    "constructor",
    "'; alert(1) //",
    "%00",
    "9" * 400,
]
# The state as a reader sees it: every control, the words and the numbers, but not the time it took.
SEEN = """figure => ({
  controls: [...figure.querySelectorAll(".widget :is(input, select)")].map((one) =>
    [one.id || one.getAttribute("aria-label"), one.type === "checkbox" ? one.checked : one.value]),
  says: figure.querySelector(".widget-says").textContent.replace(/[\\d.]+ (s|seconds)\\b/g, ""),
  numbers: [...figure.querySelectorAll(".widget-numbers data")]
    .filter((one) => one.dataset.key !== "seconds").map((one) => [one.dataset.key, one.value]),
})"""
OUT_OF_RANGE = """figure => [
  ...figure.querySelectorAll(".widget :is(input, select)")
].filter((one) => {
  if (one.tagName === "SELECT") return one.selectedIndex < 0;
  if (one.type === "checkbox") return false;
  if (one.type === "text") return one.value.length > one.maxLength;
  const value = Number(one.value);
  return one.value === "" || !(value >= Number(one.min) && value <= Number(one.max));
}).map((one) => `${one.id}: ${one.value}`)"""


class Widget:
    """A widget on its page."""

    def __init__(self, visited, widget, query: str = ""):
        self.visited, (path, self.name) = visited, widget
        self.page = visited.open(path.removesuffix("index.html") + query)
        self.figure = self.page.locator(f'figure[data-widget="{self.name}"]')
        self.offer = self.figure.locator(".widget-open")
        self.drawing = self.figure.locator(".drawing")

    def open(self) -> "Widget":
        self.offer.click()
        return self.ready()

    def ready(self) -> "Widget":
        self.figure.locator(READY).wait_for(timeout=PATIENCE)
        return self

    def settled(self) -> "Widget":
        """What follows a change is computed, and written into the address."""
        self.page.wait_for_timeout(350)
        return self.ready()

    def button(self, name: str):
        return self.figure.locator(".widget").get_by_role("button", name=name, exact=True)

    def close(self) -> None:
        self.button("Back to the figure").click()

    def seen(self) -> dict:
        return self.figure.evaluate(SEEN)

    @property
    def player(self):
        return self.figure.locator(".widget-player input[type=range]")

    def plays(self) -> bool:
        """Whether something moves here; tests of the player end early where nothing does."""
        return self.player.count() > 0 and int(self.player.get_attribute("max")) > 1

    def frame(self) -> int:
        return int(self.player.input_value())

    def use(self) -> None:
        """Move every control that there is, as it is found."""
        rows = self.figure.locator(".widget-controls .widget-row")
        for at in range(rows.count()):
            row = rows.nth(at)
            if not row.is_visible():
                continue
            select, box = row.locator("select"), row.locator("input[type=checkbox]")
            slider, another = row.locator("input[type=range]"), row.locator("button")
            if select.count():
                select.select_option(index=select.locator("option").count() - 1)
            elif box.count():
                box.click()
            elif slider.count():
                slider.focus()
                top = slider.input_value() == slider.get_attribute("max")
                slider.press("ArrowLeft" if top else "ArrowRight")
            elif another.count():
                another.click()
            self.ready()
        for bar in self.figure.locator(".widget-stage input[type=range]").all():
            bar.focus()
            bar.press(
                "ArrowLeft" if bar.input_value() == bar.get_attribute("max") else "ArrowRight"
            )
            self.ready()
        # What is touched in the picture itself.
        sliders = self.figure.locator(".widget-stage input[type=range]:visible")
        for at in range(sliders.count()):
            sliders.nth(at).press("ArrowRight" if at % 2 else "ArrowLeft")
        self.ready()


@pytest.fixture
def start(visit, widget):
    """Opens the page of the widget: `start(width=360, query="?...")`."""

    def begin(query: str = "", **options) -> Widget:
        return Widget(visit(**options), widget, query)

    return begin


def inked(one: Widget) -> bool:
    """Whether anything is drawn: a canvas that is not of one color, or marks that are no canvas."""
    return one.figure.evaluate("""figure => {
      const stage = figure.querySelector(".widget-stage");
      const marked = [...stage.querySelectorAll("canvas")].some((canvas) => {
        if (!canvas.width || !canvas.height) return false;
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 4; i < data.length; i += 4)
          if (data[i] !== data[0] || data[i + 3] !== data[3]) return true;
        return false;
      });
      return marked || stage.querySelector("svg *, table, input, output") !== null;
    }""")


def test_it_costs_nothing_before_the_click_opens_by_pointer_and_closes(start):
    asked: list[str] = []
    one = start()
    one.page.on("request", lambda request: asked.append(request.url))
    assert not one.page.evaluate(
        """performance.getEntriesByType("resource").some(({ name }) =>
          /javascripts\\/widgets\\/|widgets\\.css|\\.wasm|\\.onnx/.test(name))"""
    )
    loader = (ROOT / "docs/assets/javascripts/widgets.js").stat().st_size
    assert loader <= 2048
    assert one.drawing.is_visible()
    one.open()
    assert any(f"/widgets/{one.name}.js" in url for url in asked)
    assert not one.drawing.is_visible()
    assert not one.offer.is_visible()
    assert one.figure.locator(".widget-says").inner_text().strip()
    assert inked(one)
    one.use()
    one.settled()
    assert f"widget={one.name}" in one.page.url
    one.close()
    assert one.drawing.is_visible()
    assert one.figure.locator(".widget").count() == 0
    assert "widget" not in one.page.url
    assert one.offer.evaluate("button => button === document.activeElement")
    assert one.visited.problems == []


def test_it_opens_and_is_used_by_keyboard_alone(start):
    one = start()
    one.figure.evaluate("figure => { figure.tabIndex = -1; figure.focus(); }")
    one.page.keyboard.press("Tab")
    assert one.offer.evaluate("button => button === document.activeElement")
    one.page.keyboard.press("Enter")
    one.ready()
    here = "document.activeElement.closest('.widget') !== null"
    assert one.page.evaluate(here)
    # Every control is a stop, in the order of the page.
    wanted = one.figure.evaluate(
        """figure => [...figure.querySelectorAll(".widget :is(button, input, select)")]
          .filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex >= 0)
          .length"""
    )
    seen = 1
    for _ in range(wanted + 2):
        one.page.keyboard.press("Tab")
        if not one.page.evaluate(here):
            break
        seen += 1
    assert seen == wanted
    one.button("Back to the figure").focus()
    one.page.keyboard.press("Enter")
    assert one.drawing.is_visible()
    assert one.visited.problems == []


def test_arrow_keys_move_its_sliders_and_their_values_are_said(start):
    one = start().open()
    sliders = one.figure.locator(".widget input[type=range]:visible")
    for at in range(sliders.count()):
        slider = sliders.nth(at)
        before = float(slider.input_value())
        top = before == float(slider.get_attribute("max"))
        slider.focus()
        slider.press("ArrowLeft" if top else "ArrowRight")
        one.ready()
        after = float(slider.input_value())
        assert (after < before) if top else (after > before)
        if slider.evaluate("one => one.closest('.widget-stage') === null"):
            assert slider.get_attribute("aria-valuetext")
        assert slider.evaluate("one => one === document.activeElement")
    assert one.visited.problems == []


def test_it_plays_pauses_steps_and_resets(start):
    one = start().open()
    if not one.plays():
        return
    last = int(one.player.get_attribute("max"))
    one.player.focus()
    one.player.press("Home")
    one.button("Step").click()
    assert one.frame() == 1
    if last > 3:
        one.button("Play").click()
        one.page.wait_for_function(
            """([figure]) => Number(figure.querySelector(".widget-player input").value) > 1""",
            arg=[one.figure.element_handle()],
        )
        one.button("Pause").click()
        held = one.frame()
        one.page.wait_for_timeout(400)
        assert one.frame() == held
        assert one.button("Play").is_visible()
    one.player.press("End")
    assert one.frame() == last
    one.button("Play").click()  # from the end it begins again, and ends by itself
    one.button("Play").wait_for(timeout=PATIENCE)
    assert one.frame() == last
    one.use()
    one.button("Reset").click()
    one.settled()
    fresh = start().open()
    assert one.seen() == fresh.seen()
    assert one.visited.problems == []


def test_a_shared_address_opens_the_same_state(start):
    one = start().open()
    one.use()
    if one.plays():
        one.player.focus()
        one.player.press("Home")
        one.button("Step").click()
    one.settled()
    query = one.page.url.partition("?")[2]
    assert f"widget={one.name}" in query
    other = start(f"?{query}").ready()
    assert other.seen() == one.seen()
    assert other.visited.problems == []


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_hostile_words_in_the_address_are_clamped_or_passed_over(start, every):
    """Each word somewhere, and in the weekly run each word in each place."""
    one = start().open()
    keys = one.figure.evaluate(
        """(figure, name) => [...figure.querySelectorAll(".widget [id]")]
          .filter((each) => each.id.startsWith(`${name}-`))
          .map((each) => each.id.slice(name.length + 1))""",
        one.name,
    )
    places = [*keys, "frame", "x", "__proto__"]
    for first in range(0, len(HOSTILE), 1 if every else len(places)):
        said = itertools.islice(itertools.cycle(HOSTILE), first, None)
        words = [f"{one.name}.{key}={quote(word)}" for key, word in zip(places, said, strict=False)]
        other = start(f"?widget={one.name}&" + "&".join(words)).ready()
        assert other.figure.evaluate(OUT_OF_RANGE) == []
        assert other.figure.locator(".widget-trouble").is_hidden()
        assert inked(other)
        assert other.visited.problems == []
        other.page.context.close()


def test_it_works_by_touch_on_a_phone_and_fits(start):
    one = start(width=360, has_touch=True, is_mobile=True)
    one.offer.tap()
    one.ready()
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert one.page.evaluate(fits)
    for control in ("input[type=checkbox]", "button"):
        found = one.figure.locator(f".widget {control}:visible")
        for at in range(found.count()):
            box = found.nth(at).bounding_box()
            assert min(box["width"], box["height"]) >= 24, f"{control} {at} is too small to touch"
    if one.plays():
        one.button("Step").tap()
    switches = one.figure.locator(".widget input[type=checkbox]:visible")
    for at in range(switches.count()):
        before = switches.nth(at).is_checked()
        switches.nth(at).tap()
        one.ready()
        assert switches.nth(at).is_checked() is not before
        assert one.page.evaluate(fits)
    one.button("Back to the figure").tap()
    assert one.drawing.is_visible()
    assert one.visited.problems == []


@pytest.mark.thorough
def test_fifty_openings_leave_nothing_behind(start):
    one = start()
    devtools = one.page.context.new_cdp_session(one.page)
    devtools.send("Performance.enable")

    def held() -> dict[str, float]:
        devtools.send("HeapProfiler.collectGarbage")
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        found = {each["name"]: each["value"] for each in metrics}
        return {key: found[key] for key in ("JSEventListeners", "Nodes", "JSHeapUsedSize")}

    def round_trip(patient: bool) -> None:
        """Open and close; who is not patient closes while it computes."""
        one.offer.click()
        one.figure.locator(READY if patient else ".widget").wait_for(timeout=PATIENCE)
        one.close()

    for _ in range(3):
        round_trip(patient=True)
    one.page.wait_for_timeout(300)
    before = held()
    for at in range(50):
        round_trip(patient=at % 10 == 9)
    one.page.wait_for_timeout(300)
    after = held()
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 5
    assert after["Nodes"] <= before["Nodes"] + 200
    assert after["JSHeapUsedSize"] <= before["JSHeapUsedSize"] + 1.5e6
    assert one.visited.problems == []


def test_a_reader_who_leaves_and_comes_back_finds_it_as_it_was(start):
    one = start().open()
    one.use()
    one.settled()
    left = one.seen()
    for _ in range(3):
        one.page.goto(one.visited.address, wait_until="load")
        one.page.go_back(wait_until="load")
        one.settled()
        assert one.figure.locator(".widget").count() == 1
        assert one.seen() == left
    one.page.go_forward(wait_until="load")
    assert one.page.locator(".widget").count() == 0
    assert one.visited.problems == []


def test_who_asked_for_no_motion_sees_the_end_at_once(start):
    one = start()
    one.page.emulate_media(reduced_motion="reduce")
    one.open()
    if not one.plays():
        return
    one.player.focus()
    one.player.press("Home")
    one.button("Play").click()
    assert one.frame() == int(one.player.get_attribute("max"))
    assert one.button("Play").is_visible()


@pytest.mark.parametrize("way", ["hidden", "scrolled off", "another control"])
def test_it_pauses_when_nobody_looks_or_something_changes(start, way):
    one = start().open()
    if not one.plays() or int(one.player.get_attribute("max")) < 8:
        return
    one.player.focus()
    one.player.press("Home")
    one.button("Play").click()
    assert one.button("Pause").is_visible()
    if way == "hidden":
        one.page.evaluate("""Object.defineProperty(document, "hidden", { get: () => true });
            document.dispatchEvent(new Event("visibilitychange"));""")
    elif way == "scrolled off":
        one.page.evaluate("""scrollTo(0, scrollY > 2500 ? 0 : document.body.scrollHeight)""")
    else:
        one.figure.locator(".widget-controls select, .widget-controls input").first.focus()
        one.use()
    one.page.wait_for_function(
        "figure => figure.querySelector('.widget-player button').textContent === 'Play'",
        arg=one.figure.element_handle(),
        timeout=PATIENCE,
    )
    if way != "another control":
        assert one.frame() < int(one.player.get_attribute("max"))
    assert one.visited.problems == []


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("dark", 360), ("light", 1280), pytest.param("light", 360, marks=pytest.mark.thorough)],
)
def test_axe_finds_nothing_with_it_open(start, scheme, width):
    if not AXE.is_file():
        pytest.fail("axe-core is not installed: run make install")
    one = start(width=width, scheme=scheme).open()
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    one.page.evaluate(AXE.read_text(encoding="utf-8"))
    # The rest of the page has a test of its own; what the widget adds is here.
    found = one.figure.evaluate("figure => axe.run(figure, {resultTypes: ['violations']})")
    said = [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    assert said == []


def test_a_change_of_palette_repaints_it(start):
    one = start().open()
    picture = """figure => [...figure.querySelectorAll(".widget canvas")]
      .map((each) => each.toDataURL())"""
    before = one.figure.evaluate(picture)
    if not before:
        return
    one.page.evaluate("document.body.setAttribute('data-md-color-scheme', 'slate')")
    one.page.wait_for_timeout(200)
    assert one.figure.evaluate(picture) != before


def test_paper_shows_the_figure_and_not_the_widget(start):
    one = start().open()
    assert one.figure.locator(".widget").is_visible()
    one.page.emulate_media(media="print")
    assert one.drawing.is_visible()
    assert one.drawing.locator("img:visible").count() == 1
    assert not one.figure.locator(".widget").is_visible()
    assert not one.offer.is_visible()


def test_without_scripts_the_figure_stands_alone(start):
    one = start(java_script_enabled=False)
    assert one.figure.locator(".drawing img:visible").count() == 1
    assert not one.offer.is_visible()


def test_from_disk_it_works_or_says_plainly_that_it_cannot(browser, book, widget):
    path, name = widget
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((book.site / path).as_uri(), wait_until="load")
    figure = page.locator(f'figure[data-widget="{name}"]')
    figure.locator(".widget-open").click()
    figure.locator(READY).wait_for(timeout=PATIENCE)
    trouble = figure.locator(".widget-trouble")
    if trouble.is_visible():
        assert trouble.inner_text().strip()
        assert figure.locator(".drawing img:visible").count() == 1
    else:
        assert figure.locator(".widget-says").inner_text().strip()
    assert errors == []
    context.close()


def test_a_bundle_that_does_not_come_leaves_the_figure_and_a_second_try(start):
    one = start()
    one.page.route(f"**/widgets/{one.name}.js", lambda route: route.abort())
    one.offer.click()
    one.page.wait_for_function(
        "button => !button.disabled && /again/.test(button.textContent)",
        arg=one.offer.element_handle(),
    )
    assert one.drawing.is_visible()
    one.page.unroute(f"**/widgets/{one.name}.js")
    one.open()
    assert inked(one)
