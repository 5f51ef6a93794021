"""Against smalldiffusion, which has alpha = 1 and knows a noise level by its sigma alone."""

import importlib
import sys
from unittest.mock import MagicMock

import pytest
import torch

from fromnoise.flow_matching import marginal_velocity
from fromnoise.samplers import ancestral_step, ddim_step, uniform_log_snr_times
from fromnoise.schedules import VE, Cosine, VPLinear, discrete_chain
from fromnoise.targets import eps_from_velocity, x_0_from_eps

HEAVY = ("torchvision", "torchvision.transforms", "accelerate")


def without_heavy_imports():
    """Its data and training modules import what its formulas do not use: put nothing there."""
    found = {name: sys.modules.get(name) for name in HEAVY}
    sys.modules.update({name: MagicMock() for name in HEAVY})
    try:
        return importlib.import_module("smalldiffusion")
    finally:
        for name, module in found.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


small = without_heavy_imports()
FLOAT = torch.float64


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def test_equal_steps_in_log_snr():
    schedule = VE(0.02, 10.0)
    ours = schedule(uniform_log_snr_times(50, schedule, 1.0, 1e-9)[:-1]).sigma_t.flip(0)
    theirs = small.ScheduleLogLinear(50, sigma_min=0.02, sigma_max=10.0).sigmas.double()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)


def test_the_chain_of_ddpm():
    """Its noise levels from linear betas, and ours off the continuous schedule: first order."""
    theirs = small.ScheduleDDPM(1000).sigmas.double()
    bar = discrete_chain(VPLinear(), 1000).alpha_bar
    ours = ((1 - bar) / bar).sqrt()
    ratio = (theirs / ours - 1).abs()
    assert ratio[100:900].max() < 0.05
    assert ratio.max() > 1e-3


def test_the_cosine_chain():
    theirs = small.ScheduleCosine(1000).sigmas.double()
    shifted = (torch.linspace(0, 1, 1001, dtype=FLOAT) + 0.008) / 1.008
    bar = Cosine()(shifted.clamp(max=1)).alpha_t.square()
    bar = (bar / bar[0])[1:]
    wanted = ((1 - bar) / bar).sqrt()
    torch.testing.assert_close(theirs[10:990], wanted[10:990], rtol=1e-3, atol=0)


def test_the_ideal_denoiser():
    """The best answer for a finite set of data: their eps is that of our marginal velocity."""
    data, x_t = normal(30, 4, seed=0), 2 * normal(6, 4, seed=1)
    schedule = VE(0.02, 10.0)
    for t in (0.3, 0.6, 0.9):
        at = schedule(torch.full((6,), t, dtype=FLOAT))
        theirs = small.IdealDenoiser(data)(x_t, at.sigma_t[:, None])
        ours = eps_from_velocity(marginal_velocity(x_t, data, at), x_t, at)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


class Fixed:
    """A model that answers one noise estimate and draws one given noise."""

    def __init__(self, eps_hat, noise):
        self.eps_hat, self.noise = eps_hat, noise

    def eval(self):
        return self

    def predict_eps_cfg(self, x, sigma, cond, scale):
        return self.eps_hat

    def rand_input(self, n):
        return self.noise


@pytest.mark.parametrize("mu, step", [(0.0, ddim_step), (0.5, ancestral_step)])
def test_one_step_of_its_sampler(mu, step):
    """gam = 1: mu = 0 is DDIM, mu = 1/2 is ancestral."""
    schedule = VE(0.02, 10.0)
    t, s = torch.tensor(0.8, dtype=FLOAT), torch.tensor(0.55, dtype=FLOAT)
    at_t, at_s = schedule(t), schedule(s)
    x_t, eps_hat = 5 * normal(6, 4, seed=2), normal(6, 4, seed=3)
    noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(4), dtype=FLOAT)
    (theirs,) = small.samples(
        Fixed(eps_hat, noise),
        torch.stack([at_t.sigma_t, at_s.sigma_t]),
        gam=1.0,
        mu=mu,
        xt=x_t,
        accelerator=object(),
    )
    x_0_hat = x_0_from_eps(eps_hat, x_t, at_t)
    ours = step(lambda x, t: x_0_hat, schedule, x_t, t, s, torch.Generator().manual_seed(4))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
