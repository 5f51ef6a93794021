"""The bars of a code as a reader uses them: by key and pointer, their numbers the package's."""

import math

import pytest
import torch

from fromnoise.codes import huffman_code
from fromnoise.information import cross_entropy, entropy, jensen_shannon, kl_divergence

PATH = "chapters/information/index.html"
READY = ".widget:not([aria-busy])"
SYMBOLS = "abcd"


@pytest.fixture
def opened(visit):
    def start(query: str = "", **options):
        seen = visit(**options)
        return seen, seen.shared(PATH, f"widget=code_bars{query}")

    return start


def bar(page, side: str, symbol: str):
    name = f"{'Data q' if side == 'q' else 'Belief p'}, share of {symbol}"
    return page.get_by_role("slider", name=name)


def shares(page, side: str) -> torch.Tensor:
    units = [float(bar(page, side, symbol).input_value()) for symbol in SYMBOLS]
    return torch.tensor(units, dtype=torch.float64) / 200


def number(page, key: str) -> float:
    value = page.locator(f'.widget data[data-key="{key}"]').get_attribute("value")
    return math.inf if value == "Infinity" else float(value)


def agrees(page) -> bool:
    """Whether every number on the page is what the package says of the bars' positions."""
    q, p = shares(page, "q"), shares(page, "p")
    assert math.isclose(float(q.sum()), 1)
    assert math.isclose(float(p.sum()), 1)
    wanted = {
        "entropy": entropy(q),
        "cross": cross_entropy(q, p),
        "forward": kl_divergence(q, p),
        "reverse": kl_divergence(p, q),
        "middle": jensen_shannon(q, p),
    }
    bits = {key: float(value) / math.log(2) for key, value in wanted.items()}
    if bool((p > 0).all()):
        words = huffman_code(p)
        shown = page.locator(".widget .p ~ .word").all_text_contents()
        assert shown == words
        bits["words"] = sum(x * len(word) for x, word in zip(q.tolist(), words, strict=True))
    return all(
        found == value or math.isclose(found, value, abs_tol=1e-9)
        for key, value in bits.items()
        for found in [number(page, key)]
    )


def test_a_fair_belief_about_an_uneven_source_costs_a_quarter_bit_more(opened):
    seen, page = opened()
    assert agrees(page)
    assert number(page, "entropy") == pytest.approx(1.75)
    assert number(page, "forward") == pytest.approx(0.25)
    assert "0.25 more" in page.locator(".widget-says").inner_text()
    assert not seen.problems


def test_a_bar_moves_by_key_and_the_others_make_room(opened):
    seen, page = opened()
    one = bar(page, "p", "a")
    one.focus()
    one.press("PageUp")
    one.press("ArrowRight")
    page.wait_for_selector(READY)
    assert shares(page, "p")[0] == 0.355
    assert agrees(page)
    assert "35.5 %" in one.get_attribute("aria-valuetext")
    assert torch.equal(shares(page, "q"), torch.tensor([0.5, 0.25, 0.125, 0.125]).double())
    one.press("End")
    page.wait_for_selector(READY)
    assert shares(page, "p").tolist() == [1, 0, 0, 0]
    one.press("PageDown")
    page.wait_for_selector(READY)
    # The others come back in the proportions that they had.
    assert shares(page, "p")[1:].tolist() == pytest.approx([0.1 / 3] * 3, abs=0.005)
    assert agrees(page)
    assert not seen.problems


@pytest.mark.parametrize("touch", [False, True])
def test_a_bar_is_dragged(opened, touch):
    seen, page = opened(has_touch=touch, **({"width": 360} if touch else {}))
    one = bar(page, "q", "b")
    one.scroll_into_view_if_needed()
    box = one.bounding_box()
    y, goal = box["y"] + box["height"] / 2, box["x"] + 0.7 * box["width"]
    if touch:
        page.touchscreen.tap(goal, y)
    else:
        page.mouse.move(box["x"] + 0.25 * box["width"], y)
        page.mouse.down()
        page.mouse.move(goal, y, steps=5)
        page.mouse.up()
    page.wait_for_selector(READY)
    assert abs(float(shares(page, "q")[1]) - 0.7) < 0.03
    assert agrees(page)
    assert not seen.problems


def test_what_is_held_impossible_and_happens_costs_infinitely_much(opened):
    seen, page = opened()
    page.get_by_role("button", name="Hold d impossible").click()
    page.wait_for_selector(READY)
    assert agrees(page)
    assert number(page, "forward") == number(page, "cross") == math.inf
    assert number(page, "words") == math.inf
    assert number(page, "middle") < 1
    assert math.isfinite(number(page, "reverse"))
    assert "the cost is infinite" in page.locator(".widget-says").inner_text()
    page.get_by_role("button", name="Exchange q and p").click()
    page.wait_for_selector(READY)
    assert agrees(page)
    assert number(page, "reverse") == math.inf
    assert math.isfinite(number(page, "forward"))
    page.get_by_role("button", name="Believe the truth").click()
    page.wait_for_selector(READY)
    assert agrees(page)
    assert number(page, "forward") == pytest.approx(0)
    assert not seen.problems


def test_shares_of_any_sum_in_the_address_are_made_to_sum_to_one(opened):
    _, page = opened("&code_bars.q_a=200&code_bars.q_b=200&code_bars.p_a=0&code_bars.p_b=0")
    assert agrees(page)
    assert shares(page, "p").tolist() == [0, 0, 0.5, 0.5]


def test_the_check_sees_a_wrong_number(opened):
    _, page = opened()
    page.locator('.widget data[data-key="middle"]').evaluate("(one) => one.value = 0.25")
    assert not agrees(page)
