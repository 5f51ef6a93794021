"""A number written in any format is taken for itself, and with a digit changed it is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from checking import numbers

SPECS = [".0f", ".1f", ".2f", ".4f", ".0%", ".1%", ".1e", ".3e", ".3g", ",.0f", ",.2f", "+.2f"]
# No result is nearer to zero than this; below lie numbers that have no full precision.
VALUES = some.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-30)
fixed = settings(derandomize=True, database=None, max_examples=500)


def read(text: str) -> float:
    """The number that a reader takes from a text."""
    return float(text.replace(",", "").rstrip("%")) / (100 if "%" in text else 1)


@fixed
@given(value=VALUES, spec=some.sampled_from(SPECS))
def test_every_format_of_a_number_shows_it(value, spec):
    assert numbers.shows(format(value, spec), value)


@fixed
@given(value=VALUES, spec=some.sampled_from(SPECS), data=some.data())
def test_a_changed_digit_is_seen(value, spec, data):
    text = format(value, spec)
    mantissa = text.partition("e")[0]
    place = data.draw(some.sampled_from([i for i, c in enumerate(mantissa) if c.isdigit()]))
    digit = data.draw(some.sampled_from([c for c in "0123456789" if c != text[place]]))
    changed = text[:place] + digit + text[place + 1 :]
    # At exactly half a digit both neighbors are roundings; nothing farther away may pass.
    if numbers.shows(changed, value):
        missed, best = abs(read(changed) - value), abs(read(text) - value)
        assert missed <= best + 1e-9 * max(1, abs(value))


@pytest.mark.parametrize(
    "text, value, right",
    [
        ("0.61 (0.58 to 0.64)", {"mean": 0.612, "low": 0.584, "high": 0.641}, True),
        ("0.61 (0.59 to 0.64)", {"mean": 0.612, "low": 0.584, "high": 0.641}, False),
        ("0.61", {"mean": 0.612, "low": 0.584, "high": 0.641}, False),
        ("−0.5", -0.5, True),
        ("0.5", -0.5, False),
        ("1.2 × 10⁻⁵", 1.234e-5, True),
        ("1.2 × 10⁻⁴", 1.234e-5, False),
        ("1,234", 1234, True),
        ("1,235", 1234, False),
        ("cosine", "cosine", True),
        ("linear", "cosine", False),
        ("about 3", 3, True),
        ("3 of 4", 3, False),
        ("nan", float("nan"), False),
        ("True", True, True),
    ],
)
def test_what_is_shown(text, value, right):
    assert numbers.shows(text, value) is right


@pytest.mark.parametrize(
    "key, found",
    [
        ("results.gap.mean", 1),
        ("results.beta.0.5.gap", 2),
        ("results.curve.1", 20),
        ("results.curve.-1", 30),
        ("results.curve.3", numbers.MISSING),
        ("results.gap.median", numbers.MISSING),
        ("results.gap.mean.more", numbers.MISSING),
    ],
)
def test_keys_lead_into_dicts_and_lists_and_may_hold_dots(key, found):
    results = {"gap": {"mean": 1}, "beta": {"0.5": {"gap": 2}}, "curve": [10, 20, 30]}
    assert numbers.look_up({"results": results}, key) is found
