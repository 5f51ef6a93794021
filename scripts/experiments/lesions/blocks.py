"""Which part of the network matters at which noise level, and which skip connection?"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from experiments._flagship import load_network, save_network
from experiments.lesions._common import (
    PARTS,
    SKIPS,
    activity,
    first,
    fitted,
    lesion,
    loss_of,
    over,
    place,
)
from fromnoise import figures
from fromnoise.datasets import Splits, digits
from fromnoise.lesions import lesioned, resample, to_mean, zero
from fromnoise.networks import UNet

needs = ("training/digits",)
publishes = ("net0", "net1", "net2")


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    channels: int = 16
    n_steps: int = 220  # the small recipe of training/breaks: a few seconds each
    times: tuple[float, ...] = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.98)
    n_recorded: int = 150
    n_images: int = 150
    n_controls: int = 3
    n_exchanges: int = 2  # a resample lesion is random: average a few


SIZES = {
    "full": Config(),
    "smoke": Config(
        channels=8,
        n_steps=12,
        times=(0.1, 0.5, 0.9),
        n_recorded=20,
        n_images=20,
        n_controls=2,
        n_exchanges=1,
    ),
}
NAMES = (*PARTS, *SKIPS)


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    networks = {}
    for seed in range(config.n_seeds):
        network = fitted(seed, config.channels, config.n_steps, data, workdir / str(seed))
        save_network(network, config.channels, workdir / f"net{seed}.safetensors")
        networks[f"net{seed}"] = network
    networks["flagship"] = load_network(needed["training/digits"]["weights"]["model"])
    maps, both, controls, wholes, others = {}, {}, {}, {}, {}
    for name, network in networks.items():
        maps[name], both[name], controls[name], wholes[name] = measured(network, data, config)
        others[name] = otherwise(network, data, wholes[name], config)
    small = list(networks)[: config.n_seeds]
    pairs = list(combinations(small, 2))
    ranks = [correlation(maps[a], maps[b]) for a, b in pairs]
    rows = {part: i for i, part in enumerate(NAMES)}
    early, late = 0, len(config.times) - 1

    def entry(part: str, column: int) -> dict:
        return over([maps[name][rows[part]][column].item() for name in small])

    return {
        "times": list(config.times),
        "parts": list(NAMES),
        "maps": {name: table(values) for name, values in maps.items()},
        "mean_map": table(torch.stack([maps[name] for name in small]).mean(0)),
        "both_skips": {name: table(values) for name, values in both.items()},
        "controls": {name: table(values) for name, values in controls.items()},
        "wholes": {name: table(values) for name, values in wholes.items()},
        "replaced": replaced(maps, others, small, config),
        "rank": {
            **over(ranks),
            "flagship": [correlation(maps[n], maps["flagship"]) for n in small],
        },
        "fine": {"low_noise": entry("skip, fine", early), "high_noise": entry("skip, fine", late)},
        "coarse": {
            "low_noise": entry("skip, coarse", early),
            "high_noise": entry("skip, coarse", late),
        },
        "peak": {
            part: {name: config.times[int(maps[name][rows[part]].argmax())] for name in networks}
            for part in NAMES
        },
        "control": {
            "fine_low_noise": over([controls[n][1][early].item() for n in small]),
            "fine_high_noise": over([controls[n][1][late].item() for n in small]),
        },
        "interaction": {
            "middle": over([excess(maps, both, n, len(config.times) // 2) for n in small]),
            "low_noise": over([excess(maps, both, n, early) for n in small]),
        },
    }


def measured(network: UNet, data: Splits, config: Config) -> tuple[torch.Tensor, ...]:
    """Factors on the loss: each part, both skips, and random channels in place of a skip's."""
    recorded_images = first(data.validation, config.n_recorded)
    images = first(data.test, config.n_images)
    loss = loss_of(network, images, seed=1)
    rows, both, controls, wholes = [], [], [], []
    generator = torch.Generator().manual_seed(0)
    for time in config.times:
        t = torch.tensor([time])
        with torch.no_grad():
            whole = loss(t[0]).mean()
        wholes.append(whole)

        def factor(*lesions, t=t, whole=whole):
            with torch.no_grad(), lesioned(network, *lesions):
                return loss(t[0]).mean() / whole

        means = {}
        for name in NAMES:
            module, at_input = place(name)
            record = activity(network, module, recorded_images, time, 2, at_input=at_input)
            means[name] = to_mean(record)
        cuts = {name: lesion(network, name, means[name]) for name in NAMES}
        rows.append(torch.stack([factor(cuts[name]) for name in NAMES]))
        both.append(factor(*(cuts[name] for name in SKIPS)))
        control = []
        for name in SKIPS:
            n = len(cuts[name].units)
            drawn = [
                tuple(torch.randperm(2 * n, generator=generator)[:n].tolist())
                for _ in range(config.n_controls)
            ]
            found = [factor(lesion(network, name, means[name], units)) for units in drawn]
            control.append(torch.stack(found).mean())
        controls.append(torch.stack(control))
    return torch.stack(rows, 1), torch.stack(both), torch.stack(controls, 1), torch.stack(wholes)


def otherwise(
    network: UNet, data: Splits, wholes: torch.Tensor, config: Config
) -> dict[str, torch.Tensor]:
    """Factors on the loss of each part as in `measured`, with zero or an exchange for the mean."""
    loss = loss_of(network, first(data.test, config.n_images), seed=1)
    generator = torch.Generator().manual_seed(6)
    found: dict[str, list[list[torch.Tensor]]] = {"zero": [], "resample": []}
    for time, whole in zip(config.times, wholes, strict=True):

        def factor(name: str, replacement, time=time, whole=whole) -> torch.Tensor:
            with torch.no_grad(), lesioned(network, lesion(network, name, replacement)):
                return loss(torch.tensor(time)).mean() / whole

        found["zero"].append([factor(name, zero) for name in NAMES])
        exchanges = range(config.n_exchanges)
        found["resample"].append(
            [
                torch.stack([factor(name, resample(generator)) for _ in exchanges]).mean()
                for name in NAMES
            ]
        )
    return {
        kind: torch.stack([torch.stack(row) for row in rows], 1) for kind, rows in found.items()
    }


def replaced(maps: dict, others: dict, small: list[str], config: Config) -> dict:
    """Do the maps of one network agree, in their order, in the worst part, and in size?"""
    kinds = {name: {"mean": maps[name], **others[name]} for name in maps}
    pairs = list(combinations(("zero", "mean", "resample"), 2))

    def rise(name: str, kind: str) -> torch.Tensor:
        return kinds[name][kind].sum() - kinds[name][kind].numel()

    return {
        "maps": {
            name: {kind: table(values) for kind, values in others[name].items()} for name in maps
        },
        "rank": {
            f"{a}_{b}": {
                **over([correlation(kinds[n][a], kinds[n][b]) for n in small]),
                "flagship": correlation(kinds["flagship"][a], kinds["flagship"][b]),
            }
            for a, b in pairs
        },
        "worst": {
            "n": len(maps) * len(config.times),
            **{
                kind: sum(same_worst(kinds[n], kind) for n in maps) for kind in ("zero", "resample")
            },
        },
        "rise": {
            kind: over([float(rise(n, kind) / rise(n, "mean")) for n in small])
            for kind in ("zero", "resample")
        },
    }


def same_worst(kinds: dict[str, torch.Tensor], kind: str) -> int:
    """At how many times the part that costs most is the one that costs most by the mean."""
    return int((kinds[kind].argmax(0) == kinds["mean"].argmax(0)).sum())


def excess(maps: dict, both: dict, name: str, column: int) -> float:
    """Both skips together, beyond what each costs alone, in losses of the whole network."""
    single = sum(maps[name][len(PARTS) + i][column] - 1 for i in range(len(SKIPS)))
    return float(both[name][column] - 1 - single)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(spearmanr(a.flatten().numpy(), b.flatten().numpy()).statistic)


def table(values: torch.Tensor) -> list:
    return values.double().round(decimals=4).tolist()


def draw(results: dict) -> Figure:
    figure, (top, bottom) = figures.figure(7.4, nrows=2, height_ratios=[1.5, 1], sharex=False)
    values = torch.tensor(results["maps"]["flagship"]).clamp(min=1e-3).log2()
    ramp = LinearSegmentedColormap.from_list(
        "harm", [to_rgb(figures.color("paper")), to_rgb(figures.color("broken"))]
    )
    shown = top.imshow(values.clamp(min=0).numpy(), aspect="auto", cmap=ramp, vmin=0)
    top.set_yticks(range(len(results["parts"])), results["parts"])
    top.set_xticks(range(len(results["times"])), [f"{t:g}" for t in results["times"]])
    top.grid(False)
    top.set_xlabel("time t")
    figures.panel_label(top, "digit model: doublings of the loss", "broken")
    figure.colorbar(shown, ax=top, shrink=0.8)
    rows = {part: i for i, part in enumerate(results["parts"])}
    small = [name for name in results["maps"] if name != "flagship"]
    # Both are cuts: one color, told apart by dashes.
    for part, role in (("skip, fine", "model"), ("skip, coarse", "broken")):
        for name in small:
            (line,) = bottom.plot(
                results["times"],
                results["maps"][name][rows[part]],
                marker=figures.marker(role),
                markersize=3,
                **figures.line_style(role, color=figures.color("broken")),
            )
        figures.label_line(line, part, x=0.4 if role == "model" else 0.6, dy=20)
    for name in small:
        (line,) = bottom.plot(
            results["times"], results["controls"][name][1], **figures.line_style("muted")
        )
    figures.label_line(line, "random channels", x=0.1, dy=-11)
    bottom.set(xlabel="time t", yscale="log")
    bottom.set_yticks([1, 2, 4], ["1", "2", "4"])
    bottom.minorticks_off()
    figures.panel_label(bottom, "three small networks: loss, as a multiple of the whole's")
    return figure
