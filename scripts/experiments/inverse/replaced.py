"""Does replacement inpainting fit what it fills in to what was known?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from experiments.inverse._common import line_prior, normal, over, transposed
from fromnoise import figures
from fromnoise.gaussians import Gaussian
from fromnoise.inverse import linear_posterior, replacement_moments
from fromnoise.oracles import denoiser
from fromnoise.samplers import uniform_times
from fromnoise.schedules import Cosine


@dataclass(frozen=True)
class Config:
    n_seeds: int = 6  # signals, each with its own left half
    length: int = 32
    steps: tuple[int, ...] = (25, 50, 100, 200, 400)
    repeats: tuple[int, ...] = (1, 2, 5, 10, 20)
    n_steps: int = 100  # of the walks that are repeated


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, length=8, steps=(10, 20), repeats=(1, 2), n_steps=10),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    prior, schedule, n = line_prior(config.length), Cosine(), config.length
    mask = torch.arange(n) < n // 2
    matrix = torch.eye(n, dtype=torch.float64)[: n // 2]
    estimate = denoiser(prior, schedule)
    rows: dict[str, list[dict]] = {}
    drawn: dict = {}
    for seed in range(config.n_seeds):
        x = prior.sample(1, torch.Generator().manual_seed(seed))[0]
        # Noise of a ten thousandth: the known entries are known.
        exact = linear_posterior(prior, matrix, x[mask], 1e-4)
        walks = {f"steps{k}": (k, 1) for k in config.steps}
        walks |= {f"repeats{k}": (config.n_steps, k) for k in config.repeats}
        for name, (n_steps, repeats) in walks.items():
            times = uniform_times(n_steps)
            mean, cov = replacement_moments(estimate, schedule, times, mask, x, repeats)
            rows.setdefault(name, []).append(held_against(exact, mean, cov, mask))
            if seed == 0 and name in (f"steps{config.n_steps}", "repeats1", "repeats20"):
                drawn[name] = band(mean, cov)
        if seed == 0:
            drawn["exact"] = band(exact.mean, exact.covariance)
            drawn["truth"] = x.tolist()
            drawn["example"] = example(mean_of(estimate, schedule, mask, x, config), mask)
    return {name: transposed(found) for name, found in rows.items()} | {
        "drawn": drawn,
        "steps": list(config.steps),
        "repeats": list(config.repeats),
        "exact_jump": over([row["exact_jump"] for row in rows[f"steps{config.steps[0]}"]]),
    }


def mean_of(estimate, schedule, mask: Tensor, x: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    return replacement_moments(estimate, schedule, uniform_times(config.n_steps), mask, x)


def example(moments: tuple[Tensor, Tensor], mask: Tensor, n: int = 3) -> list:
    """A few draws of the hidden entries from the exact moments of the sampler."""
    mean, cov = moments
    hidden = ~mask
    size = int(hidden.sum())
    eye = 1e-12 * torch.eye(size, dtype=cov.dtype)
    root = torch.linalg.cholesky(cov[hidden][:, hidden] + eye)
    return (mean[hidden] + normal((n, size), 1, cov.dtype) @ root.mT).tolist()


def band(mean: Tensor, cov: Tensor) -> dict[str, list[float]]:
    return {"mean": mean.tolist(), "std": cov.diagonal().clamp(min=0).sqrt().tolist()}


def held_against(exact: Gaussian, mean: Tensor, cov: Tensor, mask: Tensor) -> dict[str, float]:
    """Jump over the border, error of the mean, and spread, next to those of the posterior."""
    hidden, first = ~mask, int(mask.sum())
    std = exact.covariance.diagonal().sqrt()
    jump, right = (root_mean_jump(m, c, first) for m, c in ((mean, cov), _parts(exact)))
    gap = ((mean - exact.mean) / std)[hidden].square().mean().sqrt()
    return {
        "jump": jump / right,
        "exact_jump": right,
        "mean_gap": float(gap),
        "spread": float((cov.diagonal()[hidden].sum() / std[hidden].square().sum()).sqrt()),
        "first_spread": float(cov[first, first].sqrt() / std[first]),
    }


def _parts(exact: Gaussian) -> tuple[Tensor, Tensor]:
    return exact.mean, exact.covariance


def root_mean_jump(mean: Tensor, cov: Tensor, first: int) -> float:
    """Root of the mean square of the first hidden entry less the last known one."""
    last = first - 1
    var = cov[first, first] + cov[last, last] - 2 * cov[first, last]
    return float(((mean[first] - mean[last]).square() + var).sqrt())


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, right) = figures.figure(2.7, ncols=2, sharey=False, width_ratios=(1.35, 1))
    drawn = results["drawn"]
    n = len(drawn["truth"])
    place = range(n)
    hidden = list(range(n // 2, n))
    for name, role, text in (("exact", "data", "posterior"), ("repeats1", "broken", "replacement")):
        mean, std = (drawn[name][part] for part in ("mean", "std"))
        low = [mean[i] - std[i] for i in hidden]
        high = [mean[i] + std[i] for i in hidden]
        left.fill_between(hidden, low, high, color=figures.color(role), alpha=0.22, linewidth=0)
        left.plot(hidden, [mean[i] for i in hidden], **figures.line_style(role), label=text)
    known = [drawn["truth"][i] for i in range(n // 2)]
    left.plot(list(place)[: n // 2], known, "o", color=figures.color("ink"), ms=3, label="known")
    left.set(xlabel="place on the line", ylabel="value")
    left.legend(fontsize=8)
    for kind, role, text in (("steps", "broken", "more steps"), ("repeats", "model", "repeats")):
        xs = results[kind]
        ys = [results[f"{kind}{k}"]["first_spread"]["mean"] for k in xs]
        right.plot(xs, ys, **figures.line_style(role), marker=figures.marker(role), label=text)
    right.axhline(1, color=figures.color("data"), linewidth=1)
    right.set(xscale="log", xlabel="number", ylabel="spread at the border")
    right.set_xticks([1, 10, 100], ["1", "10", "100"])
    right.minorticks_off()
    right.legend(fontsize=8)
    return figure
