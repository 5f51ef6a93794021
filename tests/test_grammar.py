"""What a grammar says of its texts agrees with counting, enumerating and writing them."""

import math
from itertools import product

import pytest
import torch

from chance import counts_gap, detectable, mean_gap
from fromnoise.grammar import Grammar, sentences
from fromnoise.masked_diffusion import Conditional

SMALL = {
    "start": [("a ", 3.0, "end"), ("an ", 1.0, "end"), ("b ", 2.0, "start")],
    "end": [("a.", 1.0, "start"), ("ba.", 2.0, "end")],
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def all_texts(grammar, length):
    return torch.tensor(list(product(range(grammar.blank), repeat=length)))


def test_probabilities_of_all_texts_of_one_length_sum_to_one():
    grammar = Grammar(SMALL)
    texts = all_texts(grammar, 4)
    log_p = grammar.log_prob(texts)
    p = log_p.sum(1).exp()
    assert abs(float(p.sum()) - 1) < 1e-12
    assert 0 < int((p > 0).sum()) < len(texts)


def test_conditionals_are_those_of_the_table_of_all_texts():
    """Every visible pattern of three characters against sums over the table."""
    grammar = Grammar(SMALL)
    assert isinstance(grammar, Conditional)
    texts = all_texts(grammar, 3)
    slips = grammar.slips(texts)
    p = grammar.log_prob(texts).sum(1).exp().masked_fill(slips.any(1), 0.0)
    for text in texts[p > 0][::3]:
        for hidden in product((False, True), repeat=3):
            seen = torch.where(torch.tensor(hidden), grammar.blank, text)
            agree = ((texts == seen) | (seen == grammar.blank)).all(1)
            found = grammar(seen[None])[0].exp()
            for i in range(3):
                expected = torch.zeros(grammar.blank, dtype=torch.float64)
                expected.index_add_(0, texts[agree, i], p[agree])
                torch.testing.assert_close(found[i], expected / expected.sum(), rtol=0, atol=1e-12)


def test_its_own_texts_hold_no_slip_and_a_wrong_letter_is_found():
    grammar = Grammar(sentences())
    text = grammar.sample(400, rng())[None]
    assert not bool(grammar.slips(text).any())
    wrong = text.clone()
    wrong[0, 200] = (wrong[0, 200] + 1) % grammar.blank
    slips = grammar.slips(wrong)[0]
    assert bool(slips[200:230].any())
    assert not bool(slips[:200].any())


def visits(slots):
    """How often each slot is gone through, as shares, and the probabilities of its words."""
    names = list(slots)
    words = {name: torch.tensor([w[1] for w in slots[name]], dtype=torch.float64) for name in names}
    words = {name: weights / weights.sum() for name, weights in words.items()}
    step = torch.zeros(len(names), len(names), dtype=torch.float64)
    for i, name in enumerate(names):
        for (_, _, after), p in zip(slots[name], words[name], strict=True):
            step[i, names.index(after)] += p
    # The share that stays: v (step - 1) = 0 and sum v = 1.
    system = torch.cat([(step - torch.eye(len(names))).mT, torch.ones(1, len(names))])
    right = torch.zeros(len(names) + 1, dtype=torch.float64)
    right[-1] = 1
    share = torch.linalg.lstsq(system, right[:, None]).solution[:, 0]
    return dict(zip(names, share, strict=True)), words


def per_visit(slots, value):
    """Mean over the words that are written in the long run."""
    share, words = visits(slots)
    return sum(
        share[name] * p * value(word)
        for name in slots
        for (word, _, _), p in zip(slots[name], words[name], strict=True)
    )


def test_shares_of_characters_are_those_of_the_words_in_the_long_run():
    """Word by word, where the grammar goes character by character; then against a long text."""
    grammar = Grammar(SMALL)
    shares = torch.zeros(grammar.blank, dtype=torch.float64)
    shares.index_add_(0, grammar.character, grammar.stationary[grammar.source] * grammar.p)
    for i in range(grammar.blank):
        character = grammar.vocabulary.decode(torch.tensor([i]))
        found = per_visit(SMALL, lambda word, c=character: word.count(c)) / per_visit(SMALL, len)
        assert abs(found - shares[i]) < 1e-12
    # 200 texts, each begun alike and read from far behind: independent counts.
    texts = torch.stack([grammar.sample(60, g)[20:] for g in [rng(1)] for _ in range(400)])
    counts = torch.nn.functional.one_hot(texts, grammar.blank).double().mean(1)
    assert mean_gap(counts, shares) < 1 < mean_gap(counts, 1 / len(shares))


@pytest.mark.parametrize("slots", [SMALL, sentences()])
def test_the_entropy_rate_is_the_entropy_of_a_word_over_its_mean_length(slots):
    share, words = visits(slots)
    nats = sum(share[name] * torch.special.entr(words[name]).sum() for name in slots)
    expected = float(nats / per_visit(slots, len))
    assert Grammar(slots).entropy_rate() == pytest.approx(expected, rel=1e-12)
    # All words alike would be another number.
    flat = sum(share[name] * math.log(len(slots[name])) for name in slots) / per_visit(slots, len)
    assert abs(float(flat) / expected - 1) > 1e-3


def test_the_surprise_of_long_texts_is_the_entropy_rate():
    """300 texts see 6 percent."""
    grammar = Grammar(sentences())
    texts = grammar.sample(60_000, rng(2)).view(300, -1)
    surprise = -grammar.log_prob(texts)[:, 100:].mean(1)
    assert detectable(surprise) < 0.06 * grammar.entropy_rate()
    assert mean_gap(surprise, grammar.entropy_rate()) < 1
    assert mean_gap(surprise, 1.07 * grammar.entropy_rate()) > 1


def test_first_words_are_drawn_by_their_weights():
    grammar = Grammar(SMALL)
    starts = [
        grammar.vocabulary.decode(grammar.sample(2, generator))
        for generator in [rng(7)]
        for _ in range(600)
    ]
    counts = [starts.count(word) for word in ("a ", "an", "b ")]
    assert sum(counts) == 600
    assert counts_gap(torch.tensor(counts), torch.tensor([3.0, 1.0, 2.0]) / 6) < 1
    assert counts_gap(torch.tensor(counts), torch.full((3,), 1 / 3)) > 1


def test_a_verb_agrees_with_a_subject_far_behind():
    grammar = Grammar(sentences())
    start = "cat waits. "
    for verb, fits in (("sleeps", True), ("sleep.", False)):
        tokens = grammar.vocabulary.encode(start + "a dog that sees the birds " + verb)
        assert bool(grammar.slips(tokens[None]).any()) is not fits


def test_with_doubt_it_answers_for_impossible_texts():
    sure, doubting = Grammar(SMALL), Grammar(SMALL, doubt=1e-3)
    impossible = sure.vocabulary.encode("...")[None]
    with pytest.raises(ValueError, match="row 0 cannot stand together"):
        sure(impossible)
    assert bool(doubting(impossible).exp().sum(-1).isfinite().all())
    hidden = torch.full((1, 4), sure.blank)
    torch.testing.assert_close(sure(hidden), doubting(hidden), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Grammar({}), "needs slots"),
        (lambda: Grammar({"a": []}), "needs slots"),
        (lambda: Grammar({"a": [("x", 1.0, "b")]}), "unknown slot 'b'"),
        (lambda: Grammar({"a": [("x", 0.0, "a")]}), "must be positive, got 0"),
        (lambda: Grammar({"a": [("", 1.0, "a")]}), "'' is empty"),
        (lambda: Grammar({"a": [("x", 1.0, "a"), ("xy", 1.0, "a")]}), "'x' is empty or begins"),
        (lambda: Grammar(SMALL, 1.0), "doubt must lie in"),
        (lambda: Grammar(SMALL).sample(-1, rng()), "at least 0, got -1"),
        (lambda: Grammar(SMALL).log_prob(torch.tensor([[9]])), r"0\.\.4, got 9\.\.9"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_word_that_stands_twice_in_a_slot_counts_with_both_weights():
    """Common beginnings share their edges: the weights add up."""
    grammar = Grammar({"start": [("ab", 1.0, "start"), ("ac", 2.0, "start"), ("b", 1.0, "start")]})
    shares = {}
    for source, character, p in zip(grammar.source, grammar.character, grammar.p, strict=True):
        shares[int(source), grammar.vocabulary.decode([int(character)])] = float(p)
    assert shares[0, "a"] == pytest.approx(3 / 4)
    after_a = next(source for source, _ in shares if source != 0)
    assert shares[after_a, "b"] == pytest.approx(1 / 3)


def test_long_run_shares_stay_as_they_are_and_sum_to_one():
    grammar = Grammar(sentences())
    step = torch.zeros(grammar.n_states, grammar.n_states, dtype=torch.float64)
    step.index_put_((grammar.source, grammar.target), grammar.p, accumulate=True)
    assert (grammar.stationary @ step - grammar.stationary).abs().max() < 1e-12
    assert abs(grammar.stationary.sum() - 1) < 1e-12
    assert grammar.stationary.min() > 0


def test_a_slot_and_a_character_may_be_alone():
    grammar = Grammar({"s": [("a", 1.0, "s")]})
    assert grammar.n_states == 1
    assert grammar.entropy_rate() == 0
    assert grammar.sample(0, rng()).shape == (0,)
    assert grammar.sample(1, rng()).tolist() == [0]
    assert grammar.predictions(torch.zeros(2, 3, dtype=torch.long)).tolist() == [[[1.0]] * 3] * 2
    with pytest.raises(ValueError, match="at least 0, got -1"):
        grammar.sample(-1, rng())


def test_rows_of_other_shape_or_range_are_refused():
    grammar = Grammar(SMALL)
    top = grammar.blank
    for tokens in ([[0, top + 1]], [[top + 1, 0]], [[0, -1]], [[-1, 0]]):
        with pytest.raises(ValueError, match="tokens must lie in"):
            grammar(torch.tensor(tokens))
    for tokens in (torch.zeros(3, dtype=torch.long), torch.zeros(1, 3), torch.zeros(3)):
        with pytest.raises((ValueError, TypeError), match=r"rows of int64|Type-check"):
            grammar(tokens)


def test_bad_slots_are_refused():
    for slots, message in (
        ({"a": [("x", 1.0, "a")], "b": []}, "needs slots with words"),
        ({"a": [("x", math.inf, "a")]}, "weight of 'x' must be positive"),
        ({"a": [("x", 0.0, "a")]}, "weight of 'x' must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            Grammar(slots)


def test_one_impossible_row_among_possible_ones_is_refused():
    grammar = Grammar(SMALL)
    fine = grammar.sample(4, rng())
    letter = grammar.vocabulary.encode("n")
    torn = torch.cat([letter, letter, letter, letter])
    with pytest.raises(ValueError, match="row 1 cannot stand together"):
        grammar(torch.stack([fine, torn]))


def test_the_small_english_has_the_stated_words_and_weights():
    """The book's numbers hang on these weights; a plural is half as common as its singular."""
    slots = sentences()
    assert set(slots) == {
        *("start", "object", "one", "many", "any", "one ", "many ", "any ", "one is", "many are"),
        *("one is that", "many are that", "one is that the", "many are that the"),
        *("one is still", "many are still"),
    }
    nouns = [("dog", 8.0), ("cat", 5.0), ("bird", 3.0), ("horse", 2.0), ("girl", 2.0)]
    assert slots["one "] == [(noun + ". ", weight, "start") for noun, weight in nouns]
    assert slots["many "] == [(noun + "s. ", weight / 2, "start") for noun, weight in nouns]
    assert slots["start"] == [("the ", 6.0, "any"), ("a ", 3.0, "one"), ("some ", 2.0, "many")]
    assert slots["object"] == [("the ", 6.0, "any "), ("a ", 3.0, "one "), ("some ", 2.0, "many ")]
    assert slots["one"][:3] == [("tall ", 4.0, "one"), ("big ", 3.0, "one"), ("red ", 1.0, "one")]
    doing = {"sees ": 4.0, "likes ": 3.0, "finds ": 2.0, "helps ": 1.0}
    being = {"sleeps. ": 3.0, "sings. ": 2.0, "waits. ": 1.0}
    said = {word: weight for word, weight, _ in slots["one is"]}
    assert said == {**doing, **being, "that ": 8.0}
    assert [word for word, _, _ in slots["many are that"]] == [w[:-2] + " the " for w in doing]
