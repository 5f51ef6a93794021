"""What does noise in the very last step do to digits?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments._flagship import SCHEDULE, TARGET, load_network
from experiments._judge import load_judge
from experiments.samplers._common import line, over, ticks
from experiments.training._common import draw_digits, judge_for
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.denoising import as_denoiser
from fromnoise.diffusion import posterior
from fromnoise.samplers import ancestral_step, uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_samples: int = 300
    n_splits: int = 30
    n_steps: tuple[int, ...] = (4, 8, 16)
    n_images: int = 10


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), n_samples=20, n_splits=2, n_steps=(2, 4)),
}


def unsnapped(images: Tensor) -> Tensor:
    """Images as the sampler left them: rounding to gray levels would hide a little noise."""
    return images


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    network = load_network(needed["training/digits"]["weights"]["model"])
    data = digits()
    # Pixels that no training image inks: whatever is there was put there by the sampler.
    blank = (data.train.images == -1).all(0)
    classifier = load_judge(needed["training/digits"]["weights"]["judge"])
    judge = judge_for(data, config.n_samples, classifier, config.n_splits)
    ask = as_denoiser(network, SCHEDULE, TARGET, torch.arange(config.n_samples) % 10)
    results: dict = {"n_steps": list(config.n_steps), "floor": judge.floor, "size": {}}
    results.update({"whole": {}, "noisy": {}, "images": {}, "n_blank": int(blank.sum())})
    for n in config.n_steps:
        times = uniform_times(n)
        found: dict[str, list[float]] = {"whole": [], "noisy": []}
        specks: dict[str, list[float]] = {"whole": [], "noisy": []}
        for seed in config.seeds:
            images = draw_digits(
                ask, config.n_samples, times, seed, step=ancestral_step, snap=unsnapped
            )
            # The noise that the step before the last one draws.
            _, var = posterior(images, images, SCHEDULE(times[-3]), SCHEDULE(times[-2]))
            results["size"][f"steps_{n}"] = float(var.sqrt())
            generator = torch.Generator().manual_seed(1000 + seed)
            fresh = torch.randn(images.shape, generator=generator)
            for name, x in (("whole", images), ("noisy", images + var.sqrt().float() * fresh)):
                found[name].append(judge.frechet(x))
                specks[name].append(float((x[:, blank] + 1).square().mean().sqrt()))
                if seed == config.seeds[0] and n == config.n_steps[0]:
                    gray = (x[: config.n_images].reshape(-1, 8, 8).clamp(-1, 1) + 1) * 8
                    results["images"][name] = gray.round(decimals=1).tolist()
        for name, values in found.items():
            results[name][f"steps_{n}"] = {"frechet": over(values), "specks": over(specks[name])}
    return results


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.2, ncols=2, sharey=False, width_ratios=[1.3, 1])
    shown = [results["images"][name] for name in ("whole", "noisy")]
    figures.image_grid(left, shown, levels=(0, 16), role="model")
    figures.panel_label(left, f"{results['n_steps'][0]} steps: as it is, and with noise")
    for name, role, text, dy in (
        ("noisy", "broken", "noise at the end", 8),
        ("whole", "model", "ancestral", 9),
    ):
        rows = [results[name][f"steps_{n}"]["specks"] for n in results["n_steps"]]
        drawn = line(right, results["n_steps"], rows, role)
        figures.label_line(drawn, text, x=results["n_steps"][-2], dx=-20, dy=dy)
    ticks(right, results["n_steps"])
    right.set(xlabel="steps")
    figures.panel_label(right, "deviation on blank pixels")
    return figure
