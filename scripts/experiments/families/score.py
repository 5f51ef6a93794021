"""What does a score learned at one faint noise level say to a point that is far from the data?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor, nn

from experiments.families._common import (
    SMALL,
    Budget,
    clocked,
    draws,
    excess,
    flow_log_prob,
    judged,
    on_ring,
    over,
    ring,
    rounded,
    scatter,
    settings,
)
from fromnoise import figures
from fromnoise.batches import ask
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.langevin import annealed_langevin, langevin
from fromnoise.networks import MLP, n_parameters
from fromnoise.samplers import Denoiser
from fromnoise.schedules import VE
from fromnoise.score import denoiser_score
from fromnoise.targets import PredictEps
from fromnoise.training import train

SCHEDULE, TARGET = VE(0.05, 5.0), PredictEps()


@dataclass(frozen=True)
class Config(Budget):
    n_seeds: int = 4  # those of the broken model differ
    width: int = 41
    batch_size: int = 256
    n_levels: int = 20
    steps_per_level: int = 5
    step: float = 0.3  # in units of the noise's variance
    faint: float = 0.02  # times up to here: noise of a fortieth of the ring's radius
    plain_step: float = 0.008  # at one level; a spot's own variance is eight times as much
    n_path: int = 24
    n_judged: int = 1000


SIZES = {"full": Config(), "smoke": Config(**SMALL, n_levels=3, n_path=2, n_judged=8)}


class InUnits(nn.Module):
    """A network that is shown every noise level at the same size."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        self.inner = MLP(2, width, 2, seed=seed)

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        size = (SCHEDULE(t).sigma_t.square() + 2).sqrt()
        return self.inner(x_t / size[:, None], t)


@torch.no_grad()
def walk(config: Config, denoiser: Denoiser, times: Tensor, n_steps: int, seed: int) -> Tensor:
    """Annealed Langevin dynamics, and a last step that takes out the noise of its last level."""
    generator = torch.Generator().manual_seed(100 + seed)
    x = SCHEDULE.sigma_max * torch.randn(config.n_test, 2, generator=generator)
    score = denoiser_score(denoiser, SCHEDULE)
    x = annealed_langevin(score, SCHEDULE, x, times, n_steps, config.step, generator)
    return denoiser(x, times[-1].expand(len(x)).to(x))


def plain_walk(config: Config, field: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    """As many calls of a score at one level, from the same start."""
    generator = torch.Generator().manual_seed(100 + seed)
    x = SCHEDULE.sigma_max * torch.randn(config.n_test, 2, generator=generator)
    n_steps = config.n_levels * config.steps_per_level
    return langevin(field, x, n_steps, config.plain_step, generator)


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    n_steps = config.passes // config.batch_size
    levels = torch.linspace(1, 0, config.n_levels)
    rows, broken, exact, drawn = [], [], [], {}
    for seed in range(config.n_seeds):
        data, test = draws(config, seed)
        found = {}
        for name, t_max in (("whole", 1.0), ("broken", config.faint)):
            loss = denoising_loss(SCHEDULE, TARGET, t_max=t_max)
            rule = settings(n_steps, seed)
            network, train_s = clocked(
                config,
                lambda loss=loss, data=data, seed=seed, rule=rule: (
                    train(InUnits(config.width, seed), loss, (data,), rule).network
                ),
            )
            found[name] = (as_denoiser(network, SCHEDULE, TARGET), train_s)
        denoiser, train_s = found["whole"]
        x, sample_s = clocked(
            config,
            lambda denoiser=denoiser, seed=seed: walk(
                config, denoiser, levels, config.steps_per_level, seed
            ),
        )
        held = test[: config.n_judged]
        log_prob = flow_log_prob(denoiser, SCHEDULE, held, config.n_path, (0.05, 5.0))
        rows.append(
            {
                **judged(config, x, test),
                "excess": excess(log_prob, held),
                "train_s": train_s,
                "sample_ms": 1e3 * sample_s,
            }
        )
        # As many calls, all at the one level that it knows; and with the exact score there.
        faint, _ = found["broken"]
        t = torch.tensor(config.faint)
        fields = {
            "learned": partial(ask, denoiser_score(faint, SCHEDULE), t=t),
            "exact": ring().noised(SCHEDULE(t)).score,
        }
        ends = {
            name: plain_walk(config, field, seed).nan_to_num(1e3).clamp(-1e3, 1e3)
            for name, field in fields.items()
        }
        broken.append(on_ring(ends["learned"]))
        exact.append(on_ring(ends["exact"]))
        if seed == 0:
            drawn = {
                "ring": rounded(x, config.n_drawn),
                "lost": rounded(ends["learned"], config.n_drawn),
                "data": rounded(test, config.n_drawn),
            }
    return {
        "whole": over(rows),
        "broken": over(broken),
        "exact": over(exact),
        "parameters": n_parameters(network),
        "calls": config.n_levels * config.steps_per_level + 1,
        "steps": n_steps,
        "drawn": drawn,
    }


def draw(results: dict) -> matplotlib.figure.Figure:
    figure, axes = figures.figure(2.5, ncols=3, sharey=False)
    for ax, name, text, role in (
        (axes[0], "data", "data", "data"),
        (axes[1], "ring", "many noise levels", "model"),
        (axes[2], "lost", "one faint level", "broken"),
    ):
        scatter(ax, results["drawn"][name], role, text, 6.0 if name == "lost" else 3.1)
    return figure
