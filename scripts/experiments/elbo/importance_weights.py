"""How does the importance-weighted bound close with K, and what happens to its gradient?"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.elbo import diagonal_log_prob, iwae_bound, reparameterize
from fromnoise.gaussians import Gaussian
from fromnoise.intervals import mean_interval
from fromnoise.linear_elbo import fit_linear_gaussian, linear_posterior
from fromnoise.linear_gaussian import LinearGaussian


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_latents: int = 4
    n_images: int = 10  # the first test image of each class
    n_importance: tuple[int, ...] = (1, 4, 16, 64)
    n_repeats: int = 1000  # bounds and gradients per image
    off: float = 0.5  # how far q is moved from the posterior, in standard deviations
    wide: float = 1.5  # variance of q over the posterior's: above 1/2 the weights have a variance


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n_images=2, n_importance=(1, 4, 16), n_repeats=20),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    model = fit_linear_gaussian(data.train.images.flatten(1).double().to(device), config.n_latents)
    first = [int((data.test.labels == c).nonzero()[0]) for c in range(config.n_images)]
    x = data.test.images[first].flatten(1).double().to(device)
    posterior = linear_posterior(model, x)
    var = posterior.covariance.diagonal(dim1=-2, dim2=-1)
    q_log_var = (config.wide * var).log()
    gaps, encoder, decoder = [], [], []
    for seed in config.seeds:
        generator = torch.Generator(device).manual_seed(seed)
        step = torch.randn(posterior.mean.shape, generator=generator, dtype=x.dtype)
        # Equally far for every image, in a random direction.
        step = step / step.square().mean(-1, keepdim=True).sqrt()
        q_mean = posterior.mean + config.off * var.sqrt() * step
        rows = [
            measure(model, x, posterior, q_mean, q_log_var, k, config.n_repeats, generator)
            for k in config.n_importance
        ]
        for kept, row in zip((gaps, encoder, decoder), zip(*rows, strict=True), strict=True):
            kept.append(list(row))
    log_k = torch.tensor(config.n_importance, dtype=torch.float64).log()
    return {
        "n_importance": list(config.n_importance),
        "gap": by_k(config.n_importance, gaps),
        "encoder": by_k(config.n_importance, encoder),
        "decoder": by_k(config.n_importance, decoder),
        "encoder_slope": mean_interval([slope(log_k[1:], row[1:]) for row in encoder]),
        "decoder_slope": mean_interval([slope(log_k[1:], row[1:]) for row in decoder]),
        "gap_slope": mean_interval([slope(log_k[1:], row[1:]) for row in gaps]),
    }


def measure(
    model: LinearGaussian,
    x: Tensor,
    posterior: Gaussian,
    q_mean: Tensor,
    q_log_var: Tensor,
    n_importance: int,
    n_repeats: int,
    generator: torch.Generator,
) -> tuple[float, float, float]:
    """Gap in nats, and the signal-to-noise ratios of the gradients of encoder and decoder."""
    # One copy of each parameter per repeat, so that one backward pass gives all their gradients.
    copies = (n_repeats, *q_mean.shape)
    mean = q_mean.expand(copies).clone().requires_grad_()
    log_var = q_log_var.expand(copies).clone().requires_grad_()
    shift = torch.zeros(copies, dtype=x.dtype).requires_grad_()
    eps = torch.randn((n_importance, *copies), generator=generator, dtype=x.dtype)
    z = reparameterize(mean, log_var, eps)
    # log p(x, z) by Bayes' rule; `shift` moves the decoder's mean along its own columns.
    moved = posterior.log_prob(z) + decoder_change(model, x, z, shift)
    log_weights = model.log_prob(x) + moved - diagonal_log_prob(z, mean, log_var)
    bound = iwae_bound(log_weights)
    bound.sum().backward()
    gap = float((model.log_prob(x) - bound.detach()).mean())
    return gap, signal_to_noise(mean.grad), signal_to_noise(shift.grad)


def decoder_change(model: LinearGaussian, x: Tensor, z: Tensor, shift: Tensor) -> Tensor:
    """Change of log p(x|z) when the mean of the data moves by W times `shift`."""
    noise_var = model.noise_std.square()
    pull = (x - model.mean) @ model.loadings / noise_var
    stiffness = model.loadings.mT @ model.loadings / noise_var
    moved = z + shift
    change = (pull * shift).sum(-1)
    return change - 0.5 * (((moved @ stiffness) * moved) - ((z @ stiffness) * z)).sum(-1)


def signal_to_noise(gradient: Tensor | None) -> float:
    """Mean over standard deviation across repeats, root mean square over parameters."""
    assert gradient is not None
    mean, std = gradient.mean(0), gradient.std(0)
    # The square of a mean of n draws is too large by its own variance.
    squared = (mean.square() - std.square() / len(gradient)).sum() / std.square().sum()
    return math.sqrt(max(float(squared), 0.0))


def slope(log_k: Tensor, values: list[float]) -> float:
    """Least-squares exponent of K."""
    y = torch.tensor(values, dtype=torch.float64).clamp(min=1e-6).log()
    dx, dy = log_k - log_k.mean(), y - y.mean()
    return float((dx * dy).sum() / dx.square().sum())


def by_k(n_importance: tuple[int, ...], rows: list[list[float]]) -> dict:
    columns = zip(n_importance, zip(*rows, strict=True), strict=True)
    return {f"k{k}": {**mean_interval(list(c)), "per_seed": list(c)} for k, c in columns}


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.9, ncols=2, sharey=False)
    ks = results["n_importance"]
    for ax, key, role, name in (
        (left, "gap", "broken", "gap"),
        (right, "encoder", "broken", "of q"),
        (right, "decoder", "model", "of the model"),
    ):
        found = [results[key][f"k{k}"] for k in ks]
        (line,) = ax.plot(
            ks, [f["mean"] for f in found], marker=figures.marker(role), **figures.line_style(role)
        )
        low, high = ([max(f[end], 1e-4) for f in found] for end in ("low", "high"))
        ax.fill_between(ks, low, high, color=figures.color(role), alpha=0.2, linewidth=0)
        if ax is right:
            figures.label_line(line, name, x=ks[1], dy=22 if role == "model" else -16, dx=-14)
        ax.set_xscale("log")
        ax.set_xticks(ks, [str(k) for k in ks])
        ax.minorticks_off()
        ax.set_yscale("log")
        ax.set_xlabel("importance samples K")
    left.set_ylabel("log p(x) minus the bound, nats")
    right.set_ylabel("signal to noise of the gradient")
    return figure
