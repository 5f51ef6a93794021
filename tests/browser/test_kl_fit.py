"""One bell against two as a reader fits it: the numbers on the way are the package's."""

import math

import pytest
import torch

from fromnoise.fitting import forward_fit, gaussian_log_prob, line_kl, reverse_fit

PATH = "chapters/information/index.html"
READY = ".widget:not([aria-busy])"
X = torch.linspace(-40, 40, 4001, dtype=torch.float64)


@pytest.fixture
def opened(visit):
    def start(query: str = "", **options):
        seen = visit(**options)
        return seen, seen.shared(PATH, f"widget=kl_fit{query}")

    return start


def bells(distance: float, share: float) -> torch.Tensor:
    left = math.log(share) + gaussian_log_prob(X, -distance, 1.0)
    right = math.log(1 - share) + gaussian_log_prob(X, distance, 1.0)
    return torch.logaddexp(left, right)


def numbers(page) -> dict[str, float]:
    found = page.locator(".widget-numbers data").all()
    return {one.get_attribute("data-key"): float(one.get_attribute("value")) for one in found}


def agrees(page, distance: float = 3.0, share: float = 0.6) -> bool:
    found = numbers(page)
    log_q, log_p = bells(distance, share), gaussian_log_prob(X, found["mean"], found["std"])
    wanted = {"forward": line_kl(X, log_q, log_p), "reverse": line_kl(X, log_p, log_q)}
    return all(math.isclose(found[key], wanted[key], abs_tol=1e-7) for key in wanted)


def finish(page) -> None:
    page.locator(".widget-player input").press("End")


@pytest.mark.parametrize("side", [-1, 1])
def test_the_reverse_descent_settles_on_one_bell_by_keyboard(opened, side):
    seen, page = opened()
    mean = page.get_by_label("Mean of p", exact=True)
    for _ in range(20 if side > 0 else 0):
        mean.press("ArrowRight")
    page.wait_for_selector(READY)
    assert agrees(page)
    assert numbers(page)["mean"] == pytest.approx(side)
    page.get_by_role("button", name="Step", exact=True).click()
    assert agrees(page)
    finish(page)
    assert agrees(page)
    wanted = reverse_fit(X, bells(3.0, 0.6), (3.0 * side, 1.0))
    assert numbers(page)["mean"] == pytest.approx(wanted.mean, abs=5e-3)
    assert numbers(page)["reverse"] == pytest.approx(wanted.divergence, abs=1e-5)
    which = "left bell and leaves the right" if side < 0 else "right bell and leaves the left"
    assert which in page.locator(".widget-says").inner_text()
    assert not seen.problems


def test_the_forward_descent_covers_both(opened):
    _, page = opened()
    page.get_by_label("Descend on").select_option("forward")
    page.wait_for_selector(READY)
    finish(page)
    assert agrees(page)
    wanted = forward_fit(X, bells(3.0, 0.6))
    assert numbers(page)["std"] == pytest.approx(wanted.std, abs=5e-3)
    assert "covers both bells" in page.locator(".widget-says").inner_text()


def test_the_bell_is_dragged_in_the_picture(opened):
    seen, page = opened()
    finish(page)
    picture = page.get_by_role("img", name="The two bells and the model")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], y, steps=4)
    page.mouse.up()
    page.wait_for_selector(READY)
    # The window is from -9 to 9, and a new start is shown before its descent.
    assert numbers(page)["mean"] == pytest.approx(4.5, abs=0.1)
    assert page.locator(".widget-player input").input_value() == "0"
    assert agrees(page)
    assert not seen.problems


def test_other_bells_are_those_of_the_sliders(opened):
    _, page = opened("&kl_fit.distance=1.5&kl_fit.share=0.3&kl_fit.std=2.4")
    assert agrees(page, 1.5, 0.3)
    assert not agrees(page, 1.5, 0.7)
