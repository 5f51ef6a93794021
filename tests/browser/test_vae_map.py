"""The plane of two latents as a reader uses it: dragged, by keyboard, broken, without a network."""

import pytest
import torch
from playwright.sync_api import expect

from book import models
from conftest import ROOT
from experiments.vae._published import load_map

PATH = "chapters/vae/index.html"
FILE = "assets/models/vae_map.onnx.gz"
READY = ".widget:not([aria-busy])"
# The strength of each of 64 pixels on a canvas of tiles, as the browser has it.
STRENGTHS = """(target) => {
  const { data } = target.getContext("2d").getImageData(0, 0, 8, 8);
  return Array.from({ length: 64 }, (_, i) => (data[4 * i + 3] / 255 - 0.06) / 0.94);
}"""


@pytest.fixture
def opened(visit):
    def start(query: str = "widget=vae_map", **options):
        seen = visit(**options)
        return seen, seen.shared(PATH, query)

    return start


def painted(page) -> torch.Tensor:
    canvas = page.get_by_role("img", name="The decoded digit")
    return torch.tensor(canvas.evaluate(STRENGTHS))


def decoded(name: str, z1: float, z2: float) -> torch.Tensor:
    network = load_map(models.MODELS[name].path(ROOT))
    image = network(torch.tensor([[z1, z2]]), torch.tensor([0]))[0][0]
    return (image.clamp(-1, 1) + 1) / 2


def numbers(page) -> dict[str, float]:
    found = page.locator(".widget-numbers data").all()
    return {one.get_attribute("data-key"): float(one.get_attribute("value")) for one in found}


def test_the_digit_painted_is_the_package_s(opened):
    seen, page = opened()
    # A pixel on the screen has 256 strengths.
    assert (painted(page) - decoded("vae_map", -1.6, 1.2)).abs().max() < 0.01
    assert (painted(page) - decoded("vae_map", 1.2, -1.6)).abs().max() > 0.3
    z = torch.tensor([-1.6, 1.2])
    assert numbers(page)["beyond"] == pytest.approx(torch.exp(-z.square().sum() / 2).item())
    assert not seen.problems


@pytest.mark.parametrize("width", [1280, 360])
def test_a_drag_moves_the_point_at_once(opened, slowness, width):
    _, page = opened(width=width)
    plane = page.locator("canvas.widget-touched")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    before = painted(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.up()
    page.wait_for_selector(READY)
    z1, z2 = (float(page.locator(f"#vae_map-{key}").input_value()) for key in ("z1", "z2"))
    assert (z1, z2) == pytest.approx((2, 0), abs=0.06)
    assert (painted(page) - decoded("vae_map", z1, z2)).abs().max() < 0.01
    assert (painted(page) - before).abs().max() > 0.3
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    assert float(page.locator("#vae_map-z1").input_value()) == z1  # the button is up
    # A new digit within 50 ms: the median of twenty steps of the slider.
    times = page.evaluate(
        """async () => {
          const slider = document.querySelector("#vae_map-z1");
          const root = document.querySelector(".widget");
          const times = [];
          for (let i = 0; i < 20; i += 1) {
            const start = performance.now();
            slider.value = i / 10;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            while (root.hasAttribute("aria-busy")) await new Promise((done) => setTimeout(done));
            times.push(performance.now() - start);
          }
          return times.sort((a, b) => a - b);
        }"""
    )
    print("ms from a step to its digit:", times[10], "slowest", times[-1])
    assert times[10] < 50 * slowness(page)


def test_the_keyboard_does_what_the_pointer_does(opened):
    _, page = opened()
    slider = page.locator("#vae_map-z1")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector(READY)
    assert float(slider.input_value()) == pytest.approx(-1.2)
    assert (painted(page) - decoded("vae_map", -1.2, 1.2)).abs().max() < 0.01
    page.wait_for_url("**vae_map.z1=-1.2*")


@pytest.mark.parametrize(
    "beta, name, words",
    [
        ("0", "vae_map_without_kl", "Nothing pulls"),
        ("100", "vae_map_too_strong", "the same blur"),
    ],
)
def test_a_break_paints_what_its_own_decoder_says(opened, beta, name, words):
    seen, page = opened()
    page.locator("#vae_map-beta").select_option(beta)
    expect(page.locator(".widget-says")).to_contain_text("nearest")
    expect(page.locator(".widget-says")).to_contain_text(words)
    assert (painted(page) - decoded(name, -1.6, 1.2)).abs().max() < 0.01
    assert (painted(page) - decoded("vae_map", -1.6, 1.2)).abs().max() > 0.2
    assert not seen.problems


def test_nonsense_in_the_address_is_clamped(opened):
    _, page = opened("widget=vae_map&vae_map.z1=1e9&vae_map.z2=<b>&vae_map.beta=7")
    assert float(page.locator("#vae_map-z1").input_value()) == 4
    assert (painted(page) - decoded("vae_map", 4, 1.2)).abs().max() < 0.01


@pytest.mark.parametrize("fault", ["missing", "cut", "other"])
def test_a_network_that_does_not_come_is_told_and_the_figure_stands(visit, fault):
    seen = visit()
    page = seen.page

    def answer(route):
        if fault == "missing":
            return route.fulfill(status=404)
        body = bytearray(route.fetch().body())
        if fault == "cut":
            return route.fulfill(body=bytes(body[:5000]))
        body[len(body) // 2] ^= 1
        return route.fulfill(body=bytes(body))

    page.route(f"**/{FILE}*", answer)
    seen.open(PATH)
    page.locator("figure[data-widget=vae_map] .widget-open").click()
    trouble = page.get_by_role("alert").filter(has_text="The trained network vae_map")
    trouble.wait_for(timeout=60_000)
    assert page.locator("figure[data-widget=vae_map] .drawing").first.is_visible()
    print(trouble.inner_text())
    # The next try works, once the network is there.
    page.unroute(f"**/{FILE}*")
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector(READY)
    expect(page.locator(".widget-says")).to_contain_text("nearest")
    assert (painted(page) - decoded("vae_map", -1.6, 1.2)).abs().max() < 0.01


def test_nothing_of_it_comes_before_the_click(visit):
    seen = visit()
    asked = []
    seen.page.on("request", lambda request: asked.append(request.url))
    seen.open(PATH)
    assert not [url for url in asked if "models/" in url or "widgets/" in url]
