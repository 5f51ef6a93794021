"""Filling gaps as a reader does it: typed, clicked, by keyboard, broken, and without a network."""

import pytest
import torch
from playwright.sync_api import expect

from book import models
from conftest import ROOT
from experiments.text._common import grammar
from experiments.text._published import load_masked

PATH = "chapters/text/index.html"
FILE = "assets/models/text_masked.onnx.gz"
READY = ".widget:not([aria-busy])"
TEXT = "a dog that sees the birds _____ the cat. some do"


@pytest.fixture
def opened(visit):
    def start(query: str = "widget=infill", **options):
        seen = visit(**options)
        return seen, seen.shared(PATH, query)

    return start


def numbers(page) -> dict[str, float]:
    found = page.locator(".widget-numbers data").all()
    return {one.get_attribute("data-key"): float(one.get_attribute("value")) for one in found}


def written(page) -> str:
    """What stands in the cells."""
    cells = page.locator(".widget-cells button:visible").all_text_contents()
    return "".join(cell.replace("\u00a0", " ") or "_" for cell in cells)


def test_the_gap_is_filled_and_judged_as_the_package_judges(opened):
    seen, page = opened()
    text = written(page)
    assert len(text) == 48
    assert "_" not in text
    assert [a for a, b in zip(text, TEXT, strict=True) if b != "_"] == list(TEXT.replace("_", ""))
    tokens = grammar().vocabulary.encode(text)[None]
    slips = grammar().slips(tokens)[0]
    found = numbers(page)
    assert found["slips"] == slips.sum()
    assert page.locator(".widget-cells .is-slip").count() == slips.sum()
    assert found["asked"] == 5
    assert not seen.problems


def test_the_likeliest_character_and_its_share_are_the_package_s(opened):
    # All at once, so that the network is asked once, about the text as it is typed.
    _, page = opened("widget=infill&infill.steps=1&infill.place=26")
    label = page.locator(".widget-guesses canvas").get_attribute("aria-label")
    vocabulary = grammar().vocabulary
    tokens = torch.tensor([vocabulary.blank if c == "_" else vocabulary.encode(c)[0] for c in TEXT])
    network = load_masked(models.MODELS["text_masked"].path(ROOT))
    p = network(tokens[None])[0, 26].softmax(-1)
    best = vocabulary.characters[int(p.argmax())]
    assert label.endswith(f"most likely {best}, {round(100 * p.max().item())} %")
    assert numbers(page)["asked"] == 1


@pytest.mark.parametrize("width", [1280, 360])
def test_a_click_hides_a_letter_and_a_click_on_a_gap_looks_at_it(opened, width):
    _, page = opened("widget=infill&infill.order=certain", width=width)
    page.locator("[data-place='2']").click()
    expect(page.locator("#infill-text")).to_have_value(TEXT[:2] + "_" + TEXT[3:])
    page.wait_for_selector(READY)
    assert numbers(page)["asked"] == 6
    page.locator("[data-place='28']").click()
    expect(page.locator("[data-place='28']")).to_have_class("is-filled is-seen")
    assert "Place 29" in page.locator(".widget-guesses .widget-caption").inner_text()


def test_the_keyboard_reaches_every_place_and_writes(opened):
    _, page = opened()
    page.locator("[data-place='26']").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-place='24']")).to_be_focused()
    page.keyboard.press("Backspace")
    expect(page.locator("#infill-text")).to_have_value(TEXT[:24] + "_" + TEXT[25:])
    page.keyboard.press("l")
    expect(page.locator("#infill-text")).to_have_value(TEXT[:24] + "l" + TEXT[25:])
    page.keyboard.press("!")
    expect(page.locator("#infill-text")).to_have_value(TEXT[:24] + "l" + TEXT[25:])
    # Only one of 48 places is a stop of the tab key.
    assert page.locator(".widget-cells button[tabindex='0']").count() == 1


def test_only_the_alphabet_is_taken_and_the_length_is_capped(opened):
    _, page = opened()
    field = page.locator("#infill-text")
    field.fill("")
    field.press_sequentially("The Q!x<b> d_g")
    expect(field).to_have_value("the b d_g")
    page.wait_for_selector(READY)
    expect(page.locator(".widget-says")).to_contain_text("Filled in 1 step")
    assert len(written(page)) == 9
    field.evaluate(
        "(field) => { field.value = 'a'.repeat(99); field.dispatchEvent(new Event('input')); }"
    )
    expect(page.locator(".widget-says")).to_contain_text("no gap")
    assert len(written(page)) == 48
    field.fill("")
    expect(page.locator(".widget-says")).to_contain_text("no gap")


def test_the_player_shows_one_step_after_another(opened):
    _, page = opened("widget=infill&infill.order=left&infill.frame=0")
    assert written(page).count("_") == 5
    for left in (4, 3, 2, 1, 0):
        page.get_by_role("button", name="Step").click()
        assert written(page).count("_") == left
        first = written(page).find("_")
        assert first in (-1, 31 - left)


def test_a_network_without_context_or_distances_slips(opened):
    _, page = opened("widget=infill&infill.text=" + "_" * 48 + "&infill.steps=48")
    whole = numbers(page)["slips"]
    for key, words in (("blind", "blanks only"), ("near", "never knew")):
        page.locator(f"#infill-{key}").check()
        expect(page.locator(".widget-says")).to_contain_text(words)
        assert numbers(page)["slips"] > whole + 10
        page.locator(f"#infill-{key}").uncheck()
    expect(page.locator(".widget-says")).not_to_contain_text("never knew")
    assert numbers(page)["slips"] == whole


def test_nonsense_in_the_address_is_not_interpreted(opened):
    seen, page = opened("widget=infill&infill.text=<img src=x onerror=alert(1)>&infill.place=1e9")
    assert page.locator(".widget img").count() == 0
    assert set(page.locator("#infill-text").input_value()) <= set(" .abcdefghiklmnoprstw_")
    assert not seen.problems


def test_a_network_that_does_not_come_is_told_and_the_figure_stands(visit):
    seen = visit()
    page = seen.page
    page.route(f"**/{FILE}*", lambda route: route.fulfill(body=b"\x1f\x8bnot a network"))
    seen.open(PATH)
    page.locator("figure[data-widget=infill] .widget-open").click()
    page.get_by_role("alert").filter(has_text="The trained network").wait_for(timeout=60_000)
    assert page.locator("figure[data-widget=infill] .drawing").first.is_visible()
