"""The forward process of the widgets is the package's, whole and without its parts."""

import numpy as np
import pytest
import torch

from fromnoise.diffusion import perturb, transition
from fromnoise.schedules import Cosine, Rectified, Scales, VPLinear

SCHEDULES = {"rectified": Rectified(), "cosine": Cosine(), "linear": VPLinear()}


def at(schedule, times: torch.Tensor) -> Scales:
    return schedule(times.double())


@pytest.mark.parametrize("name", SCHEDULES)
def test_scales_of_a_chain_are_the_schedules(javascript, name) -> None:
    (found,) = javascript("maths/forward.mjs", ["chain", name, 40])
    wanted = at(SCHEDULES[name], torch.linspace(0, 1, 41))
    for key, values in (("alpha", wanted.alpha_t), ("sigma", wanted.sigma_t)):
        assert np.abs(np.array([step[key] for step in found]) - values.numpy()).max() < 1e-5


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_shrinking_the_variances_of_the_steps_add_up(javascript, name) -> None:
    (found,) = javascript("maths/forward.mjs", ["chain", name, 40, {"unshrunk": True}])
    wanted = at(SCHEDULES[name], torch.linspace(0, 1, 41))
    later, before = (Scales(*(row[part] for row in wanted)) for part in (slice(1, None), slice(-1)))
    _, added = transition(later, before)
    sigma = added.cumsum(0).sqrt().numpy()
    assert [step["alpha"] for step in found] == [1] * 41
    assert np.abs(np.array([step["sigma"] for step in found[1:]]) - sigma).max() < 1e-5
    assert sigma[-1] > 1.5  # a chain that shrinks ends at 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_stopping_early_leaves_the_stated_signal(javascript, name) -> None:
    (found,) = javascript("maths/forward.mjs", ["chain", name, 40, {"early": True}])
    end = at(SCHEDULES[name], torch.tensor(found[-1]["t"], dtype=torch.float64))
    assert abs(float(end.alpha_t) - 0.4) < 1e-9
    assert abs(found[-1]["sigma"] - float(end.sigma_t)) < 1e-9


def test_noised_data_are_the_packages(javascript) -> None:
    x_0, eps = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scales = at(Cosine(), torch.full((1000,), 0.3))
    given = {"alpha": float(scales.alpha_t[0]), "sigma": float(scales.sigma_t[0])}
    (found,) = javascript("maths/forward.mjs", ["perturb", x_0.tolist(), eps.tolist(), given])
    assert np.abs(np.array(found) - perturb(x_0, eps, scales).numpy()).max() < 1e-5
    assert np.abs(np.array(found) - perturb(x_0, -eps, scales).numpy()).max() > 1e-2
