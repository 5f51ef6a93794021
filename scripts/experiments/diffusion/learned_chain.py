"""What do the upper levels of a deep chain of learned codes come to hold?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import nn

from experiments.diffusion._common import N_DIMS, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.elbo import reparameterize
from fromnoise.evaluation import frechet_distance
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.information import bits_per_dim
from fromnoise.networks import seeded
from fromnoise.training import TrainingSettings, train
from fromnoise.vae import mlp


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    depths: tuple[int, ...] = (1, 2, 6)
    n_steps: int = 300
    n_images: int | None = None
    n_latents: int = 16
    width: int = 128
    n_draws: int = 8
    n_samples: int = 200


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, depths=(1, 2), n_steps=2, n_images=10, n_draws=1, n_samples=5),
}


class LearnedChain(nn.Module):
    """x -> z_1 -> ... -> z_K up, and the same way down; every arrow is a network."""

    def __init__(self, depth: int, config: Config, seed: int) -> None:
        super().__init__()
        self.likelihood = DiscretizedLogistic()
        n, width = config.n_latents, config.width
        written = N_DIMS * self.likelihood.n_parameters
        with seeded(seed):
            self.up = nn.ModuleList(
                mlp(n if k else N_DIMS, width, 2 * n, 0.0) for k in range(depth)
            )
            self.down = nn.ModuleList(
                mlp(n, width, 2 * n if k else written, 0.0) for k in range(depth)
            )

    def forward(self, x: torch.Tensor, generator: torch.Generator) -> tuple:
        """Distortion, and the rate of each level, nats per image."""
        codes, answers = [x], []
        for network in self.up:
            mean, log_var = network(codes[-1]).chunk(2, dim=-1)
            eps = torch.randn(mean.shape, generator=generator)
            answers.append((mean, log_var))
            codes.append(reparameterize(mean, log_var, eps))
        zero = torch.zeros_like(codes[-1])
        expected = [
            self.down[k](codes[k + 1]).chunk(2, dim=-1) for k in range(1, len(self.down))
        ] + [(zero, zero)]
        rates = [
            kl_diagonal(*answer, *prior).sum(-1)
            for answer, prior in zip(answers, expected, strict=True)
        ]
        parameters = self.down[0](codes[1]).view(len(x), N_DIMS, self.likelihood.n_parameters)
        return -self.likelihood.log_prob(parameters, x), torch.stack(rates)

    @torch.no_grad()
    def sample(self, n_samples: int, seed: int) -> torch.Tensor:
        """New images, from the top code down."""
        generator = torch.Generator().manual_seed(seed)
        n_latents = self.up[-1][-1].out_features // 2
        code = torch.randn((n_samples, n_latents), generator=generator)
        for network in reversed(self.down[1:]):
            mean, log_var = network(code).chunk(2, dim=-1)
            code = reparameterize(mean, log_var, torch.randn(mean.shape, generator=generator))
        parameters = self.down[0](code).view(n_samples, N_DIMS, self.likelihood.n_parameters)
        return self.likelihood.sample(parameters, generator)


def chain_loss(network, batch, generator) -> torch.Tensor:
    """Negative bound, nats per pixel."""
    distortion, rates = network(batch[0], generator)
    return (distortion + rates.sum(0)).mean() / N_DIMS


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train_images, test = flat(data.train), flat(data.test, config.n_images)
    results = {}
    for depth in config.depths:
        bounds, rates, distances = [], [], []
        for seed in range(config.seed, config.seed + config.n_seeds):
            settings = TrainingSettings(
                n_steps=config.n_steps, batch_size=128, learning_rate=3e-3, seed=seed
            )
            chain = train(
                LearnedChain(depth, config, seed),
                chain_loss,
                (train_images,),
                settings,
                folder=workdir / f"{depth}-{seed}",
            ).network
            bound, rate = measured(chain, test, config.n_draws, seed)
            bounds.append(bound)
            rates.append(rate)
            distances.append(frechet_distance(chain.sample(config.n_samples, seed), test))
        levels = [over_seeds([rate[level] for rate in rates]) for level in range(depth)]
        results[f"depth{depth}"] = {
            "bound": over_seeds(bounds),
            "rates": levels,
            "frechet": over_seeds(distances),
        }
    deepest = results[f"depth{max(config.depths)}"]["rates"]
    results["upper_rate"] = sum(level["mean"] for level in deepest[2:])
    return results


@torch.no_grad()
def measured(chain: LearnedChain, test: torch.Tensor, n_draws: int, seed: int) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    draws = [chain(test, generator) for _ in range(n_draws)]
    distortion = torch.stack([draw[0].mean() for draw in draws]).mean()
    rates = torch.stack([draw[1].mean(1) for draw in draws]).mean(0)
    return float(bits_per_dim(distortion + rates.sum(), N_DIMS)), rates.tolist()


def draw(results: dict) -> matplotlib.figure.Figure:
    depths = [name for name in results if name.startswith("depth")]
    figure, (left, right) = figures.figure(2.0, ncols=2, sharey=False)
    deepest = results[depths[-1]]["rates"]
    places = range(1, len(deepest) + 1)
    left.bar(places, [level["mean"] for level in deepest], 0.6, color=figures.color("model"))
    for place, level in zip(places, deepest, strict=True):
        left.plot([place] * len(level["values"]), level["values"], ".", color=figures.color("ink"))
        left.annotate(
            f"{level['mean']:.1f}",
            (place, max(level["values"])),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
        )
    left.set(xlabel="level, from the image up", xticks=list(places))
    left.margins(y=0.2)
    figures.panel_label(left, f"rate of each of {len(deepest)} levels, nats")
    for place, name in enumerate(depths):
        values = results[name]["bound"]["values"]
        right.plot([place] * len(values), values, "s", color=figures.color("model"))
    figures.sequence_axis(right, [name.removeprefix("depth") for name in depths])
    right.set(xlabel="number of learned levels", xlim=(-0.5, len(depths) - 0.5))
    right.margins(y=0.4)
    figures.panel_label(right, "held-out bound, bits per pixel")
    return figure
