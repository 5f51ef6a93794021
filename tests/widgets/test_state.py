"""The state in the address: whatever stands there, what comes out is in its range."""

import math
import string
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SPEC = {
    "name": "play",
    "controls": [
        {"kind": "range", "key": "steps", "min": 1, "max": 50, "step": 1, "value": 20},
        {"kind": "range", "key": "weight", "min": -1, "max": 3, "step": 0.1, "value": 0.5},
        {"kind": "choice", "key": "sampler", "options": [["euler", "E"], ["heun", "H"]]}
        | {"value": "heun"},
        {"kind": "switch", "key": "wrong", "value": False},
        {"kind": "seed", "key": "seed", "value": 3},
    ],
}
PLAIN = {"steps": 20, "weight": 0.5, "sampler": "heun", "wrong": False, "seed": 3}


def read(javascript, **said: str) -> dict:
    search = urlencode({f"play.{key}": text for key, text in said.items()})
    return javascript("state.mjs", ["readState", SPEC, f"?{search}"])[0]


def test_an_address_that_says_nothing_gives_the_described_state(javascript) -> None:
    assert read(javascript) == PLAIN


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("steps", "7", 7),
        ("steps", "7.4", 7),
        ("steps", "999", 50),
        ("steps", "-3", 1),
        ("steps", "Infinity", 50),
        ("steps", "NaN", 20),
        ("steps", "", 20),
        ("steps", "1;alert(1)", 20),
        ("weight", "0.3", 0.3),
        ("weight", "-99", -1),
        ("weight", "1e400", 3),
        ("sampler", "euler", "euler"),
        ("sampler", "<img src=x>", "heun"),
        ("sampler", "__proto__", "heun"),
        ("wrong", "1", True),
        ("wrong", "true", False),
        ("seed", "12345", 9999),
        ("seed", "-1", 0),
    ],
)
def test_what_is_out_of_range_is_clamped_and_nonsense_is_passed_over(
    javascript, key, text, value
) -> None:
    assert read(javascript, **{key: text}) == PLAIN | {key: value}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=12), min_size=5, max_size=5))
def test_no_text_leads_out_of_range(javascript, texts) -> None:
    state = read(javascript, **dict(zip(PLAIN, texts, strict=True)))
    assert set(state) == set(PLAIN)
    assert 1 <= state["steps"] <= 50
    assert state["steps"] == int(state["steps"])
    assert -1 <= state["weight"] <= 3
    assert math.isfinite(state["weight"])
    assert state["sampler"] in ("euler", "heun")
    assert state["wrong"] in (True, False)
    assert 0 <= state["seed"] <= 9999


def test_a_written_state_is_read_back_and_leaves_other_words_of_the_address(javascript) -> None:
    state = {"steps": 9, "weight": -0.7, "sampler": "euler", "wrong": True, "seed": 41}
    (written,) = javascript("state.mjs", ["query", SPEC, state, 4, "?h=noise&play.steps=2"])
    assert parse_qs(written)["h"] == ["noise"]
    assert javascript("state.mjs", ["readState", SPEC | {"frames": True}, f"?{written}"]) == [
        state | {"frame": 4}
    ]
    (emptied,) = javascript("state.mjs", ["query", SPEC, None, None, f"?{written}"])
    assert emptied == "h=noise"


def test_a_state_as_described_is_not_spelled_out(javascript) -> None:
    assert javascript("state.mjs", ["query", SPEC, PLAIN, None, ""]) == ["widget=play"]


def test_a_figure_may_begin_elsewhere_and_only_in_range(javascript) -> None:
    (spec,) = javascript("state.mjs", ["beginning", SPEC, " steps=30  sampler=euler\nweight=99"])
    found = javascript("state.mjs", ["readState", spec, ""])[0]
    assert found == PLAIN | {"steps": 30, "sampler": "euler", "weight": 3}
    assert javascript("state.mjs", ["beginning", SPEC]) == [SPEC]


@pytest.mark.parametrize("text", ["-1", "1.5", string.ascii_letters, "9" * 9])
def test_a_frame_that_is_no_number_is_passed_over(javascript, text) -> None:
    spec = SPEC | {"frames": True}
    assert javascript("state.mjs", ["readState", spec, f"?play.frame={text}"]) == [PLAIN]


@pytest.mark.parametrize(
    "said, text",
    [
        ("a cat_", "a cat_"),
        ("A<b>", "b"),
        ("x" * 9, ""),
        ("abab" * 9, "abababab"),
        ("\u0000a", "a"),
    ],
)
def test_a_text_keeps_what_it_may_hold(javascript, said, text) -> None:
    letters = {"kind": "text", "key": "text", "value": "abc", "letters": " abct_", "length": 8}
    spec = {"name": "play", "controls": [letters]}
    search = urlencode({"play.text": said})
    assert javascript("state.mjs", ["readState", spec, f"?{search}"]) == [{"text": text}]
    assert javascript("state.mjs", ["readState", spec, ""]) == [{"text": "abc"}]
