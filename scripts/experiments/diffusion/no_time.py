"""What does a denoiser lose that is not told how much noise there is?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch

from experiments.diffusion._common import SCHEDULE, TARGET, digit_mixture, over_seeds
from fromnoise import figures
from fromnoise.diffusion import perturb
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import optimal_prediction

needs = ("diffusion/digits",)


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_seeds: int = 3
    n_times: int = 24
    n_points: int = 40


SIZES = {"full": Config(), "smoke": Config(n_seeds=2, n_times=4, n_points=4)}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]).double()
    worlds = {"plane": GaussianMixture.isotropic(corners, 0.15), "digits": digit_mixture()}
    results = {"exact": {}}
    for name, mixture in worlds.items():
        seeds = range(config.seed, config.seed + config.n_seeds)
        results["exact"][name] = over_seeds([excess(mixture, config, seed) for seed in seeds])
    trained = needed["diffusion/digits"]
    for name in ("whole", "no_time"):
        kept = ("images", "bound", "frechet", "curve")
        results[name] = {key: trained[name][key] for key in kept}
    results["bits_lost"] = trained["no_time"]["bound"]["mean"] - trained["whole"]["bound"]["mean"]
    return results


def excess(mixture: GaussianMixture, config: Config, seed: int) -> float:
    """Loss of the best denoiser that must guess t, over the loss of the best that is told."""
    generator = torch.Generator().manual_seed(seed)
    times = (torch.arange(config.n_times, dtype=torch.float64) + 0.5) / config.n_times
    blind_loss = told_loss = 0.0
    for t in times:
        scales = SCHEDULE(t.expand(config.n_points))
        x_0 = mixture.sample(config.n_points, generator)
        eps = torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
        x_t = perturb(x_0, eps, scales)
        true = TARGET.true(x_0, eps, scales)
        log_probs, guesses = [], []
        for other in times:
            at = SCHEDULE(other.expand(config.n_points))
            log_probs.append(mixture.noised(at).log_prob(x_t))
            guesses.append(optimal_prediction(mixture, TARGET, x_t, at))
        belief = torch.stack(log_probs).softmax(0)[..., None]
        blind = (belief * torch.stack(guesses)).sum(0)
        told = optimal_prediction(mixture, TARGET, x_t, scales)
        blind_loss += (true - blind).square().sum().item()
        told_loss += (true - told).square().sum().item()
    return blind_loss / told_loss


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, (left, middle, right) = figures.figure(
        2.2, ncols=3, sharey=False, width_ratios=[1, 1, 1.25]
    )
    for ax, name, role, text in (
        (left, "whole", "model", "told t"),
        (middle, "no_time", "broken", "not told t"),
    ):
        figures.image_grid(ax, results[name]["images"][:20], levels=(0, 16), ncols=5, role=role)
        figures.panel_label(ax, text, role)
        found = results[name]["curve"]
        right.plot(found["log_snr"], found["mean"], **figures.line_style(role))
    right.set(xlabel="log-SNR", ylim=(0, None), xlim=(-6, 6))
    figures.panel_label(right, "cost by noise level")
    return figure
