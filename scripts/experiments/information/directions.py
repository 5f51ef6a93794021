"""Where does one Gaussian settle on two bells, by the forward and by the reverse divergence?"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fromnoise import figures
from fromnoise.fitting import Fit, forward_fit, gaussian_log_prob, reverse_fit


@dataclass(frozen=True)
class Config:
    share: float = 0.6  # of the left bell
    shown: float = 3.0
    distances: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
    n_points: int = 2001  # doubling it moves no divergence by more than 1e-10


SIZES = {"full": Config(), "smoke": Config(distances=(0.5, 3.0), n_points=401)}


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    x = torch.linspace(-20, 20, config.n_points, dtype=torch.float64)
    results: dict = {"distances": list(config.distances), "forward": [], "reverse": []}
    for distance in config.distances:
        log_q = two_bells(x, distance, config.share)
        starts = [(-distance, 1.0), (distance, 1.0), (0.0, 1.0 + distance)]
        fits = [reverse_fit(x, log_q, start) for start in starts]
        results["forward"].append(entry(forward_fit(x, log_q)))
        results["reverse"].append(entry(min(fits, key=lambda fit: fit.divergence)))
        if distance == config.shown:
            coarse = torch.linspace(-8, 8, 161, dtype=torch.float64)
            shapes = {
                "forward": forward_fit(x, log_q),
                "left": fits[0],
                "right": fits[1],
            }
            results["shown"] = {
                "x": coarse.tolist(),
                "q": rounded(two_bells(coarse, distance, config.share)),
                **{
                    name: {**entry(fit), "p": rounded(gaussian_log_prob(coarse, fit.mean, fit.std))}
                    for name, fit in shapes.items()
                },
            }
            # What each of the two fits costs in the other direction.
            for name, fit in (("forward", shapes["forward"]), ("left", fits[0])):
                log_p = gaussian_log_prob(x, fit.mean, fit.std)
                back = (log_p.exp() * (log_p - log_q)).sum() * (x[1] - x[0])
                there = (log_q.exp() * (log_q - log_p)).sum() * (x[1] - x[0])
                results["shown"][name] |= {"as_reverse": float(back), "as_forward": float(there)}
    return results


def two_bells(x: torch.Tensor, distance: float, share: float) -> torch.Tensor:
    """Log density of two bells of unit width, at minus and plus the distance."""
    left = math.log(share) + gaussian_log_prob(x, -distance, 1.0)
    right = math.log(1 - share) + gaussian_log_prob(x, distance, 1.0)
    return torch.logaddexp(left, right)


def entry(fit: Fit) -> dict[str, float]:
    """A fit as numbers by name."""
    return {"mean": fit.mean, "std": fit.std, "divergence": fit.divergence}


def rounded(log_density: torch.Tensor) -> list[float]:
    """Densities to draw."""
    return [round(value, 5) for value in log_density.exp().tolist()]


def draw(results: dict) -> Figure:
    figure, (left, right) = figures.figure(2.9, ncols=2, sharey=False, width_ratios=[1.25, 1])
    shown = results["shown"]
    left.fill_between(shown["x"], shown["q"], color=figures.color("data"), alpha=0.25, lw=0)
    left.text(-4.4, 0.2, "two bells q", color=figures.color("data"), ha="right")
    # Each fit is a model, the two reverse ones of one kind; no direction is broken.
    for name, role, tone, text, at in (
        ("forward", "broken", "ink", "forward", 5.0),
        ("left", "model", "model", "reverse", -1.5),
        ("right", "noise", "model", "reverse, worse", 4.2),
    ):
        style = figures.line_style(role, color=figures.color(tone))
        (line,) = left.plot(shown["x"], shown[name]["p"], **style)
        figures.label_line(line, text, x=at, dx=3, dy=10)
    left.set(xlabel="x", ylabel="density", ylim=(0, 0.44))
    for name, role, tone in (("forward", "broken", "ink"), ("reverse", "model", "model")):
        values = [fit["std"] for fit in results[name]]
        style = figures.line_style(role, color=figures.color(tone), marker=figures.marker(role))
        (line,) = right.plot(results["distances"], values, **style)
        figures.label_line(line, name, x=4.4, dx=-2, dy=10, ha="right")
    right.set(xlabel="distance of a bell from 0", ylabel="standard deviation of the fit")
    right.set_ylim(0, 5.5)
    return figure
