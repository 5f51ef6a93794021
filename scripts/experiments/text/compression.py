"""How many bytes does a real text take, written with the model, and what do its weights take?"""

import bz2
import gzip
import hashlib
import lzma
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.text._common import LENGTH, LN2, Counts, fit, hidden_costs, network, over, windows
from fromnoise import figures
from fromnoise.arithmetic_coding import arithmetic_decode, arithmetic_encode
from fromnoise.codes import pack_bits, unpack_bits
from fromnoise.masked_diffusion import any_order_loss
from fromnoise.networks import n_parameters
from fromnoise.text import TextModel, Vocabulary, chunks, log_prob, next_character_loss
from fromnoise.transformer import Transformer

HELD_OUT = "wine"


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_steps: int = 600
    n_coded: int | None = None
    orders: int = 7


SIZES = {"full": Config(), "smoke": Config(2, 2, 60, 2)}


def descriptions() -> dict[str, str]:
    """The descriptions of data sets that every copy of scikit-learn carries, by name."""
    import sklearn

    folder = Path(sklearn.__file__).parent / "datasets" / "descr"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.rst"))}


def compressed(data: bytes) -> dict[str, int]:
    """Bytes after each of the three compressors at their strongest, headers included."""
    return {
        "gzip": len(gzip.compress(data, 9, mtime=0)),
        "bz2": len(bz2.compress(data, 9)),
        "xz": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    }


@torch.no_grad()
def sliding_bits(model: Transformer, text: Tensor) -> float:
    """Bits of a text whose every character is predicted from at most LENGTH - 1 before it."""
    total = -log_prob(model, text[None, :LENGTH]).sum().item()
    begin = torch.full((1,), model.blank)
    for part in torch.arange(LENGTH, len(text)).split(256):
        rows = torch.stack([torch.cat([begin, text[i - LENGTH + 1 : i]]) for i in part.tolist()])
        p = model(rows)[:, -1].double().log_softmax(-1)
        total -= p.gather(-1, text[part][:, None]).sum().item()
    return total / LN2


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    texts = descriptions()
    held_out = next(text for name, text in texts.items() if name.startswith(HELD_OUT))
    training = "\n".join(text for name, text in texts.items() if not name.startswith(HELD_OUT))
    everything = training + "\n" + held_out
    vocabulary = Vocabulary(everything)
    text, message = vocabulary.encode(training), vocabulary.encode(held_out)
    message = message[: config.n_coded]
    raw = vocabulary.decode(message).encode()
    rows = chunks(message, min(LENGTH, len(message)))
    n, found = len(vocabulary), {"causal": [], "masked": [], "causal_rows": []}
    coded = {}
    for seed in range(config.n_seeds):
        causal, masked = (
            fit(
                network(n, is_causal, seed),
                loss,
                windows(text),
                config.n_steps,
                seed,
                workdir / f"{is_causal}{seed}",
            ).network
            for is_causal, loss in ((True, next_character_loss), (False, any_order_loss))
        )
        assert isinstance(causal, Transformer)
        assert isinstance(masked, Transformer)
        surprise = sliding_bits(causal, message)
        found["causal"].append(surprise / len(message))
        with torch.no_grad():
            found["causal_rows"].append(-log_prob(causal, rows).mean().item() / LN2)
        found["masked"].append(hidden_costs(masked, rows, 4, 0)[0].mean().item())
        if seed == 0:
            model = TextModel(causal)
            file = pack_bits(arithmetic_encode(message, model))
            back = arithmetic_decode(unpack_bits(file), model, len(message))
            coded = {
                "bytes": len(file),
                "surprise_bits": surprise,
                "came_back": bool(torch.equal(back, message)),
            }
            coded["overhead_bits"] = 8 * len(file) - coded["surprise_bits"]
    before = compressed(training.encode())
    both = compressed((training + "\n").encode() + raw)
    counts = Counts(text, n, config.orders, 2.0).bits(message)
    best = min(range(len(counts)), key=lambda k: counts[k])
    alone = compressed(raw)
    n_weights = n_parameters(network(n, True, 0))
    helped = {name: both[name] - before[name] for name in both}
    saved = min(alone.values()) - coded["bytes"]
    return {
        "sha256": hashlib.sha256(everything.encode()).hexdigest(),
        "n_training": len(text),
        "n_characters": len(message),
        "n_symbols": n,
        "raw_bytes": len(raw),
        "alone": alone,
        "helped": helped,
        "coded": coded,
        "n_parameters": n_weights,
        "weight_bytes": 4 * n_weights,
        "files_to_pay_back": 4 * n_weights / max(1, saved),
        "bits": {name: over(values) for name, values in found.items()},
        "counts": counts,
        "best_counts": {"order": best, "bits": counts[best], "bytes": counts[best] * len(raw) / 8},
        "bits_alone": {name: 8 * size / len(message) for name, size in alone.items()},
        "bits_helped": {name: 8 * size / len(message) for name, size in helped.items()},
        "bits_coded": 8 * coded["bytes"] / len(message),
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(3.3)
    rows = [
        ("gzip", "muted", results["alone"]["gzip"]),
        ("bz2", "muted", results["alone"]["bz2"]),
        ("xz", "muted", results["alone"]["xz"]),
        ("gzip, having read the rest", "ink", results["helped"]["gzip"]),
        ("bz2, having read the rest", "ink", results["helped"]["bz2"]),
        ("xz, having read the rest", "ink", results["helped"]["xz"]),
        ("counts of neighbors", "model", results["best_counts"]["bytes"]),
        ("transformer", "model", results["coded"]["bytes"]),
    ]
    for place, (_, role, value) in enumerate(rows):
        ax.barh(place, value, 0.66, color=figures.color(role))
        ax.text(value, place, f" {value:.0f}", va="center")
    figures.sequence_axis(ax, [row[0] for row in rows], axis="y")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.margins(x=0.14)
    ax.set_xlabel("bytes of the held-out text")
    return figure
