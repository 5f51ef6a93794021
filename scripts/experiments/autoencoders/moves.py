"""A random code, a pull toward N(0, I), a gradient through the draw: what does each one mend?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.autoencoders._common import Digits, Judge, over_seeds, shown, training
from fromnoise import figures
from fromnoise.decoders import Gaussian
from fromnoise.elbo import reparameterize
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.training import Batch, Loss, train
from fromnoise.vae import VAE, vae_loss

PIXEL_NOISE = 0.25  # the decoder's; two gray levels


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_steps: int = 500
    n_latents: int = 16
    width: int = 128
    judge_steps: int = 200
    n_test: int | None = None
    n_shown: int = 12


SIZES = {
    "full": Config(),
    "smoke": Config((0, 1), 3, 2, 8, judge_steps=2, n_test=70, n_shown=4),
}


# --8<-- [start:cut_loss]
def cut_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Noise and pull, but the draw is a number to the gradient: only the pull moves the encoder."""
    (x,) = batch
    z_mean, z_log_var = network.encode(x)
    eps = torch.randn(z_mean.shape, generator=generator)
    z = reparameterize(z_mean, z_log_var, eps).detach()
    distortion = -network.likelihood.log_prob(network.decode(z), x)
    return (kl_diagonal(z_mean, z_log_var).sum(1) + distortion).mean() / x.shape[1]


# --8<-- [end:cut_loss]

VARIANTS: dict[str, Loss] = {
    "neither": vae_loss(beta=0.0, noise=0.0),
    "noise": vae_loss(beta=0.0, noise=1.0),
    "pull": vae_loss(beta=1.0, noise=0.0),
    "cut": cut_loss,
    "all": vae_loss(beta=1.0, noise=1.0),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = Digits.load(config.n_test)
    judge = Judge.trained(data, config.judge_steps)
    results: dict = {"real": judge(data.train[: len(data.test)])}
    for name, loss in VARIANTS.items():
        rows = []
        for seed in config.seeds:
            likelihood = Gaussian(PIXEL_NOISE, learned=False)
            model = VAE(likelihood, config.n_latents, width=config.width, seed=seed)
            settings = training(config.n_steps, seed)
            folder = workdir / f"{name}{seed}"
            model = train(model, loss, (data.train,), settings, folder=folder).network
            row, images = measured(model, data, judge, config, seed)
            rows.append(row)
            if seed == config.seeds[0]:
                results[name] = {"images": images}
        results[name] |= over_seeds(rows)
    return results


@torch.no_grad()
def measured(model, data: Digits, judge: Judge, config: Config, seed: int):
    generator = torch.Generator().manual_seed(100 + seed)
    z_mean, z_log_var = model.encode(data.test)
    prior = torch.randn(z_mean.shape, generator=generator)
    eps = torch.randn(z_mean.shape, generator=generator)
    samples, copies, shaken = (
        model.likelihood.mean(model.decode(z))
        for z in (prior, z_mean, reparameterize(z_mean, z_log_var, eps))
    )
    spread = float(z_mean.std(0).square().mean().sqrt())
    noise = float(torch.exp(0.5 * z_log_var).square().mean().sqrt())
    row = {
        **judge(samples),
        "copy_error": data.error(copies),
        "shaken_error": data.error(shaken),
        "rate": float(kl_diagonal(z_mean, z_log_var).sum(1).mean()),
        "spread": spread,
        "noise": noise,
    }
    return row, shown(samples[: config.n_shown])


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.5, ncols=5, sharey=False)
    words = {
        "neither": ("neither", "broken"),
        "noise": ("noise", "broken"),
        "pull": ("pull", "broken"),
        "cut": ("both, cut", "broken"),
        "all": ("all three", "model"),
    }
    for (name, (text, role)), ax in zip(words.items(), axes, strict=True):
        images = results[name]["images"]
        figures.image_grid(ax, images, levels=(0, 16), ncols=3, role=role)
        figures.panel_label(ax, text, role)
    return figure
