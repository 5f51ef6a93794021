"""How good are digits after one step, two, or many, and does the pairing of the noise help?"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor, nn

from experiments.flow_matching._common import (
    SCHEDULE,
    Pairing,
    as_they_come,
    fresh_noise,
    given_pairs,
    in_parts,
    over,
)
from fromnoise import figures
from fromnoise.couplings import reflow_pairs, straightness
from fromnoise.datasets import Splits, digits, snap_to_levels
from fromnoise.evaluation import Classifier, frechet_distance, real_against_real, train_classifier
from fromnoise.flow_matching import change_schedule, velocity_denoiser
from fromnoise.networks import UNet
from fromnoise.samplers import ddim_step, euler_step, heun_step, sample, uniform_times
from fromnoise.schedules import VE, Cosine, Schedule, VPLinear
from fromnoise.training import Loss, TrainingSettings, train


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_steps: int = 240
    channels: int = 16
    batch_size: int = 64
    n_pairs: int = 1000
    n_teacher_steps: int = 8
    n_samples: int = 497
    judge_steps: int = 600
    n_splits: int = 50
    steps: tuple[int, ...] = (1, 2, 4, 8, 16)
    n_same: int = 16
    n_same_steps: int = 16
    fine_steps: tuple[int, ...] = (8, 16, 32, 64)


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2,
        n_steps=2,
        channels=8,
        batch_size=16,
        n_pairs=16,
        n_teacher_steps=1,
        n_samples=30,
        judge_steps=2,
        n_splits=2,
        steps=(1, 2),
        n_same=2,
        n_same_steps=2,
        fine_steps=(2, 4),
    ),
    # Is the order of the three a matter of the budget? Larger batches pair more, more pairs hold
    # more of what the teacher can draw, and its paths are followed more finely.
    "gpu": Config(
        n_seeds=8,
        n_steps=5000,
        channels=32,
        batch_size=256,
        n_pairs=20_000,
        n_teacher_steps=32,
        n_splits=100,
    ),
}
NAMES = ("independent", "optimal", "reflow")


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    data = digits()
    judge = train_classifier(*data.validation, n_steps=config.judge_steps)
    held_out = judge.judge(data.test.images)
    floor = real_against_real(
        judge.judge(data.train.images[: config.n_samples]),
        data.train.labels[: config.n_samples],
        held_out,
        data.test.labels,
        n_splits=config.n_splits,
    )
    rows: dict[str, list] = {name: [] for name in NAMES}
    drawn: dict[str, dict] = {name: {} for name in NAMES}
    same: dict[str, list] = {}
    for seed in range(config.n_seeds):
        models = trained(config, data, seed, device, workdir)
        eps = noise(config.n_samples, seed + 100)
        for name, network in models.items():
            found, images = quality(config, network, eps, judge, held_out)
            rows[name].append(found)
            if seed == 0:
                drawn[name] = {str(n): levels(images[n][:8]) for n in config.steps}
        if seed == 0:
            same = sameness(config, models["independent"])
    return {
        **{name: over(found) for name, found in rows.items()},
        "floor": floor,
        "steps": list(config.steps),
        "images": drawn,
        "same": same,
    }


def trained(
    config: Config, data: Splits, seed: int, device: torch.device, workdir: Path
) -> dict[str, nn.Module]:
    """One network per pairing; the reflow learns from the pairs that the first one makes."""
    settings = TrainingSettings(
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        learning_rate=4e-3,
        ema_decay=0.98,
        seed=seed,
    )

    def learn(name: str, loss: Loss, batch: tuple[Tensor, ...]) -> nn.Module:
        network = UNet(8, channels=config.channels, seed=seed).to(device)
        return train(network, loss, batch, settings, folder=workdir / f"{name}{seed}").network

    images = (data.train.images,)
    paired: dict[str, Pairing] = {
        "independent": as_they_come,
        "optimal": in_parts(config.batch_size),
    }
    models = {name: learn(name, fresh_noise(pairing), images) for name, pairing in paired.items()}
    with torch.no_grad():
        pairs = reflow_pairs(
            velocity_denoiser(models["independent"], SCHEDULE),
            SCHEDULE,
            noise(config.n_pairs, seed + 200).to(device),
            uniform_times(config.n_teacher_steps),
            heun_step,
        )
    models["reflow"] = learn("reflow", given_pairs, tuple(pairs))
    # Judged on the processor.
    return {name: network.cpu() for name, network in models.items()}


@torch.no_grad()
def quality(
    config: Config, network: nn.Module, eps: Tensor, judge: Classifier, held_out: Tensor
) -> tuple[dict[str, float], dict[int, Tensor]]:
    """Frechet distance after each number of Euler steps, the bend of the paths, and the samples."""
    denoiser = velocity_denoiser(network, SCHEDULE)
    walk = partial(sample, denoiser, SCHEDULE, step=euler_step)
    found, images = {}, {}
    for n in config.steps:
        path = walk(eps, times=uniform_times(n), return_path=True)
        images[n] = snap_to_levels(path[-1])
        found[f"frechet{n}"] = frechet_distance(judge.judge(images[n]), held_out)
    found["bend"] = straightness(path, uniform_times(config.steps[-1])).mean().item() / 64
    # How much of the variety of many steps is left after one.
    found["spread1"] = (images[1].var(0).sum() / images[config.steps[-1]].var(0).sum()).item()
    return found, images


@torch.no_grad()
def sameness(config: Config, network: nn.Module) -> dict:
    """The network of straight lines, sampled as a diffusion model on other schedules.

    In float64, so that only round-off and the error of the steps are left.
    """
    double = UNet(8, channels=config.channels).double().eval()
    double.load_state_dict(network.state_dict())
    ask = velocity_denoiser(double, SCHEDULE)
    eps = noise(config.n_same, 300).double()
    times = uniform_times(config.n_same_steps, 0.98, 0.02)
    start = (SCHEDULE(times[0]).sigma_t) * eps
    ours = sample(ask, SCHEDULE, start, times, euler_step)
    fine = sample(ask, SCHEDULE, start, uniform_times(80, 0.98, 0.02), heun_step)
    scale = fine.square().mean().sqrt()

    def as_diffusion(schedule: Schedule, n_steps: int, mapped: bool) -> Tensor:
        ends = schedule.time_at(SCHEDULE(times[[0, -1]]).log_snr_t)
        grid = uniform_times(n_steps, 0.98, 0.02)
        there = schedule.time_at(SCHEDULE(grid).log_snr_t)
        if not mapped:
            there = torch.linspace(ends[0], ends[1], n_steps + 1, dtype=torch.float64)
        factor = schedule(ends).sigma_t / SCHEDULE(times[[0, -1]]).sigma_t
        changed = change_schedule(ask, SCHEDULE, schedule)
        return sample(changed, schedule, factor[0] * start, there, ddim_step) / factor[-1]

    def gap(x: Tensor, y: Tensor) -> float:
        return ((x - y).square().mean().sqrt() / scale).item()

    found: dict = {"round_off": {}, "own_steps": {}}
    schedules: dict[str, Schedule] = {"cosine": Cosine(), "vp": VPLinear(), "ve": VE(0.01, 60.0)}
    for name, schedule in schedules.items():
        there = as_diffusion(schedule, config.n_same_steps, mapped=True)
        found["round_off"][name] = gap(there, ours)
        found["own_steps"][name] = {
            str(n): gap(as_diffusion(schedule, n, mapped=False), fine) for n in config.fine_steps
        }
    found["round_off"]["largest"] = max(found["round_off"].values())
    found["own_steps"]["rectified"] = {
        str(n): gap(sample(ask, SCHEDULE, start, uniform_times(n, 0.98, 0.02), euler_step), fine)
        for n in config.fine_steps
    }
    found["steps"] = list(config.fine_steps)
    return found


def noise(n: int, seed: int) -> Tensor:
    return torch.randn((n, 1, 8, 8), generator=torch.Generator().manual_seed(seed))


def levels(images: Tensor) -> list:
    """Images as whole gray levels 0 to 16."""
    return ((images.reshape(-1, 8, 8).clamp(-1, 1) + 1) * 8).round().int().tolist()


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.7, ncols=2, sharey=False, width_ratios=[1.15, 1])
    left, right = axes
    steps = [n for n in (1, 2, 4, 16) if n in results["steps"]]
    rows = [results["images"][name][str(n)] for name in ("independent", "reflow") for n in steps]
    figures.image_grid(left, rows, levels=(0, 16), role="model")
    figures.panel_label(left, f"independent, then reflow: {', '.join(map(str, steps))} steps")
    # Dash and marker, color: no coupling is data or noise.
    for name, role, tone in (
        ("independent", "noise", "muted"),
        ("optimal", "model", "model"),
        ("reflow", "data", "ink"),
    ):
        found = [results[name][f"frechet{n}"] for n in results["steps"]]
        x = results["steps"]
        means = [f["mean"] for f in found]
        style = figures.line_style(role, color=figures.color(tone))
        right.plot(x, means, **style, marker=figures.marker(role), label=name)
        right.fill_between(
            x,
            [f["low"] for f in found],
            [f["high"] for f in found],
            color=figures.color(tone),
            alpha=0.15,
            lw=0,
        )
    right.axhline(results["floor"]["mean"], color=figures.color("data"), lw=0.8)
    right.set(xscale="log", yscale="log", xlabel="steps", ylabel="Fréchet distance")
    right.set_xticks(results["steps"], [str(n) for n in results["steps"]])
    right.minorticks_off()
    right.legend(fontsize=8)
    return figure
