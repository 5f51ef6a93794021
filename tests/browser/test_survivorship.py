"""The fleet as a reader flies it: what the page says of its holes is what the package says."""

import pytest
import torch

from fromnoise.survivorship import vulnerability

PATH = "chapters/survivorship/index.html"
READY = ".widget:not([aria-busy])"
REGIONS = ("engines", "cockpit", "fuel tanks", "fuselage", "wings")


@pytest.fixture
def opened(visit):
    def start(query: str = "", **options):
        seen = visit(**options)
        return seen, seen.shared(PATH, f"widget=survivorship{query}")

    return start


def area(page) -> torch.Tensor:
    bars = [page.get_by_role("slider", name=f"{region}: share of the hits") for region in REGIONS]
    return torch.tensor([float(bar.input_value()) for bar in bars], dtype=torch.float64) / 100


def column(page, key: str) -> torch.Tensor:
    cells = [page.locator(f'.widget data[data-key="{key}{r}"]') for r in range(5)]
    return torch.tensor([float(cell.get_attribute("value")) for cell in cells], dtype=torch.float64)


def number(page, key: str) -> float:
    return float(page.locator(f'.widget data[data-key="{key}"]').get_attribute("value"))


def planes(page) -> int:
    return int(page.get_by_label("Planes", exact=True).input_value())


def agrees(page) -> bool:
    """Whether the estimates are what the package makes of the holes and returns that are shown."""
    holes = number(page, "each") * column(page, "holes")
    returned = torch.tensor(number(page, "returned") / planes(page), dtype=torch.float64)
    wanted = vulnerability(holes, returned, area(page))
    return bool((wanted - column(page, "found")).abs().max() < 1e-9)


def test_estimates_follow_from_the_holes(opened):
    seen, page = opened()
    assert agrees(page)
    truth = torch.tensor([0.35, 0.5, 0.2, 0.02, 0.05])
    assert float((column(page, "found") - truth).abs().max()) < 0.25
    assert not seen.problems


def test_the_check_sees_a_wrong_estimate(opened):
    _, page = opened()
    page.locator('.widget data[data-key="found1"]').evaluate("(one) => one.value = 0.4")
    assert not agrees(page)


def test_shares_of_hits_make_room_by_key_and_chances_do_not(opened):
    seen, page = opened()
    one = page.get_by_role("slider", name="cockpit: share of the hits")
    one.focus()
    one.press("PageUp")
    page.wait_for_selector(READY)
    assert float(area(page)[1]) == pytest.approx(0.15)
    assert float(area(page).sum()) == pytest.approx(1)
    assert agrees(page)
    one.press("End")
    page.wait_for_selector(READY)
    assert area(page).tolist() == pytest.approx([0.01, 0.96, 0.01, 0.01, 0.01])
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector(READY)
    kill = page.get_by_role("slider", name="wings: chance that a hit brings the plane down")
    before = number(page, "returned")
    kill.focus()
    kill.press("End")
    page.wait_for_selector(READY)
    assert area(page).tolist() == pytest.approx([0.15, 0.05, 0.15, 0.4, 0.25])
    assert number(page, "returned") < before
    assert column(page, "holes")[4] == 0  # who is hit there does not return
    assert column(page, "found")[4] == 1
    assert not seen.problems


@pytest.mark.parametrize("width", [1280, 360])
def test_armor_is_placed_in_the_picture(opened, width):
    seen, page = opened(width=width)
    assert page.get_by_role("table", name="Planes that armor saves").count() == 0
    plane = page.get_by_role("img", name="A plane with the holes")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    plane.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    page.wait_for_selector(READY)
    assert page.get_by_label("Armor goes to").input_value() == "3"
    yours, most, bayes = (number(page, key) for key in ("yours", "most", "bayes"))
    assert yours == most < bayes
    assert not seen.problems


def test_with_no_loss_there_is_nothing_to_save(opened):
    harmless = "".join(f"&survivorship.deadly{r}=0" for r in range(5))
    seen, page = opened(f"{harmless}&survivorship.armor=0")
    assert number(page, "returned") == planes(page)
    # Every hole comes home, and the estimates scatter about zero: five standard deviations.
    spread = 5 / (number(page, "each") * planes(page) * area(page)).sqrt()
    assert bool((column(page, "found").abs() < spread).all())
    assert page.locator('.widget data[data-key="yours"]').inner_text() == "0 of 0"
    assert not seen.problems
