"""What survivors tell: simulation against exact sums, and a waist that either unit can carry."""

import math

import pytest
import torch

from chance import mean_gap, share_gap
from fromnoise.lesions import Lesion, lesioned, zero
from fromnoise.networks import seeded
from fromnoise.survivorship import Fleet, TwoWay, fly, single_hit_vulnerability, vulnerability

F64 = torch.float64
AREA = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
CHANCE = torch.tensor([0.6, 0.1, 0.0], dtype=F64)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_planes_return_as_often_as_the_product_says():
    fleet = Fleet(AREA, CHANCE, 1.5)
    flown = fly(fleet, 200_000, rng())
    expected = math.exp(-1.5 * float((AREA * CHANCE).sum()))
    # 200,000 planes see a share that is off by 0.014, and 2 percent of the hits.
    assert share_gap(flown.returned.sum(), 200_000, expected) < 1
    assert share_gap(flown.returned.sum(), 200_000, 1 - 1.5 * float((AREA * CHANCE).sum())) > 1
    assert mean_gap(flown.hits, 1.5 * AREA) < 1 < mean_gap(flown.hits, 1.45 * AREA)


def test_a_plane_hit_where_hits_are_certain_death_never_returns():
    flown = fly(Fleet(AREA, torch.tensor([1.0, 0, 0], dtype=F64), 2.0), 2000, rng(1))
    assert torch.equal(flown.returned, flown.hits[:, 0] == 0)


def test_the_exact_holes_give_back_the_exact_vulnerability():
    holes = 1.5 * AREA * (1 - CHANCE)
    returned = torch.tensor(math.exp(-1.5 * float((AREA * CHANCE).sum())), dtype=F64)
    assert torch.allclose(vulnerability(holes, returned, AREA), CHANCE, atol=1e-14)
    # The rule for one hit is another rule.
    once = single_hit_vulnerability(holes / holes.sum(), returned, AREA)
    assert not torch.allclose(once, CHANCE, atol=1e-2)


def test_planes_hit_once_follow_bayes():
    returned = (AREA * (1 - CHANCE)).sum()
    holes = AREA * (1 - CHANCE) / returned
    assert torch.allclose(single_hit_vulnerability(holes, returned, AREA), CHANCE, atol=1e-15)


def test_estimates_close_in_on_the_truth():
    flown = fly(Fleet(AREA, CHANCE, 1.5), 400_000, rng(2))
    holes = flown.hits[flown.returned].double().mean(0)
    found = vulnerability(holes, flown.returned.double().mean(), AREA)
    # A hit that kills leaves no hole: holes of those that came home are independent Poisson counts.
    assert mean_gap(flown.hits[flown.returned], 1.5 * AREA * (1 - CHANCE)) < 1
    assert mean_gap(flown.hits, 1.5 * AREA * (1 - CHANCE)) > 1
    assert torch.allclose(found, CHANCE, atol=0.03)


def test_equal_seeds_give_equal_missions():
    fleet = Fleet(AREA, CHANCE, 1.5)
    first, again, other = (fly(fleet, 50, rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.hits, again.hits)
    assert torch.equal(first.returned, again.returned)
    assert not torch.equal(first.hits, other.hits)


def twin(forget=True):
    """A waist whose two units say exactly the same."""
    with seeded(0):
        network = TwoWay(5, 7, forget=forget)
    with torch.no_grad():
        network.waist[0].weight[1] = network.waist[0].weight[0]
        network.waist[0].bias[1] = network.waist[0].bias[0]
        network.answer.weight.fill_(3.0)
        network.answer.bias.zero_()
    return network


def test_equal_units_answer_alike_with_one_of_them_silenced_and_not_with_both():
    network, x = twin().eval(), torch.randn(40, 5, generator=rng(5))
    whole = network(x) > 0
    for unit in (0, 1):
        with lesioned(network, Lesion("waist", zero, (unit,))):
            assert torch.equal(network(x) > 0, whole)
    with lesioned(network, Lesion("waist", zero, (0, 1))):
        assert (network(x) == 0).all()
    assert whole.any()
    assert not whole.all()


def test_training_never_silences_both_units():
    network, x = twin(), torch.ones(600, 5)
    with seeded(1), torch.no_grad():
        network.hidden[2].p = 0.0
        share = network(x) / network.eval()(x)
    counts = [int((share - value).abs().lt(1e-5).sum()) for value in (0.0, 0.5, 1.0)]
    assert counts[0] == 0
    assert sum(counts) == 600
    # A third keeps both; 5 standard deviations of 600 draws.
    assert abs(counts[2] - 200) < 5 * math.sqrt(600 * 2 / 9)
    plain = twin(forget=False)
    plain.hidden[2].p = 0.0
    assert torch.allclose(plain(x), plain.eval()(x))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Fleet(AREA * 2, CHANCE, 1.0), "sum 1"),
        (lambda: Fleet(AREA, CHANCE + 0.5, 1.0), r"\[0, 1\]"),
        (lambda: Fleet(AREA, CHANCE, -1.0), "hits must be at least 0"),
        (lambda: fly(Fleet(AREA, CHANCE, 1.0), 0, rng()), "n_planes"),
        (lambda: vulnerability(AREA, torch.tensor(0.0, dtype=F64), AREA), "returned"),
        (lambda: vulnerability(0 * AREA, torch.ones((), dtype=F64), AREA), "nothing can be said"),
        (lambda: single_hit_vulnerability(AREA, torch.tensor(1.5, dtype=F64), AREA), "returned"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_no_hits_and_one_plane_are_allowed():
    flown = fly(Fleet(AREA, CHANCE, 0.0), 1, rng())
    assert flown.hits.tolist() == [[0, 0, 0]]
    assert flown.returned.tolist() == [True]
    with pytest.raises(ValueError, match="n_planes must be at least 1, got 0"):
        fly(Fleet(AREA, CHANCE, 0.0), 0, rng())
    for hits in (-0.1, math.inf):
        with pytest.raises(ValueError, match="hits must be at least 0 and finite"):
            Fleet(AREA, CHANCE, hits)
    one = torch.ones(1, dtype=F64)
    assert vulnerability(one / 2, one[0], one).tolist() == [0]


def test_one_bad_share_among_good_ones_is_refused():
    holes, half = AREA.expand(2, 3), torch.tensor([0.5, 0.5], dtype=F64)
    assert vulnerability(holes, half, AREA).shape == (2, 3)
    for returned in ([0.5, 0.0], [0.5, 1.1]):
        with pytest.raises(ValueError, match="returned must lie in"):
            vulnerability(holes, torch.tensor(returned, dtype=F64), AREA)
    nothing = torch.stack([AREA, 0 * AREA])
    with pytest.raises(ValueError, match="nothing can be said"):
        vulnerability(nothing, torch.tensor([0.5, 1.0], dtype=F64), AREA)
    # Even a few holes are something to say.
    few = vulnerability(0.1 * AREA, torch.tensor(0.95, dtype=F64), AREA)
    assert few.isfinite().all()
    for area in ([0.0, 0.7, 0.3], [-0.1, 0.8, 0.3], [0.2, 0.5, 0.4]):
        with pytest.raises(ValueError, match="positive with sum 1"):
            Fleet(torch.tensor(area, dtype=F64), CHANCE, 1.0)
    with pytest.raises(ValueError, match="positive with sum 1"):
        Fleet(torch.zeros(0), torch.zeros(0), 1.0)


def test_the_waist_is_two_units_wide():
    with seeded(0):
        network = TwoWay(5, n_hidden=7)
    shapes = [tuple(weight.shape) for weight in network.parameters()]
    assert shapes == [(7, 5), (7,), (2, 7), (2,), (1, 2), (1,)]
