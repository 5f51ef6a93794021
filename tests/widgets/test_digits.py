"""The exported network in the runtime of the page, and the digits that it draws, against torch."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from digits_by_package import PLAIN, walk

ROOT = Path(__file__).resolve().parents[2]
STATES = {
    "as it opens": PLAIN,
    "guided": PLAIN | {"guidance": 2.5, "asked": "3"},
    "away from the class": PLAIN | {"guidance": -1, "asked": "7"},
    "no class": PLAIN | {"asked": "none", "guidance": 4},
    "Euler": PLAIN | {"sampler": "euler", "steps": 7},
    "ancestral": PLAIN | {"sampler": "ancestral", "guidance": 1},
    "time hidden": PLAIN | {"timeless": True},
}


@pytest.fixture(scope="module")
def folder(site_models) -> Path:
    """The networks as the site has them."""
    return site_models("digits", "digits_cut")


def drawn_by_the_page(javascript, folder: Path, name: str, states: list[dict]) -> list[Tensor]:
    call = ["draw", str(folder), name, states]
    (found,) = javascript("../../tests/widgets/draw.mjs", call)
    return [
        torch.tensor([state["x"] for state in path], dtype=torch.float64).reshape(-1, 16, 1, 8, 8)
        for path in found
    ]


@pytest.fixture(scope="module")
def drawn(javascript, folder) -> dict[str, Tensor]:
    paths = drawn_by_the_page(javascript, folder, "digits", list(STATES.values()))
    return dict(zip(STATES, paths, strict=True))


@pytest.mark.parametrize("name", STATES)
def test_the_page_draws_the_digits_of_the_package(monkeypatch, drawn, name):
    wanted = walk(monkeypatch, STATES[name])
    assert drawn[name].shape == wanted.shape
    error = (drawn[name] - wanted).abs().amax(dim=(1, 2, 3, 4))
    assert error.max() < 1e-4 * max(1.0, wanted.abs().max().item())


def test_a_scale_of_minus_one_is_no_class_and_no_other_two_states_draw_the_same(drawn):
    ends = {name: path[-1] for name, path in drawn.items()}
    for name, end in ends.items():
        for other, far in ends.items():
            same = name == other or {name, other} == {"away from the class", "no class"}
            assert ((end - far).abs().max() < 0.1) == same, (name, other)


def test_the_cut_network_is_the_one_without_skips(javascript, monkeypatch, folder):
    (found,) = drawn_by_the_page(javascript, folder, "digits_cut", [PLAIN])
    wanted = walk(monkeypatch, PLAIN | {"cut": True})
    assert (found - wanted).abs().max() < 1e-4 * max(1.0, wanted.abs().max().item())
    assert (found - walk(monkeypatch, PLAIN)).abs().max() > 0.1


def test_the_share_out_of_range_is_that_of_the_chapter(javascript):
    x = torch.linspace(-2, 2, 1000, dtype=torch.float64)
    wanted = ((x.abs() - 1) > 0.05 / 8).double().mean().item()
    assert javascript("maths/digits.mjs", ["outside", x.tolist()])[0] == pytest.approx(wanted)


@pytest.mark.parametrize("n", [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000])
def test_our_own_sha256_is_sha256(javascript, n):
    content = bytes((7 * i + 3) % 256 for i in range(n))
    wanted = hashlib.sha256(content).hexdigest()
    assert javascript("../../tests/widgets/draw.mjs", ["hashes", list(content)]) == [[wanted] * 2]
