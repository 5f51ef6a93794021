"""Between memory and model: what happens to likelihood and samples as a kernel grows?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.datasets import digits, snap_to_levels, to_levels
from fromnoise.evaluation import c2st
from fromnoise.intervals import mean_interval
from fromnoise.mixtures import GaussianMixture


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    widths: tuple[float, ...] = (0.02, 0.05, 0.1, 0.18, 0.25, 0.35, 0.6)
    judged: tuple[float, ...] = (0.02, 0.25)  # the narrowest, and the best on validation
    n_judged: int = 497  # samples, and held-out digits they are told apart from
    n_scored: int = 100  # images of each split whose likelihood is computed


SIZES = {
    "full": Config(),
    "smoke": Config(seeds=(0, 1), widths=(0.02, 0.25, 0.6), n_judged=30, n_scored=10),
}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    train, test = (s.images.flatten(1).double() for s in (data.train, data.test))
    log_px: dict = {"train": [], "test": []}
    told_apart, images = {}, {}
    for width in config.widths:
        model = GaussianMixture.isotropic(train, width)
        for name, x in (("train", train), ("test", test)):
            log_px[name].append(float(model.log_prob(x[: config.n_scored]).mean()))
        drawn = model.sample(12, torch.Generator().manual_seed(config.seeds[0]))
        images[f"width_{width}"] = to_levels(drawn).view(12, 8, 8).tolist()
        if width in config.judged:
            found = []
            for seed in config.seeds:
                drawn = model.sample(config.n_judged, torch.Generator().manual_seed(seed))
                found.append(c2st(snap_to_levels(drawn), test[: config.n_judged], seed=seed))
            name = "narrowest" if width == config.widths[0] else "best"
            told_apart[name] = {**mean_interval(found), "per_seed": found}
    best = max(range(len(config.widths)), key=lambda i: log_px["test"][i])
    return {
        "widths": list(config.widths),
        "log_px": log_px,
        "c2st": told_apart,
        "best": {"width": config.widths[best], "test": log_px["test"][best]},
        "narrowest": {
            "width": config.widths[0],
            "train": log_px["train"][0],
            "test": log_px["test"][0],
        },
        "images": images,
    }


def draw(results: dict) -> Figure:
    widths = results["widths"]
    figure, (top, bottom) = figures.figure(
        4.2, nrows=2, sharex=False, gridspec_kw={"height_ratios": [1.5, 1.0]}
    )
    for name, role in (("train", "broken"), ("test", "model")):
        style = figures.line_style(role, marker=figures.marker(role))
        top.plot(widths, results["log_px"][name], **style)
    top.text(widths[1] * 1.1, 165, "training digits", color=figures.color("broken"))
    top.text(0.115, -300, "held-out digits", color=figures.color("model"))
    top.set_ylim(-420, 240)
    top.set_ylabel("log density, nats per image")
    top.set_xscale("log")
    top.set_xticks(widths, [str(w) for w in widths])
    top.minorticks_off()
    top.set_xlabel("width of the kernel")
    shown = [widths[0], results["best"]["width"], widths[-1]]
    rows = [results["images"][f"width_{w}"] for w in shown]
    figures.image_grid(bottom, rows, levels=(0, 16), role="model")
    for i, width in enumerate(shown):
        bottom.text(-2.5, 9 * i + 3.5, str(width), ha="right", va="center")
    return figure
