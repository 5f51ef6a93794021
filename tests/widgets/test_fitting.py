"""One Gaussian against two bells: the widget's divergences, slopes and descent."""

import math
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from fromnoise.fitting import forward_fit, gaussian_log_prob, line_kl, reverse_fit

MODULE = "maths/fitting.mjs"
X = torch.linspace(-40, 40, 4001, dtype=torch.float64)


def bells(distance: float, share: float) -> Tensor:
    left = math.log(share) + gaussian_log_prob(X, -distance, 1.0)
    right = math.log(1 - share) + gaussian_log_prob(X, distance, 1.0)
    return torch.logaddexp(left, right)


def inputs() -> list[dict]:
    """1,000 models and data over the whole range of the sliders, its corners among them."""
    g = torch.Generator().manual_seed(0)
    low = torch.tensor([-6.0, 0.3, 0.0, 0.1], dtype=torch.float64)
    high = torch.tensor([6.0, 5.0, 5.0, 0.9], dtype=torch.float64)
    at = torch.rand(1000, 4, generator=g, dtype=torch.float64)
    at[:16] = torch.tensor([[i >> b & 1 for b in range(4)] for i in range(16)]).double()
    names = ("mean", "std", "distance", "share")
    return [dict(zip(names, row, strict=True)) for row in (low + at * (high - low)).tolist()]


def split(row: dict) -> tuple[dict, dict]:
    model = {"mean": row["mean"], "std": row["std"]}
    return model, {"distance": row["distance"], "share": row["share"]}


def package(direction: str, row: dict) -> float:
    # JSON writes -6.0 as -6.
    log_p = gaussian_log_prob(X, float(row["mean"]), float(row["std"]))
    log_q = bells(row["distance"], row["share"])
    return line_kl(X, log_q, log_p) if direction == "forward" else line_kl(X, log_p, log_q)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_divergences_are_the_packages(javascript, direction) -> None:
    rows = inputs()
    found = javascript(MODULE, *(["divergence", direction, *split(row)] for row in rows))
    other = "reverse" if direction == "forward" else "forward"
    error, wrong = (
        max(abs(a - package(way, row)) / max(1, abs(a)) for a, row in zip(found, rows, strict=True))
        for way in (direction, other)
    )
    assert error < 1e-9
    assert wrong > 0.1


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_slopes_are_the_derivatives(javascript, direction) -> None:
    rows = inputs()
    found = javascript(MODULE, *(["gradient", direction, *split(row)] for row in rows))
    worst, by_std = 0.0, 0.0
    for row, slope in zip(rows, found, strict=True):
        at = torch.tensor([row["mean"], math.log(row["std"])], dtype=torch.float64)
        at.requires_grad_()
        std = at[1].exp()
        log_p = -0.5 * ((X - at[0]) / std) ** 2 - at[1] - 0.5 * math.log(2 * math.pi)
        log_q = bells(row["distance"], row["share"])
        terms = {
            "forward": log_q.exp() * (log_q - log_p),
            "reverse": log_p.exp() * (log_p - log_q),
        }
        (wanted,) = torch.autograd.grad(terms[direction].sum() * (X[1] - X[0]), at)
        mine = torch.tensor([slope["mean"], slope["logStd"]], dtype=torch.float64)
        worst = max(worst, float((mine - wanted).abs().max()) / max(1, float(wanted.abs().max())))
        by_std = max(by_std, float((mine[1] - wanted[1] / row["std"]).abs()))
    assert worst < 1e-7  # the widest models reach the edge of the grid
    assert by_std > 0.1  # the derivative by the width itself is another


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_no_step_of_a_descent_goes_up_and_it_ends_at_rest(javascript, direction) -> None:
    rows = inputs()[:150]
    # Wide models over bells far apart, where a bolder descent swings to and fro.
    rows += [
        {"mean": mean, "std": std, "distance": 5.0, "share": share}
        for mean, std, share in product((-1.0, 0.0, 3.0), (1.0, 2.0, 5.0), (0.5, 0.6))
    ]
    paths = javascript(MODULE, *(["descend", direction, *split(row)] for row in rows))
    ends = javascript(
        MODULE,
        *(
            ["gradient", direction, path[-1], split(row)[1]]
            for row, path in zip(rows, paths, strict=True)
        ),
    )
    for row, path, slope in zip(rows, paths, ends, strict=True):
        costs = [package(direction, {**row, **model}) for model in path]
        assert path[0] == split(row)[0]
        assert all(b <= a + 1e-9 for a, b in pairwise(costs))
        assert len(path) < 300
        assert abs(slope["mean"] * path[-1]["std"]) < 1e-3
        assert abs(slope["logStd"]) < 1e-3


def test_the_forward_descent_ends_at_the_moments_of_the_data(javascript) -> None:
    rows = inputs()[16:76]
    paths = javascript(MODULE, *(["descend", "forward", *split(row)] for row in rows))
    fits = javascript(MODULE, *(["forwardFit", split(row)[1]] for row in rows))
    for row, path, fit in zip(rows, paths, fits, strict=True):
        wanted = forward_fit(X, bells(row["distance"], row["share"]))
        assert abs(fit["mean"] - wanted.mean) < 1e-9
        assert abs(fit["std"] - wanted.std) < 1e-9
        assert abs(path[-1]["mean"] - wanted.mean) < 5e-3
        assert abs(path[-1]["std"] - wanted.std) < 5e-3


@pytest.mark.parametrize("mean", [-1.0, 1.0])
def test_the_reverse_descent_ends_on_the_bell_it_started_by(javascript, mean) -> None:
    data = {"distance": 3.0, "share": 0.6}
    (path,) = javascript(MODULE, ["descend", "reverse", {"mean": mean, "std": 1.0}, data])
    wanted = reverse_fit(X, bells(3.0, 0.6), (math.copysign(3.0, mean), 1.0))
    assert abs(path[-1]["mean"] - wanted.mean) < 5e-3
    assert abs(path[-1]["std"] - wanted.std) < 5e-3
    assert abs(package("reverse", data | path[-1]) - wanted.divergence) < 1e-5
