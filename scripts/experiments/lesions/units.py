"""Do zero, mean and resample ablation agree about which units matter, and does the gradient?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor

from experiments.lesions._common import (
    LossAt,
    activity,
    first,
    loss_of,
    over,
    small_networks,
)
from fromnoise import figures
from fromnoise.datasets import Split, digits
from fromnoise.lesions import Lesion, lesioned, resample, to_mean, zero
from fromnoise.networks import UNet

needs = ("lesions/blocks",)
# Hidden units of two blocks, behind their nonlinearity: here activity has a mean far from zero.
MODULES = ("middle_in.dropout", "up.0.0.dropout")


@dataclass(frozen=True)
class Config:
    time: float = 0.5
    n_recorded: int = 150
    n_images: int = 150
    n_exchanges: int = 2  # a resample lesion is random: average a few
    shares: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)


SIZES = {
    "full": Config(),
    "smoke": Config(n_recorded=20, n_images=16, n_exchanges=1, shares=(0.5, 1.0)),
}


def run(config: Config, device: torch.device, workdir: Path, needed: dict) -> dict:
    data = digits()
    recorded_images = first(data.validation, config.n_recorded)
    images = first(data.test, config.n_images)
    ranks: dict[str, list[float]] = {}
    top, slopes, ratios, harmless, slope_errors = [], [], [], [], []
    shown: dict = {}
    for seed, network in enumerate(small_networks(needed)):
        effects = {kind: [] for kind in ("zero", "mean", "resample", "gradient", "offset")}
        for module in MODULES:
            recording = activity(network, module, recorded_images, config.time, 2)
            found = unit_effects(network, module, recording, images, config)
            for kind, values in found.items():
                effects[kind].append(values)
        joined = {kind: torch.cat(values) for kind, values in effects.items()}
        for a, b in (
            ("zero", "mean"),
            ("zero", "resample"),
            ("mean", "resample"),
            ("mean", "gradient"),
        ):
            value = spearmanr(joined[a].numpy(), joined[b].numpy()).statistic
            ranks.setdefault(f"{a}_{b}", []).append(float(value))
        n_top = max(1, len(joined["zero"]) // 10)
        best = {kind: set(joined[kind].argsort()[-n_top:].tolist()) for kind in ("zero", "mean")}
        top.append(len(best["zero"] & best["mean"]) / n_top)
        ratios.append(float(joined["zero"].median() / joined["mean"].median()))
        harmless.append(float((joined["mean"] < 0).double().mean()))
        partial_ = gradient_shares(network, MODULES[1], recorded_images, images, config)
        slope_errors.append(partial_)
        slopes.append(slope(partial_, config))
        if seed == 0:
            shown = {kind: values.double().tolist() for kind, values in joined.items()}
            shown = {kind: [round(value, 6) for value in values] for kind, values in shown.items()}
    return {
        "rank": {key: over(values) for key, values in ranks.items()},
        "top_shared": over(top),
        "zero_over_mean": over(ratios),
        "negative": over(harmless),
        "slope": over(slopes),
        "gradient": {
            "shares": list(config.shares),
            "error": [
                over([float(e) for e in errors]) for errors in zip(*slope_errors, strict=True)
            ],
        },
        "n_units": len(shown["zero"]),
        "shown": shown,
    }


def unit_effects(
    network: UNet, module: str, recording: Tensor, images: Split, config: Config
) -> dict[str, Tensor]:
    """What the loss gains when each unit is replaced, four ways, relative to the whole loss."""
    loss, t = loss_of(network, images, seed=1), torch.tensor(config.time)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        whole = loss(t).mean()
        n_units = recording.shape[1]
        found: dict[str, list[Tensor]] = {"zero": [], "mean": [], "resample": []}

        def effect(replacement, unit):
            with lesioned(network, Lesion(module, replacement, (unit,))):
                return loss(t).mean() / whole - 1

        mean = to_mean(recording)
        for unit in range(n_units):
            found["zero"].append(effect(zero, unit))
            found["mean"].append(effect(mean, unit))
            exchanges = [effect(resample(generator), unit) for _ in range(config.n_exchanges)]
            found["resample"].append(torch.stack(exchanges).mean())
    effects = {kind: torch.stack(values) for kind, values in found.items()}
    effects["gradient"] = gradient_effects(network, module, mean, loss, t) / whole
    place = recording.mean(0)
    effects["offset"] = place.square().flatten(1).sum(1) / (
        place.square().flatten(1).sum(1) + recording.var(0, correction=0).flatten(1).sum(1)
    )
    return effects


def gradient_effects(network: UNet, module: str, mean, loss: LossAt, t: Tensor) -> Tensor:
    """First order: the gradient of the mean loss, times the change to the mean."""
    kept: list[Tensor] = []

    def keep(activity_: Tensor) -> Tensor:
        kept.append(activity_.detach().requires_grad_())
        return kept[-1]

    with lesioned(network, Lesion(module, keep)):
        total = loss(t).mean()
    (slope_,) = torch.autograd.grad(total, kept)
    change = mean(kept[0]) - kept[0]
    return (slope_ * change).sum((0, 2, 3)).detach()


def gradient_shares(
    network: UNet, module: str, recorded_images: Split, images: Split, config: Config
) -> list[float]:
    """Go a share of the way to the mean in all units: error of the gradient's forecast."""
    mean = to_mean(activity(network, module, recorded_images, config.time, 2))
    loss, t = loss_of(network, images, seed=1), torch.tensor(config.time)
    forecast = gradient_effects(network, module, mean, loss, t).sum()
    found = []
    with torch.no_grad():
        whole = loss(t).mean()
        for share in config.shares:
            with lesioned(
                network, Lesion(module, lambda a, share=share: a + share * (mean(a) - a))
            ):
                found.append(float((loss(t).mean() - whole - share * forecast).abs() / whole))
    return found


def slope(errors: list[float], config: Config) -> float:
    """Order of the error over the smallest doubling of the share."""
    a, b = config.shares[:2]
    return float(torch.tensor(errors[1] / errors[0]).log() / torch.tensor(b / a).log())


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(3.2, ncols=2, sharey=True)
    shown = results["shown"]
    for ax, kind, text in (
        (left, "zero", "silenced to zero"),
        (right, "gradient", "forecast by the gradient"),
    ):
        ax.scatter(shown[kind], shown["mean"], s=12, color=figures.color("model"), linewidths=0)
        low = min(*shown[kind], *shown["mean"])
        high = max(*shown[kind], *shown["mean"])
        ax.plot([low, high], [low, high], **figures.line_style("muted"))
        for set_scale in (ax.set_xscale, ax.set_yscale):
            set_scale("symlog", linthresh=0.003)
        figures.panel_label(ax, text)
        ax.set_xlabel("rise of the loss")
        ticks = [-0.01, 0, 0.01, 0.1]
        ax.set_xticks(ticks, [f"{v:g}" for v in ticks])
        ax.set_yticks(ticks, [f"{v:g}" for v in ticks])
    left.set_ylabel("rise with the mean in its place")
    return figure
