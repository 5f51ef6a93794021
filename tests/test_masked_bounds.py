"""Masked diffusion is writing in any order: the two bounds are one number, for every model."""

import itertools
import math

import pytest
import torch

from fromnoise.masked_bounds import Table, any_order_bound, chain_bound, diffusion_bound
from fromnoise.masked_diffusion import (
    Conditional,
    CosineMask,
    LinearMask,
    MaskRates,
    MaskSchedule,
    surprises,
)
from fromnoise.transformer import Transformer

F64 = torch.float64
SCHEDULES = [LinearMask(), CosineMask()]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def table(n_characters=2, length=3, seed=0):
    joint = torch.rand([n_characters] * length, generator=rng(seed), dtype=F64) ** 3 + 0.01
    return Table(joint / joint.sum())


def network(n_characters=3, length=5, seed=1, scale=0.4):
    """Random weights: conditionals that no joint distribution has."""
    found = Transformer(n_characters, length, 8, n_heads=2, causal=False).double()
    generator = rng(seed)
    with torch.no_grad():
        for p in found.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=F64))
    return found.requires_grad_(False)


class Weighted(MaskSchedule):
    """A linear schedule with another weight: the mistakes that the bound must notice."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, t):
        return MaskRates(t, t * self.weight(t))


TEXT = torch.tensor([2, 0, 1, 1, 0])


@EVERY
@pytest.mark.parametrize("length", [1, 2, 5])
def test_absorbing_diffusion_is_any_order_autoregression(schedule, length):
    """Quadrature over times and sets against enumeration of orders, for a network."""
    model = network()
    orders = any_order_bound(model, TEXT[:length])
    assert abs(float(diffusion_bound(model, TEXT[:length], schedule) - orders)) < 1e-12 * orders


def test_every_other_weight_is_noticed():
    model = network()
    orders = float(any_order_bound(model, TEXT))
    wrong = {
        "no weight": lambda t: torch.ones_like(t),
        "twice the weight": lambda t: 2 / t,
        "1 / (1 - t)": lambda t: 1 / (1 - t),
        "1 / t squared": lambda t: 1 / t.square(),
        "cosine times, linear rates": lambda t: CosineMask()(t).weight,
    }
    assert abs(float(diffusion_bound(model, TEXT, Weighted(lambda t: 1 / t))) - orders) < 1e-10
    for name, weight in wrong.items():
        assert abs(float(diffusion_bound(model, TEXT, Weighted(weight))) - orders) > 1e-2, name


@EVERY
def test_with_the_exact_conditionals_the_bound_is_the_surprise(schedule):
    """No order costs more than another, so nothing is lost."""
    model = table(3, 4)
    for text in torch.tensor([[0, 1, 2, 2], [1, 1, 1, 1]]):
        exact = float(-model.log_prob(text[None])[0])
        assert abs(float(any_order_bound(model, text)) - exact) < 1e-12 * exact
        assert abs(float(diffusion_bound(model, text, schedule)) - exact) < 1e-12 * exact


def mixture_over_orders(model, text):
    """Probability that `fill` writes the text: the mean over orders of its probability."""
    total = 0.0
    for order in itertools.permutations(range(len(text))):
        hidden = torch.ones(1, len(text), dtype=torch.bool)
        log_p = 0.0
        for place in order:
            log_p -= float(surprises(model, text[None], hidden)[0, place])
            hidden[0, place] = False
        total += math.exp(log_p)
    return total / math.factorial(len(text))


def test_it_is_a_bound_on_the_probability_of_what_is_written():
    """For a network whose orders disagree: strictly above, by Jensen's inequality."""
    model = network(2, 3, scale=0.7)
    texts = torch.tensor(list(itertools.product(range(2), repeat=3)))
    p = torch.tensor([mixture_over_orders(model, text) for text in texts], dtype=F64)
    assert abs(float(p.sum()) - 1) < 1e-12
    bounds = torch.stack([any_order_bound(model, text) for text in texts])
    gap = bounds + p.log()
    assert bool((gap > 1e-6).all())
    assert float(gap.max()) > 0.01


def chains(model, text, schedule, times):
    """Every path of hidden sets from all to none: its probability and what it writes with."""
    masked = schedule(torch.tensor(times, dtype=F64)).masked.tolist()
    stay = [later / earlier for earlier, later in itertools.pairwise(masked)]
    length = len(text)
    # A path is, for each token, the step that reveals it.
    for steps in itertools.product(range(len(stay)), repeat=length):
        p_path = math.prod(math.prod(stay[:k]) * (1 - stay[k]) for k in steps)
        cost = 0.0
        for i, k in enumerate(steps):
            hidden = torch.tensor([[other >= k for other in steps]])
            cost += float(surprises(model, text[None], hidden)[0, i])
        yield p_path, cost


@EVERY
def test_the_bound_of_a_chain_is_the_mean_cost_of_its_paths(schedule):
    model, text, times = network(2, 3), torch.tensor([1, 0, 0]), [1.0, 0.7, 0.2, 0.0]
    paths = list(chains(model, text, schedule, times))
    assert sum(p for p, _ in paths) == pytest.approx(1, rel=1e-14)
    mean_cost = sum(p * cost for p, cost in paths)
    found = float(chain_bound(model, text, schedule, times))
    assert found == pytest.approx(mean_cost, rel=1e-12)
    assert found > -math.log(sum(p * math.exp(-cost) for p, cost in paths)) + 1e-6
    # The share revealed taken of all tokens, not of those that are hidden.
    masked = schedule(torch.tensor(times, dtype=F64)).masked
    hidden = (torch.arange(8)[:, None] >> torch.arange(3)) % 2 == 1
    cost = surprises(model, text.expand(8, 3), hidden).sum(-1)
    n = hidden.sum(-1)
    share = masked[:-1, None] ** n * (1 - masked[:-1, None]) ** (3 - n)
    wrong = float(-masked.diff() @ share @ cost)
    assert abs(wrong - mean_cost) > 1e-2


def test_more_steps_approach_the_continuous_bound_at_the_rate_of_the_step():
    """From above on exact conditionals; halving the step halves the excess."""
    model, text = table(2, 3), torch.tensor([1, 0, 1])
    limit = float(diffusion_bound(model, text, LinearMask()))

    def excess(n):
        times = torch.linspace(1, 0, n + 1, dtype=F64).tolist()
        return float(chain_bound(model, text, LinearMask(), times)) - limit

    means = [
        sum(
            float(p * (chain_bound(model, x, LinearMask(), times) + model.log_prob(x[None])[0]))
            for p, x in zip(model.joint.flatten(), model.texts, strict=True)
        )
        for times in ([1.0, 0.0], [1.0, 0.5, 0.0], [1.0, 0.75, 0.5, 0.25, 0.0])
    ]
    assert means[0] > means[1] > means[2] > 0
    # Of first order: the next term shifts the ratio by a share of order 1/n.
    assert excess(200) / excess(400) == pytest.approx(2, rel=0.02)


def test_one_step_costs_the_total_correlation():
    """All at once from the marginals: the mean excess is the sum of entropies minus the entropy."""
    model = table(2, 3)
    one_step = sum(
        float(p * chain_bound(model, x, LinearMask(), [1.0, 0.0]))
        for p, x in zip(model.joint.flatten(), model.texts, strict=True)
    )
    marginals = [model.joint.sum([j for j in range(3) if j != i]) for i in range(3)]
    assert one_step == pytest.approx(float(sum(torch.special.entr(m).sum() for m in marginals)))


def test_a_table_knows_its_conditionals():
    model = table(2, 3)
    assert isinstance(model, Conditional)
    x_t = torch.tensor([[0, 2, 1], [2, 2, 2]])
    p = model(x_t).exp()
    by_hand = model.joint[0, :, 1] / model.joint[0, :, 1].sum()
    torch.testing.assert_close(p[0, 1], by_hand)
    torch.testing.assert_close(p[1, 2], model.joint.sum((0, 1)))
    assert p[0, 0].tolist() == [1, 0]
    assert not torch.allclose(p[0, 1], model.joint.sum((0, 2)), rtol=1e-3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Table(torch.ones(2, 3) / 6), r"same length, got \(2, 3\)"),
        (lambda: Table(torch.tensor([1.0, 0.0])), "positive and sum to 1"),
        (lambda: Table(torch.tensor([1.0, 1.0])), "positive and sum to 1"),
        (lambda: any_order_bound(network(2, 8), torch.zeros(8).long()), "1 to 7 tokens, got 8"),
        (
            lambda: diffusion_bound(network(2, 13), torch.zeros(13).long(), LinearMask()),
            "1 to 12 tokens, got 13",
        ),
        (
            lambda: chain_bound(table(), torch.tensor([0, 0, 0]), LinearMask(), [0.0, 1.0]),
            "fall from 1 to 0",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_longest_texts_are_allowed_and_longer_ones_are_not():
    even = table(1, 1)
    twelve, seven = torch.zeros(12, dtype=torch.long), torch.zeros(7, dtype=torch.long)

    class Even(Conditional):
        blank = 2

        def __call__(self, tokens):
            return torch.zeros(*tokens.shape, 2, dtype=F64)

    assert diffusion_bound(Even(), twelve, LinearMask()).item() == pytest.approx(12 * math.log(2))
    assert any_order_bound(Even(), seven).item() == pytest.approx(7 * math.log(2))
    assert chain_bound(Even(), twelve, LinearMask(), [1.0, 0.0]).item() == pytest.approx(
        12 * math.log(2)
    )
    for call in (
        lambda: diffusion_bound(Even(), torch.zeros(13, dtype=torch.long), LinearMask()),
        lambda: any_order_bound(Even(), torch.zeros(8, dtype=torch.long)),
        lambda: any_order_bound(even, torch.zeros(0, dtype=torch.long)),
    ):
        with pytest.raises(ValueError, match="enumeration"):
            call()


def test_times_of_a_chain_fall_strictly_from_one_to_zero():
    x_0 = torch.tensor([0, 1, 0])
    for times in ([1.0, 0.5, 0.5, 0.0], [1.0, 0.5, 0.6, 0.0], [1.0], [0.9, 0.0], [1.0, 0.1]):
        with pytest.raises(ValueError, match="times must fall from 1 to 0"):
            chain_bound(table(), x_0, LinearMask(), times)


def test_a_table_may_be_off_by_rounding_and_have_any_number_of_characters():
    nearly = torch.full((4,), 0.25, dtype=F64) + 2e-6
    assert Table(nearly).blank == 4
    with pytest.raises(ValueError, match="sum to 1"):
        Table(torch.full((4,), 0.25, dtype=F64) + 3e-6)
    single = table(3, 1)
    found = single(torch.tensor([[3], [0]])).exp()
    assert (found[0, 0] - single.joint).abs().max() < 1e-15
