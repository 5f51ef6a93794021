"""A walk takes its times to the device of its data, wherever the times were made."""

import pytest
import torch

from elsewhere import Elsewhere
from fromnoise.couplings import reflow_pairs
from fromnoise.langevin import annealed_langevin
from fromnoise.samplers import ddim_step, sample, uniform_times
from fromnoise.schedules import Rectified, VPLinear, beside
from fromnoise.sde import probability_flow_ode, simulate


def half(x_t, t):
    """A denoiser that uses the time as a network does."""
    return x_t * (1 - t).reshape(-1, *[1] * (x_t.ndim - 1))


def downhill(x_t, t):
    return -half(x_t, t)


WALKS = {
    "sample": lambda x, times: sample(half, Rectified(), x, times, ddim_step),
    "annealed_langevin": lambda x, times: annealed_langevin(
        downhill,
        VPLinear(),
        x,
        times[:-1],
        n_steps=2,
        step=0.1,
        generator=torch.Generator(x.device).manual_seed(0),
    ),
    "simulate": lambda x, times: simulate(
        probability_flow_ode(downhill, VPLinear()), x, times.clamp(0.01, 0.99)
    ),
    "reflow_pairs": lambda x, times: reflow_pairs(half, Rectified(), x, times).x_0,
}


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_times_from_the_processor_follow_the_data(walk):
    x = torch.linspace(-1, 1, 6).reshape(3, 2)
    times = uniform_times(4)
    here = walk(x, times)
    with Elsewhere() as there:
        found = walk(x.to(there.device), times).cpu()
    assert there.n_operations > 0
    assert torch.equal(found, here)


def test_a_scale_from_the_processor_follows_the_data():
    with Elsewhere() as there:
        x = torch.ones(3, 2).to(there.device)
        assert ((beside(torch.tensor([1.0, 2.0, 3.0]), x) * x).cpu().sum() == 12).item()
