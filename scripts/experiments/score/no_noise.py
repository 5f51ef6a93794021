"""Where does a score learned without noise go wrong, and does noise mend it?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.score._common import (
    all_levels,
    clean,
    far_modes,
    over_seeds,
    relative_error,
    rounded,
    scaled_score,
    small_network,
)
from fromnoise import figures
from fromnoise.langevin import annealed_langevin, langevin
from fromnoise.schedules import VE
from fromnoise.score import explicit_score_matching, implicit_score_matching
from fromnoise.training import Batch, Loss, TrainingSettings, train

SCHEDULE = VE(sigma_min=0.3, sigma_max=10.0)
REACH = 8.0


@dataclass(frozen=True)
class Config:
    seeds: tuple[int, ...] = (0, 1, 2)
    n_points: int = 50_000
    n_steps: int = 1000
    sigmas: tuple[float, ...] = (1.0, 4.0)
    n_grid: int = 49
    n_samples: int = 1000
    n_levels: int = 20
    steps_per_level: int = 15


SIZES = {
    "full": Config(),
    "smoke": Config(
        seeds=(0, 1), n_points=200, n_steps=3, n_grid=7, n_samples=50, n_levels=3, steps_per_level=2
    ),
}


def without_noise(name: str) -> Loss:
    exact = far_modes()

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        field = clean(network)
        if name == "explicit":
            return explicit_score_matching(field, exact.score, batch[0]).mean()
        return implicit_score_matching(field, batch[0]).mean()

    return loss


def at_home(points: Tensor) -> float:
    """Share of points within three standard deviations of a mode."""
    distance = torch.cdist(points, far_modes().components.mean).amin(1)
    return float((distance < 3).float().mean())


@torch.no_grad()
def run(config: Config, device: torch.device, workdir: Path) -> dict:
    mixture = far_modes()
    points = mixture.sample(config.n_points, torch.Generator().manual_seed(100))
    held_out = mixture.sample(4000, torch.Generator().manual_seed(101))
    axis = torch.linspace(-REACH, REACH, config.n_grid)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    # The middle between the modes, more than three standard deviations from either.
    valley = grid[grid.norm(dim=1) < 2.5]
    times = {s: float(SCHEDULE.time_at(-2 * torch.tensor(s).log())) for s in config.sigmas}
    levels = torch.linspace(1, 0, config.n_levels)
    plain = {
        name: {"data": [], "plane": [], "valley": [], "home": []}
        for name in ("implicit", "explicit")
    }
    noisy: dict[float, dict[str, list]] = {
        s: {"data": [], "plane": [], "valley": []} for s in config.sigmas
    }
    home, maps, ends = [], {}, {}
    for seed in config.seeds:
        settings = TrainingSettings(n_steps=config.n_steps, learning_rate=4e-3, seed=seed)

        def fit(loss: Loss, name: str, settings=settings, seed=seed) -> nn.Module:
            with torch.enable_grad():
                network = small_network(2, seed)
                folder = workdir / f"{name}{seed}"
                return train(network, loss, (points,), settings, folder=folder).network

        start = (
            torch.randn(config.n_samples, 2, generator=torch.Generator().manual_seed(200 + seed))
            * SCHEDULE.sigma_max
        )
        for name, found in plain.items():
            field = clean(fit(without_noise(name), name))
            found["data"].append(relative_error(field(held_out), mixture.score(held_out)))
            found["plane"].append(relative_error(field(grid), mixture.score(grid)))
            found["valley"].append(relative_error(field(valley), mixture.score(valley)))
            generator = torch.Generator().manual_seed(300 + seed)
            n_steps = config.n_levels * config.steps_per_level
            end = langevin(field, start, n_steps, 0.05, generator)
            found["home"].append(at_home(end.nan_to_num(1e6)))
            if seed == config.seeds[0]:
                maps[name] = (field(grid) - mixture.score(grid)).norm(dim=-1)
                ends[name] = rounded(end[:300].clamp(-1e3, 1e3), 2)
        score = scaled_score(fit(all_levels(SCHEDULE), "noise"), SCHEDULE)
        for sigma, t in times.items():
            exact = mixture.noised(SCHEDULE(torch.tensor(t)))
            seen = exact.sample(4000, torch.Generator().manual_seed(102))

            def at(x: Tensor, t: float = t, score=score) -> Tensor:
                return score(x, torch.full((len(x),), t))

            noisy[sigma]["data"].append(relative_error(at(seen), exact.score(seen)))
            noisy[sigma]["plane"].append(relative_error(at(grid), exact.score(grid)))
            noisy[sigma]["valley"].append(relative_error(at(valley), exact.score(valley)))
            if seed == config.seeds[0]:
                maps[f"sigma{sigma:g}"] = (at(grid) - exact.score(grid)).norm(dim=-1)
        generator = torch.Generator().manual_seed(300 + seed)
        end = annealed_langevin(
            score, SCHEDULE, start, levels, config.steps_per_level, 0.1, generator
        )
        home.append(at_home(end.nan_to_num(1e6)))
        if seed == config.seeds[0]:
            ends["annealed"] = rounded(end[:300].clamp(-1e3, 1e3), 2)
    return {
        **{n: {key: over_seeds(v) for key, v in found.items()} for n, found in plain.items()},
        **{
            f"sigma{s:g}": {key: over_seeds(v) for key, v in found.items()}
            for s, found in noisy.items()
        },
        "annealed": {"home": over_seeds(home)},
        "axis": rounded(axis),
        "maps": {n: rounded(m.reshape(config.n_grid, -1)) for n, m in maps.items()},
        "ends": ends,
        "sigmas": list(config.sigmas),
    }


def draw(results: dict) -> Figure:
    figure, axes = figures.figure(2.9, ncols=3)
    names = ["implicit", *(f"sigma{s:g}" for s in results["sigmas"])]
    words = ["without noise", *(f"with noise, σ = {s:g}" for s in results["sigmas"])]
    cells = {name: np.array(results["maps"][name]) for name in names}
    axis = np.array(results["axis"])
    ink = to_rgb(figures.color("broken"))
    ramp = LinearSegmentedColormap.from_list("error", [(*ink, 0.0), (*ink, 1.0)])
    spreads = [1.0, *((1 + s**2) ** 0.5 for s in results["sigmas"])]
    for ax, name, text, spread in zip(axes, names, words, spreads, strict=True):
        role = "broken" if name == "implicit" else "model"
        # One color for error in all panels: clear at 0.01, full at 10.
        ax.imshow(
            np.log10(cells[name].clip(1e-3)),
            cmap=ramp,
            vmin=-2,
            vmax=1,
            origin="lower",
            extent=(axis[0], axis[-1], axis[0], axis[-1]),
            interpolation="nearest",
        )
        for center in (-4, 4):
            angle = np.linspace(0, 2 * np.pi, 80)
            ring = center + 3 * spread * np.stack([np.cos(angle), np.sin(angle)])
            ax.plot(*ring, color=figures.color("ink"), linestyle="-", lw=0.8)
        ax.set(aspect="equal", xlim=(-8, 8), ylim=(-8, 8), xticks=[], yticks=[])
        figures.panel_label(ax, text, role)
    return figure
