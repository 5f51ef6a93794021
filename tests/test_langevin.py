"""Langevin dynamics: chains written out, reversibility, and what is refused."""

import inspect
import math
from functools import partial

import pytest
import torch

from chance import mean_gap
from fromnoise.gaussians import Gaussian
from fromnoise.langevin import (
    annealed_langevin,
    langevin,
    langevin_step,
    log_acceptance,
    metropolis_step,
)
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import VE, Rectified

F64 = torch.float64
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def test_a_chain_is_its_steps_with_the_generators_noise():
    x, generator = normal(6, 2), seeded(3)
    before = x.clone()
    expected = x
    for _ in range(4):
        z = torch.randn(6, 2, generator=generator, dtype=F64)
        expected = langevin_step(MIXTURE.score, expected, 0.05, z)
    found = langevin(MIXTURE.score, x, 4, 0.05, seeded(3))
    assert torch.equal(found, expected)
    assert torch.equal(x, before)


def test_a_corrected_chain_is_its_steps_with_the_generators_noise():
    x, generator = normal(6, 2), seeded(3)
    expected = x
    for _ in range(4):
        z = torch.randn(6, 2, generator=generator, dtype=F64)
        u = torch.rand(6, generator=generator, dtype=F64)
        expected, _ = metropolis_step(MIXTURE.log_prob, MIXTURE.score, expected, 0.5, z, u)
    found = langevin(MIXTURE.score, x, 4, 0.5, seeded(3), log_prob=MIXTURE.log_prob)
    assert torch.equal(found, expected)
    assert not torch.equal(found, langevin(MIXTURE.score, x, 4, 0.5, seeded(3)))


def test_a_corrected_step_goes_to_the_proposal_or_nowhere():
    x, z = normal(40, 2), normal(40, 2, seed=1)
    u = torch.rand(40, generator=seeded(2), dtype=F64)
    y = langevin_step(MIXTURE.score, x, 0.3, z)
    log_a = log_acceptance(MIXTURE.log_prob, MIXTURE.score, x, y, 0.3)
    found, moved = metropolis_step(MIXTURE.log_prob, MIXTURE.score, x, 0.3, z, u)
    assert torch.equal(moved, u < log_a.exp())
    assert 5 < moved.sum() < 35
    assert torch.equal(found[moved], y[moved])
    assert torch.equal(found[~moved], x[~moved])
    assert log_a.max() <= 0


def test_small_corrected_steps_are_nearly_always_taken():
    """The refusals are of order h^(3/2): the proposal is reversible to that order.

    200,000 pairs of steps say that the order lies between 1.4 and 1.6, wrongly once in 1e9 runs.
    """
    x, z = normal(200_000, 2), normal(200_000, 2, seed=1)
    refused = []
    for h in (1e-3, 1e-3 / 4):
        y = langevin_step(MIXTURE.score, x, h, z)
        log_a = log_acceptance(MIXTURE.log_prob, MIXTURE.score, x, y, h)
        refused.append(1 - log_a.exp())
    large, small = refused
    for order, sign in ((1.4, 1), (1.6, -1)):
        gap = large - 4**order * small
        assert mean_gap(gap, 0.0) > 1
        assert sign * gap.mean() > 0


def test_steps_work_on_images_and_keep_the_dtype():
    x, z = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)

    def log_prob(x):
        return -x.square().flatten(1).sum(1) / 2

    found, moved = metropolis_step(log_prob, torch.neg, x, 0.1, z, torch.zeros(3))
    assert moved.all()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, 0.9 * x)


def test_a_proposal_without_density_is_refused():
    def log_prob(x):
        return torch.where(x[:, 0] < 0, torch.nan, x[:, 0])

    x, z = torch.ones(2, 1, dtype=F64), torch.tensor([[-9.0], [9.0]], dtype=F64)
    found, moved = metropolis_step(log_prob, torch.ones_like, x, 0.5, z, torch.zeros(2).double())
    assert moved.tolist() == [False, True]
    assert found[0] == 1


def test_annealing_visits_each_level_with_a_step_in_proportion():
    """On a Gaussian every step is affine: slopes multiply, and noise is carried by what follows."""
    mean, var, h, n_steps = 0.7, 0.36, 0.2, 3
    gaussian = Gaussian(torch.tensor([mean], dtype=F64), torch.tensor([[var]], dtype=F64))
    schedule, times = VE(0.1, 3.0), torch.tensor([1.0, 0.6, 0.2], dtype=F64)

    def score(x, t):
        return gaussian.noised(schedule(t)).score(x)

    x = normal(5, 1)
    generator, expected = seeded(7), x.clone()
    for sigma in (schedule(times).sigma_t).tolist():
        for _ in range(n_steps):
            z = torch.randn(5, 1, generator=generator, dtype=F64)
            shrink = h * sigma**2 / (var + sigma**2)
            expected = expected + shrink * (mean - expected) + math.sqrt(2 * h) * sigma * z
    found = annealed_langevin(score, schedule, x, times, n_steps, h, seeded(7))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_sampling_builds_no_graph():
    weight = torch.ones(1, requires_grad=True)
    found = langevin(lambda x: -weight * x, torch.ones(2, 2), 2, 0.1, seeded())
    assert not found.requires_grad


X = torch.zeros(2, 3)


def plain(function):
    """The function as users meet it, without the shape checks that only the tests switch on."""
    return inspect.unwrap(function)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: langevin_step(torch.neg, X, 0.0, X), "step must be positive"),
        (lambda: langevin_step(torch.neg, X, math.nan, X), "got nan"),
        (lambda: plain(langevin_step)(torch.neg, X, 0.1, X[:, :1]), "z must have shape"),
        (lambda: plain(log_acceptance)(torch.sum, torch.neg, X, X[:1], 0.1), "y must have shape"),
        (lambda: log_acceptance(torch.sum, torch.neg, X, X, -0.1), "got -0.1"),
        (lambda: langevin(torch.neg, X, 0, 0.1, seeded()), "n_steps must be at least 1, got 0"),
        (lambda: anneal([0.5, 0.6]), "fall strictly"),
        (lambda: anneal([0.5, 0.0]), "have noise"),
        (lambda: anneal([1.5, 0.5]), r"t must lie in \[0, 1\]"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def anneal(times):
    return annealed_langevin(lambda x, t: -x, Rectified(), X, torch.tensor(times), 1, 0.1, seeded())


def test_levels_may_be_one_and_must_fall_strictly():
    at = partial(annealed_langevin, lambda x, t: -x, VE(), torch.ones(2, 2))
    g = torch.Generator().manual_seed(0)
    assert at(torch.tensor([0.5]), 1, 0.1, g).shape == (2, 2)
    for times in ([0.9, 0.5, 0.5], [0.9, 0.5, 0.6], [0.5, 0.5]):
        with pytest.raises(ValueError, match="must fall strictly"):
            at(torch.tensor(times), 1, 0.1, g)


def test_one_step_can_be_taken_and_an_endless_one_cannot():
    g = torch.Generator().manual_seed(0)
    assert langevin(lambda x: -x, torch.ones(2, 2), 1, 0.1, g).shape == (2, 2)
    with pytest.raises(ValueError, match="positive and finite, got inf"):
        langevin(lambda x: -x, torch.ones(2, 2), 1, math.inf, g)
