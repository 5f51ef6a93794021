"""Do the answers show that the measurement was taken in another way than believed?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor

from experiments._flagship import load_network
from experiments._judge import load_judge
from experiments.inverse._common import (
    SIDE,
    digit_gaussian,
    fitted_covariance,
    flat_matrix,
    gray,
    guided_draws,
    normal,
    transposed,
)
from fromnoise import figures
from fromnoise.datasets import digits
from fromnoise.linear_operators import Averaging, Blur, as_matrix
from fromnoise.samplers import uniform_times

needs = ("training/digits",)


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_images: int = 12
    n_draws: int = 5
    first: int = 140  # test images that no other experiment of the chapter has seen
    n_steps: int = 24
    noise_std: float = 0.1
    ridge: float = 0.1
    n_shown: int = 3


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_images=2, n_draws=2, n_steps=2, n_shown=2),
}
NAMES = {
    "right": "as believed",
    "dim": "half the light",
    "shifted": "one pixel lower",
    "turned": "lines and columns swapped",
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    network = load_network(needed["training/digits"]["weights"]["model"])
    judge = load_judge(needed["training/digits"]["weights"]["judge"])
    covariance = fitted_covariance(digit_gaussian(config.ridge))
    believed = flat_matrix(Averaging(2))
    taken = what_was_done(believed)
    rows: dict[str, list] = {name: [] for name in NAMES}
    images: dict = {}
    for seed in range(config.n_seeds):
        first = config.first + seed * config.n_images
        truth = data.test.images[first : first + config.n_images].flatten(1)
        labels = data.test.labels[first : first + config.n_images]
        noise = config.noise_std * normal((len(truth), len(believed)), 100 + seed)
        for name, measure in taken.items():
            y = measure(truth) + noise
            many = y.expand(config.n_draws, *y.shape).reshape(-1, y.shape[1])
            times = uniform_times(config.n_steps, 0.999)
            draws = guided_draws(
                network, believed, many, config.noise_std, covariance, times, 300 + seed
            )
            with torch.no_grad():
                read = judge(draws.reshape(-1, 1, SIDE, SIDE)).softmax(-1)
            right = labels.repeat(config.n_draws)
            misfit = ((many - draws @ believed.mT) / config.noise_std).square().mean().sqrt()
            rows[name].append(
                {
                    "misfit": float(misfit),
                    "confidence": float(read.amax(-1).mean()),
                    "accuracy": float((read.argmax(-1) == right).double().mean()),
                    "error": 8
                    * float((draws - truth.repeat(config.n_draws, 1)).square().mean().sqrt()),
                }
            )
            if seed == 0:
                few = draws.reshape(config.n_draws, -1, SIDE * SIDE)[:2]
                images[name] = [gray(few[:, i]) for i in range(config.n_shown)]
                images["truth"] = gray(truth[: config.n_shown])
    return {name: transposed(found) for name, found in rows.items()} | {"images": images}


def what_was_done(believed: Tensor) -> dict:
    """The camera as it is believed, and three that differ."""
    down = torch.zeros(3, 3, dtype=torch.float64)
    down[2, 1] = 1
    shift = as_matrix(Blur(down), (1, SIDE, SIDE)).float()

    def turned(x: Tensor) -> Tensor:
        return x.reshape(-1, SIDE, SIDE).mT.flatten(1) @ believed.mT

    return {
        "right": lambda x: x @ believed.mT,
        "dim": lambda x: ((x + 1) / 2 - 1) @ believed.mT,
        "shifted": lambda x: x @ shift.mT @ believed.mT,
        "turned": turned,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.3, ncols=2, sharey=False, width_ratios=(1.2, 1))
    images = results["images"]
    rows = [
        [images["truth"][i], images["right"][i][0], images["shifted"][i][0], images["turned"][i][0]]
        for i in range(len(images["truth"]))
    ]
    figures.image_grid(axes[0], rows, levels=(0, 16))
    figures.panel_label(axes[0], "truth, right, lower, swapped")
    names = list(reversed(NAMES))
    for key, role, text in (
        ("confidence", "model", "confidence"),
        ("accuracy", "broken", "right class"),
    ):
        values = [results[name][key]["mean"] for name in names]
        axes[1].plot(
            values, range(len(names)), figures.marker(role), color=figures.color(role), label=text
        )
    axes[1].set_yticks(
        range(len(names)), [NAMES[name].replace(" and ", "\nand ") for name in names]
    )
    axes[1].set(xlim=(-0.03, 1.03), xlabel="share")
    axes[1].legend(fontsize=8, loc="lower left", bbox_to_anchor=(-0.1, 1), ncols=2)
    return figure
