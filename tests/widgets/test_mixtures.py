"""The playground's data, and their exact answers, are the package's."""

import numpy as np
import pytest
import torch

from experiments.sde._common import PLANE
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Rectified

NAMES = ("clusters", "moons", "ring", "board")


def mixture(javascript, name: str, label: int | None = None) -> tuple[GaussianMixture, dict]:
    """A mixture of the widgets in the package's hands, and as the widgets have it."""
    (plain,) = javascript("maths/mixtures.mjs", ["named", name, label])
    parts = plain["parts"]
    return GaussianMixture.isotropic(
        torch.tensor([part["mean"] for part in parts], dtype=torch.float64),
        plain["spread"],
        torch.tensor([part["weight"] for part in parts], dtype=torch.float64),
    ), plain


def scales(t: float):
    at = Rectified()(torch.tensor(t, dtype=torch.float64))
    return at, {"alpha": float(at.alpha_t), "sigma": float(at.sigma_t)}


def test_the_three_clusters_are_those_of_the_experiments(javascript) -> None:
    found, _ = mixture(javascript, "clusters")
    assert torch.allclose(found.weights, PLANE.weights)
    assert torch.allclose(found.components.mean, PLANE.components.mean)
    assert torch.allclose(found.covariance, PLANE.covariance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", [None, 0, 1])
def test_best_guesses_are_the_packages(javascript, name, label) -> None:
    truth, plain = mixture(javascript, name, label)
    assert abs(float(truth.weights.sum()) - 1) < 1e-12
    x = 1.5 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)).double()
    for t in (0.03, 0.5, 0.97, 1.0):
        at, given = scales(t)
        (found,) = javascript(
            "maths/mixtures.mjs", ["posteriorMean", plain, x.flatten().tolist(), given]
        )
        wanted = truth.posterior_mean(x, at).numpy()
        assert np.abs(np.array(found).reshape(-1, 2) - wanted).max() < 1e-5
        if t == 0.5:
            wrong = truth.posterior_mean(-x, at).numpy()
            assert np.abs(np.array(found).reshape(-1, 2) - wrong).max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_densities_are_the_packages(javascript, name) -> None:
    truth, plain = mixture(javascript, name)
    n, reach = 32, 3.2
    cells = ((2 * (np.arange(n) + 0.5)) / n - 1) * reach
    grid = torch.tensor([[x, y] for y in cells[::-1] for x in cells])
    for t in (0.05, 0.5, 1.0):
        at, given = scales(t)
        (found,) = javascript("maths/mixtures.mjs", ["densityField", plain, given, n, reach])
        wanted = truth.noised(at).log_prob(grid).exp().numpy()
        assert np.abs(np.array(found) - wanted).max() < 1e-5 * max(wanted.max(), 1)
    (upside_down,) = javascript(
        "maths/mixtures.mjs", ["densityField", plain, scales(0.05)[1], n, reach]
    )
    if name != "board":  # which looks the same from below
        at = scales(0.05)[0]
        flipped = truth.noised(at).log_prob(grid * torch.tensor([1.0, -1.0])).exp().numpy()
        assert name == "ring" or np.abs(np.array(upside_down) - flipped).max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_draws_hold_each_component_in_its_share(javascript, name) -> None:
    truth, plain = mixture(javascript, name)
    (found,) = javascript("maths/mixtures.mjs", ["draws", plain, 1000, 5])
    (z,) = javascript("maths/random.mjs", ["normals", 2000, 5])
    centers = np.array(found).reshape(-1, 2) - plain["spread"] * np.array(z).reshape(-1, 2)
    means = np.array([part["mean"] for part in plain["parts"]])
    nearest = np.abs(centers[:, None] - means).sum(-1).argmin(1)
    assert np.abs(centers - means[nearest]).max() < 1e-12
    shares = np.bincount(nearest, minlength=len(means)) / 1000
    assert np.abs(shares - truth.weights.numpy()).max() <= 1.5e-3
