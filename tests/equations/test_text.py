"""The equations of the chapter on text: chains, entropy rates, hidden characters, any order."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from fromnoise.grammar import Grammar
from fromnoise.masked_bounds import Table, any_order_bound, chain_bound, diffusion_bound
from fromnoise.masked_diffusion import (
    CosineMask,
    LinearMask,
    MaskSchedule,
    any_order_cost,
    surprises,
)
from fromnoise.text import perplexity
from fromnoise.transformer import Transformer, rotate
from proof import Sides, proves

FLOAT = torch.float64
X_0 = torch.tensor([0, 2, 1, 1])
SCHEDULES = (LinearMask(), CosineMask())


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=FLOAT)


def table(length: int = 4, seed: int = 1) -> Table:
    joint = normal(*[3] * length, seed=seed).exp()
    return Table(joint / joint.sum())


def wilful() -> Transformer:
    """A network of random weights: its guesses belong to no joint distribution."""
    network = Transformer(3, 4, 8, n_heads=2, causal=False).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(0.7 * torch.randn(p.shape, generator=generator, dtype=FLOAT))
    return network.requires_grad_(False)


@proves("text-chain")
def test_a_text_is_as_likely_as_its_characters_in_turn() -> Sides:
    """A joint table of four characters against its conditionals, the rest summed away."""
    model = table()
    last_hidden, others_visible, alone = number(0), number(0), number(0)
    for i in range(4):
        after = torch.where(torch.arange(4) >= i, model.blank, X_0)
        only = torch.where(torch.arange(4) == i, model.blank, X_0)
        none = torch.full((4,), model.blank)
        last_hidden = last_hidden + model(after[None])[0, i, X_0[i]]
        others_visible = others_visible + model(only[None])[0, i, X_0[i]]
        alone = alone + model(none[None])[0, i, X_0[i]]
    return Sides(
        model.log_prob(X_0[None])[0],
        last_hidden,
        {"given all others": others_visible, "one by one": alone},
    )


@proves("text-perplexity")
def test_perplexity_counts_equal_choices() -> Sides:
    """Equal choices give their own number; a product of two sources, the geometric mean."""
    sizes = torch.tensor([1.0, 2.0, 7.0, 21.0], dtype=FLOAT)
    left = torch.stack([number(perplexity(float(n.log()))) for n in sizes])
    in_bits = torch.stack([number(perplexity(float(n.log2()))) for n in sizes])
    return Sides(left, sizes, {"of bits instead of nats": in_bits})


def small_grammar() -> Grammar:
    words = [("a ", 3.0, "end"), ("an ", 1.0, "end"), ("b ", 2.0, "start")]
    return Grammar({"start": words, "end": [("a.", 1.0, "start"), ("ba.", 2.0, "end")]})


@proves("text-entropy-rate")
def test_a_writer_whose_state_is_known_has_the_mean_entropy_of_its_states() -> Sides:
    """Entropy of all texts of five characters, enumerated from every state, over five."""
    source, length = small_grammar(), 5
    stationary = source.stationary
    step = torch.zeros(source.n_states, source.n_states, dtype=FLOAT)
    step.index_put_((source.source, source.target), source.p, accumulate=True)
    powers = torch.linalg.matrix_power(0.5 * (step + torch.eye(len(step), dtype=FLOAT)), 4096)
    total = number(0)
    edges = list(
        zip(source.source.tolist(), source.target.tolist(), source.p.tolist(), strict=True)
    )
    for start in range(source.n_states):
        paths = [(start, 1.0)]
        for _ in range(length):
            paths = [(b, w * p) for state, w in paths for a, b, p in edges if a == state]
        surprise = -sum(w * math.log(w) for _, w in paths)
        total = total + powers[0, start] * surprise
    per_state = torch.zeros(source.n_states, dtype=FLOAT)
    per_state = per_state.index_add(0, source.source, -source.p * source.p.log())
    shares = torch.zeros(source.blank, dtype=FLOAT)
    shares = shares.index_add(0, source.character, stationary[source.source] * source.p)
    return Sides(
        total / length,
        number(source.entropy_rate()),
        {
            "states counted alike": per_state.mean(),
            "single characters": -(shares * shares.log()).sum(),
        },
    )


@proves("text-mask-stays")
def test_a_hidden_character_was_hidden_before_with_the_ratio_of_the_rates() -> Sides:
    """Bayes' rule over a chain of a thousand small steps that can only hide."""
    left, right, forward, both = [], [], [], []
    for schedule in SCHEDULES:
        s, t = 0.3, 0.8
        grid = torch.linspace(0, t, 801, dtype=FLOAT)
        masked = schedule(grid).masked
        visible, hidden, joint = number(1), number(0), number(0)
        for k in range(800):
            # The chance to be hidden in this step, for a character that is still visible.
            chance = (masked[k + 1] - masked[k]) / (1 - masked[k])
            visible, hidden = visible * (1 - chance), hidden + visible * chance
            if k + 1 == 300:
                joint = hidden  # once hidden it stays hidden until t
        m_s, m_t = schedule(torch.tensor([s, t], dtype=FLOAT)).masked
        left.append(m_s / m_t)
        right.append(joint / hidden)
        forward.append((1 - m_t) / (1 - m_s))
        both.append(m_s * m_t)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"the forward ratio": torch.stack(forward), "a product": torch.stack(both)},
    )


@proves("text-mask-kl")
def test_one_step_costs_the_surprise_of_what_it_reveals() -> Sides:
    """KL of the two distributions over three characters and the blank, summed term by term."""
    guess = normal(3, seed=5).softmax(0)
    m_s, m_t, truth = 0.35, 0.6, 1
    q = torch.zeros(4, dtype=FLOAT)
    q[truth], q[3] = 1 - m_s / m_t, m_s / m_t
    p = torch.cat([(1 - m_s / m_t) * guess, number(m_s / m_t)[None]])
    left = torch.special.xlogy(q, q / p).sum()
    surprise = -guess[truth].log()
    return Sides(
        left,
        (m_t - m_s) / m_t * surprise,
        {
            "share of the whole": (m_t - m_s) * surprise,
            "what stays": m_s / m_t * surprise,
            "no weight": surprise,
        },
    )


def brute_force_bound(model, x_0: Tensor, schedule: MaskSchedule, times: list[float]) -> Tensor:
    """E_q log(q / p) over every walk of hidden sets from all to none, the model asked anew."""
    masked = schedule(torch.tensor(times, dtype=FLOAT)).masked
    places = range(len(x_0))

    def walk(hidden: frozenset, k: int) -> Tensor:
        if k == len(times) - 1:
            return number(0)
        visible_now = torch.tensor([i in hidden for i in places])
        log_p = model(torch.where(visible_now, model.blank, x_0)[None])[0].log_softmax(-1)
        stay, total = masked[k + 1] / masked[k], number(0)
        for size in range(len(hidden) + 1):
            for kept in itertools.combinations(sorted(hidden), size):
                revealed = hidden - set(kept)
                q = stay ** len(kept) * (1 - stay) ** len(revealed)
                if q == 0:
                    continue
                guesses = sum((log_p[i, x_0[i]] for i in revealed), number(0))
                log_ratio = q.log() - (q.log() + guesses)
                total = total + q * (log_ratio + walk(frozenset(kept), k + 1))
        return total

    return walk(frozenset(places), 0)


@proves("text-mask-chain")
def test_the_bound_of_the_chain_is_a_mean_over_all_its_walks() -> Sides:
    """Left: weights and sets, by the library. Right: every walk of hidden sets, one by one."""
    times, model, x_0 = [1.0, 0.7, 0.2, 0.0], wilful(), X_0[:3]
    left = torch.stack([chain_bound(model, x_0, schedule, times) for schedule in SCHEDULES])
    right = torch.stack([brute_force_bound(model, x_0, schedule, times) for schedule in SCHEDULES])
    one = brute_force_bound(model, x_0, LinearMask(), [1.0, 0.0])
    return Sides(left, right, {"one step": torch.stack([one, one]), "half": 0.5 * right})


@proves("text-mask-bound")
def test_many_steps_cost_what_the_integral_says() -> Sides:
    """The chain at 512, 1024 and 2048 steps, extrapolated, against quadrature of the integral."""
    model, left, right, half = table(), [], [], []
    for schedule in SCHEDULES:
        left.append(diffusion_bound(model, X_0, schedule))
        finer = [
            chain_bound(model, X_0, schedule, torch.linspace(1, 0, n + 1).tolist())
            for n in (512, 1024, 2048)
        ]
        first = [2 * finer[1] - finer[0], 2 * finer[2] - finer[1]]
        right.append((4 * first[1] - first[0]) / 3)
        half.append(chain_bound(model, X_0, schedule, [1.0, 0.5, 0.0]))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"two steps": torch.stack(half), "doubled": 2 * torch.stack(right)},
        tolerance=1e-6,
        reason="three step sizes remove the errors of first and second order, not the third",
    )


@proves("text-set-weight")
def test_every_hidden_set_weighs_as_much_as_its_orders() -> Sides:
    """Quadrature of the integral over time, two schedules, against factorials."""
    nodes, shares = np.polynomial.legendre.leggauss(64)
    t, w = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(shares / 2)
    length, left, right, no_weight, counted = 5, [], [], [], []
    for schedule in SCHEDULES:
        rates = schedule(t)
        for n in range(1, length + 1):
            set_share = rates.masked**n * (1 - rates.masked) ** (length - n)
            left.append((w * rates.weight * set_share).sum())
            no_weight.append((w * set_share).sum())
            orders = math.factorial(n - 1) * math.factorial(length - n)
            right.append(number(orders / math.factorial(length)))
            counted.append(number(1 / math.comb(length, n)))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"weight forgotten": torch.stack(no_weight), "sets alike": torch.stack(counted)},
    )


@proves("text-by-parts")
def test_one_round_of_parts_moves_one_power() -> Sides:
    """Both integrals by quadrature, which is exact for polynomials."""
    nodes, shares = np.polynomial.legendre.leggauss(16)
    m, w = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(shares / 2)
    length, left, right, turned = 7, [], [], []
    for n in range(1, length):
        moved = (w * m**n * (1 - m) ** (length - n - 1)).sum()
        left.append((w * m ** (n - 1) * (1 - m) ** (length - n)).sum())
        right.append((length - n) / n * moved)
        turned.append(n / (length - n) * moved)
    return Sides(torch.stack(left), torch.stack(right), {"turned over": torch.stack(turned)})


@proves("text-any-order")
def test_hiding_at_random_is_writing_in_a_random_order() -> Sides:
    """All orders of four characters against the integral, for a network of random weights."""
    model = wilful()
    left = torch.stack([diffusion_bound(model, X_0, schedule) for schedule in SCHEDULES])
    orders = any_order_bound(model, X_0)
    one = number(0)
    for i in range(4):  # left to right only: one order in the place of all
        seen = torch.where(torch.arange(4) >= i, model.blank, X_0)
        one = one - model(seen[None])[0, i].log_softmax(-1)[X_0[i]]
    return Sides(
        left,
        torch.stack([orders, orders]),
        {"one order": torch.stack([one, one]), "per character": 0.25 * torch.stack([orders] * 2)},
    )


@proves("text-any-order-cost")
def test_a_number_of_hidden_characters_does_for_a_time() -> Sides:
    """All sets of each size, weighted by L / n, against the mean over all orders."""
    model, length = wilful(), 4
    sets = torch.tensor(list(itertools.product((False, True), repeat=length)))[1:]
    n_hidden = sets.sum(-1)
    # u is 0 in the set and 1 outside, so that the n smallest are the set.
    cost = any_order_cost(model, X_0.expand(len(sets), -1), n_hidden, (~sets).double())
    bare = surprises(model, X_0.expand(len(sets), -1), sets).sum(-1)
    choices = torch.tensor([math.comb(length, int(n)) for n in n_hidden], dtype=FLOAT)
    chance = 1 / (length * choices)
    return Sides(
        any_order_bound(model, X_0),
        chance @ cost,
        {"without L / n": chance @ bare, "n / L": chance @ (bare * n_hidden / length)},
        tolerance=1e-7,
        reason="the weight L / n of whole numbers is computed in single precision",
    )


@proves("text-second-moment")
def test_the_weight_one_over_t_has_no_variance_to_speak_of() -> Sides:
    """Equal surprises c: mean square from t_0 on, by quadrature in log t and a binomial sum."""
    length, c, left, right, no_log, mean_only = 6, 0.7, [], [], [], []
    for t_0 in (0.3, 1e-2, 1e-5):
        nodes, shares = np.polynomial.legendre.leggauss(120)
        span = math.log(1 / t_0)
        log_t = torch.from_numpy((nodes - 1) / 2) * span
        t, w = log_t.exp(), torch.from_numpy(shares / 2) * span
        square = torch.zeros_like(t)
        for n in range(1, length + 1):
            share = math.comb(length, n) * t**n * (1 - t) ** (length - n)
            square = square + share * (n * c / t) ** 2
        left.append((w * t * square).sum())
        pairs = length * (length - 1) * (1 - t_0)
        right.append(number(c**2 * (length * math.log(1 / t_0) + pairs)))
        no_log.append(number(c**2 * (length + pairs)))
        mean_only.append(number((length * c) ** 2))
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"no logarithm": torch.stack(no_log), "square of the mean": torch.stack(mean_only)},
    )


@proves("text-rotary")
def test_rotated_vectors_meet_at_their_distance() -> Sides:
    """Products of rotated vectors against complex numbers turned by the difference of places."""
    q, k, longest, half = normal(8, seed=7), normal(8, seed=8), 12, 4
    turned_q = rotate(q.expand(9, 8), longest)
    turned_k = rotate(k.expand(9, 8), longest)
    left, right, absolute = [], [], []
    speeds = math.pi / 2 * torch.tensor([12 ** -(j / (half - 1)) for j in range(half)], dtype=FLOAT)
    complex_q, complex_k = torch.complex(q[:half], q[half:]), torch.complex(k[:half], k[half:])
    for i, j in ((0, 3), (5, 8), (7, 2), (4, 4)):
        left.append(turned_q[i] @ turned_k[j])
        turn = torch.polar(torch.ones(half, dtype=FLOAT), speeds * (j - i))
        right.append((complex_q.conj() * turn * complex_k).sum().real)
        sum_of_places = torch.polar(torch.ones(half, dtype=FLOAT), speeds * (j + i))
        absolute.append((complex_q.conj() * sum_of_places * complex_k).sum().real)
    return Sides(
        torch.stack(left),
        torch.stack(right),
        {"sum of the places": torch.stack(absolute), "not turned": (q @ k).expand(4)},
    )
