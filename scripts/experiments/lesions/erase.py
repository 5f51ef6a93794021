"""Does the network use what a probe reads: what is lost when the probed directions are erased?"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from experiments.lesions._common import activity, first, loss_of, over, small_networks
from fromnoise import figures
from fromnoise.datasets import Split, digits
from fromnoise.erasure import class_directions, erased
from fromnoise.lesions import Lesion, lesioned
from fromnoise.networks import UNet
from fromnoise.probes import fit_probe

needs = ("lesions/blocks",)
# The trunk of the network from the bottleneck on: what stands here can only act through here.
# `down.1.0` feeds the bottleneck and the coarse skip; `first` has the least to say of a digit.
LAYERS = {
    "down, fine": "down.0.0",
    "down, coarse": "down.1.0",
    "middle, out": "middle_out",
    "up, coarse": "up.1.0",
    "up, fine": "up.0.0",
}


@dataclass(frozen=True)
class Config:
    time: float = 0.5
    n_recorded: int = 600
    n_images: int = 300
    penalty: float = 100.0  # hundreds of features, hundreds of images
    n_controls: int = 4


SIZES = {"full": Config(), "smoke": Config(n_recorded=80, n_images=40, n_controls=2)}
MEASURES = ("read", "read_erased", "loss", "control", "control_read", "share", "control_share")


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    fit_images, images = first(data.train, config.n_recorded), first(data.test, config.n_images)
    rows = [
        {
            layer: measured(net, module, fit_images, images, config)
            for layer, module in LAYERS.items()
        }
        for net in small_networks(needed)
    ]
    return {
        "layers": list(LAYERS),
        "layer": {
            layer.replace(", ", "_"): {
                key: over([row[layer][key] for row in rows]) for key in MEASURES
            }
            for layer in LAYERS
        },
    }


def flat(activity_: Tensor) -> Tensor:
    """Every channel at every place is a feature of its own."""
    return activity_.flatten(1)


@torch.no_grad()
def measured(network: UNet, module: str, fit_images: Split, images: Split, config: Config) -> dict:
    """Read, erase, read again; and what the loss gains, against random directions as many."""
    fit_on = flat(activity(network, module, fit_images, config.time, 30, told=False))
    held = flat(activity(network, module, images, config.time, 31, told=False))
    center = fit_on.mean(0)
    basis = class_directions(fit_on, fit_images.labels)
    generator = torch.Generator().manual_seed(32)
    loss, t = loss_of(network, images, seed=33, told=False), torch.tensor(config.time)
    whole = loss(t).mean()

    def read(q: Tensor | None) -> float:
        """Accuracy of a new probe, fitted after the erasure."""
        parts = [a if q is None else erased(a, q, center) for a in (fit_on, held)]
        probe = fit_probe(parts[0], F.one_hot(fit_images.labels, 10).float(), config.penalty)
        return float((probe(parts[1]).argmax(1) == images.labels).double().mean())

    def harm(q: Tensor) -> float:
        """What the loss gains, as a share of the loss of the whole."""
        with lesioned(
            network, Lesion(module, lambda a: erased(flat(a), q, center).reshape(a.shape))
        ):
            return float(loss(t).mean() / whole - 1)

    def share(q: Tensor) -> float:
        """Share of the activity's variance that is erased."""
        centered = held - center
        return float((centered @ q).square().sum() / centered.square().sum())

    # The control is of the same make: directions between the means of classes given by lot.
    by_lot = [
        fit_images.labels[torch.randperm(len(fit_images.labels), generator=generator)]
        for _ in range(config.n_controls)
    ]
    random = [class_directions(fit_on, labels) for labels in by_lot]
    mean = lambda values: float(torch.tensor(values).mean())  # noqa: E731
    return {
        "read": read(None),
        "read_erased": read(basis),
        "loss": harm(basis),
        "control": mean([harm(q) for q in random]),
        "control_read": mean([read(q) for q in random]),
        "share": share(basis),
        "control_share": mean([share(q) for q in random]),
    }


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(3.2, ncols=2, sharey=False)
    names = [layer.replace(", ", "\n") for layer in results["layers"]]
    rows = [results["layer"][layer.replace(", ", "_")] for layer in results["layers"]]
    for ax, kinds in (
        (left, (("read", "model"), ("read_erased", "broken"), ("control_read", "muted"))),
        (right, (("loss", "broken"), ("control", "muted"))),
    ):
        for key, role in kinds:
            values = [row[key] for row in rows]
            ax.errorbar(
                range(len(values)),
                [v["mean"] for v in values],
                [[v["mean"] - v["low"] for v in values], [v["high"] - v["mean"] for v in values]],
                **figures.line_style(role, marker=figures.marker(role)),
            )
        figures.sequence_axis(ax, names)
    left.set_ylim(0, 1)
    figures.panel_label(left, "digit read by a new probe")
    figures.panel_label(right, "rise of the loss, as a share")
    for x, y, text, role in (
        (0.03, 0.92, "whole", "model"),
        (0.30, 0.92, "erased", "broken"),
        (0.60, 0.92, "by lot", "muted"),
    ):
        left.text(x, y, text, color=figures.color(role), transform=left.transAxes)
    return figure
