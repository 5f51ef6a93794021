"""Where are the holes on the planes that came back, and where would armor have helped?"""

from dataclasses import dataclass, replace
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
    n_missions: int = 20
    n_planes: int = 1000
    armor: float = 0.5  # a hit in the armored region is half as deadly


SIZES = {"full": Config(), "smoke": Config(n_missions=3, n_planes=100)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    shares: dict = {"all": [], "returned": [], "lost": []}
    advice: dict = {"most_holes": [], "bayes": []}
    saved: dict = {"most_holes": [], "bayes": []}
    returned = []
    for seed in range(config.seed, config.seed + config.n_missions):
        flown = fly(FLEET, config.n_planes, torch.Generator().manual_seed(seed))
        back = flown.returned
        for name, planes in (("all", back | ~back), ("returned", back), ("lost", ~back)):
            holes = flown.hits[planes].sum(0).double()
            shares[name].append(holes / holes.sum())
        returned.append(float(back.double().mean()))
        holes = flown.hits[back].double().mean(0)
        found = vulnerability(holes, back.double().mean(), FLEET.area)
        # What a region costs: how often it is hit times how deadly a hit is.
        choices = {"most_holes": holes.argmax(), "bayes": (FLEET.area * found).argmax()}
        for name, region in choices.items():
            advice[name].append(REGIONS[int(region)])
            again = fly(armored(int(region), config), config.n_planes, generator(seed))
            losses = (~flown.returned).sum(), (~again.returned).sum()
            saved[name].append(1 - float(losses[1] / losses[0]))
    keys = [region.replace(" ", "_") for region in REGIONS]
    return {
        "regions": list(REGIONS),
        "area": FLEET.area.tolist(),
        "vulnerability": FLEET.vulnerability.tolist(),
        "shares": {
            name: {
                key: mean_interval([float(row[i]) for row in rows]) for i, key in enumerate(keys)
            }
            for name, rows in shares.items()
        },
        "returned": mean_interval(returned),
        "advice": {
            name: {"first": found[0], "same": found.count(found[0])}
            for name, found in advice.items()
        },
        "saved": {name: mean_interval(found) for name, found in saved.items()},
    }


def generator(seed: int) -> torch.Generator:
    """The same mission again: equal seeds give equal hits and equal luck."""
    return torch.Generator().manual_seed(seed)


def armored(region: int, config: Config) -> Fleet:
    """The fleet with one region made less deadly."""
    chances = FLEET.vulnerability.clone()
    chances[region] *= config.armor
    return replace(FLEET, vulnerability=chances)


def draw(results: dict) -> Figure:
    figure, ax = figures.figure(2.9)
    places = range(len(results["regions"]))
    for shift, name, role, text in (
        (-0.22, "lost", "broken", "on lost planes"),
        (0.0, "all", "muted", "on all planes"),
        (0.22, "returned", "data", "on returned planes"),
    ):
        rows = list(results["shares"][name].values())
        ax.barh(
            [place + shift for place in places],
            [100 * row["mean"] for row in rows],
            0.2,
            color=figures.color(role),
            label=text,
        )
    figures.sequence_axis(ax, results["regions"], axis="y")
    ax.set_ylim(len(results["regions"]) - 0.5, -0.5)
    ax.set_xlabel("share of the holes (%)")
    ax.legend(loc="center right")
    return figure
