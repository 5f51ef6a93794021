"""How far below the truth is log p(x) when p(x|z) is averaged over draws from the prior?"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.information import gaussian_kl_divergence
from fromnoise.intervals import mean_interval
from fromnoise.linear_elbo import fit_linear_gaussian, linear_posterior, standard_normal


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_latents: tuple[int, ...] = (2, 8, 32)
    max_log2_draws: int = 14
    n_images: int = 10  # the first test image of each class
    chunk: int = 4096  # draws held in memory at once


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_latents=(2, 8), max_log2_draws=6)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train = data.train.images.flatten(1).double().to(device)
    first = [int((data.test.labels == c).nonzero()[0]) for c in range(config.n_images)]
    x = data.test.images[first].flatten(1).double().to(device)
    draws = [2**i for i in range(0, config.max_log2_draws + 1, 2)]
    models = {}
    for n_latents in config.n_latents:
        model = fit_linear_gaussian(train, n_latents)
        posterior = linear_posterior(model, x)
        truth = model.log_prob(x)
        per_seed = []
        for seed in config.seeds:
            generator = torch.Generator(device).manual_seed(seed)
            z = torch.randn(draws[-1], 1, n_latents, generator=generator, dtype=x.dtype)
            log_px_given_z = torch.cat(
                [model.log_px_given_z(x, part) for part in z.split(config.chunk)]
            )
            estimates = [log_px_given_z[:k].logsumexp(0) - math.log(k) for k in draws]
            per_seed.append([round(float((truth - e).mean()), 4) for e in estimates])
        kl = gaussian_kl_divergence(posterior, standard_normal(posterior))
        intervals = [mean_interval(column) for column in zip(*per_seed, strict=True)]
        models[f"latents_{n_latents}"] = {
            "log_px": float(truth.mean()),
            "kl_posterior_prior": float(kl.mean()),
            "missing": {f"draws_{k}": i for k, i in zip(draws, intervals, strict=True)},
            "per_seed": per_seed,
        }
    return {"draws": draws, "models": models}


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.9)
    names = list(results["models"])
    for name, shade in zip(names, figures.shades("model", len(names)), strict=True):
        model = results["models"][name]
        intervals = list(model["missing"].values())
        (line,) = ax.plot(
            results["draws"], [i["mean"] for i in intervals], "o-", color=shade, clip_on=False
        )
        ax.fill_between(
            results["draws"],
            [max(i["low"], 0) for i in intervals],
            [i["high"] for i in intervals],
            color=shade,
            alpha=0.2,
            linewidth=0,
        )
        figures.label_line(line, f"{name.split('_')[1]} latents", dx=8)
    ax.set_xscale("log", base=2)
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=-0.35)  # room under the curve that reaches zero
    ax.set_xlabel("draws from the prior")
    ax.set_ylabel("nats below log p(x)")
    return figure
