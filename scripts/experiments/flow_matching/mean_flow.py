"""Can one step be learned without a teacher, and what is the derivative in its target for?"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor, nn

from experiments.flow_matching._common import SCHEDULE, even_times, fit, over, rounded, spots
from fromnoise import figures
from fromnoise.diffusion import perturb
from fromnoise.mean_flow import MeanVelocity, mean_flow_loss, mean_flow_step
from fromnoise.networks import MLP
from fromnoise.sample_measures import wasserstein_2
from fromnoise.training import Batch


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_data: int = 8192
    n_steps: int = 800
    n_judged: int = 512
    n_drawn: int = 300
    steps: tuple[int, ...] = (1, 2, 4)
    # Where s = t the loss is plain flow matching: it anchors the mean velocity to the velocity.
    share_without_step: float = 0.5


SIZES = {
    "full": Config(),
    "smoke": Config(n_seeds=2, n_data=32, n_steps=2, n_judged=16, n_drawn=8, steps=(1, 2)),
}


def as_mean_velocity(network: nn.Module) -> MeanVelocity:
    """A network that reads the point and both times; its last two answers are unused."""

    def mean_velocity(x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return network(torch.cat([x_t, s[:, None], t[:, None]], 1), t)[:, :2]

    return mean_velocity


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    def draws(x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        eps = torch.randn(x_0.shape, generator=generator)
        first, second = even_times(len(x_0), generator), even_times(len(x_0), generator)
        t, s = torch.maximum(first, second), torch.minimum(first, second)
        still = torch.rand(len(x_0), generator=generator) < config.share_without_step
        return eps, torch.where(still, t, s), t

    def with_slope(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        eps, s, t = draws(batch[0], generator)
        return mean_flow_loss(as_mean_velocity(network), batch[0], eps, s, t, SCHEDULE).mean()

    def without_slope(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        x_0 = batch[0]
        eps, s, t = draws(x_0, generator)
        value = as_mean_velocity(network)(perturb(x_0, eps, SCHEDULE(t)), s, t)
        return (value - (eps - x_0)).square().sum(1).mean()

    settings = (
        ("whole", with_slope, False),
        ("broken", without_slope, False),
        # The waves of the time embedding have slopes of up to 200 in t, and the slope is in the
        # target: the network is then asked to follow the noise of its own derivative.
        ("waves", with_slope, True),
    )
    rows: dict[str, list] = {name: [] for name, _, _ in settings}
    floor, drawn = [], {}
    for seed in range(config.n_seeds):
        generator = torch.Generator().manual_seed(seed)
        data = spots().sample(config.n_data, generator)
        real = spots().sample(config.n_judged, generator)
        noise = torch.randn(real.shape, generator=generator)
        floor.append({"w": wasserstein_2(spots().sample(config.n_judged, generator), real)})
        for name, loss, waves in settings:
            network = fit(
                loss,
                (data,),
                config.n_steps,
                seed,
                workdir / f"{name}{seed}",
                MLP(4, time_embedding=waves, seed=seed),
            )
            found = {f"w{n}": jumps(network, noise, n) for n in config.steps}
            rows[name].append({key: wasserstein_2(x, real) for key, x in found.items()})
            if seed == 0:
                drawn[name] = rounded(found["w1"][: config.n_drawn])
    return {
        **{name: over(found) for name, found in rows.items()},
        "floor": over(floor)["w"],
        "drawn": drawn,
        "real": rounded(real[: config.n_drawn]),
    }


@torch.no_grad()
def jumps(network: nn.Module, eps: Tensor, n_steps: int) -> Tensor:
    """From noise to data in a few jumps of equal length."""
    times, x = torch.linspace(1, 0, n_steps + 1), eps
    for t, s in pairwise(times):
        x = mean_flow_step(as_mean_velocity(network), x, s.expand(len(x)), t.expand(len(x)))
    return x


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.35, ncols=3)
    for ax, name, text, role in (
        (axes[0], "whole", "one step", "model"),
        (axes[1], "broken", "no derivative", "broken"),
        (axes[2], "waves", "a clock too fine", "broken"),
    ):
        ax.scatter(
            *zip(*results["real"], strict=True), s=4, color=figures.color("data"), alpha=0.35
        )
        ax.scatter(*zip(*results["drawn"][name], strict=True), s=5, color=figures.color(role))
        figures.panel_label(ax, text, role)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    return figure
