"""What does the time embedding carry, if the noise level can be read from the image as well?"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments._flagship import NULL, SCHEDULE, TARGET, digit_network
from experiments.lesions._common import first, over, small_networks
from fromnoise import figures
from fromnoise.datasets import Split, digits
from fromnoise.diffusion import perturb
from fromnoise.lesions import recorded
from fromnoise.networks import UNet
from fromnoise.probes import fit_probe

needs = ("lesions/blocks",)
LAYERS = {
    "first": "first",
    "down, fine": "down.0.0",
    "down, coarse": "down.1.0",
    "middle, in": "middle_in",
    "middle, out": "middle_out",
    "up, coarse": "up.1.0",
    "up, fine": "up.0.0",
}


@dataclass(frozen=True)
class Config:
    frozen: float = 0.5
    n_fit: int = 500
    n_read: int = 300
    penalty: float = 1.0
    log_snr: float = 6.0  # noise levels between e^-6 and e^6
    times: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    n_images: int = 200


SIZES = {"full": Config(), "smoke": Config(n_fit=60, n_read=30, n_images=20)}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    fit_images, read_images = first(data.train, config.n_fit), first(data.test, config.n_read)
    readings = {"told": [], "frozen": [], "untrained": []}
    losses = []
    for seed, network in enumerate(small_networks(needed)):
        untrained = digit_network(network.first.out_channels, seed=seed).eval()
        for kind, asked, told in (
            ("told", network, None),
            ("frozen", network, config.frozen),
            ("untrained", untrained, config.frozen),
        ):
            readings[kind].append(read(asked, fit_images, read_images, told, config))
        losses.append(told_losses(network, first(data.test, config.n_images), config))
    raw = read_pixels(fit_images, read_images, config)
    matrix = torch.stack(losses)
    ratio = matrix / matrix.diagonal(dim1=1, dim2=2)[:, :, None]
    n = len(config.times)
    return {
        "layers": list(LAYERS),
        "r2": {
            kind: {layer: over([row[i] for row in rows]) for i, layer in enumerate(LAYERS)}
            for kind, rows in readings.items()
        },
        "at": {
            kind: over([row[list(LAYERS).index("middle, out")] for row in rows])
            for kind, rows in readings.items()
        },
        "pixels": raw,
        "times": list(config.times),
        "told": [[over(ratio[:, i, j].tolist()) for j in range(n)] for i in range(n)],
        "near": over([float(row[n // 2 + 1, n // 2]) for row in ratio]),
        "noisy_called_clean": over([float(row[-1, 0]) for row in ratio]),
        "clean_called_noisy": over([float(row[0, -1]) for row in ratio]),
    }


def at_all_levels(split: Split, seed: int, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy images at log-SNRs spread evenly; the times, and the log-SNRs to be read."""
    generator = torch.Generator().manual_seed(seed)
    n = len(split.images)
    log_snr = config.log_snr * (2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1)
    t = SCHEDULE.time_at(log_snr).float()
    eps = torch.randn(split.images.shape, generator=generator)
    return perturb(split.images, eps, SCHEDULE(t)), t, log_snr.float()[:, None]


@torch.no_grad()
def read(
    network: UNet, fit_images: Split, read_images: Split, told: float | None, config: Config
) -> list[float]:
    """Share of the variance of the log-SNR read from each layer, on images the probe never saw."""
    found = []
    sets = []
    for split, seed in ((fit_images, 10), (read_images, 11)):
        x_t, t, log_snr = at_all_levels(split, seed, config)
        answer = t if told is None else torch.full_like(t, told)
        label = torch.full((len(t),), NULL)
        with ExitStack() as stack:
            activities = [stack.enter_context(recorded(network, m)) for m in LAYERS.values()]
            network(x_t, answer, label)
        features = [activity[0].mean((2, 3)) for activity in activities]
        sets.append((features, log_snr))
    for fit_on, held in zip(sets[0][0], sets[1][0], strict=True):
        probe = fit_probe(fit_on, sets[0][1], config.penalty)
        found.append(float(probe.r_squared(held, sets[1][1])))
    return found


def read_pixels(fit_images: Split, read_images: Split, config: Config) -> float:
    """The same probe on the noisy pixels themselves."""
    x_fit, _, y_fit = at_all_levels(fit_images, 10, config)
    x_read, _, y_read = at_all_levels(read_images, 11, config)
    probe = fit_probe(x_fit.flatten(1), y_fit, config.penalty)
    return float(probe.r_squared(x_read.flatten(1), y_read))


@torch.no_grad()
def told_losses(network: UNet, split: Split, config: Config) -> Tensor:
    """Error of the clean image, by true time (row) and by the time the network is told."""
    generator = torch.Generator().manual_seed(4)
    eps = torch.randn(split.images.shape, generator=generator)
    rows = []
    for true in config.times:
        t = torch.full((len(eps),), true)
        scales = SCHEDULE(t)
        x_t = perturb(split.images, eps, scales)
        row = []
        for told in config.times:
            output = network(x_t, torch.full_like(t, told), split.labels)
            row.append((output - TARGET.true(split.images, eps, scales)).square().mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def draw(results: dict) -> Figure:
    figure, (top, bottom) = figures.figure(5.6, nrows=2, sharex=False, height_ratios=[1, 1.1])
    names = {"told": "model", "frozen": "broken", "untrained": "muted"}
    texts = {"told": "told the time", "frozen": "told one half", "untrained": "untrained"}
    for kind, role in names.items():
        values = [results["r2"][kind][layer]["mean"] for layer in results["layers"]]
        (line,) = top.plot(values, **figures.line_style(role, marker=figures.marker(role)))
        top.text(
            0.05,
            {"told": 0.2, "frozen": 0.11, "untrained": 0.02}[kind] + 0.05,
            texts[kind],
            color=line.get_color(),
            transform=top.transAxes,
        )
    figures.sequence_axis(top, [layer.replace(", ", "\n") for layer in results["layers"]])
    top.set_ylim(-0.1, 1.05)
    figures.panel_label(top, "share of the log-SNR that a line reads")
    shades = figures.shades("model", len(results["times"]))
    for row, time, color in zip(results["told"], results["times"], shades, strict=True):
        values = [entry["mean"] for entry in row]
        (line,) = bottom.plot(results["times"], values, color=color, marker="o", linestyle="-")
        bottom.annotate(
            f"true {time:g}",
            (0.9, values[-1]),
            (6, {0.7: 8, 0.9: -5}.get(time, 0)),  # these two ends lie close
            textcoords="offset points",
            color=color,
            va="center",
        )
    bottom.set(xlabel="time the network is told", yscale="log", xlim=(0.06, 1.06))
    bottom.set_yticks([1, 2, 4], ["1", "2", "4"])
    bottom.minorticks_off()
    bottom.set_xticks(results["times"])
    figures.panel_label(bottom, "loss, as a multiple of the loss when told the truth")
    return figure
