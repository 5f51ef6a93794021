"""How long is a real text in a real code, and what does the wrong code cost?"""

import codecs
import contextlib
import importlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fromnoise import figures
from fromnoise.arithmetic_coding import (
    AdaptiveCounts,
    SequenceModel,
    arithmetic_decode,
    arithmetic_encode,
    ideal_bits,
)
from fromnoise.codes import decode_words, encode_words, huffman_code
from fromnoise.information import cross_entropy, entropy
from fromnoise.text import Vocabulary

LN2 = torch.tensor(2.0, dtype=torch.float64).log()


@dataclass(frozen=True)
class Config:
    n_characters: int | None = None
    shown: tuple[int, ...] = (0, 2, 4, 9, 19, 24, -1)  # ranks of the characters in the drawing
    strength: float = 4.0  # how many sightings the shares of single characters are worth in a pair


SIZES = {"full": Config(), "smoke": Config(n_characters=120, shown=(0, 2, -1))}


class Fixed:
    """The same probabilities whatever came before."""

    def __init__(self, p: Tensor) -> None:
        self.p = p

    def next_probabilities(self, prefix: Tensor) -> Tensor:
        return self.p


class Pairs:
    """Learns while it reads which character follows which."""

    def __init__(self, n_outcomes: int, strength: float) -> None:
        self.single, self.strength = AdaptiveCounts(n_outcomes), strength

    def next_probabilities(self, prefix: Tensor) -> Tensor:
        p = self.single.next_probabilities(prefix)
        if len(prefix) == 0:
            return p
        follows = prefix[1:][prefix[:-1] == prefix[-1]]
        counts = torch.bincount(follows, minlength=len(p)).double()
        return (counts + self.strength * p) / (counts.sum() + self.strength)


def zen() -> str:
    """The text that every Python carries, without letting it print itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        return codecs.decode(importlib.import_module("this").s, "rot13")


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    from sklearn.datasets import load_digits  # for the description that comes with the images

    text, other = zen()[: config.n_characters], load_digits().DESCR
    vocabulary = Vocabulary(text + other)
    tokens, others = vocabulary.encode(text), vocabulary.encode(other)
    n, n_outcomes = len(tokens), len(vocabulary)
    counts = torch.bincount(tokens, minlength=n_outcomes).double()
    used = counts > 0
    place = used.long().cumsum(0) - 1  # characters of this text only, numbered anew
    tokens, q = place[tokens], (counts / n)[used]
    # The other text's shares of these characters, one added to each count so that none is zero.
    p = 1 + torch.bincount(others, minlength=n_outcomes).double()[used]
    p = p / p.sum()
    right, wrong = huffman_code(q), huffman_code(p)
    lengths = {}
    for name, code in (("huffman", right), ("huffman_wrong", wrong)):
        bits = encode_words(tokens, code)
        assert torch.equal(decode_words(bits, code, n), tokens)
        lengths[name] = len(bits) / n
    models: dict[str, SequenceModel] = {
        "arithmetic": Fixed(q),
        "arithmetic_wrong": Fixed(p),
        "adaptive": AdaptiveCounts(len(q)),
        "pairs": Pairs(len(q), config.strength),
    }
    overhead = {}
    for name, model in models.items():
        bits = arithmetic_encode(tokens, model)
        assert torch.equal(arithmetic_decode(bits, model, n), tokens)
        lengths[name] = len(bits) / n
        overhead[name] = len(bits) - ideal_bits(tokens, model)
    order = q.argsort(descending=True)[list(config.shown)].tolist()
    names = [character for character, here in zip(vocabulary.characters, used, strict=True) if here]
    return {
        "n_characters": n,
        "n_symbols": len(q),
        "uniform": float(torch.tensor(float(len(q)), dtype=torch.float64).log() / LN2),
        "entropy": float(entropy(q) / LN2),
        "cross_entropy": float(cross_entropy(q, p) / LN2),
        "divergence": float((cross_entropy(q, p) - entropy(q)) / LN2),
        "length": lengths,
        "overhead_bits": overhead,
        "shown": {
            "characters": [names[i] for i in order],
            "surprise": [-float(q[i].log() / LN2) for i in order],
            "words": [right[i] for i in order],
        },
    }


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(3.0, ncols=2, sharey=False, width_ratios=[1, 1.2])
    shown = results["shown"]
    left.plot(
        shown["surprise"],
        [len(word) for word in shown["words"]],
        ls="",
        marker=figures.marker("model"),
        color=figures.color("model"),
    )
    ends = [2.0, 10.0]
    left.plot(ends, ends, ls="-", color=figures.color("muted"), lw=0.8)
    for name, x, word in zip(shown["characters"], shown["surprise"], shown["words"], strict=True):
        text = {" ": "space", "\n": "line"}.get(name, name)
        left.annotate(
            text,
            (x, len(word)),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )
    left.set(xlim=(2, 10.5), ylim=(2, 11), xlabel="surprise (bits)", ylabel="word (bits)")
    rows = {
        "uniform": ("one length for all", "muted", results["uniform"]),
        "huffman_wrong": ("Huffman, wrong code", "broken", None),
        "arithmetic_wrong": ("arithmetic, wrong code", "broken", None),
        "huffman": ("Huffman", "model", None),
        "arithmetic": ("arithmetic", "model", None),
        "adaptive": ("arithmetic, learning", "model", None),
        "pairs": ("arithmetic, learning pairs", "model", None),
    }
    for place, (name, (_, role, value)) in enumerate(rows.items()):
        bits = results["length"][name] if value is None else value
        right.barh(place, bits, 0.62, color=figures.color(role))
        right.text(
            bits - 0.1, place, f"{bits:.2f}", ha="right", va="center", color=figures.color("paper")
        )
    for key in ("entropy", "cross_entropy"):
        right.axvline(results[key], color=figures.color("ink"), lw=0.9, ls="-")
    figures.sequence_axis(right, [row[0] for row in rows.values()], axis="y")
    right.set_ylim(len(rows) - 0.5, -0.5)
    right.set_xlabel("bits per character")
    return figure
