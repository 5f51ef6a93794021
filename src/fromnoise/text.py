r"""Text as tokens, one per character; a network that predicts the next one; and what it costs.

A causal `Transformer` gives the probabilities of the next character. Their logarithms, added up,
are the log probability of a text, and with arithmetic coding its length in bits. Costs are in nats
per character unless a name says bits.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fromnoise.training import Batch
from fromnoise.transformer import Tokens, Transformer


# --8<-- [start:Vocabulary]
class Vocabulary:
    """The characters that a model knows, in order; their places are the tokens."""

    def __init__(self, text: str) -> None:
        """Collect the characters of a text.

        Args:
            text: A text in which every character occurs.

        Raises:
            ValueError: If the text is empty.
        """
        if not text:
            raise ValueError("a vocabulary needs at least one character, the text is empty")
        self.characters = "".join(sorted(set(text)))
        self._token = {character: token for token, character in enumerate(self.characters)}

    def __len__(self) -> int:
        """Number of characters."""
        return len(self.characters)

    @property
    def blank(self) -> int:
        """The token that is no character."""
        return len(self.characters)

    def encode(self, text: str) -> Int[Tensor, " length"]:
        """Tokens of a text.

        Raises:
            ValueError: If the text holds a character that is not in the vocabulary.
        """
        unknown = sorted(set(text) - set(self.characters))
        if unknown:
            raise ValueError(f"characters that the vocabulary lacks: {unknown}")
        return torch.tensor([self._token[character] for character in text], dtype=torch.long)

    def decode(self, tokens: Int[Tensor, " length"] | Sequence[int], blank: str = "_") -> str:
        """The text of tokens, with `blank` for the blank token.

        Raises:
            ValueError: If a token is out of range.
        """
        places = tokens.tolist() if isinstance(tokens, Tensor) else list(tokens)
        if places and not 0 <= min(places) <= max(places) <= self.blank:
            raise ValueError(f"tokens must lie in 0..{self.blank} (blank), got {places}")
        return "".join(blank if i == self.blank else self.characters[i] for i in places)


# --8<-- [end:Vocabulary]


def chunks(tokens: Int[Tensor, " n"], length: int) -> Tokens:
    """Cut a long text into rows of `length` tokens; what is left at the end is dropped.

    Raises:
        ValueError: If `length` is below 1 or the text is shorter than one row.
    """
    if not 1 <= length <= len(tokens):
        raise ValueError(f"length must lie in 1..{len(tokens)}, got {length}")
    n_rows = len(tokens) // length
    return tokens[: n_rows * length].view(n_rows, length)


# --8<-- [start:log_prob]
def log_prob(network: Transformer, tokens: Tokens) -> Float[Tensor, "batch length"]:
    r"""Log probability of each character given those before it, $\log p(x_i \mid x_{<i})$.

    The network reads the text shifted by one: the blank, then all characters but the last. The sum
    of a row is the log probability of that row.

    Args:
        network: A causal transformer.
        tokens: Rows of characters.

    Returns:
        Nats.

    Raises:
        ValueError: If the network is not causal, for it would see the answer.
    """
    _require_causal(network)
    shifted = torch.cat([torch.full_like(tokens[:, :1], network.blank), tokens[:, :-1]], dim=1)
    return network(shifted).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


# --8<-- [end:log_prob]


def next_character_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Mean surprise per character in nats, a loss for `fromnoise.training.train`.

    Args:
        network: A causal network of tokens.
        batch: A tuple that holds rows of tokens.
        generator: Not used; `train` passes one.
    """
    assert isinstance(network, Transformer)
    return -log_prob(network, batch[0]).mean()


def perplexity(nats_per_character: float) -> float:
    r"""Number of equally likely characters that would be as hard to guess, $e^{H}$.

    Examples:
        As uncertain as a fair choice among 27 characters.

        >>> round(perplexity(math.log(27)), 4)
        27.0

    Source:
        Jelinek et al. 1977, <https://doi.org/10.1121/1.2016299>.
    """
    return math.exp(nats_per_character)


def bits_per_character(nats_per_character: float) -> float:
    r"""The same cost in bits, $H / \ln 2$: the length of an ideal code, per character."""
    return nats_per_character / math.log(2)


# --8<-- [start:TextModel]
class TextModel:
    r"""A causal transformer as a `SequenceModel`: it looks back over one context.

    Longer texts slide past: it always sees the blank and the last $n - 1$ characters.
    """

    def __init__(self, network: Transformer, temperature: float = 1.0) -> None:
        r"""Wrap a network.

        Args:
            network: A causal transformer; used in evaluation mode, where nothing is dropped.
            temperature: Scores are divided by it before they become probabilities: below 1 the
                likely characters gain.

        Raises:
            ValueError: If the network is not causal or `temperature` is not positive.
        """
        _require_causal(network)
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.network, self.temperature = network, temperature

    @torch.no_grad()
    def next_probabilities(self, prefix: Int[Tensor, " n"]) -> Float[Tensor, " characters"]:
        """Probabilities of the next character, in double precision.

        Args:
            prefix: The tokens so far.
        """
        network = self.network
        seen = prefix[max(0, len(prefix) - network.context + 1) :]
        tokens = torch.cat([seen.new_full((1,), network.blank), seen])
        was_training = network.training
        network.eval()
        logits = network(tokens[None])[0, -1].double()
        network.train(was_training)
        return (logits / self.temperature).softmax(-1)


# --8<-- [end:TextModel]


# --8<-- [start:write]
def write(
    model: TextModel,
    n_characters: int,
    generator: torch.Generator,
    prefix: Int[Tensor, " n"] | None = None,
) -> Int[Tensor, " length"]:
    """Go on writing after `prefix`, each character drawn given those before it.

    Args:
        model: What to draw from.
        n_characters: Number of characters to add.
        generator: Source of the draws.
        prefix: Tokens to begin with, or none.

    Returns:
        The prefix and what was added.

    Raises:
        ValueError: If `n_characters` is negative.
    """
    if n_characters < 0:
        raise ValueError(f"n_characters must be at least 0, got {n_characters}")
    tokens = torch.zeros(0, dtype=torch.long) if prefix is None else prefix
    for _ in range(n_characters):
        drawn = torch.multinomial(model.next_probabilities(tokens), 1, generator=generator)
        tokens = torch.cat([tokens, drawn])
    return tokens


# --8<-- [end:write]


def _require_causal(network: Transformer) -> None:
    if not network.causal:
        raise ValueError("the network must be causal: this one sees the characters it predicts")
