"""The planes of the widget fly, return and are judged as those of the package."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from fromnoise.survivorship import Fleet, fly, vulnerability

MODULE = "maths/survivorship.mjs"


def fleets(n: int) -> list[Fleet]:
    """Fleets in general position; every third has regions where a hit does nothing, or kills."""
    g = torch.Generator().manual_seed(0)
    made = []
    for i in range(n):
        area = torch.rand(5, generator=g, dtype=torch.float64) + 0.02
        chances = torch.rand(5, generator=g, dtype=torch.float64)
        if i % 3 == 0:
            chances[:2] = torch.tensor([0.0, 1.0])
        hits = 0.5 + 5.5 * float(torch.rand((), generator=g))
        made.append(Fleet(area / area.sum(), chances, hits))
    return made


def plain(fleet: Fleet) -> dict:
    return {
        "area": fleet.area.tolist(),
        "vulnerability": fleet.vulnerability.tolist(),
        "hits": fleet.hits,
    }


def test_the_same_hits_and_luck_bring_the_same_planes_home(javascript) -> None:
    calls, wanted, turned = [], [], []
    for seed, fleet in enumerate(fleets(40)):
        flown = fly(fleet, 25, torch.Generator().manual_seed(seed))
        # The package draws the hits, then the luck.
        g = torch.Generator().manual_seed(seed)
        again = torch.poisson((fleet.hits * fleet.area).expand(25, -1), generator=g).long()
        luck = torch.rand(25, generator=g, dtype=torch.float64)
        assert torch.equal(again, flown.hits)
        calls.append(["returns", flown.hits.tolist(), fleet.vulnerability.tolist(), luck.tolist()])
        wanted.append(flown.returned.tolist())
        turned.append((luck > ((1 - fleet.vulnerability) ** flown.hits).prod(-1)).tolist())
    found = javascript(MODULE, *calls)
    assert found == wanted
    assert found != turned


def test_draws_of_poisson_are_its_quantiles(javascript) -> None:
    g = np.random.default_rng(0)
    rates, u = g.uniform(0, 6, 1000), g.uniform(size=1000)
    rates[:10], u[:5], u[5:10] = 0, 0, 1 - 2.0**-32
    found = javascript(MODULE, *(["poisson", *pair] for pair in zip(rates, u, strict=True)))
    # A quantile of 0 is 0 here; scipy puts it one below the first outcome.
    assert found == np.maximum(stats.poisson.ppf(u, rates), 0).tolist()
    assert found != np.maximum(stats.poisson.ppf(1 - u, rates), 0).tolist()


def test_estimates_are_the_packages(javascript) -> None:
    g = torch.Generator().manual_seed(1)
    holes = torch.rand(1000, 5, generator=g, dtype=torch.float64) ** 2
    holes[:100, :3] = 0
    returned = torch.rand(1000, generator=g, dtype=torch.float64).clamp_min(0.01)
    returned[:20] = 1
    area = torch.tensor([0.15, 0.05, 0.15, 0.4, 0.25], dtype=torch.float64)
    calls = zip(holes.tolist(), returned.tolist(), strict=True)
    found = javascript(MODULE, *(["vulnerability", *call, area.tolist()] for call in calls))
    mine = torch.tensor(found, dtype=torch.float64)
    assert float((mine - vulnerability(holes, returned, area)).abs().max()) < 1e-10
    # Without the hits of those who are gone, the estimate is another.
    naive = 1 - holes / (holes.sum(-1, keepdim=True) * area)
    assert float((mine - naive).abs().max()) > 0.1


@pytest.mark.parametrize("holes, returned", [([0.0, 0.0], 1.0), ([0.0, 0.0], 0.0)])
def test_where_nothing_can_be_said_nothing_is(javascript, holes, returned) -> None:
    assert javascript(MODULE, ["vulnerability", holes, returned, [0.5, 0.5]]) == [None]
    if returned:
        with pytest.raises(ValueError, match="nothing can be said"):
            vulnerability(torch.tensor(holes), torch.tensor(returned), torch.tensor([0.5, 0.5]))


def test_as_many_planes_return_as_the_formula_says(javascript) -> None:
    # The number of returned planes is binomial; a false alarm once in 1e9 runs.
    n = 4000
    made = fleets(12)
    raids = javascript(MODULE, *(["fly", plain(fleet), n, i] for i, fleet in enumerate(made)))
    chances = javascript(MODULE, *(["chanceToReturn", plain(fleet)] for fleet in made))
    for fleet, raid, chance in zip(made, raids, chances, strict=True):
        exact = math.exp(-fleet.hits * float((fleet.area * fleet.vulnerability).sum()))
        assert abs(chance - exact) < 1e-12
        back = sum(raid["returned"])
        assert stats.binomtest(back, n, exact).pvalue > 1e-9 / len(made)
        holes = torch.tensor(raid["hits"]).double()
        z = (holes.mean(0) - fleet.hits * fleet.area) / (fleet.hits * fleet.area / n).sqrt()
        assert float(z.abs().max()) < 7
    wrong = math.exp(-made[1].hits * float(made[1].vulnerability.mean()) * 2)
    assert stats.binomtest(sum(raids[1]["returned"]), n, wrong).pvalue < 1e-9


def test_armor_spares_planes_of_the_same_raid(javascript) -> None:
    for seed, fleet in enumerate(fleets(6)):
        (raid,) = javascript(MODULE, ["fly", plain(fleet), 400, seed])
        chances = fleet.vulnerability.tolist()
        for region in range(5):
            (found,) = javascript(MODULE, ["saved", raid, chances, region, 0.5])
            armored = fleet.vulnerability.clone()
            armored[region] *= 0.5
            survives = ((1 - armored) ** torch.tensor(raid["hits"])).prod(-1)
            again = torch.tensor(raid["luck"], dtype=torch.float64) < survives
            before = torch.tensor(raid["returned"])
            assert found == {"lost": int((~before).sum()), "saved": int((again & ~before).sum())}
            assert not bool((before & ~again).any())


def test_advice_weighs_how_often_with_how_deadly(javascript) -> None:
    holes, found, area = [0.2, 0.9, 0.1], [0.4, 0.1, 0.9], [0.5, 0.4, 0.1]
    answers = javascript(MODULE, ["advice", holes, found, area], ["advice", [0, 0, 0], None, area])
    assert answers == [{"mostHoles": 1, "bayes": 0}, {"mostHoles": None, "bayes": None}]
