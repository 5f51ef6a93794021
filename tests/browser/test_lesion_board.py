"""The board of lesions as a reader uses it: parts switched off, at some times, and their cost."""

import json

import pytest
import torch
from playwright.sync_api import expect

from conftest import ROOT
from experiments._flagship import load_network
from experiments.lesions._common import lesion
from fromnoise.lesions import lesioned, zero
from fromnoise.samplers import uniform_times

PATH = "chapters/lesions/index.html"
FILE = "assets/models/lesion_board.onnx.gz"
# The strengths of 16 tiles of 8 x 8 with a line of one pixel between them.
STRENGTHS = """(target) => {
  const { data, width } = target.getContext("2d").getImageData(0, 0, 35, 35);
  return Array.from({ length: 16 }, (_, i) => Array.from({ length: 64 }, (_, p) => {
    const at = (9 * Math.floor(i / 4) + Math.floor(p / 8)) * width + 9 * (i % 4) + (p % 8);
    return (data[4 * at + 3] / 255 - 0.06) / 0.94;
  }));
}"""


@pytest.fixture
def opened(visit):
    def start(query: str = "widget=lesion_board", **options):
        seen = visit(**options)
        return seen, seen.shared(PATH, query)

    return start


def numbers(page) -> dict[str, float]:
    found = page.locator(".widget-numbers data").all()
    return {one.get_attribute("data-key"): float(one.get_attribute("value")) for one in found}


def strengths(page, name: str) -> torch.Tensor:
    return torch.tensor(page.get_by_role("img", name=name).evaluate(STRENGTHS))


def test_the_fine_skip_costs_what_the_chapter_measured(opened):
    seen, page = opened()
    manifest = json.loads((ROOT / "docs/figures/lesions/blocks.json").read_text(encoding="utf-8"))
    results = manifest["results"]
    row = results["maps"]["flagship"][results["parts"].index("skip, fine")]
    found = numbers(page)
    for k in (0, 4, 8):  # other noise than the chapter's, on the same digits
        assert found[f"factor{k}"] == pytest.approx(row[k], rel=0.06)
    assert found["read"] < 16
    assert not seen.problems


def test_the_digits_are_those_of_the_package(opened, browser):
    query = "widget=lesion_board&lesion_board.by=zero&lesion_board.from=0.4&lesion_board.to=0.8"
    _, page = opened(query)
    random = (ROOT / "src/widgets/maths/random.mjs").read_text(encoding="utf-8")
    page_of_numbers = browser.new_page()
    drawn = page_of_numbers.evaluate(
        random.replace("export ", "") + "; (() => Array.from(normals(1024, 0)))()"
    )
    page_of_numbers.close()
    network = load_network(ROOT / "docs/figures/training/digits.model.safetensors")
    labels = torch.arange(16) % 10
    for name, parts in (
        ("Digits of the whole network", ()),
        ("Digits of the lesioned network, from the same noise", ("skip, fine",)),
    ):
        x = torch.tensor(drawn, dtype=torch.float32).reshape(16, 1, 8, 8)
        times = uniform_times(20)
        for k in range(20):
            hit = 0.4 <= float(times[k]) <= 0.8
            cuts = [lesion(network, part, zero) for part in parts if hit]
            with torch.no_grad(), lesioned(network, *cuts):
                x = x + (times[k + 1] - times[k]) * network(x, times[k].expand(16), labels)
        wanted = (x.clamp(-1, 1).flatten(1) + 1) / 2
        assert (strengths(page, name) - wanted).abs().max() < 0.01
    whole = strengths(page, "Digits of the whole network")
    assert (whole - strengths(page, "Digits of the lesioned network")).abs().max() > 0.2


@pytest.mark.parametrize("width", [1280, 360])
def test_parts_are_switched_by_pointer_and_by_keyboard(opened, slowness, width):
    _, page = opened(width=width)
    page.locator("[data-part=skip_fine]").click()
    expect(page.locator(".widget-says")).to_contain_text("Nothing is cut", timeout=60_000)
    assert numbers(page)["factor4"] == 1
    assert torch.equal(
        strengths(page, "Digits of the whole network"),
        strengths(page, "Digits of the lesioned network"),
    )
    page.locator("[data-part=up_fine]").focus()
    page.keyboard.press("Space")
    expect(page.locator("[data-part=up_fine]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".widget-says")).to_contain_text("up, fine", timeout=60_000)
    assert numbers(page)["factor4"] > 1.3
    page.wait_for_url("**lesion_board.up_fine=1*")
    assert numbers(page)["seconds"] < 3 * slowness(page)
    print("16 lesioned digits in 20 steps:", numbers(page)["seconds"], "s")


def test_a_lesion_of_other_times_leaves_the_loss_alone(opened):
    _, page = opened("widget=lesion_board&lesion_board.from=0.3&lesion_board.to=0.6")
    found = numbers(page)
    assert found["factor0"] == found["factor8"] == 1
    assert found["factor4"] > 3


def test_the_player_goes_from_noise_to_digits(opened):
    _, page = opened("widget=lesion_board&lesion_board.frame=0")
    before = strengths(page, "Digits of the whole network")
    assert torch.equal(before, strengths(page, "Digits of the lesioned network"))
    page.get_by_label("Step", exact=True).last.fill("20")
    assert (strengths(page, "Digits of the whole network") - before).abs().max() > 0.3


def test_nonsense_in_the_address_is_clamped(opened):
    seen, page = opened("widget=lesion_board&lesion_board.skip_fine=2&lesion_board.from=99")
    expect(page.locator("[data-part=skip_fine]")).to_have_attribute("aria-pressed", "true")
    assert float(page.locator("#lesion_board-from").input_value()) == 1
    assert not seen.problems


def test_a_network_that_does_not_come_is_told_and_the_figure_stands(visit):
    seen = visit()
    page = seen.page
    page.route(f"**/{FILE}*", lambda route: route.fulfill(status=404))
    seen.open(PATH)
    page.locator("figure[data-widget=lesion_board] .widget-open").click()
    page.get_by_role("alert").filter(has_text="lesion_board is missing").wait_for(timeout=60_000)
    assert page.locator("figure[data-widget=lesion_board] .drawing").first.is_visible()
