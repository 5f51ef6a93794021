r"""A small grammar that writes text, so that the true cost of every character is known.

A grammar is a set of slots. A slot holds words, each with a weight and the slot that comes after
it; a word carries the space or the stop at its end. No word of a slot begins another, so what was
written says where the writer stands: a chain over places in words, with exact probabilities for
the next character (`predictions`), for hidden ones (a `Conditional`), and for the entropy rate.
All texts here may begin and end in the middle of a sentence. Costs are in nats.

Source:
    The book's own; the entropy of a chain is in Shannon 1948,
    <https://doi.org/10.1002/j.1538-7305.1948.tb01338.x>.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fromnoise.text import Vocabulary
from fromnoise.transformer import Logits, Tokens

Word = tuple[str, float, str]
"""A word with its last space or stop, its weight, and the slot that comes after it."""
Belief = Float[Tensor, "batch states"]


# --8<-- [start:Grammar]
class Grammar:
    """A writer that chooses word after word, each from the slot that the last word leads to."""

    def __init__(self, slots: Mapping[str, Sequence[Word]], doubt: float = 0.0) -> None:
        """Spell the words out into a chain over characters.

        Args:
            slots: Words of each slot; the writer starts in the first.
            doubt: Weight given to a visible character that cannot stand there. Above 0 the
                `Conditional` answers for impossible texts too.

        Raises:
            ValueError: If there is no slot, a slot is empty or unknown, a weight is not positive,
                a word is empty or begins another of its slot, or `doubt` is not in [0, 1).
        """
        _check(slots, doubt)
        self.doubt = doubt
        self.vocabulary = Vocabulary("".join(w for words in slots.values() for w, _, _ in words))
        states: dict[tuple[str, str], int] = {(next(iter(slots)), ""): 0}
        edges: dict[tuple[int, str], tuple[float, int]] = {}
        for slot, words in slots.items():
            for word, weight, after in words:
                for i, character in enumerate(word):
                    here = (slot, word[:i])
                    there = (slot, word[: i + 1]) if i + 1 < len(word) else (after, "")
                    source, target = (states.setdefault(at, len(states)) for at in (here, there))
                    before = edges.get((source, character), (0.0, target))[0]
                    edges[source, character] = (before + weight, target)
        self.n_states = len(states)
        self.source = torch.tensor([source for source, _ in edges])
        self.character = self.vocabulary.encode("".join(character for _, character in edges))
        self.target = torch.tensor([target for _, target in edges.values()])
        weights = torch.tensor([weight for weight, _ in edges.values()], dtype=torch.float64)
        sums = weights.new_zeros(self.n_states).index_add(0, self.source, weights)
        self.p = weights / sums[self.source]
        self.stationary = self._long_run_shares()

    @property
    def blank(self) -> int:
        """The token that hides a character."""
        return self.vocabulary.blank

    def entropy_rate(self) -> float:
        r"""Nats per character in the long run, $\sum_z \pi_z H(x \mid z)$ over states z."""
        return float(-(self.stationary[self.source] * self.p * self.p.log()).sum())

    def sample(self, n_characters: int, generator: torch.Generator) -> Int[Tensor, " n_characters"]:
        """A text from the first slot on.

        Raises:
            ValueError: If `n_characters` is negative.
        """
        if n_characters < 0:
            raise ValueError(f"n_characters must be at least 0, got {n_characters}")
        leaving = [(self.source == z).nonzero()[:, 0] for z in range(self.n_states)]
        ends = [self.p[edges].cumsum(0).tolist() for edges in leaving]
        u = torch.rand(n_characters, generator=generator, dtype=torch.float64).tolist()
        written, state = [], 0
        for draw in u:
            choice = next((i for i, end in enumerate(ends[state][:-1]) if draw < end), -1)
            edge = int(leaving[state][choice])
            written.append(int(self.character[edge]))
            state = int(self.target[edge])
        return torch.tensor(written, dtype=torch.long)

    def predictions(self, tokens: Tokens) -> Float[Tensor, "batch length characters"]:
        r"""True probabilities of each character given those before it, $q(x_i \mid x_{<i})$.

        After a character that cannot stand where it stands, reading starts anew behind it.

        Raises:
            ValueError: If a token is blank or out of range.
        """
        self._check_tokens(tokens, self.blank - 1)
        belief = self.stationary.expand(len(tokens), -1)
        found = []
        for token in tokens.T:
            p = belief.new_zeros(len(tokens), self.blank)
            found.append(p.index_add(1, self.character, belief[:, self.source] * self.p))
            seen = (self.character == token[:, None]).double()
            after = self._step(belief, seen)
            anew = self._step(self.stationary.expand_as(belief), seen)
            belief = torch.where(after.sum(1, keepdim=True) > 0, after, anew)
            belief = belief / belief.sum(1, keepdim=True)
        return torch.stack(found, 1) if found else self.stationary.new_zeros(*tokens.shape, 0)

    def log_prob(self, tokens: Tokens) -> Float[Tensor, "batch length"]:
        r"""Log probability of each character given those before it; $-\infty$ if it cannot be."""
        if tokens.numel() == 0:
            return self.stationary.new_zeros(tokens.shape)
        return self.predictions(tokens).gather(-1, tokens[..., None])[..., 0].log()

    def slips(self, tokens: Tokens) -> Bool[Tensor, "batch length"]:
        """Where a character stands that the grammar does not allow after those before it."""
        return self.log_prob(tokens).isneginf()

    def __call__(self, tokens: Tokens) -> Logits:
        r"""$\log q(x_i \mid x_V)$ for the visible characters V, forward and backward in time.

        Raises:
            ValueError: If a token is out of range, or the visible characters of a row cannot stand
                together and there is no doubt.
        """
        self._check_tokens(tokens, self.blank)
        matches = [self._matches(token) for token in tokens.T]
        forward = [self.stationary.expand(len(tokens), -1)]
        for match in matches:
            forward.append(_normalized(self._step(forward[-1], match)))
        later = torch.ones_like(forward[0])
        found = []
        for belief, match in zip(reversed(forward[:-1]), reversed(matches), strict=True):
            ways = match * self.p * later[:, self.target]
            p = belief.new_zeros(len(tokens), self.blank)
            p = p.index_add(1, self.character, belief[:, self.source] * ways)
            found.append(_normalized(p).log())
            later = _normalized(torch.zeros_like(belief).index_add(1, self.source, ways))
        found.reverse()
        return torch.stack(found, 1) if found else self.stationary.new_zeros(*tokens.shape, 0)

    def _step(self, belief: Belief, match: Float[Tensor, "batch edges"]) -> Belief:
        ways = belief[:, self.source] * self.p * match
        return torch.zeros_like(belief).index_add(1, self.target, ways)

    def _matches(self, token: Int[Tensor, " batch"]) -> Float[Tensor, "batch edges"]:
        hidden = (token == self.blank)[:, None]
        return ((self.character == token[:, None]) | hidden).double().clamp(min=self.doubt)

    def _long_run_shares(self) -> Float[Tensor, " states"]:
        step = self.p.new_zeros(self.n_states, self.n_states)
        step.index_put_((self.source, self.target), self.p, accumulate=True)
        # pi (P - 1) = 0 with entries that sum to 1; least squares, as one row is too many.
        rows = torch.cat([step.T - torch.eye(self.n_states).to(step), step.new_ones(1, len(step))])
        right = step.new_zeros(self.n_states + 1, 1)
        right[-1] = 1
        shares = torch.linalg.lstsq(rows, right, driver="gelsd").solution[:, 0].clamp(min=0)
        return shares / shares.sum()

    def _check_tokens(self, tokens: Tensor, largest: int) -> None:
        if tokens.ndim != 2 or tokens.dtype != torch.long:
            shape = f"{tuple(tokens.shape)} of {tokens.dtype}"
            raise ValueError(f"tokens must be rows of int64, got shape {shape}")
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) <= largest:
            found = f"{int(tokens.min())}..{int(tokens.max())}"
            raise ValueError(f"tokens must lie in 0..{largest}, got {found}")


# --8<-- [end:Grammar]


# --8<-- [start:sentences]
def sentences() -> dict[str, list[Word]]:
    """Slots of a small English in which a verb agrees with a subject that may lie far behind.

    A subject is one or many. A clause that begins with *that* may come between subject and verb,
    and holds a noun whose number does not matter.
    """
    nouns = [("dog", 8.0), ("cat", 5.0), ("bird", 3.0), ("horse", 2.0), ("girl", 2.0)]
    doing = [("see", 4.0), ("like", 3.0), ("find", 2.0), ("help", 1.0)]
    being = [("sleep", 3.0), ("sing", 2.0), ("wait", 1.0)]
    small = [("tall ", 4.0), ("big ", 3.0), ("red ", 1.0)]

    def named(number: str, end: str, one: str, many: str) -> list[Word]:
        singular = [(noun + end, weight, one) for noun, weight in nouns]
        plural = [(noun + "s" + end, weight / 2, many) for noun, weight in nouns]
        return {"one": singular, "many": plural, "any": singular + plural}[number]

    def verbs(s: str) -> list[Word]:
        acts = [(verb + s + " ", weight, "object") for verb, weight in doing]
        return acts + [(verb + s + ". ", weight, "start") for verb, weight in being]

    slots: dict[str, list[Word]] = {
        "start": [("the ", 6.0, "any"), ("a ", 3.0, "one"), ("some ", 2.0, "many")],
        "object": [("the ", 6.0, "any "), ("a ", 3.0, "one "), ("some ", 2.0, "many ")],
    }
    for number in ("one", "many", "any"):
        slots[number] = [(word, weight, number) for word, weight in small]
        slots[number] += named(number, " ", "one is", "many are")
        slots[number + " "] = named(number, ". ", "start", "start")
    for number, s in (("one is", "s"), ("many are", "")):
        slots[number] = [*verbs(s), ("that ", 8.0, number + " that")]
        slots[number + " that"] = [
            (verb + s + " the ", weight, number + " that the") for verb, weight in doing
        ]
        slots[number + " that the"] = named("any", " ", number + " still", number + " still")
        slots[number + " still"] = verbs(s)
    return slots


# --8<-- [end:sentences]


def _normalized(x: Belief) -> Belief:
    total = x.sum(1, keepdim=True)
    if not bool((total > 0).all()):
        row = int((total[:, 0] <= 0).nonzero()[0])
        raise ValueError(f"the visible characters of row {row} cannot stand together")
    return x / total


def _check(slots: Mapping[str, Sequence[Word]], doubt: float) -> None:
    if not slots or not all(slots.values()):
        raise ValueError(f"a grammar needs slots with words, got {dict(slots)}")
    if not 0 <= doubt < 1:
        raise ValueError(f"doubt must lie in [0, 1), got {doubt}")
    for slot, words in slots.items():
        ordered = sorted(word for word, _, _ in words)
        for word, longer in zip(ordered, [*ordered[1:], ""], strict=True):
            if not word or longer.startswith(word):
                raise ValueError(f"in slot {slot!r} the word {word!r} is empty or begins another")
        for word, weight, after in words:
            if after not in slots:
                raise ValueError(f"after {word!r} comes the unknown slot {after!r}")
            if not 0 < weight < float("inf"):
                raise ValueError(f"the weight of {word!r} must be positive, got {weight}")
