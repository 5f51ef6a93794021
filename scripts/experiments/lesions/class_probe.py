"""Where can a line read the digit, and how much of that could it have learned by heart?"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from experiments._flagship import NULL, digit_network
from experiments.lesions._common import first, noisy, over, small_networks
from fromnoise import figures
from fromnoise.datasets import Split, digits
from fromnoise.lesions import recorded
from fromnoise.networks import UNet
from fromnoise.probes import fit_probe

needs = ("lesions/blocks",)
LAYERS = {
    "down, fine": "down.0.0",
    "down, coarse": "down.1.0",
    "middle, out": "middle_out",
    "up, coarse": "up.1.0",
    "up, fine": "up.0.0",
}


@dataclass(frozen=True)
class Config:
    n_images: int = 600
    n_held: int = 300
    penalty: float = 10.0
    times: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)


SIZES = {"full": Config(), "smoke": Config(n_images=60, n_held=40, times=(0.1, 0.9))}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    fit_images, held = first(data.train, config.n_images), first(data.test, config.n_held)
    rows: dict[str, list] = {"trained": [], "untrained": []}
    for seed, network in enumerate(small_networks(needed)):
        untrained = digit_network(network.first.out_channels, seed=seed).eval()
        for kind, asked in (("trained", network), ("untrained", untrained)):
            by_time = [of_layers(asked, t, fit_images, held, config) for t in config.times]
            rows[kind].append(list(zip(*by_time, strict=True)))
    pixels = [of_pixels(t, fit_images, held, config) for t in config.times]

    def table(kind: str, key: str) -> dict:
        return {
            layer: [over([net[i][j][key] for net in rows[kind]]) for j in range(len(config.times))]
            for i, layer in enumerate(LAYERS)
        }

    measures = ("held", "same", "control", "selectivity")
    tables = {kind: {key: table(kind, key) for key in measures} for kind in rows}
    middle = len(config.times) // 2
    return {
        "layers": list(LAYERS),
        "times": list(config.times),
        **tables,
        "at": {
            kind: {
                key: {named(layer): tables[kind][key][layer][middle] for layer in LAYERS}
                for key in measures
            }
            for kind in rows
        },
        "pixels": pixels,
        "pixels_middle": pixels[middle],
    }


def named(layer: str) -> str:
    """The key of a layer."""
    return layer.replace(", ", "_")


@torch.no_grad()
def features(network: UNet, split: Split, t: float, seed: int) -> list[Tensor]:
    """Activities of each layer on four quarters of the image, of a network not told the class."""
    x_t, _, times = noisy(split, t, seed)
    with ExitStack() as stack:
        found = [stack.enter_context(recorded(network, module)) for module in LAYERS.values()]
        network(x_t, times, torch.full_like(split.labels, NULL))
    return [F.adaptive_avg_pool2d(activity[0], 2).flatten(1) for activity in found]


def of_layers(
    network: UNet, t: float, fit_images: Split, held: Split, config: Config
) -> list[dict]:
    """The probes of every layer at one time."""
    sets = [
        features(network, split, t, seed)
        for split, seed in ((fit_images, 20), (fit_images, 21), (held, 22))
    ]
    return [
        probe_all(*layer, fit_images.labels, held.labels, config)
        for layer in zip(*sets, strict=True)
    ]


def of_pixels(t: float, fit_images: Split, held: Split, config: Config) -> dict:
    """The same probe on the noisy pixels."""
    sets = [
        noisy(split, t, seed)[0].flatten(1)
        for split, seed in ((fit_images, 20), (fit_images, 21), (held, 22))
    ]
    return probe_all(*sets, fit_images.labels, held.labels, config)


def probe_all(fit_on, again, new, labels, held_labels, config: Config) -> dict:
    """Accuracy on new images; on the same images under new noise; and of the control task there.

    The control task gives each image a class by lot. There is nothing to read, only to keep.
    """
    lot = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(9))]

    def accuracy(targets: Tensor, asked: Tensor, wanted: Tensor) -> float:
        probe = fit_probe(fit_on, F.one_hot(targets, 10).float(), config.penalty)
        return float((probe(asked).argmax(1) == wanted).double().mean())

    same, control = accuracy(labels, again, labels), accuracy(lot, again, lot)
    return {
        "held": accuracy(labels, new, held_labels),
        "same": same,
        "control": control,
        "selectivity": same - control,
    }


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(3.2, ncols=2, sharey=True)
    layers = ("down, fine", "middle, out", "up, fine")
    # Three layers of one model: one color, told apart by dashes and markers.
    for layer, role in zip(layers, ("data", "model", "broken"), strict=True):
        values = [entry["mean"] for entry in results["trained"]["held"][layer]]
        style = figures.line_style(role, color=figures.color("model"))
        left.plot(results["times"], values, marker=figures.marker(role), label=layer, **style)
    pixels = [entry["held"] for entry in results["pixels"]]
    left.plot(results["times"], pixels, label="pixels", **figures.line_style("muted"))
    left.legend(loc="lower left")
    left.set(xlabel="time t", ylim=(0, 1.02))
    figures.panel_label(left, "digit read, new images")
    for kind, role, text in (
        ("same", "model", "digit"),
        ("control", "muted", "label by lot"),
    ):
        values = [results["at"]["trained"][kind][k.replace(", ", "_")] for k in results["layers"]]
        right.errorbar(
            range(len(values)),
            [v["mean"] for v in values],
            [[v["mean"] - v["low"] for v in values], [v["high"] - v["mean"] for v in values]],
            **figures.line_style(role, marker=figures.marker(role)),
        )
        right.text(0.0, values[0]["mean"] + 0.08, text, color=figures.color(role))
    figures.sequence_axis(right, [layer.replace(", ", "\n") for layer in results["layers"]])
    figures.panel_label(right, "same images, new noise")
    return figure
