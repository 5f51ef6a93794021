"""Filling gaps as the package does it: the same network, the same draws, the same grammar."""

from pathlib import Path

import pytest
import torch

from book import models
from experiments.text._common import forgiving, grammar
from experiments.text._published import load_masked, load_without_distances
from fromnoise import masked_diffusion
from fromnoise.masked_diffusion import fill

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"text_masked": load_masked, "text_without_distances": load_without_distances}
LENGTH, BLANK = 48, 21


@pytest.fixture(scope="module")
def folder(site_models) -> Path:
    """The networks as the site has them."""
    return site_models(*NAMES)


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    """Texts of the grammar with gaps, from few to all."""
    generator = torch.Generator().manual_seed(0)
    text = grammar().sample(24 * LENGTH, generator).view(24, LENGTH)
    share = torch.arange(1, 25)[:, None] / 24
    return torch.where(torch.rand(text.shape, generator=generator) < share, BLANK, text)


@pytest.mark.parametrize("name", NAMES)
def test_the_exported_network_has_the_scores_of_the_package(javascript, folder, rows, name):
    feeds = {"tokens": {"data": rows.flatten().tolist(), "dims": list(rows.shape)}}
    (found,) = javascript("../../tests/widgets/networks.mjs", ["ask", str(folder), name, feeds])
    scores = torch.tensor(found["output"]["data"]).view(24, LENGTH, BLANK)
    wanted = {key: load(models.MODELS[key].path(ROOT))(rows) for key, load in NAMES.items()}
    assert (scores - wanted[name]).abs().max() < 1e-4
    (other,) = NAMES.keys() - {name}
    assert (scores - wanted[other]).abs().max() > 1


def shipped(javascript, seed: int, steps: int) -> torch.Tensor:
    (u,) = javascript("../../tests/widgets/infill.mjs", ["uniforms", LENGTH * (steps + 1), seed])
    return torch.tensor(u, dtype=torch.float64).view(steps + 1, LENGTH)


@pytest.mark.parametrize("steps", [1, 3, 7, 20])
def test_the_page_fills_in_as_the_package_does(javascript, monkeypatch, folder, rows, steps):
    """`fill` with its draws replaced by the page's; every text and step, to the letter."""
    network = load_masked(models.MODELS["text_masked"].path(ROOT))
    for row in (7, 15, 23):
        given = rows[row]
        states = [
            {"tokens": given.tolist(), "steps": steps, "order": order, "seed": row}
            for order in ("random", "left")
        ]
        call = ["filled", str(folder), "text_masked", states]
        (found,) = javascript("../../tests/widgets/infill.mjs", call)
        u = shipped(javascript, row, steps)
        draws = iter(u[1:])

        def draw(scores, generator, draws=draws):
            ends = scores.double().softmax(-1).cumsum(-1)
            return (next(draws)[None, :, None] >= ends).sum(-1).clamp(max=BLANK - 1)

        monkeypatch.setattr(masked_diffusion, "_draw", draw)
        monkeypatch.setattr(masked_diffusion.torch, "rand", lambda *_, u=u, **__: u[:1])
        wanted = fill(network, given[None], torch.Generator(), steps)[0]
        assert found[0]["states"][-1] == wanted.tolist()
        assert found[0]["states"][0] == given.tolist()
        if steps > 1 and row == 23:  # nothing given: another order is another text
            assert found[1]["states"][-1] != wanted.tolist()
        hidden = (given == BLANK).nonzero()[:, 0].tolist()
        turns = [found[1]["turn"][i] for i in hidden]
        assert turns == sorted(turns)
        assert all(one == 0 for i, one in enumerate(found[1]["turn"]) if i not in hidden)


def test_the_most_certain_places_come_first(javascript, folder, rows):
    network = load_masked(models.MODELS["text_masked"].path(ROOT))
    state = {"tokens": rows[15].tolist(), "steps": 10, "order": "certain", "seed": 2}
    call = ["filled", str(folder), "text_masked", [state]]
    ((found,),) = javascript("../../tests/widgets/infill.mjs", call)
    for step, before in enumerate(found["states"][:-1]):
        tokens = torch.tensor(before)
        sure = network(tokens[None])[0].softmax(-1).amax(-1)
        chosen = [i for i in range(LENGTH) if found["turn"][i] == step + 1]
        left = [i for i in range(LENGTH) if before[i] == BLANK and i not in chosen]
        assert chosen
        assert not left or sure[chosen].min() >= sure[left].max() - 1e-5
    assert BLANK not in found["states"][-1]


def test_a_blind_network_is_shown_nothing(javascript, folder, rows):
    network = load_masked(models.MODELS["text_masked"].path(ROOT))
    state = {"tokens": rows[7].tolist(), "steps": 2, "order": "left", "seed": 1, "blind": True}
    call = ["filled", str(folder), "text_masked", [state]]
    ((found,),) = javascript("../../tests/widgets/infill.mjs", call)
    p = torch.tensor(found["guesses"]).view(2, LENGTH, BLANK)
    wanted = network(torch.full((1, LENGTH), BLANK))[0].softmax(-1)
    assert (p - wanted).abs().max() < 1e-5
    assert (p[0] - network(rows[7:8])[0].softmax(-1)).abs().max() > 0.5


def test_places_behind_the_text_stay_blank(javascript, folder, rows):
    tokens = rows[23].clone()
    tokens[20:] = BLANK
    state = {"tokens": tokens.tolist(), "steps": 4, "order": "random", "seed": 0, "length": 20}
    call = ["filled", str(folder), "text_masked", [state]]
    ((found,),) = javascript("../../tests/widgets/infill.mjs", call)
    assert found["states"][-1][20:] == [BLANK] * 28
    assert BLANK not in found["states"][-1][:20]
    assert max(found["turn"][:20]) == 4


def test_the_grammar_s_guesses_are_exact(javascript, rows):
    calls = [["exact", row.tolist()] for row in rows]
    found = torch.tensor(javascript("../../tests/widgets/infill.mjs", *calls), dtype=torch.float64)
    found = found.view(24, LENGTH, BLANK)
    assert (found - forgiving()(rows)).abs().max() < 1e-5
    assert (found - forgiving()(rows.roll(1, 1))).abs().max() > 1


def test_slips_are_those_of_the_grammar(javascript):
    generator = torch.Generator().manual_seed(3)
    text = grammar().sample(40 * LENGTH, generator).view(40, LENGTH)
    torn = torch.where(
        torch.rand(text.shape, generator=generator) < 0.05,
        torch.randint(BLANK, text.shape, generator=generator),
        text,
    )
    calls = [["wrong", row.tolist()] for row in torn]
    found = torch.tensor(javascript("../../tests/widgets/infill.mjs", *calls))
    wanted = grammar().slips(torn)
    assert torch.equal(found, wanted)
    assert wanted.any()
    assert not grammar().slips(text).any()


def test_what_was_paid_is_the_surprise_at_what_was_drawn(javascript, folder, rows):
    network = load_masked(models.MODELS["text_masked"].path(ROOT))
    state = {"tokens": rows[10].tolist(), "steps": 3, "order": "random", "seed": 5}
    call = ["filled", str(folder), "text_masked", [state]]
    ((found,),) = javascript("../../tests/widgets/infill.mjs", call)
    bits = 0.0
    for i, step in enumerate(found["turn"]):
        if step:
            scores = network(torch.tensor(found["states"][step - 1])[None])[0, i]
            bits -= scores.double().log_softmax(-1)[found["states"][-1][i]].item()
    assert found["bits"] == pytest.approx(bits / torch.log(torch.tensor(2.0)).item(), rel=1e-4)
