"""How noisy is the encoder's gradient, reparameterized and by the score function?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from experiments.vae._common import fit, flat, over_seeds
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.vae import VAE, vae_loss

ESTIMATES = ("reparameterized", "score", "baseline")


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_steps: int = 300  # in the middle of training: gradients still matter there
    n_images: int = 32
    n_draws: int = 128
    n_shown: int = 128


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_steps=3, n_images=4, n_draws=16, n_shown=5),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train = flat(data.train)
    results: dict = {}
    for n_latents in (2, 16):
        rows = []
        for seed in range(config.seed, config.seed + config.n_seeds):
            model = VAE(DiscretizedLogistic(), n_latents, seed=seed)
            folder = workdir / f"{n_latents}-{seed}"
            model = fit(model, vae_loss(), train, config.n_steps, seed, folder).network
            generator = torch.Generator().manual_seed(seed)
            found = estimates(model, train[: config.n_images], config.n_draws, generator)
            variance = {name: float(g.var(0).sum(-1).mean()) for name, g in found.items()}
            rows.append(
                {
                    "ratio": variance["score"] / variance["reparameterized"],
                    "ratio_with_baseline": variance["baseline"] / variance["reparameterized"],
                    "worst_z_score": agreement(found),
                }
            )
            if n_latents == 16 and seed == config.seed:
                results["picture"] = {
                    name: [round(v, 3) for v in g[: config.n_shown, 0, 0].tolist()]
                    for name, g in found.items()
                }
        results[f"latents{n_latents}"] = over_seeds(rows)
    return results


def estimates(model, x, n_draws, generator) -> dict[str, torch.Tensor]:
    """Single-draw gradients of the distortion by mean and log variance: (draws, images, 2 latents).

    The rate has a closed form, so both need an estimate of the distortion's gradient only.
    """
    with torch.no_grad():
        z_mean, z_log_var = model.encode(x)
    sigma = torch.exp(0.5 * z_log_var)
    eps = torch.randn(n_draws, *z_mean.shape, generator=generator)
    z = (z_mean + sigma * eps).requires_grad_()
    copies = x.expand(n_draws, *x.shape).reshape(-1, 64)
    value = -model.likelihood.log_prob(model.decode(z.view(-1, model.n_latents)), copies)
    (d_z,) = torch.autograd.grad(value.sum(), z)
    value = value.detach().view(n_draws, len(x), 1)
    score = torch.cat([eps / sigma, 0.5 * (eps.square() - 1)], -1)
    # The mean of the other draws: a baseline that does not depend on the draw it serves.
    others = (value.sum(0) - value) / (n_draws - 1)
    return {
        "reparameterized": torch.cat([d_z, d_z * 0.5 * sigma * eps], -1),
        "score": value * score,
        "baseline": (value - others) * score,
    }


def agreement(found) -> float:
    """Largest |z| between the means of the two estimates: they estimate the same number."""
    first, second = found["reparameterized"], found["baseline"]
    error = (first.var(0) + second.var(0)).div(len(first)).sqrt()
    return float(((first.mean(0) - second.mean(0)) / error).abs().max())


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.6, ncols=2, sharey=False, width_ratios=[1.6, 1])
    rows = {
        "score": ("score function", "broken"),
        "baseline": ("with a baseline", "ink"),
        "reparameterized": ("reparameterized", "model"),
    }
    jitter = np.random.default_rng(0).uniform(-0.28, 0.28, 1000)
    for place, (name, (_, role)) in enumerate(rows.items()):
        values = np.array(results["picture"][name])
        left.scatter(
            values,
            place + jitter[: len(values)],
            s=5,
            alpha=0.6,
            lw=0,
            color=figures.color(role),
            marker=figures.marker(role),
        )
    left.axvline(0, color=figures.color("grid"), lw=0.8, zorder=0)
    figures.sequence_axis(left, [text for text, _ in rows.values()], axis="y")
    left.set_xlabel("estimate of one entry, one draw (nats)")
    for place, latents in enumerate(("latents2", "latents16")):
        for shift, key, role in (
            (-0.12, "ratio", "broken"),
            (0.12, "ratio_with_baseline", "ink"),
        ):
            found = results[latents][key]
            right.plot(
                [place + shift] * len(found["values"]),
                found["values"],
                ls="",
                marker=figures.marker(role),
                color=figures.color(role),
                ms=5.5,
            )
    right.axhline(1, **figures.line_style("model", lw=1.2))
    right.set_yscale("log")
    right.set_xlim(-0.5, 1.5)
    figures.sequence_axis(right, ["2 latents", "16 latents"])
    right.set_ylabel("variance / reparameterized")
    return figure
