"""Does a second level of codes help, and is it used when its encoder may be learned?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.elbo import iwae_bound
from fromnoise.hierarchical_vae import ChainTerms, MarkovianVAE
from fromnoise.information import bits_per_dim

needs = ("vae/without_parts",)  # one level: the same seeds, size and steps
KEPT = {"learned": None, "fixed": 0.7}  # 0.7: the upper code keeps about half of the variance


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 700
    n_images: int | None = None
    n_importance: int = 64


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=3, n_images=20, n_importance=2),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    train, test = flat(data.train), flat(data.test, config.n_images)
    seeds = range(config.seed, config.seed + config.n_seeds)
    single = needed["vae/without_parts"]["whole"]
    results: dict = {"single": {key: single[key] for key in ("elbo", "iwae", "rate")}}
    for name, kept in KEPT.items():
        rows = []
        for seed in seeds:
            chain = MarkovianVAE(DiscretizedLogistic(), kept=kept, seed=seed)
            folder = workdir / f"{name}{seed}"
            chain = fit(chain, chain_loss, train, config.n_steps, seed, folder).network
            rows.append(measured(chain, test, config.n_importance, seed))
        results[name] = over_seeds(rows)
        results[name]["n_idle"] = sum(row["top_rate"] < 0.1 for row in rows)
    return results


def chain_loss(network, batch, generator) -> torch.Tensor:
    """Negative bound, nats per pixel."""
    return -terms(network, batch[0], generator).elbo.mean() / 64


def terms(network, x, generator) -> ChainTerms:
    """The bound's parts at fresh noise."""
    eps = [torch.randn(len(x), n, generator=generator) for n in network.n_latents]
    return network(x, *eps)


@torch.no_grad()
def measured(chain, test, n_importance, seed) -> dict[str, float]:
    """The same numbers as for a single level, and the rate of each level."""
    generator = torch.Generator().manual_seed(seed)
    draws = [terms(chain, test, generator) for _ in range(n_importance)]
    log_weights = torch.stack([draw.elbo for draw in draws]).double()
    parts = {
        name: float(torch.stack([getattr(draw, name) for draw in draws]).double().mean())
        for name in ("top_rate", "rate", "distortion")
    }
    return {
        "elbo": float(bits_per_dim(-log_weights.mean(), 64)),
        "iwae": float(bits_per_dim(-iwae_bound(log_weights).mean(), 64)),
        **parts,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.1, ncols=2)
    words = {
        "single": "one level",
        "learned": "two, both learned",
        "fixed": "two, upper encoder fixed",
    }
    for place, name in enumerate(words):
        for key, role, shift in (("rate", "model", -0.13), ("top_rate", "ink", 0.13)):
            if name == "single" and key == "top_rate":
                continue
            values = results[name][key]["values"]
            left.plot(
                values,
                [place + shift] * len(values),
                ls="",
                marker=figures.marker(role),
                color=figures.color(role),
                ms=6,
            )
        values = results[name]["elbo"]["values"]
        right.plot(
            values,
            [place] * len(values),
            ls="",
            marker=figures.marker("model"),
            color=figures.color("model"),
        )
    figures.sequence_axis(left, list(words.values()), axis="y")
    left.invert_yaxis()
    left.set_ylim(2.5, -0.75)
    left.axvline(0, color=figures.color("grid"), lw=0.8, zorder=0)
    left.text(
        results["single"]["rate"]["mean"],
        -0.42,
        "lower level",
        ha="center",
        fontsize=8.5,
        color=figures.color("model"),
    )
    left.text(
        results["learned"]["top_rate"]["mean"],
        0.72,
        "upper level",
        ha="left",
        fontsize=8.5,
        color=figures.color("ink"),
    )
    left.set_xlabel("rate of a level (nats per digit)")
    right.set_xlabel("test bound (bits per pixel)")
    return figure
