"""The board of lesions: every cut as the package makes it, the loss of the chapter, the judge."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from book import models
from experiments._flagship import load_network
from experiments.lesions._common import (
    activity,
    first,
    lesion,
    loss_of,
    noisy,
    place,
)
from experiments.lesions._published import CONFIG, NAMES, load_board, load_judge
from fromnoise.datasets import digits
from fromnoise.lesions import lesioned, to_mean, zero
from fromnoise.samplers import uniform_times

ROOT = Path(__file__).resolve().parents[2]
CALLS = "../../tests/widgets/lesions.mjs"
WHOLE = {"parts": [], "by": "mean", "from": 0, "to": 1}


def cuts(*parts: str, by: str = "mean", start: float = 0, end: float = 1) -> dict:
    return {"parts": parts, "by": by, "from": start, "to": end}


@pytest.fixture(scope="module")
def folder(site_models) -> Path:
    """The networks as the site has them."""
    return site_models("lesion_board", "judge")


@pytest.fixture(scope="module")
def network():
    return load_network(models.MODELS["lesion_board"].path(ROOT))


@pytest.fixture(scope="module")
def shown() -> dict:
    """The test digits of the chapter's map, as the page has them."""
    split = first(digits().test, CONFIG.n_images)
    return {"pixels": split.images.flatten().tolist(), "labels": split.labels.tolist()}


def means_at(network, name: str, t: float):
    """The mean of a part, as the chapter records it."""
    module, at_input = place(name)
    recorded = first(digits().validation, CONFIG.n_recorded)
    return to_mean(activity(network, module, recorded, t, 2, at_input=at_input))


def test_the_parts_are_those_of_the_chapter_and_the_numbers_beside_them_its_own(javascript):
    assert tuple(javascript(CALLS, ["parts"])[0]) == NAMES
    found = json.loads((ROOT / "src/widgets/data/lesions.json").read_text(encoding="utf-8"))
    manifest = json.loads((ROOT / "docs/figures/lesions/blocks.json").read_text(encoding="utf-8"))
    results = manifest["results"]
    table = dict(zip(results["parts"], results["maps"]["flagship"], strict=True))
    assert found == {"times": results["times"], "factors": table}


@pytest.mark.parametrize("time", [0.05, 0.5, 0.98])
def test_each_lesion_costs_what_it_costs_in_the_package(javascript, folder, network, shown, time):
    split = first(digits().test, CONFIG.n_images)
    x_t, wanted, _ = noisy(split, time, seed=1)
    eps = wanted + split.images
    assert torch.allclose(x_t, (1 - time) * split.images + time * eps, atol=1e-5)
    loss = loss_of(network, split, seed=1)
    t = torch.tensor(time)
    replacements = {"mean": lambda name: means_at(network, name, time), "zero": lambda _: zero}
    every = [cuts(name, by=by) for by in replacements for name in NAMES]
    both = cuts("skip, coarse", "skip, fine")
    call = ["losses", str(folder), [*every, both, WHOLE], time, shown, eps.flatten().tolist()]
    (found,) = javascript(CALLS, call)
    right = []
    with torch.no_grad():
        for one in every:
            (name,) = one["parts"]
            with lesioned(network, lesion(network, name, replacements[one["by"]](name))):
                right.append(loss(t).double().mean().item())
        skips = [lesion(network, name, means_at(network, name, time)) for name in both["parts"]]
        with lesioned(network, *skips):
            right.append(loss(t).double().mean().item())
        right.append(loss(t).double().mean().item())
    assert found == pytest.approx(right, rel=1e-4)
    # The planted fault: the mean of another time.
    with (
        torch.no_grad(),
        lesioned(network, lesion(network, "skip, fine", means_at(network, "skip, fine", 0.2))),
    ):
        assert abs(loss(t).double().mean().item() / found[NAMES.index("skip, fine")] - 1) > 1e-3


def test_a_factor_of_the_chapter_comes_out_on_the_page(javascript, folder, shown):
    """With the chapter's noise the page has the chapter's number."""
    table = json.loads((ROOT / "src/widgets/data/lesions.json").read_text(encoding="utf-8"))
    eps = noisy(first(digits().test, CONFIG.n_images), 1.0, seed=1)[0].flatten().tolist()
    for time in (0.1, 0.65):
        call = ["losses", str(folder), [cuts(name) for name in NAMES] + [WHOLE], time, shown, eps]
        (found,) = javascript(CALLS, call)
        factors = [loss / found[-1] for loss in found[:-1]]
        wanted = [table["factors"][name][table["times"].index(time)] for name in NAMES]
        assert factors == pytest.approx(wanted, abs=2e-4)


def test_the_page_draws_as_the_package_with_the_lesion_at_some_times(javascript, folder, network):
    steps, seed = 20, 7
    (eps,) = javascript("maths/random.mjs", ["normals", 16 * 64, seed])
    start = torch.tensor(eps, dtype=torch.float32).reshape(16, 1, 8, 8)
    labels = torch.arange(16) % 10
    board = [WHOLE, cuts("skip, fine", by="zero", start=0.35, end=0.7), cuts("up, fine", by="zero")]
    (found,) = javascript(CALLS, ["drawn", str(folder), board, {"steps": steps, "seed": seed}])
    for one, path in zip(board, found, strict=True):
        x, times = start, uniform_times(steps)
        for t, s in pairwise(times):
            hit = one["from"] <= float(t) <= one["to"]
            active = [lesion(network, name, zero) for name in one["parts"] if hit]
            with torch.no_grad(), lesioned(network, *active):
                velocity = network(x, t.expand(16), labels)
            x = x + (s - t) * velocity
        end = torch.tensor(path[-1]).reshape(16, 1, 8, 8)
        assert (end - x).abs().max() < 1e-4 * max(1.0, x.abs().max().item())
    ends = [torch.tensor(path[-1]) for path in found]
    assert (ends[0] - ends[1]).abs().max() > 0.1
    assert (ends[1] - ends[2]).abs().max() > 0.1


def test_between_recorded_times_the_mean_is_on_the_straight_line():
    board = load_board(models.MODELS["lesion_board"].path(ROOT))
    t = torch.tensor([0.0, 0.05, 0.3, 0.5, 0.98, 1.0, 0.999])
    shares = board._shares(t)
    assert torch.allclose(shares.sum(1), torch.ones(7))
    within = t.clamp(0.05, 0.98)
    assert torch.allclose(shares @ board.times, within, atol=1e-6)
    assert ((shares > 0).sum(1) <= 2).all()


def test_the_judge_judges_as_in_the_package(javascript, folder):
    split = digits().test
    images = split.images[:100]
    feeds = {"images": {"data": images.flatten().tolist(), "dims": [100, 1, 8, 8]}}
    call = ["ask", str(folder), "judge", feeds]
    (found,) = javascript("../../tests/widgets/networks.mjs", call)
    scores = torch.tensor(found["output"]["data"]).view(100, 10)
    judge = load_judge(models.MODELS["judge"].path(ROOT))
    assert (scores - judge(images)).abs().max() < 1e-4 * judge(images).abs().max()
    labels = split.labels[:100].tolist()
    (read,) = javascript(CALLS, ["read", scores.flatten().tolist(), labels])
    assert read == round(100 * judge.accuracy(images, split.labels[:100])) > 80
