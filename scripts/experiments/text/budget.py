"""One text, one network, one budget: what does a character cost in order and in any order?"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.text._common import (
    LENGTH,
    LN2,
    Counts,
    fit,
    forgiving,
    grammar,
    hidden_costs,
    network,
    over,
    slip_rate,
    split,
    windows,
    written,
)
from fromnoise import figures
from fromnoise.masked_diffusion import any_order_loss, fill
from fromnoise.networks import n_parameters
from fromnoise.provenance import save_tensors
from fromnoise.text import log_prob, next_character_loss
from fromnoise.transformer import Transformer

publishes = ("causal", "masked")


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_train: int = 60_000
    n_test: int = 512
    n_steps: int = 1000
    n_records: int = 8
    n_draws: int = 4
    orders: int = 9
    reveal_steps: tuple[int, ...] = (1, 2, 4, 8, 16, LENGTH)
    n_places: int = 2048  # more rows for the curve that has one point per place
    n_written: int = 96
    n_rows: int = 256
    n_exposed: int = 640  # slips are rare, and few of them follow one another
    n_characters: int = 192
    gaps: tuple[int, ...] = (1, 2, 4, 8, 12)  # in the middle of a row
    shown_gap: int = 4
    width: int = 48
    n_blocks: int = 2
    batch_size: int = 24
    learning_rate: float = 6e-3


SIZES = {
    "full": Config(),
    "smoke": Config(2, 600, 8, 2, 1, 1, 2, (1, 2), 4, 4, 4, 4, 60, (2, 4)),
    # Does reading in any order stay dearer when nothing is short? Six times the parameters, 80
    # times the rows, and a text long enough that none of it need be seen often.
    "gpu": Config(
        n_seeds=5,
        n_train=1_000_000,
        n_test=2048,
        n_steps=15_000,
        n_records=10,
        width=96,
        n_blocks=3,
        batch_size=128,
        learning_rate=3e-3,
    ),
}


@torch.no_grad()
def causal_bits(model: Transformer, rows: Tensor) -> Tensor:
    """Bits of each character of the rows."""
    return -log_prob(model, rows).double() / LN2


def by_share(costs: Tensor, shares: Tensor) -> list[float]:
    """Mean cost of a hidden character in eight equal ranges of the share that is hidden."""
    place = (shares * 8).ceil().long() - 1
    return [costs[place == k].mean().item() for k in range(8)]


def rate(slips: Tensor, where: Tensor) -> float:
    """Share of slips among some places; 0 if there are none."""
    return (slips & where).sum().item() / max(1, int(where.sum()))


def exposure(model: Transformer, config: Config, seed: int, rows: Tensor) -> dict:
    """Slips of a network that reads the truth and of one that reads what it wrote itself."""
    source = grammar()
    impossible = source.predictions(rows) == 0
    shifted = torch.cat([torch.full_like(rows[:, :1], source.blank), rows[:, :-1]], 1)
    with torch.no_grad():
        mass = (model(shifted).double().softmax(-1) * impossible).sum(-1)
        generator = torch.Generator().manual_seed(100 + seed)
        own = written(model, config.n_exposed, config.n_characters, source.blank, generator)
    slips = source.slips(own)
    near = torch.zeros_like(slips)  # was there a slip within the last 24 characters?
    for back in range(1, 25):
        near[:, back:] |= slips[:, :-back]
    late = torch.arange(config.n_characters) >= LENGTH
    return {
        "true_text": 100 * mass[:, LENGTH // 2 :].mean().item(),
        "own_text": 100 * slips[:, LENGTH:].double().mean().item(),
        "own_clean": 100 * rate(slips, ~near & late),
        "own_after_slip": 100 * rate(slips, near & late),
        "by_place": [100 * part.double().mean().item() for part in slips.split(24, 1)],
        "without_a_slip": [
            float((slips[:, :n].sum(1) == 0).double().mean())
            for n in range(24, config.n_characters + 1, 24)
        ],
        "sample": source.vocabulary.decode(own[0]),
        "sample_slips": slips[0].nonzero()[:, 0].tolist(),
    }


def opened(rows: Tensor, gap: int) -> Tensor:
    """The rows with a gap of so many characters in the middle."""
    rows, low = rows.clone(), (LENGTH - gap) // 2
    rows[:, low : low + gap] = grammar().blank
    return rows


def filled_from_left(predict: Callable, rows: Tensor, gap: int, seed: int) -> Tensor:
    """Fill the gap from left to right without a look at what comes after."""
    low, generator = (LENGTH - gap) // 2, torch.Generator().manual_seed(seed)
    left = written(predict, len(rows), gap, grammar().blank, generator, rows[:, :low])
    return torch.cat([left, rows[:, low + gap :]], 1)


def whole(rows: Tensor) -> float:
    """Share of rows without a slip."""
    return 1 - grammar().slips(rows).any(1).double().mean().item()


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    source = grammar()
    text, test = split(config.n_train, config.n_test)
    n, every = len(source.vocabulary), config.n_steps // config.n_records
    few = test[: config.n_rows]
    _, many = split(config.n_train, config.n_places)
    found: dict[str, list] = {}

    def keep(name: str, value: float | list | dict) -> None:
        found.setdefault(name, []).append(value)

    def causal_measure(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Transformer)
        return {"bits": causal_bits(here(model), test).mean().item()}

    def masked_measure(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Transformer)
        return {"bits": hidden_costs(here(model), test, config.n_draws, 0)[0].mean().item()}

    for seed in range(config.n_seeds):
        causal, masked = (
            fit(
                network(n, is_causal, seed, width=config.width, n_blocks=config.n_blocks).to(
                    device
                ),
                loss,
                windows(text),
                config.n_steps,
                seed,
                workdir / f"{name}{seed}",
                measure,
                every,
                config.batch_size,
                config.learning_rate,
            )
            for name, is_causal, loss, measure in (
                ("causal", True, next_character_loss, causal_measure),
                ("masked", False, any_order_loss, masked_measure),
            )
        )
        for trained in (causal, masked):
            trained.network.cpu()
        keep("curve_causal", [record["bits"] for record in causal.records])
        keep("curve_masked", [record["bits"] for record in masked.records])
        keep("by_place", causal_bits(causal.network, many).mean(0).tolist())
        costs = hidden_costs(masked.network, test, config.n_draws, 0)
        keep("by_share", by_share(*costs))
        keep("exposure", exposure(causal.network, config, seed, test))
        # The same rows in every order and every number of steps.
        blank = torch.full((config.n_written, LENGTH), source.blank)
        generator = torch.Generator().manual_seed(200 + seed)
        steps = {
            str(k): slip_rate(fill(masked.network, blank, generator, k))
            for k in config.reveal_steps
        }
        keep("steps", steps)
        keep(
            "steps_exact",
            {
                str(k): slip_rate(fill(forgiving(), blank, generator, k))
                for k in config.reveal_steps
            },
        )
        own = written(causal.network, config.n_written, LENGTH, source.blank, generator)
        keep("causal_slips", slip_rate(own))
        for gap in config.gaps:
            holes = opened(few, gap)
            by_both = fill(masked.network, holes, generator)
            by_left = filled_from_left(causal.network, few, gap, 300 + seed)
            keep(f"infill_masked_{gap}", whole(by_both))
            keep(f"infill_causal_{gap}", whole(by_left))
            keep(f"infill_exact_{gap}", whole(fill(source, holes, generator)))
            if seed == 0 and gap == config.shown_gap:
                keep(
                    "examples",
                    [
                        [source.vocabulary.decode(row) for row in rows[:4]]
                        for rows in (holes, few, by_left, by_both)
                    ],
                )
        if seed == 0:
            save(causal.network, workdir / "causal.safetensors")
            save(masked.network, workdir / "masked.safetensors")
    true_bits = -source.log_prob(test) / LN2
    true_costs = hidden_costs(source, test, config.n_draws, 0)
    last = {name: [curve[-1] for curve in found[f"curve_{name}"]] for name in ("causal", "masked")}
    exposed = found["exposure"]
    n_grams = Counts(text, n, config.orders, 2.0).bits(test.flatten())
    best = min(range(len(n_grams)), key=lambda k: n_grams[k])
    per_character = torch.bincount(text, minlength=n).double() / len(text)
    return {
        "n_parameters": n_parameters(causal.network),
        "n_states": source.n_states,
        "n_symbols": n,
        "example": source.vocabulary.decode(text[:200]),
        "rate": source.entropy_rate() / LN2,
        "truth": true_bits.mean().item(),
        "truth_any_order": true_costs[0].mean().item(),
        "single": float(-torch.special.xlogy(per_character, per_character).sum()) / LN2,
        "causal": over(last["causal"]),
        "masked": over(last["masked"]),
        "perplexity": over([2**bits for bits in last["causal"]]),
        "perplexity_truth": 2 ** true_bits.mean().item(),
        "ratio": over([m / c for m, c in zip(last["masked"], last["causal"], strict=True)]),
        "excess_causal": over([bits - true_bits.mean().item() for bits in last["causal"]]),
        "excess_masked": over([bits - true_costs[0].mean().item() for bits in last["masked"]]),
        "n_grams": n_grams,
        "best_order": {"order": best, "bits": n_grams[best]},
        "records": [every * (k + 1) for k in range(len(found["curve_causal"][0]))],
        "curves": {name: found[f"curve_{name}"] for name in ("causal", "masked")},
        "by_place": {
            "network": torch.tensor(found["by_place"]).mean(0).tolist(),
            "truth": (-source.log_prob(many) / LN2).mean(0).tolist(),
        },
        "by_share": {
            "network": torch.tensor(found["by_share"]).mean(0).tolist(),
            "truth": by_share(*true_costs),
        },
        "exposure": {
            key: over([one[key] for one in exposed])
            for key in ("true_text", "own_text", "own_clean", "own_after_slip")
        },
        "slips_by_place": [one["by_place"] for one in exposed],
        "without_a_slip": [one["without_a_slip"] for one in exposed],
        "sample": {key: exposed[0][key] for key in ("sample", "sample_slips")},
        "steps": {
            str(k): over([one[str(k)] for one in found["steps"]]) for k in config.reveal_steps
        },
        "steps_exact": {
            str(k): over([one[str(k)] for one in found["steps_exact"]]) for k in config.reveal_steps
        },
        "causal_slips": over(found["causal_slips"]),
        "infill": {
            name: {str(gap): over(found[f"infill_{name}_{gap}"]) for gap in config.gaps}
            for name in ("causal", "masked", "exact")
        },
        "examples": found["examples"][0],
    }


def here(model: Transformer) -> Transformer:
    """A copy on the processor, where texts are judged."""
    return copy.deepcopy(model).cpu()


def save(model: nn.Module, path: Path) -> None:
    """Leave the weights for whoever needs them."""
    save_tensors(path, dict(model.state_dict()))


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.9, width=0.8)
    steps = results["records"]
    for name, role, text in (  # two models: one color, two dashes
        ("masked", "noise", "any order"),
        ("causal", "model", "left to right"),
    ):
        for curve in results["curves"][name]:
            style = figures.line_style(role, color=figures.color("model"))
            (line,) = ax.plot(steps, curve, marker=figures.marker(role), **style)
        figures.label_line(line, text, x=steps[len(steps) // 2], dx=0, dy=10)
    ax.axhline(results["truth"], color=figures.color("data"), ls="-", lw=1.2)
    ax.text(
        steps[-1],
        results["truth"] * 0.97,
        "the truth",
        color=figures.color("data"),
        ha="right",
        va="top",
    )
    ax.set(xlabel="training step", ylabel="bits per character", ylim=(0, None))
    return figure
