"""Does the flow's likelihood find a known density, and what do random directions cost?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.sde._common import (
    LEVEL_WIDTH,
    N_DIMS,
    SCHEDULE,
    digit_mixture,
    exact_score,
    over_seeds,
    spread_digits,
)
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.diffusion import simple_loss
from fromnoise.flow_likelihood import hutchinson, log_likelihood, noise_log_prob
from fromnoise.information import bits_per_dim
from fromnoise.networks import MLP
from fromnoise.schedules import Schedule
from fromnoise.score import TimeScore, denoiser_score, jacobian_trace, rademacher_like
from fromnoise.targets import PredictV
from fromnoise.training import TrainingSettings, train


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_images: int = 16
    n_steps: int = 30
    coarse: tuple[int, ...] = (5, 10, 20)
    n_directions: int = 16
    n_training_steps: int = 1600
    width: int = 128
    n_test: int = 60
    # The ends in log-SNR: at the clean end the noise is a third of the spread of a gray level.
    log_snr_max: float = 9.0
    log_snr_min: float = -9.5


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2, n_images=3, n_steps=2, coarse=(1,), n_directions=2, n_training_steps=3,
        width=16, n_test=4,
    ),
}  # fmt: skip
TARGET = PredictV()


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    return known(config) | {"learned": learned(config, workdir)}


def grid(n_steps: int, config: Config) -> Tensor:
    ends = (config.log_snr_max, config.log_snr_min)
    return SCHEDULE.time_at(torch.linspace(*ends, n_steps + 1, dtype=torch.float64))


def bits(log_prob: Tensor) -> Tensor:
    return bits_per_dim(-log_prob, N_DIMS, LEVEL_WIDTH)


def known(config: Config) -> dict:
    """The exact score of ten Gaussians: every number on the left has its truth on the right."""
    generator = torch.Generator().manual_seed(config.seed)
    mixture = digit_mixture()
    times = grid(config.n_steps, config)
    first = mixture.noised(SCHEDULE(times[0]))
    x = first.sample(config.n_images, generator)
    score = exact_score(mixture, SCHEDULE)
    truth = bits(first.log_prob(x))

    def flow(divergence=jacobian_trace, times: Tensor = times) -> Tensor:
        end = mixture.noised(SCHEDULE(times[-1])).log_prob
        return bits(log_likelihood(score, SCHEDULE, x, times, end, divergence))

    def forgotten(field, x: Tensor) -> tuple[Tensor, Tensor]:
        return field(x), torch.zeros(len(x), dtype=x.dtype)

    exact, without = flow(), flow(forgotten)
    slices = torch.stack(
        [flow(hutchinson(rademacher_like(x, generator))) for _ in range(config.n_directions)]
    )
    error = slices - exact
    counts = [m for m in (1, 2, 4, 8, 16) if m <= config.n_directions]
    grouped = [float(error.reshape(-1, m, len(x)).mean(1).square().mean().sqrt()) for m in counts]
    return {
        "truth": [round(float(b), 5) for b in truth],
        "flow": [round(float(b), 5) for b in exact],
        "without": [round(float(b), 5) for b in without],
        "largest_error": float((exact - truth).abs().max()),
        "mean_truth": float(truth.mean()),
        "missing": float((without - truth).mean()),
        "directions": {"n": counts, "error": grouped},
        "one_direction": grouped[0],
        "bias": over_seeds(error.mean(1).tolist()),
        "steps": {
            str(n): float((flow(times=grid(n, config)) - truth).abs().mean()) for n in config.coarse
        },
    }


def learned(config: Config, workdir: Path) -> dict:
    """A small network on real digits, beside the ten Gaussians, on images neither has seen."""
    data = digits()
    found: dict[str, list[float]] = {
        name: [] for name in ("network", "gaussians", "sliced", "image_spread")
    }
    times = grid(config.n_steps, config)
    for seed in range(config.seed, config.seed + config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        x_train = spread_digits(data.train, generator)
        test = spread_digits(data.test, generator)[: config.n_test]
        settings = TrainingSettings(n_steps=config.n_training_steps, batch_size=128, seed=seed)
        network = train(
            MLP(N_DIMS, config.width, seed=seed), loss, (x_train.float(),), settings,
            folder=workdir / f"seed-{seed}",
        ).network  # fmt: skip
        score = learned_score(network, SCHEDULE)
        end = noise_log_prob(SCHEDULE, times[-1])
        x = test.float()
        exact = bits(log_likelihood(score, SCHEDULE, x, times, end).double())
        direction = hutchinson(rademacher_like(x, generator))
        sliced = bits(log_likelihood(score, SCHEDULE, x, times, end, direction).double())
        found["network"].append(float(exact.mean()))
        found["sliced"].append(float(sliced.mean()))
        found["image_spread"].append(float((sliced - exact).std()))
        at = digit_mixture(seed).noised(SCHEDULE(times[0]))
        found["gaussians"].append(float(bits(at.log_prob(test)).mean()))
    return {name: over_seeds(values) for name, values in found.items()}


def loss(network: nn.Module, batch: tuple, generator: torch.Generator) -> Tensor:
    x_0 = batch[0]
    # Even in log-SNR: the likelihood pays for every noise level alike.
    low, high = SCHEDULE(torch.tensor([1.0, 1e-4], dtype=torch.float64)).log_snr_t.tolist()
    t = SCHEDULE.time_at(low + (high - low) * torch.rand(len(x_0), generator=generator).double())
    eps = torch.randn(x_0.shape, generator=generator)
    return simple_loss(network, TARGET, SCHEDULE, x_0, t.float(), eps).mean()


def learned_score(network: nn.Module, schedule: Schedule) -> TimeScore:
    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return TARGET.x_0_hat(network(x_t, t), x_t, schedule(t))

    return denoiser_score(denoise, schedule)


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.7, ncols=2, sharey=False)
    truth = results["truth"]
    low, high = min(truth) - 0.1, max(truth) + 0.1
    left.plot([low, high], [low, high], color=figures.color("muted"), lw=0.8)
    for name, role in (("flow", "model"), ("without", "broken")):
        left.plot(truth, results[name], figures.marker(role), color=figures.color(role), ms=4)
    left.set(xlabel="true density, bits per pixel")
    figures.panel_label(left, "the flow's, bits per pixel")
    found = results["directions"]
    right.loglog(
        found["n"], found["error"], marker=figures.marker("ink"), **figures.line_style("ink")
    )
    right.loglog(
        found["n"], [found["error"][0] / m**0.5 for m in found["n"]],
        **figures.line_style("muted", lw=1),
    )  # fmt: skip
    right.set(xlabel="random directions", xticks=found["n"])
    right.set_xticklabels([str(m) for m in found["n"]])
    right.minorticks_off()
    figures.panel_label(right, "their error, bits per pixel")
    return figure
