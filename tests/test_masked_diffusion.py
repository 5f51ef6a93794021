"""Costs of hidden tokens average to the surprise, and filling blanks follows the model."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from chance import detectable, mean_gap
from fromnoise.masked_bounds import Table, diffusion_bound
from fromnoise.masked_diffusion import (
    Conditional,
    CosineMask,
    LinearMask,
    MaskRates,
    MaskSchedule,
    any_order_cost,
    any_order_loss,
    fill,
    masked_cost,
    masked_diffusion_loss,
    reveal_step,
    surprises,
)
from fromnoise.training import TrainingSettings, train
from fromnoise.transformer import Transformer

F64 = torch.float64
SCHEDULES = [LinearMask(), CosineMask()]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def table(n_characters=2, length=3, seed=0):
    joint = torch.rand([n_characters] * length, generator=rng(seed), dtype=F64) ** 3 + 0.01
    return Table(joint / joint.sum())


class Weighted(MaskSchedule):
    """A linear schedule with another weight: the mistakes that the bound must notice."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, t):
        return MaskRates(t, t * self.weight(t))


@EVERY
def test_schedules_hide_nothing_at_first_and_all_at_last(schedule):
    ends = schedule(torch.tensor([0.0, 1.0], dtype=F64))
    torch.testing.assert_close(ends.masked, torch.tensor([0.0, 1.0], dtype=F64))
    t = torch.linspace(0.01, 1, 20, dtype=F64).requires_grad_()
    (slope,) = torch.autograd.grad(schedule(t).masked.sum(), t)
    torch.testing.assert_close(schedule(t).d_masked, slope, rtol=1e-12, atol=1e-12)

    # The weight is the derivative of log m_t.
    def weight(v):
        return float(schedule(torch.tensor(v, dtype=F64)).weight)

    total, _ = integrate.quad(weight, 0.2, 0.9)
    shares = schedule(torch.tensor([0.2, 0.9], dtype=F64)).masked
    assert total == pytest.approx(float((shares[1] / shares[0]).log()), rel=1e-9)


def mean_masked_cost(model, text, schedule):
    """The mean of `masked_cost` over t and u, exactly: one u for every hidden set, a grid of times.

    The integrand over times is a polynomial for the linear schedule and smooth for the other.
    """
    length = len(text)
    hidden = torch.tensor(list(itertools.product([True, False], repeat=length)))
    nodes, shares = np.polynomial.legendre.leggauss(40)
    total = 0.0
    for t, share in zip((nodes + 1) / 2, shares / 2, strict=True):
        m = float(schedule(torch.tensor(t)).masked)
        u = torch.where(hidden, m / 2, (1 + m) / 2)
        times = torch.full((len(hidden),), float(t), dtype=F64)
        cost = masked_cost(model, text.expand(hidden.shape), times, u, schedule)
        n = hidden.sum(-1).double()
        total += share * float((m**n * (1 - m) ** (length - n)) @ cost)
    return total


@EVERY
def test_the_masked_cost_is_on_average_the_surprise(schedule):
    model, text = table(2, 3), torch.tensor([1, 0, 1])
    exact = float(-model.log_prob(text[None]))
    assert abs(mean_masked_cost(model, text, schedule) - exact) < 1e-12
    assert abs(mean_masked_cost(model, text, Weighted(torch.ones_like)) - exact) > 0.1


def test_the_any_order_cost_is_on_average_the_surprise():
    """Over all numbers of hidden tokens and all rankings of three uniform numbers."""
    model, text = table(2, 3), torch.tensor([1, 0, 1])
    exact = float(-model.log_prob(text[None]))
    u = torch.tensor(list(itertools.permutations([0.1, 0.5, 0.9])), dtype=F64)
    costs = torch.stack(
        [any_order_cost(model, text.expand(6, 3), torch.full((6,), n), u) for n in (1, 2, 3)]
    )
    assert abs(float(costs.mean()) - exact) < 1e-12
    # The total cost of the hidden tokens without the share L / n is something else.
    wrong = costs * torch.tensor([1, 2, 3])[:, None] / 3
    assert abs(float(wrong.mean()) - exact) > 0.1


class Recorder(torch.nn.Module):
    """A table that passes for a network and remembers what it was shown."""

    def __init__(self, model):
        super().__init__()
        self.model, self.blank, self.shown = model, model.blank, []

    def forward(self, tokens):
        self.shown.append(tokens)
        return self.model(tokens)


def test_the_any_order_loss_is_the_surprise_per_character():
    """Bounded draws; 6 % off would be seen. The loss of another text is another number."""
    network, text = Recorder(table(2, 3)), torch.tensor([1, 0, 1])
    exact = float(-network.model.log_prob(text[None])) / 3
    generator = rng(7)
    rows = text.expand(30, 3)
    found = torch.stack([any_order_loss(network, (rows,), generator) for _ in range(300)])
    assert detectable(found) < 0.06 * exact
    assert mean_gap(found, exact) < 1
    assert mean_gap(found, float(-network.model.log_prob(1 - text[None])) / 3) > 1
    # Thirty rows hide one, two and three tokens ten times each, give or take the offset.
    for shown in network.shown:
        n_hidden = torch.bincount((shown == 2).sum(1), minlength=4).tolist()
        assert n_hidden[0] == 0
        assert max(n_hidden[1:]) - min(n_hidden[1:]) <= 1


@EVERY
def test_the_masked_loss_is_the_mean_cost_at_evenly_placed_times(schedule):
    """Costs have no finite variance (the weight grows like 1/t), so the draws are repeated here."""
    network, text = Recorder(table(2, 3)), torch.tensor([1, 0, 1])
    rows = text.expand(50, 3)
    found = masked_diffusion_loss(schedule)(network, (rows,), rng(3))
    generator = rng(3)
    offset = torch.rand((), generator=generator)
    u = torch.rand(50, 3, generator=generator)
    t = (torch.arange(50) + 1 - offset) / 50
    assert bool((t > 0).all() & (t <= 1).all())
    assert torch.equal(torch.floor(50 * t.double() - 1e-6), torch.arange(50.0).double())
    expected = masked_cost(network.model, rows, t, u, schedule).mean() / 3
    torch.testing.assert_close(found, expected)
    assert torch.equal((network.shown[0] == 2).sum(), (u < schedule(t).masked[:, None]).sum())


def test_the_loss_teaches_a_network():
    """Two letters that always agree: the bound falls to one bit for the pair."""
    pairs = torch.tensor([[0, 0], [1, 1]]).repeat(16, 1)
    start = Transformer(2, 2, 16, n_blocks=1, n_heads=2, causal=False)
    settings = TrainingSettings(n_steps=80, batch_size=32, learning_rate=2e-2, ema_decay=0.8)
    for loss in (masked_diffusion_loss(LinearMask()), any_order_loss):
        trained = train(start, loss, (pairs,), settings).network.requires_grad_(False)
        nats = diffusion_bound(trained, torch.tensor([1, 1]), LinearMask())
        assert math.log(2) - 0.05 < float(nats) < math.log(2) + 0.15


def counts(rows):
    places = 2 ** torch.arange(rows.shape[1] - 1, -1, -1)
    return torch.bincount((rows * places).sum(1), minlength=2 ** rows.shape[1]).numpy()


def test_filling_one_by_one_is_exact_and_all_at_once_is_not():
    """4000 texts against the table by chi-squared; false alarm once in 1e9."""
    model = table(2, 3)
    blank = torch.full((4000, 3), 2)
    expected = 4000 * model.joint.flatten().numpy()
    assert expected.min() > 5
    assert stats.chisquare(counts(fill(model, blank, rng())), expected).pvalue > 1e-9
    assert stats.chisquare(counts(fill(model, blank, rng(), n_steps=1)), expected).pvalue < 1e-9
    # More steps than tokens change nothing.
    assert stats.chisquare(counts(fill(model, blank, rng(), n_steps=5)), expected).pvalue > 1e-9


def test_filling_keeps_what_is_given_and_follows_the_conditional():
    model = table(2, 3)
    given = torch.tensor([[2, 1, 2]]).expand(4000, 3)
    found = fill(model, given, rng(1))
    assert bool((found[:, 1] == 1).all())
    assert torch.equal(given, torch.tensor([[2, 1, 2]]).expand(4000, 3))
    p = (model.joint[:, 1] / model.joint[:, 1].sum()).flatten().numpy()
    seen = torch.bincount(2 * found[:, 0] + found[:, 2], minlength=4).numpy()
    assert stats.chisquare(seen, 4000 * p).pvalue > 1e-9
    prior = model.joint.sum(1).flatten().numpy()
    assert stats.chisquare(seen, 4000 * prior).pvalue < 1e-9


def test_filling_takes_texts_with_different_gaps():
    model = table(2, 3)
    rows = torch.tensor([[2, 2, 2], [0, 2, 1], [1, 0, 1]])
    found = fill(model, rows, rng())
    assert bool((found < 2).all())
    assert torch.equal(found[rows < 2], rows[rows < 2])
    assert torch.equal(fill(model, rows, rng(3)), fill(model, rows, rng(3)))
    assert fill(model, rows[:0], rng()).shape == (0, 3)


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
def test_revealing_in_three_steps_follows_the_law_of_the_chain(schedule):
    """4000 texts against the enumeration of all paths; the law of exact filling is refused."""
    model, times = table(2, 3), [1.0, 0.7, 0.4, 0.0]
    x = torch.full((4000, 3), 2)
    generator = rng(2)
    for t, s in itertools.pairwise(times):
        x = reveal_step(model, x, t, s, schedule, generator)
        m = float(schedule(torch.tensor(s, dtype=F64)).masked)
        assert stats.binomtest(int((x == 2).sum()), 12000, m).pvalue > 1e-9
    found = counts(x)
    p = [
        sum(q * math.exp(-cost) for q, cost in chains(model, text, schedule, times))
        for text in model.texts
    ]
    assert sum(p) == pytest.approx(1, rel=1e-12)
    assert stats.chisquare(found, [4000 * q for q in p]).pvalue > 1e-9
    assert stats.chisquare(found, 4000 * model.joint.flatten().numpy()).pvalue < 1e-9


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: LinearMask()(torch.tensor([1.5])), r"\[0, 1\], got 1\.5"),
        (lambda: CosineMask()(torch.tensor([math.nan])), r"\[0, 1\], got nan"),
        (
            lambda: masked_cost(
                table(), torch.zeros(1, 3).long(), torch.zeros(1), torch.zeros(1, 3), LinearMask()
            ),
            "the weight is infinite at 0",
        ),
        (
            lambda: any_order_cost(
                table(), torch.zeros(1, 3).long(), torch.tensor([4]), torch.zeros(1, 3)
            ),
            r"n_hidden must lie in 1\.\.3, got \[4\]",
        ),
        (
            lambda: reveal_step(table(), torch.zeros(1, 3).long(), 0.2, 0.5, LinearMask(), rng()),
            r"s = 0\.5 and t = 0\.2",
        ),
        (lambda: fill(table(), torch.zeros(1, 3).long(), rng(), 0), "at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_bad_draw_among_good_ones_is_refused():
    model, x_0, u = table(), torch.zeros(2, 3, dtype=torch.long), torch.rand(2, 3, generator=rng())
    with pytest.raises(ValueError, match=r"t must lie in \(0, 1\]"):
        masked_cost(model, x_0, torch.tensor([0.5, 0.0]), u, LinearMask())
    with pytest.raises(ValueError, match=r"t must lie in \[0, 1\]"):
        LinearMask()(torch.tensor([0.5, 1.5]))
    for n_hidden in ([1, 0], [4, 1]):
        with pytest.raises(ValueError, match=r"n_hidden must lie in 1\.\.3"):
            any_order_cost(model, x_0, torch.tensor(n_hidden), u)
    for t, draws in ((torch.ones(2), u[:, :2]), (torch.ones(1), u)):
        with pytest.raises((ValueError, TypeError), match=r"one u per token|Type-check"):
            masked_cost(model, x_0, t, draws, LinearMask())


def test_a_step_goes_to_an_earlier_time_and_may_begin_and_end_at_the_ends():
    blank = torch.full((2, 3), 2)
    done = reveal_step(table(), blank, 1.0, 0.0, LinearMask(), rng())
    assert (done < 2).all()
    for t, s in ((0.5, 0.5), (0.5, 0.6), (1.1, 0.5), (0.5, -0.1)):
        with pytest.raises(ValueError, match="need 0 <= s < t <= 1"):
            reveal_step(table(), blank, t, s, LinearMask(), rng())


def test_blanks_are_filled_one_a_turn_and_given_tokens_stay():
    """Texts with different numbers of blanks: each turn fills at most one of each text."""
    tokens = torch.tensor([[2, 2, 2, 2], [2, 1, 2, 0], [1, 0, 1, 0]])
    seen = []

    class Watched(Conditional):
        blank = 2

        def __call__(self, x):
            seen.append((x == 2).sum(1).tolist())
            return torch.zeros(*x.shape, 2, dtype=F64)

    done = fill(Watched(), tokens, rng())
    assert (done < 2).all()
    assert torch.equal(done[tokens < 2], tokens[tokens < 2])
    assert [row[0] for row in seen] == [4, 3, 2, 1]
    assert all(row[1] <= 2 and row[2] == 0 for row in seen)
    seen.clear()
    fill(Watched(), tokens, rng(), n_steps=2)
    assert [row[0] for row in seen] == [4, 2]
    assert fill(Watched(), tokens[2:], rng()).equal(tokens[2:])
    assert fill(Watched(), tokens[:0], rng()).shape == (0, 4)
