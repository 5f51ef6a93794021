"""Proofs of the displayed equations of the chapter on broken machines."""

import math
from itertools import product

import torch

from fromnoise.survivorship import single_hit_vulnerability, vulnerability
from proof import Sides, proves

F64 = torch.float64
AREA = torch.tensor([0.25, 0.45, 0.3], dtype=F64)
CHANCE = torch.tensor([0.6, 0.05, 0.3], dtype=F64)
HITS = 1.3


def once():
    """Joint probabilities for planes hit once: rows are regions, columns are back and lost."""
    return torch.stack([AREA * (1 - CHANCE), AREA * CHANCE], 1)


def many(area=AREA, n_most=24):
    """Every mission of one plane with up to 24 hits per region, told one by one.

    Returns the probability that it comes back, and the mean holes of those that do. What is left
    out has a probability below 1e-20.
    """
    back, holes = torch.zeros((), dtype=F64), torch.zeros(3, dtype=F64)
    rates = (HITS * area).tolist()
    chance = [
        [math.exp(-rate) * rate**n / math.factorial(n) for n in range(n_most)] for rate in rates
    ]
    spared = [[(1 - v) ** n for n in range(n_most)] for v in CHANCE.tolist()]
    for n in product(range(n_most), repeat=3):
        p = math.prod(chance[r][n[r]] * spared[r][n[r]] for r in range(3))
        back += p
        holes += p * torch.tensor(n, dtype=F64)
    return back, holes / back


@proves("survivorship-bayes", "survivorship-returned-holes")
def test_bayes_turns_the_holes_around() -> Sides:
    """All six cases of region and fate counted, against the two formulas of the page."""
    joint = once()
    back = joint[:, 0].sum()
    counted_holes = joint[:, 0] / back
    counted_loss = joint[:, 1] / joint.sum(1)
    survivors = (AREA * (1 - CHANCE)) / (AREA * (1 - CHANCE)).sum()
    right = 1 - survivors * back / AREA
    assert torch.allclose(single_hit_vulnerability(survivors, back, AREA), right, atol=1e-15)
    return Sides(
        left=torch.stack([counted_holes, counted_loss]),
        right=torch.stack([survivors, right]),
        wrong={
            "the share that returned forgotten": torch.stack([survivors, 1 - survivors / AREA]),
            "holes taken for losses": torch.stack([survivors, survivors]),
            "not normalized": torch.stack([AREA * (1 - CHANCE), right]),
        },
    )


@proves("survivorship-one-region")
def test_one_region_is_survived_with_this_chance() -> Sides:
    """The series summed term by term, against the closed form."""
    rates, chances = torch.meshgrid(
        torch.tensor([0.1, 1.0, 4.0], dtype=F64),
        torch.tensor([0.0, 0.3, 1.0], dtype=F64),
        indexing="ij",
    )
    left = sum(
        (-rates).exp() * rates**n / float(math.factorial(n)) * (1 - chances) ** n for n in range(60)
    )
    return Sides(
        left=left,
        right=(-rates * chances).exp(),
        wrong={
            "one hit only": 1 - rates * chances,
            "the chance to survive": (-rates * (1 - chances)).exp(),
        },
    )


@proves("survivorship-return")
def test_the_chance_to_return_is_exponential() -> Sides:
    """Every number of hits in every region, summed one by one."""
    back, _ = many()
    return Sides(
        left=back,
        right=(-HITS * (AREA * CHANCE).sum()).exp(),
        wrong={
            "one hit only": (AREA * (1 - CHANCE)).sum(),
            "the areas forgotten": (-HITS * CHANCE.sum()).exp(),
        },
    )


@proves("survivorship-mean-holes")
def test_the_holes_of_a_survivor_are_thinned() -> Sides:
    """Every number of hits in every region, weighted by its chance to return."""
    _, holes = many()
    return Sides(
        left=holes,
        right=HITS * AREA * (1 - CHANCE),
        wrong={
            "as on all planes": HITS * AREA,
            "divided by the share that returned": HITS * AREA * (1 - CHANCE) / many()[0],
        },
    )


@proves("survivorship-rate", "survivorship-recovered")
def test_survivors_and_their_number_give_back_everything() -> Sides:
    """What enumeration says of survivors, put into the formulas, against what was put in."""
    back, holes = many()
    rate = holes.sum() - back.log()
    found = vulnerability(holes, back, AREA)
    return Sides(
        left=torch.cat([torch.tensor([HITS], dtype=F64), CHANCE]),
        right=torch.cat([rate[None], 1 - holes / (rate * AREA)]),
        wrong={
            "the lost planes forgotten": torch.cat([holes.sum()[None], found]),
            "sign of the logarithm": torch.cat([(holes.sum() + back.log())[None], found]),
            "the rate of survivors": torch.cat([rate[None], 1 - holes / (holes.sum() * AREA)]),
        },
    )


@proves("survivorship-aimed")
def test_a_wrong_share_moves_the_estimate_by_its_ratio() -> Sides:
    """Hits fall by other shares than assumed; the enumeration knows them, the estimate does not."""
    true_area = torch.tensor([0.4, 0.4, 0.2], dtype=F64)
    back, holes = many(true_area)
    ratio = true_area / AREA
    return Sides(
        left=1 - vulnerability(holes, back, AREA),
        right=ratio * (1 - CHANCE),
        wrong={
            "no harm done": 1 - CHANCE,
            "ratio turned round": (1 - CHANCE) / ratio,
            "on the chance itself": 1 - ratio * CHANCE,
        },
    )


@proves("survivorship-paired")
def test_the_variance_of_a_mean_difference() -> Sides:
    """All resamples of two pairs from a small population, against the formula."""
    whole = torch.tensor([0.3, 1.1, 2.0, -0.4, 0.9], dtype=F64)
    cut = torch.tensor([0.1, 0.9, 1.2, -0.8, 1.0], dtype=F64)
    n = 2
    means = torch.stack(
        [
            sum(whole[i] - cut[i] for i in drawn) / n
            for drawn in product(range(len(whole)), repeat=n)
        ]
    )
    covariance = ((whole - whole.mean()) * (cut - cut.mean())).mean()
    spread = whole.var(correction=0) + cut.var(correction=0)
    return Sides(
        left=means.var(correction=0),
        right=(spread - 2 * covariance) / n,
        wrong={
            "as if not paired": spread / n,
            "covariance once": (spread - covariance) / n,
            "of one pair": spread - 2 * covariance,
        },
    )


@proves("survivorship-fair-share")
def test_fair_shares_of_two_parts_add_up() -> Sides:
    """The mean over both orders of removal, counted, against the closed form."""
    a, b, both = 0.2, 0.05, 1.3
    orders = torch.tensor([[a, both - a], [both - b, b]], dtype=F64)  # removal of i, then j; j, i
    left = orders.mean(0)
    right = 0.5 * torch.tensor([both + a - b, both + b - a], dtype=F64)
    assert abs(float(left.sum()) - both) < 1e-15
    return Sides(
        left=left,
        right=right,
        wrong={
            "each alone": torch.tensor([a, b], dtype=F64),
            "sign of the difference": 0.5 * torch.tensor([both - a + b, both - b + a], dtype=F64),
        },
    )
