"""The exported network in the runtime of the page, and the digits that it draws, against torch."""

import hashlib
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from book import models
from experiments._flagship import NULL, SCHEDULE, TARGET, load_network
from fromnoise import samplers
from fromnoise.denoising import as_denoiser
from fromnoise.guidance import classifier_free
from fromnoise.samplers import ancestral_step, euler_step, heun_step, sample, uniform_times

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {
    "asked": "each",
    "guidance": 0,
    "steps": 4,
    "sampler": "heun",
    "seed": 5,
    "timeless": False,
}
STATES = {
    "as it opens": PLAIN,
    "guided": PLAIN | {"guidance": 2.5, "asked": "3"},
    "away from the class": PLAIN | {"guidance": -1, "asked": "7"},
    "no class": PLAIN | {"asked": "none", "guidance": 4},
    "Euler": PLAIN | {"sampler": "euler", "steps": 7},
    "ancestral": PLAIN | {"sampler": "ancestral", "guidance": 1},
    "time hidden": PLAIN | {"timeless": True},
}
STEPS = {"heun": heun_step, "euler": euler_step, "ancestral": ancestral_step}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The networks as the site has them."""
    made = tmp_path_factory.mktemp("site")
    names = {name: models.MODELS[name] for name in ("digits", "digits_cut")}
    for path, content in models.site_files(ROOT, names).items():
        file = made / Path(path).name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return made


def walk(javascript, monkeypatch, state: dict, skips: bool = True) -> Tensor:
    """The path that the package takes from the page's noise, for one state of the controls."""
    network = load_network(models.MODELS["digits"].path(ROOT))
    network.skip_connections = skips
    network.condition.time_embedding = not state["timeless"]
    n = 16 * 64 * (state["steps"] + 1)
    (drawn,) = javascript("maths/random.mjs", ["normals", n, state["seed"]])
    noises = iter(torch.tensor(drawn, dtype=torch.float32).reshape(-1, 16, 1, 8, 8))
    monkeypatch.setattr(samplers, "noise_like", lambda x, _: next(noises))
    null = torch.full((16,), NULL)
    label = {"each": torch.arange(16) % 10, "none": null}.get(state["asked"])
    label = torch.full((16,), int(state["asked"])) if label is None else label
    ask = partial(as_denoiser, network, SCHEDULE, TARGET)
    denoiser = classifier_free(ask(label), ask(null), float(state["guidance"]))
    times = uniform_times(state["steps"])
    step = STEPS[state["sampler"]]
    return sample(denoiser, SCHEDULE, next(noises), times, step, return_path=True)


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
def test_the_page_draws_the_digits_of_the_package(javascript, monkeypatch, drawn, name):
    wanted = walk(javascript, monkeypatch, STATES[name])
    assert drawn[name].shape == wanted.shape
    error = (drawn[name] - wanted).abs().amax(dim=(1, 2, 3, 4))
    print(name, error.max())
    assert error.max() < 1e-4 * max(1.0, wanted.abs().max().item())


def test_a_scale_of_minus_one_is_no_class_and_no_other_two_states_draw_the_same(drawn):
    ends = {name: path[-1] for name, path in drawn.items()}
    for name, end in ends.items():
        for other, far in ends.items():
            same = name == other or {name, other} == {"away from the class", "no class"}
            assert ((end - far).abs().max() < 0.1) == same, (name, other)


def test_the_cut_network_is_the_one_without_skips(javascript, monkeypatch, folder):
    (found,) = drawn_by_the_page(javascript, folder, "digits_cut", [PLAIN])
    wanted = walk(javascript, monkeypatch, PLAIN, skips=False)
    assert (found - wanted).abs().max() < 1e-4 * max(1.0, wanted.abs().max().item())
    assert (found - walk(javascript, monkeypatch, PLAIN)).abs().max() > 0.1


def test_the_share_out_of_range_is_that_of_the_chapter(javascript):
    x = torch.linspace(-2, 2, 1000, dtype=torch.float64)
    wanted = ((x.abs() - 1) > 0.05 / 8).double().mean().item()
    assert javascript("maths/digits.mjs", ["outside", x.tolist()])[0] == pytest.approx(wanted)


@pytest.mark.parametrize("n", [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000])
def test_our_own_sha256_is_sha256(javascript, n):
    content = bytes((7 * i + 3) % 256 for i in range(n))
    wanted = hashlib.sha256(content).hexdigest()
    assert javascript("../../tests/widgets/draw.mjs", ["hashes", list(content)]) == [[wanted] * 2]
