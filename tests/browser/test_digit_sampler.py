"""The widget that draws digits: used as a reader would, and held against the package."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from torch import Tensor

from book import models
from digits_by_package import PLAIN, ROOT, walk
from drawing import CHAPTER, figure_of, finish, networks, number, start
from experiments.lesions._published import load_judge

# What is drawn has a faint ground, and 255 levels above it.
PAPER, INK = 0.06, 0.94
OPACITIES = """
(canvas) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return { width, height, values: [...data].filter((_, i) => i % 4 === 3) };
}
"""


def gray(figure: Locator, which: int = 0) -> Tensor:
    """The images on a sheet as the widget painted them, from 0 to 1: what a reader sees."""
    found = figure.locator("canvas").nth(which).evaluate(OPACITIES)
    sheet = torch.tensor(found["values"]).reshape(found["height"], found["width"]) / 255
    images = [sheet[9 * r : 9 * r + 8, 9 * c : 9 * c + 8] for r in range(4) for c in range(4)]
    return (torch.stack(images) - PAPER) / INK


def shown(path: Tensor, frame: int = -1) -> Tensor:
    return ((path[frame, :, 0] + 1) / 2).clamp(0, 1)


def agrees(found: Tensor, wanted: Tensor) -> bool:
    """Within the rounding to 255 levels."""
    return bool((found - wanted).abs().max() < 1.1 / 255 / INK)


def address_state(page: Page) -> dict[str, str]:
    page.wait_for_timeout(350)  # it is written a moment after the last change
    asked = parse_qs(urlsplit(page.url).query)
    return {key.removeprefix("digit_sampler."): value[0] for key, value in asked.items()}


def test_nothing_comes_before_the_click_and_only_our_own_after_it(visit):
    visited = visit()
    asked = []
    visited.page.on("request", lambda request: asked.append(request.url))
    page = visited.open(CHAPTER)
    figure_of(page).scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    late = re.compile(r"widgets/|models/|widgets\.css")
    assert [url for url in asked if late.search(url)] == []
    assert figure_of(page).locator(".drawing").is_visible()
    start(page)
    names = {urlsplit(url).path.rpartition("/")[2] for url in asked if late.search(url)}
    assert names == {
        *("widgets.css", "digit_sampler.js", "worker.js"),
        *("manifest.json", "digits.onnx.gz", "judge.onnx.gz", "runtime.wasm.gz"),
    }
    assert not figure_of(page).locator(".drawing").is_visible()
    assert visited.problems == []


def test_by_pointer_the_digits_are_those_of_the_package(visit, monkeypatch):
    visited = visit()
    page = visited.open(CHAPTER)
    figure = start(page)
    state = PLAIN | {"steps": 10, "seed": 0}
    assert agrees(gray(figure), shown(walk(monkeypatch, state)))
    assert number(figure, "calls") == 19

    page.get_by_label("Class", exact=True).select_option("3")
    finish(page)
    page.get_by_label("Sampler", exact=True).select_option("euler")
    finish(page)
    slider = figure.get_by_label("Guidance ω")
    slider.click()  # in the middle
    finish(page)
    weight = float(slider.input_value())
    assert 3 <= weight <= 4
    state |= {"asked": "3", "sampler": "euler", "guidance": weight}
    path = walk(monkeypatch, state)
    assert agrees(gray(figure), shown(path))
    assert number(figure, "calls") == 10
    outside = ((path[-1].abs() - 1) > 0.05 / 8).double().mean().item()
    assert number(figure, "outside") == pytest.approx(outside, abs=3 / 1024)
    judge = load_judge(models.MODELS["judge"].path(ROOT))
    right = judge.accuracy(path[-1].clamp(-1, 1), torch.full((16,), 3))
    assert number(figure, "read") == round(16 * right)
    wrong = walk(monkeypatch, state | {"guidance": weight + 0.5})
    assert not agrees(gray(figure), shown(wrong))
    assert address_state(page) == {
        "widget": "digit_sampler",
        "asked": "3",
        "sampler": "euler",
        "guidance": f"{weight:g}",
    }
    assert visited.problems == []


def test_by_keyboard_the_digits_are_those_of_the_package(visit, monkeypatch):
    page = visit().open(CHAPTER)
    figure_of(page).locator(".widget-open").focus()
    page.keyboard.press("Enter")
    figure = finish(page)
    assert figure.evaluate("(figure) => figure.contains(document.activeElement)")
    seen = []
    for _ in range(30):
        name = page.evaluate("document.activeElement.id")
        seen.append(name)
        if name.endswith("steps"):
            page.keyboard.press("Home")
            for _ in range(3):
                page.keyboard.press("ArrowRight")
        if name.endswith("timeless"):
            page.keyboard.press("Space")
            break
        page.keyboard.press("Tab")
    finish(page)
    state = PLAIN | {"steps": 4, "seed": 0, "timeless": True}
    assert agrees(gray(figure), shown(walk(monkeypatch, state)))
    assert address_state(page) == {"widget": "digit_sampler", "steps": "4", "timeless": "1"}
    says = figure.locator(".widget-says")
    expect(says).to_contain_text("The time is hidden")
    # One step at a time: noise first, then nearer and nearer.
    toggle = figure.get_by_role("button", name="Step")
    toggle.focus()
    page.keyboard.press("Enter")
    path = walk(monkeypatch, state)
    assert agrees(gray(figure), shown(path, 0))
    page.keyboard.press("Enter")
    assert agrees(gray(figure), shown(path, 1))
    expect(figure.locator(".widget-player output")).to_have_text("t = 0.75")


@pytest.mark.parametrize("change", [{"sampler": "ancestral"}, {"cut": True}, {"asked": "none"}])
def test_an_address_brings_the_widget_with_its_state(visit, monkeypatch, change):
    said = {key: "1" if value is True else value for key, value in change.items()}
    query = "&".join(f"digit_sampler.{key}={value}" for key, value in (said | {"steps": 4}).items())
    page = visit().open(f"chapters/training/?widget=digit_sampler&{query}")
    figure = finish(page)
    path = walk(monkeypatch, PLAIN | {"seed": 0} | change)
    wanted = shown(path)
    if "asked" in change:
        assert figure.locator("data[data-key=read]").count() == 0
    else:
        judge = load_judge(models.MODELS["judge"].path(ROOT))
        right = judge.accuracy(path[-1].clamp(-1, 1), torch.arange(16) % 10)
        assert number(figure, "read") == round(16 * right)
    assert agrees(gray(figure), wanted)
    assert not agrees(gray(figure), shown(walk(monkeypatch, PLAIN | {"seed": 0})))


def test_a_hostile_address_is_clamped_and_runs_nothing(visit):
    visited = visit()
    hostile = {
        "asked": "<img src=x onerror=alert(1)>",
        "guidance": "1e999",
        "steps": "-5",
        "sampler": "__proto__",
        "seed": "constructor",
        "timeless": "javascript:alert(1)",
        "frame": "9999999999",
    }
    query = "&".join(f"digit_sampler.{key}={value}" for key, value in hostile.items())
    page = visited.open(f"chapters/training/?widget=digit_sampler&{query}")
    figure = finish(page)
    assert number(figure, "calls") == 1
    values = {
        name: page.locator(f"#digit_sampler-{name}").input_value()
        for name in ("asked", "guidance", "steps", "sampler", "seed")
    }
    assert values == {
        "asked": "each",
        "guidance": "8",
        "steps": "1",
        "sampler": "heun",
        "seed": "0",
    }
    assert not page.locator("#digit_sampler-timeless").is_checked()
    assert figure.locator("img[src=x]").count() == 0
    assert visited.problems == []


def test_the_last_of_many_changes_is_what_is_drawn(visit, monkeypatch):
    page = visit().open("chapters/training/?widget=digit_sampler&digit_sampler.sampler=euler")
    figure = finish(page)
    slider = page.locator("#digit_sampler-steps")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(23):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    finish(page)
    state = PLAIN | {"seed": 0, "steps": 6, "sampler": "euler"}
    assert agrees(gray(figure), shown(walk(monkeypatch, state)))
    assert number(figure, "calls") == 6
    assert page.evaluate("window.fromnoiseModels.state") == {"waiting": 0, "awake": True}


def test_closed_it_is_the_figure_again_and_the_worker_is_gone(visit):
    visited = visit()
    page = visited.open(CHAPTER)
    figure = start(page)
    assert len(networks(page)) == 1
    figure.get_by_role("button", name="Back to the figure").click()
    expect(figure.locator(".drawing")).to_be_visible()
    expect(figure.locator(".widget-open")).to_be_focused()
    page.wait_for_timeout(300)
    assert networks(page) == []
    assert page.evaluate("window.fromnoiseModels.state") == {"waiting": 0, "awake": False}
    assert "digit_sampler" not in page.url
    start(page)
    assert len(networks(page)) == 1
    assert visited.problems == []
