"""Does EM climb the likelihood of PPCA on digits, touching it from below at every E-step?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.intervals import mean_interval
from fromnoise.linear_elbo import em_step, fit_linear_gaussian, linear_elbo, linear_posterior
from fromnoise.linear_gaussian import LinearGaussian


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_latents: int = 8
    n_rounds: int = 60
    n_shown: int = 6  # rounds drawn as a staircase


SIZES = {"full": Config(), "smoke": Config(seeds=(0, 1), n_rounds=8)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    x = digits().train.images.flatten(1).double().to(device)
    best = float(fit_linear_gaussian(x, config.n_latents).log_prob(x).mean())
    runs, rounds_needed, left_over = [], [], []
    for seed in config.seeds:
        model = start(x, config.n_latents, seed)
        stairs, climbed = [], []
        for _ in range(config.n_rounds):
            q = linear_posterior(model, x)
            touching = float(model.log_prob(x).mean())
            new = em_step(model, x)
            # The new model under the old q: the bound that the M-step has raised.
            stairs.append([touching, float(linear_elbo(new, x, q).mean())])
            model = new
            climbed.append(best - float(model.log_prob(x).mean()))
        rounds_needed.append(1 + next((i for i, c in enumerate(climbed) if c < 0.1), len(climbed)))
        left_over.append(climbed[-1])
        runs.append({"stairs": stairs[: config.n_shown], "below": climbed})
    return {
        "best": best,
        "runs": runs,
        "rounds_to_a_tenth_of_a_nat": mean_interval([float(n) for n in rounds_needed]),
        "left_over": {"mean": sum(left_over) / len(left_over), "worst": max(left_over)},
        "n_rounds": config.n_rounds,
    }


def start(x: torch.Tensor, n_latents: int, seed: int) -> LinearGaussian:
    """Small random loadings and the noise of the whole data."""
    generator = torch.Generator(x.device).manual_seed(seed)
    shape = (x.shape[1], n_latents)
    loadings = 0.1 * torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
    return LinearGaussian(loadings, x.mean(0), x.var(0).mean().sqrt())


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.9, ncols=2, sharey=False)
    stairs = results["runs"][0]["stairs"]
    for i, (touching, raised) in enumerate(stairs):
        left.plot([i, i], [touching, raised], "-", color=figures.color("model"))
        if i + 1 < len(stairs):
            left.plot([i, i + 1], [raised, stairs[i + 1][0]], ":", color=figures.color("ink"))
    left.plot(range(len(stairs)), [s[0] for s in stairs], "o", color=figures.color("ink"))
    left.plot(range(len(stairs)), [s[1] for s in stairs], "s", color=figures.color("model"))
    left.set_xlabel("round")
    left.set_ylabel("nats per image")
    (low, high), following = stairs[0], stairs[1][0]
    left.text(0.15, 0.5 * (low + high), "M: raise the bound", color=figures.color("model"))
    left.text(0.65, 0.6 * high + 0.4 * following, "E: close the gap", color=figures.color("ink"))
    for i, run in enumerate(results["runs"]):
        below = [max(b, 1e-13) for b in run["below"]]
        (line,) = right.plot(
            range(1, len(below) + 1), below, "-", color=figures.color("model"), linewidth=1
        )
        if i == 0:
            starts = f"{len(results['runs'])} starts"
            figures.label_line(line, starts, x=len(below) * 0.45, dy=10)
    right.set_yscale("log")
    right.set_xlabel("round")
    right.set_ylabel("nats below the closed form")
    return figure
