"""Against torchcfm, whose time runs the other way: its x0 is our noise, its x1 our data."""

import math

import numpy as np
import pytest
import torch
import torchcfm.conditional_flow_matching as cfm
import torchcfm.optimal_transport as transport

from fromnoise.couplings import optimal_coupling
from fromnoise.diffusion import perturb
from fromnoise.flow_matching import conditional_velocity
from fromnoise.schedules import Cosine, Rectified, Schedule
from fromnoise.targets import PredictVelocity

FLOAT = torch.float64
EXACT = {"rtol": 0.0, "atol": 1e-12}
R = torch.tensor([0.05, 0.3, 0.5, 0.77, 0.95], dtype=FLOAT)
"""Their times; ours are 1 - R."""


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


DATA, NOISE = normal(5, 3, seed=0), normal(5, 3, seed=1)


def ours(schedule: Schedule):
    """Our point and velocity at the same place, the velocity turned to their direction."""
    at = schedule(1 - R)
    return perturb(DATA, NOISE, at), -PredictVelocity().true(DATA, NOISE, at)


@pytest.mark.parametrize(
    "schedule, kind",
    [
        (Rectified(), "ConditionalFlowMatcher"),
        (Cosine(), "VariancePreservingConditionalFlowMatcher"),
    ],
)
def test_points_and_velocities_of_paired_paths(schedule, kind):
    matcher = getattr(cfm, kind)(sigma=0.0)
    x_t, velocity = ours(schedule)
    point = matcher.sample_xt(NOISE, DATA, R, torch.zeros_like(DATA))
    torch.testing.assert_close(x_t, point, **EXACT)
    flow = matcher.compute_conditional_flow(NOISE, DATA, R, point)
    torch.testing.assert_close(velocity, flow, **EXACT)


def test_the_paths_of_lipman_need_the_data_alone():
    matcher = cfm.TargetConditionalFlowMatcher(sigma=0.0)
    x_t, velocity = ours(Rectified())
    point = matcher.sample_xt(NOISE, DATA, R, NOISE)
    torch.testing.assert_close(x_t, point, **EXACT)
    flow = matcher.compute_conditional_flow(NOISE, DATA, R, point)
    torch.testing.assert_close(velocity, flow, **EXACT)
    from_data = -conditional_velocity(x_t, DATA, Rectified()(1 - R))
    torch.testing.assert_close(from_data, flow, **EXACT)


def test_a_bridge_of_noise_is_another_path():
    """On purpose: their Schrodinger bridge adds noise around the line; ours has none."""
    matcher = cfm.SchrodingerBridgeConditionalFlowMatcher(sigma=0.5)
    spread = matcher.compute_sigma_t(R)
    torch.testing.assert_close(spread, 0.5 * (R * (1 - R)).sqrt(), **EXACT)
    assert spread.max() > 0.2


def test_the_pairing_by_optimal_transport():
    """Their plan is a permutation over the size of the batch; ours is that permutation."""
    data, noise = normal(40, 2, seed=2), normal(40, 2, seed=3)
    plan = transport.OTPlanSampler(method="exact").get_map(data, noise)
    pairs = optimal_coupling(data, noise)
    assert np.allclose(plan.sum(), 1)
    assert np.array_equal(plan.argmax(1), pairs.numpy())
    assert math.isclose(plan.max(), 1 / 40)


def test_their_plan_is_drawn_from_with_replacement():
    """On purpose: they draw pairs, and repeat some; ours uses every point once."""
    data, noise = normal(40, 2, seed=4), normal(40, 2, seed=5)
    # All 40 would be different with probability 40! / 40^40, below 1e-16: no seed is needed.
    drawn, _ = transport.OTPlanSampler(method="exact").sample_plan(data, noise)
    assert len(drawn.unique(dim=0)) < 40
    assert len(optimal_coupling(data, noise).unique()) == 40
