"""How well do the returned planes tell how deadly a hit is, and when do they mislead?"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from experiments.survivorship._common import FLEET, REGIONS
from fromnoise import figures
from fromnoise.intervals import mean_interval
from fromnoise.survivorship import Fleet, fly, vulnerability


@dataclass(frozen=True)
class Config:
    seed: int = 0
    n_missions: int = 40
    n_planes: int = 1000
    # The enemy aims: half as many hits again on the engines, taken from the fuselage.
    aimed: tuple[float, ...] = (0.225, 0.05, 0.15, 0.325, 0.25)
    weather: float = 0.1  # share of planes lost to something that leaves no holes


SIZES = {"full": Config(), "smoke": Config(n_missions=3, n_planes=200)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    aimed = torch.tensor(config.aimed, dtype=torch.float64)
    worlds = {
        "as_assumed": (FLEET, 0.0),
        "aimed": (Fleet(aimed, FLEET.vulnerability, FLEET.hits), 0.0),
        "weather": (FLEET, config.weather),
    }
    keys = [region.replace(" ", "_") for region in REGIONS]
    results: dict = {
        "regions": list(REGIONS),
        "truth": dict(zip(keys, FLEET.vulnerability.tolist(), strict=True)),
    }
    for name, (fleet, weather) in worlds.items():
        estimates, seen = [], []
        for seed in range(config.seed, config.seed + config.n_missions):
            g = torch.Generator().manual_seed(seed)
            hits, returned = fly(fleet, config.n_planes, g)
            returned = returned & (torch.rand(config.n_planes, generator=g) >= weather)
            holes = hits[returned].double().mean(0)
            estimates.append(vulnerability(holes, returned.double().mean(), FLEET.area))
            seen.append(holes / holes.sum() / FLEET.area)
        found = torch.stack(estimates)
        results[name] = {
            key: {
                **mean_interval(found[:, i].tolist()),
                "spread": float(found[:, i].std()),
                "values": [round(value, 4) for value in found[:, i].tolist()],
            }
            for i, key in enumerate(keys)
        }
        results[name]["holes_per_area"] = torch.stack(seen).mean(0).tolist()
    return results


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(3.0)
    # Marker, color: in the last two worlds an assumption fails.
    worlds = (
        (-0.24, "as_assumed", "model", "model", "as assumed"),
        (0.0, "aimed", "broken", "broken", "the enemy aims at engines"),
        (0.24, "weather", "noise", "broken", "weather takes planes too"),
    )
    for place, key in enumerate(results["truth"]):
        truth = results["truth"][key]
        ax.plot(
            [truth, truth], [place - 0.42, place + 0.42], ls="-", color=figures.color("ink"), lw=1.2
        )
        for shift, name, role, tone, text in worlds:
            values = results[name][key]["values"]
            ax.plot(
                values,
                [place + shift] * len(values),
                ls="",
                marker=figures.marker(role),
                ms=3.5,
                alpha=0.55,
                color=figures.color(tone),
                label=text if place == 0 else None,
            )
    figures.sequence_axis(ax, results["regions"], axis="y")
    ax.set_ylim(len(results["regions"]) - 0.4, -0.6)
    ax.set_xlabel("estimated chance that a hit brings the plane down")
    ax.legend(loc="lower right")
    return figure
