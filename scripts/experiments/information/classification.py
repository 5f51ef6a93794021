"""How far can cross-entropy fall when the labels themselves are uncertain, on real digits?"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.information import entropy, kl_divergence
from fromnoise.intervals import mean_interval
from fromnoise.networks import seeded
from fromnoise.training import TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 400
    n_records: int = 20
    flipped: float = 0.2  # share of labels that a careless clerk replaces by another class
    weight_decay: float = 0.3  # chosen on the validation split


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_steps=10, n_records=2)}


def label_distribution(labels: Tensor, flipped: float) -> Tensor:
    """What the clerk writes for each true class: q(label | image), known because we made it."""
    true = F.one_hot(labels, 10).double()
    return (1 - flipped) * true + flipped / 9 * (1 - true)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    x, test = data.train.images.flatten(1), data.test.images.flatten(1)
    q_train = label_distribution(data.train.labels, config.flipped)
    q_test = label_distribution(data.test.labels, config.flipped)
    curves, last = [], []
    for seed in range(config.seed, config.seed + config.n_seeds):
        g = torch.Generator().manual_seed(seed)
        written = torch.multinomial(q_train, 1, generator=g)[:, 0]
        written_test = torch.multinomial(q_test, 1, generator=g)[:, 0]
        measure = measuring(test, q_test, written_test, data.test.labels)
        with seeded(seed):
            network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        settings = TrainingSettings(
            n_steps=config.n_steps,
            batch_size=100,
            learning_rate=5e-3,
            weight_decay=config.weight_decay,
            seed=seed,
        )
        trained = train(
            network,
            lambda net, batch, _: F.cross_entropy(net(batch[0]), batch[1]),
            (x, written),
            settings,
            folder=workdir / str(seed),
            measure=measure,
            measure_every=config.n_steps // config.n_records,
        )
        curves.append(trained.records)
        last.append(trained.records[-1])
    keys = ("cross_entropy", "divergence", "on_written", "accuracy")
    return {
        "floor": float(entropy(q_test[0])),
        "steps": [int(record["step"]) for record in curves[0]],
        "curve": {
            key: [sum(c[i][key] for c in curves) / len(curves) for i in range(len(curves[0]))]
            for key in keys
        },
        "last": {
            key: {**mean_interval([row[key] for row in last]), "values": [row[key] for row in last]}
            for key in keys
        },
    }


def measuring(x: Tensor, q: Tensor, written: Tensor, labels: Tensor):
    """Costs of a classifier on held-out digits, against the known q and against drawn labels."""

    @torch.no_grad()
    def measure(network: nn.Module) -> dict[str, float]:
        log_p = network(x).double().log_softmax(-1)
        return {
            "cross_entropy": float(-(q * log_p).sum(-1).mean()),
            "divergence": float(kl_divergence(q, log_p.exp()).mean()),
            "on_written": float(F.nll_loss(log_p, written)),
            "accuracy": float((log_p.argmax(-1) == labels).double().mean()),
        }

    return measure


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.8)
    steps, curve = results["steps"], results["curve"]
    for key, role, text, dy in (
        ("cross_entropy", "ink", "cross-entropy", 9),
        ("divergence", "model", "divergence", 9),
    ):
        (line,) = ax.plot(steps, curve[key], **figures.line_style(role))
        figures.label_line(line, text, x=0.75 * steps[-1], dx=0, dy=dy, ha="center")
    ax.axhline(results["floor"], color=figures.color("muted"), lw=0.9, ls="-")
    ax.text(
        steps[-1],
        results["floor"] - 0.05,
        "entropy of the labels: no classifier gets below",
        ha="right",
        va="top",
        color=figures.color("muted"),
    )
    ax.set(xlabel="training steps", ylabel="nats per test digit", ylim=(0, 2.5))
    return figure
