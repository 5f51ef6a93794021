"""Can letters be turned into numbers, noised like pixels, and rounded back to letters?"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.text._common import LENGTH, grammar, over, slip_rate, split, windows
from fromnoise import figures
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.networks import seeded
from fromnoise.samplers import ddim_step, sample, uniform_times
from fromnoise.schedules import Cosine
from fromnoise.targets import PredictX0
from fromnoise.training import TrainingSettings, train
from fromnoise.transformer import Block


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_train: int = 60_000
    n_steps: int = 400
    n_written: int = 96
    n_sampler_steps: int = 64


SIZES = {"full": Config(), "smoke": Config(2, 400, 2, 4, 2)}


class RealTransformer(nn.Module):
    """The blocks of the text's network on rows of numbers and a time."""

    def __init__(self, n_numbers: int, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.first = nn.Linear(n_numbers + 2, 48)
            self.blocks = nn.ModuleList(Block(48, 4, False, 0.0, LENGTH) for _ in range(2))
            self.norm, self.last = nn.LayerNorm(48), nn.Linear(48, n_numbers)

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Guess of the clean numbers."""
        clock = torch.stack([t, (1 - t).square()], -1)[:, None].expand(-1, x_t.shape[1], -1)
        h = self.first(torch.cat([x_t, clock.to(x_t)], -1))
        for block in self.blocks:
            h = block(h)
        return self.last(self.norm(h))


def on_a_line(tokens: Tensor, n: int) -> Tensor:
    """A character is its place in the alphabet, from -1.7 to 1.7: unit variance if all are used."""
    return (2 * tokens[..., None] / (n - 1) - 1) * 3**0.5


def in_space(tokens: Tensor, n: int) -> Tensor:
    """A character is an axis of its own; the entries have unit variance if all are used alike."""
    return F.one_hot(tokens, n).float() * n**0.5


def nearest(x: Tensor, encode, n: int) -> Tensor:
    """The character whose numbers are closest."""
    words = encode(torch.arange(n), n)
    return torch.cdist(x.flatten(0, 1), words).argmin(-1).view(x.shape[:2])


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    source = grammar()
    n = len(source.vocabulary)
    text, _ = split(config.n_train, 512)
    rows, schedule, target = windows(text)[0], Cosine(), PredictX0()
    found: dict[str, list[float]] = {"line": [], "space": []}
    between, shown = [], {}
    settings = {"n_steps": config.n_steps, "batch_size": 24, "learning_rate": 6e-3}
    for seed in range(config.n_seeds):
        for name, encode in (("line", on_a_line), ("space", in_space)):
            start = RealTransformer(encode(rows[:1], n).shape[-1], seed)
            inner = denoising_loss(schedule, target)

            def loss(network, batch, generator, encode=encode, inner=inner):
                return inner(network, (encode(batch[0], n),), generator)

            trained = train(
                start,
                loss,
                (rows,),
                TrainingSettings(**settings, ema_decay=0.98, seed=seed),
                folder=workdir / f"{name}{seed}",
            ).network
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(
                config.n_written, LENGTH, start.last.out_features, generator=generator
            )
            with torch.no_grad():
                x = sample(
                    as_denoiser(trained, schedule, target),
                    schedule,
                    noise,
                    uniform_times(config.n_sampler_steps),
                    ddim_step,
                )
            letters = nearest(x, encode, n)
            found[name].append(slip_rate(letters))
            if name == "line":
                gap = (on_a_line(letters, n) - x).abs() / (2 * 3**0.5 / (n - 1))
                between.append((gap > 0.25).double().mean().item())
            if seed == 0:
                shown[name] = source.vocabulary.decode(letters[0])
    shuffled = text[torch.randperm(len(text), generator=torch.Generator().manual_seed(0))]
    return {
        "slips": {name: over(values) for name, values in found.items()},
        "between": over(between),
        "shown": shown,
        "shuffled": slip_rate(shuffled[: 8 * LENGTH].view(-1, LENGTH)),
        "alphabet": source.vocabulary.characters,
    }


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(1.9)
    rows = [
        ("letters drawn at random", "muted", results["shuffled"]),
        ("one number per letter", "broken", results["slips"]["line"]),
        ("one axis per letter", "model", results["slips"]["space"]),
    ]
    for place, (_, role, value) in enumerate(rows):
        mean = value if isinstance(value, float) else value["mean"]
        ax.barh(place, mean, 0.62, color=figures.color(role))
        text = f" {mean:.1f}"
        ax.text(mean, place, text, va="center")
    figures.sequence_axis(ax, [row[0] for row in rows], axis="y")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0, None)
    ax.margins(x=0.12)
    ax.set_xlabel("slips per 100 characters")
    return figure
