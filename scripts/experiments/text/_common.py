"""What the experiments of this chapter share: texts of the grammar, small networks, the judges."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from fromnoise.grammar import Grammar, sentences
from fromnoise.intervals import mean_interval
from fromnoise.masked_diffusion import Conditional, surprises
from fromnoise.text import chunks
from fromnoise.training import Batch, Loss, Measure, TrainedModel, TrainingSettings, train
from fromnoise.transformer import Transformer

LN2 = math.log(2)
LENGTH = 48  # characters that a network sees at once


@cache
def grammar() -> Grammar:
    """The source of the texts."""
    return Grammar(sentences())


@cache
def forgiving() -> Grammar:
    """The same source, which answers for impossible texts too."""
    return Grammar(sentences(), doubt=1e-6)


@cache
def split(n_train: int, n_test: int) -> tuple[Tensor, Tensor]:
    """Training text as one long row of characters, and held-out rows of another text."""
    source = grammar()
    train_text = source.sample(n_train, torch.Generator().manual_seed(0))
    test_text = source.sample(n_test * LENGTH, torch.Generator().manual_seed(1))
    return train_text, chunks(test_text, LENGTH)


def windows(text: Tensor) -> Batch:
    """Every row of LENGTH neighbors in the text, so that rows begin anywhere in a sentence."""
    return (text.unfold(0, LENGTH, 1),)


def network(
    n_characters: int,
    causal: bool,
    seed: int,
    rotary: bool = True,
    width: int = 48,
    n_blocks: int = 2,
) -> Transformer:
    """Causal or not, rotary or not, the parameters are the same."""
    return Transformer(
        n_characters,
        LENGTH,
        width,
        n_blocks=n_blocks,
        n_heads=4,
        causal=causal,
        rotary=rotary,
        seed=seed,
    )


def fit(
    start: Transformer,
    loss: Loss,
    data: Batch,
    n_steps: int,
    seed: int,
    folder: Path,
    measure: Measure | None = None,
    measure_every: int = 0,
    batch_size: int = 24,
    learning_rate: float = 6e-3,
) -> TrainedModel:
    """The one budget of this chapter: equal batches, rates and averages for every network."""
    settings = TrainingSettings(
        n_steps=n_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        ema_decay=0.98,
        seed=seed,
    )
    return train(
        start,
        loss,
        data,
        settings,
        folder=folder,
        measure=measure,
        measure_every=measure_every,
    )


@torch.no_grad()
def hidden_costs(
    conditional: Conditional, rows: Tensor, n_draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Bits per hidden character of held-out rows, and the share that was hidden in each.

    The numbers of hidden characters are spread evenly over 1, ..., LENGTH, and every model that is
    judged with one seed sees the same hidden places. The mean is the any-order bound per character.
    """
    generator = torch.Generator().manual_seed(seed)
    costs, shares = [], []
    for _ in range(n_draws):
        length = rows.shape[1]
        even = (torch.randperm(len(rows), generator=generator) + 0.5) / len(rows)
        n_hidden = (1 + even * length).long().clamp(max=length)
        u = torch.rand(rows.shape, generator=generator)
        hidden = u.argsort(-1).argsort(-1) < n_hidden[:, None]
        cost = surprises(conditional, rows, hidden).double().sum(-1) / n_hidden / LN2
        costs.append(cost)
        shares.append(n_hidden / length)
    return torch.cat(costs), torch.cat(shares)


class Counts:
    """Shares of what followed the last k characters in a text, leaning on those for k - 1.

    The shares for k - 1 count as much as `strength` sightings; below k = 0 all are equal.
    """

    def __init__(self, text: Tensor, n_characters: int, order: int, strength: float) -> None:
        self.n_characters, self.strength = n_characters, strength
        self.tables: list[dict[tuple, Tensor]] = []
        symbols = text.tolist()
        for k in range(order + 1):
            table: dict[tuple, Tensor] = {}
            for i in range(k, len(symbols)):
                key = tuple(symbols[i - k : i])
                if key not in table:
                    table[key] = torch.zeros(n_characters, dtype=torch.float64)
                table[key][symbols[i]] += 1
            self.tables.append(table)

    def bits(self, text: Tensor) -> list[float]:
        """Bits per character of another text, for each order."""
        symbols = text.tolist()
        totals = [0.0] * len(self.tables)
        for i, symbol in enumerate(symbols):
            p = 1 / self.n_characters
            for k, table in enumerate(self.tables):
                counts = table.get(tuple(symbols[i - k : i])) if i >= k else None
                if counts is not None:
                    seen = float(counts.sum()) + self.strength
                    p = (float(counts[symbol]) + self.strength * p) / seen
                totals[k] -= math.log2(p)
        return [total / len(symbols) for total in totals]


@torch.no_grad()
def slip_rate(rows: Tensor) -> float:
    """Slips against the grammar per 100 characters."""
    return 100 * grammar().slips(rows).double().mean().item()


def over(values: Sequence[float]) -> dict:
    """Mean and 95 % interval over seeds, and the value of every seed."""
    return {**mean_interval(values), "values": [float(f"{value:.6g}") for value in values]}


def over_rows(rows: Sequence[dict[str, float]]) -> dict[str, dict]:
    """The same for each quantity of a table with one row per seed."""
    return {key: over([row[key] for row in rows]) for key in rows[0]}


@torch.no_grad()
def written(
    predict: Callable[[Tensor], Tensor],
    n_rows: int,
    n_characters: int,
    blank: int,
    generator: torch.Generator,
    start: Tensor | None = None,
) -> Tensor:
    """Rows written from left to right, each character drawn given at most LENGTH - 1 before it.

    `predict` maps rows that begin with the blank to scores of the next character.
    """
    rows = torch.zeros(n_rows, 0, dtype=torch.long) if start is None else start
    begin = torch.full((n_rows, 1), blank)
    for _ in range(n_characters):
        seen = rows[:, max(0, rows.shape[1] - LENGTH + 1) :]
        p = predict(torch.cat([begin, seen], 1))[:, -1].softmax(-1)
        rows = torch.cat([rows, torch.multinomial(p, 1, generator=generator)], 1)
    return rows
