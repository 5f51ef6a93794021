"""The posterior is exact; what the cheap samplers give in its place is exact too, and differs."""

import itertools

import pytest
import torch

from chance import covariance_gap, mean_gap
from fromnoise.diffusion import posterior
from fromnoise.gaussians import Gaussian
from fromnoise.inverse import (
    dps,
    linear_posterior,
    measurement_guided,
    repaint,
    replacement,
    replacement_moments,
)
from fromnoise.linear_operators import Dense
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import ancestral_step, ddim_step, sample, uniform_times
from fromnoise.schedules import VE, Cosine, VPLinear
from fromnoise.targets import score_from_x_0

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


ROOT = normal(3, 3, seed=4)
PRIOR = Gaussian(normal(3, seed=1), ROOT @ ROOT.mT + 0.1 * torch.eye(3, dtype=F64))
MIXTURE = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    normal(2, 3, seed=2),
    torch.stack([PRIOR.covariance, 0.2 * torch.eye(3, dtype=F64)]),
)
MATRIX, Y, NOISE_STD = normal(2, 3, seed=3), normal(2, seed=6), 0.3
# Two entries that go together: to know the first is to know much of the second.
PAIR = Gaussian(torch.zeros(2, dtype=F64), torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=F64))
KNOWN, SEEN = torch.tensor([True, False]), torch.tensor([1.5, 0.0], dtype=F64)


def log_evidence_ratio(prior, matrix, x, other):
    """log p(x, y) - log p(x', y): Bayes without its normalizer."""

    def joint(point):
        return prior.log_prob(point) - ((Y - point @ matrix.mT) / NOISE_STD).square().sum(-1) / 2

    return joint(x) - joint(other)


@pytest.mark.parametrize("prior", [PRIOR, MIXTURE], ids=["gaussian", "mixture"])
def test_the_posterior_is_bayes_up_to_a_constant(prior):
    x, other = normal(20, 3), normal(20, 3, seed=9)
    answer = linear_posterior(prior, MATRIX, Y, NOISE_STD)
    expected = log_evidence_ratio(prior, MATRIX, x, other)
    found = answer.log_prob(x) - answer.log_prob(other)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    unsure = linear_posterior(prior, MATRIX, Y, 2 * NOISE_STD)
    flipped = linear_posterior(prior, -MATRIX, Y, NOISE_STD)
    for wrong in (prior, unsure, flipped):
        assert ((wrong.log_prob(x) - wrong.log_prob(other)) - expected).abs().max() > 0.1


def test_a_mixture_of_one_is_its_gaussian():
    one = GaussianMixture(torch.ones(1, dtype=F64), PRIOR.mean[None], PRIOR.covariance[None])
    x = normal(4, 3)
    found = linear_posterior(one, MATRIX, Y, NOISE_STD).log_prob(x)
    torch.testing.assert_close(found, linear_posterior(PRIOR, MATRIX, Y, NOISE_STD).log_prob(x))


def test_bayes_gradient_makes_the_posterior_denoiser_and_dps_forgets_a_covariance():
    """With Cov[x_0 | x_t] the guided denoiser is exact at every noise level; with 0 it is not."""
    schedule, x_t = Cosine(), normal(9, 3, seed=7)
    t = torch.linspace(0.05, 0.95, 9, dtype=F64)
    exact = denoiser(linear_posterior(PRIOR, MATRIX, Y, NOISE_STD), schedule)(x_t, t)
    pieces = (denoiser(PRIOR, schedule), schedule, Dense(MATRIX), Y.expand(9, 2), NOISE_STD)
    found = measurement_guided(*pieces, PRIOR.posterior_covariance)(x_t, t)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)
    sure = measurement_guided(*pieces)(x_t, t)
    off = (sure - exact).abs().amax(1)
    assert (off > 1e-3).all()
    # The closed form of what is forgotten: two solves with and without the covariance.
    at = schedule(t)
    gain = torch.autograd.functional.jacobian(
        lambda x: PRIOR.posterior_mean(x, schedule(t[4])), x_t[4]
    )
    misfit = Y - MATRIX @ PRIOR.posterior_mean(x_t[4], schedule(t[4]))
    noise = NOISE_STD**2 * torch.eye(2, dtype=F64)
    left = MATRIX @ PRIOR.posterior_covariance(x_t[4], schedule(t[4])) @ MATRIX.mT
    gap = torch.linalg.solve(noise, misfit) - torch.linalg.solve(noise + left, misfit)
    expected = (at.sigma_t[4] ** 2 / at.alpha_t[4]) * gain.mT @ MATRIX.mT @ gap
    torch.testing.assert_close((sure - exact)[4], expected, rtol=1e-9, atol=1e-9)


def test_the_score_of_the_noised_posterior_is_the_prior_score_plus_bayes():
    """By autograd of the exact log p(y | x_t) of a mixture, component by component."""
    at = Cosine()(torch.tensor(0.4, dtype=F64))
    x_t = normal(6, 3).requires_grad_()
    parts = MIXTURE.components
    means = parts.posterior_mean(x_t[:, None, :], at) @ MATRIX.mT
    spread = MATRIX @ parts.posterior_covariance(x_t[:, None, :], at) @ MATRIX.mT
    seen = torch.distributions.MultivariateNormal(
        means, spread + NOISE_STD**2 * torch.eye(2, dtype=F64)
    )
    weights = MIXTURE.noised(at).responsibilities(x_t).log()
    (slope,) = torch.autograd.grad((weights + seen.log_prob(Y)).logsumexp(-1).sum(), x_t)
    answer = linear_posterior(MIXTURE, MATRIX, Y, NOISE_STD)
    expected = MIXTURE.noised(at).score(x_t) + slope
    torch.testing.assert_close(answer.noised(at).score(x_t), expected, rtol=1e-9, atol=1e-9)
    x_0_hat = answer.posterior_mean(x_t, at)
    torch.testing.assert_close(score_from_x_0(x_0_hat, x_t, at), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_repeats", [1, 3])
def test_the_recursion_is_the_sampler(n_repeats):
    """Against 40,000 samples; another number of repeats has another law."""
    n, schedule, times = 40_000, VPLinear(), uniform_times(6, 1.0, 0.05)
    estimate = denoiser(PAIR, schedule)
    y = SEEN.expand(n, 2)
    step = repaint(ancestral_step, KNOWN, y, n_repeats)
    x_1 = schedule(times[0]).sigma_t * normal(n, 2, seed=1)
    generator = torch.Generator().manual_seed(2)
    found = sample(estimate, schedule, x_1, times, step, generator)
    mean, cov = replacement_moments(
        denoiser(PAIR, schedule), schedule, times, KNOWN, SEEN, n_repeats
    )
    assert mean_gap(found, mean) < 1
    assert covariance_gap(found, cov) < 1
    other, _ = replacement_moments(estimate, schedule, times, KNOWN, SEEN, 4 - n_repeats)
    assert mean_gap(found, other) > 1


def test_replacement_does_not_find_the_posterior_and_repeats_come_nearer():
    """Knowing x = 1.5 says 1.2 for the other entry; more steps do not mend it, repeats do."""
    estimate = denoiser(PAIR, Cosine())

    def unseen(n_steps, n_repeats):
        times = uniform_times(n_steps)
        mean, cov = replacement_moments(estimate, Cosine(), times, KNOWN, SEEN, n_repeats)
        return mean[1].item(), cov[1, 1].item()

    exact_mean, exact_var = 0.8 * 1.5, 1 - 0.8**2
    # Forced entries end exactly as known.
    mean, cov = replacement_moments(estimate, Cosine(), uniform_times(50), KNOWN, SEEN)
    assert mean[1] == unseen(50, 1)[0]
    assert mean[0] == 1.5
    assert cov[0].abs().max() == 0
    coarse, fine = unseen(100, 1), unseen(400, 1)
    assert abs(fine[0] - exact_mean) > 0.05
    assert fine[1] > exact_var + 0.05
    assert abs(fine[0] - coarse[0]) < 0.2 * abs(fine[0] - exact_mean)
    gaps = [abs(unseen(100, n_repeats)[0] - exact_mean) for n_repeats in (1, 2, 5, 20)]
    assert all(later < earlier for earlier, later in itertools.pairwise(gaps))
    assert gaps[-1] < 0.2 * gaps[0]


def test_the_denoiser_of_the_posterior_samples_the_posterior():
    """With nothing forced: the mean is exact, and the covariance comes near at order one."""
    answer = linear_posterior(PRIOR, MATRIX, Y, NOISE_STD)
    pieces = (denoiser(PRIOR, Cosine()), Cosine(), Dense(MATRIX), Y.expand(4, 2), NOISE_STD)
    nothing, zero = torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=F64)

    def gaps(guided, n_steps):
        times = uniform_times(n_steps, 0.9999)
        mean, cov = replacement_moments(guided, Cosine(), times, nothing, zero)
        return (mean - answer.mean).abs().max(), (cov - answer.covariance).abs().max()

    exact = measurement_guided(*pieces, PRIOR.posterior_covariance)
    (mean_gap, coarse), (_, fine) = gaps(exact, 100), gaps(exact, 200)
    # 1e-6 is what is left of the data at t = 0.9999, which the start leaves out.
    assert mean_gap < 1e-6
    assert 1.9 < coarse / fine < 2.1
    wrong_mean_gap, _ = gaps(measurement_guided(*pieces, lambda x_t, at: torch.eye(3).to(x_t)), 100)
    assert wrong_mean_gap > 0.01


def test_replacement_writes_over_and_repaint_once_is_replacement():
    schedule, x_t, y = Cosine(), normal(5, 2), SEEN.expand(5, 2)
    t, s = torch.tensor(0.6, dtype=F64), torch.tensor(0.0, dtype=F64)

    def move(step):
        generator = torch.Generator().manual_seed(3)
        return step(denoiser(PAIR, schedule), schedule, x_t, t, s, generator)

    found = move(replacement(ddim_step, KNOWN, y))
    assert torch.equal(found[:, 0], y[:, 0])
    assert torch.equal(found[:, 1], move(ddim_step)[:, 1])
    assert torch.equal(found, move(repaint(ddim_step, KNOWN, y, 1)))
    assert not torch.equal(found, move(repaint(ddim_step, KNOWN, y, 2)))
    assert torch.equal(move(repaint(ddim_step, KNOWN, y)), move(repaint(ddim_step, KNOWN, y, 10)))


def test_dps_subtracts_the_slope_of_the_misfit():
    """The slope in closed form: the denoiser of a Gaussian is affine."""
    schedule, x_t = Cosine(), normal(5, 3)
    t, s = torch.tensor(0.6, dtype=F64), torch.tensor(0.5, dtype=F64)
    estimate = denoiser(PRIOR, schedule)
    found = dps(ddim_step, Dense(MATRIX), Y.expand(5, 2), 0.7)(estimate, schedule, x_t, t, s, None)
    plain = ddim_step(estimate, schedule, x_t, t, s)
    gain = torch.autograd.functional.jacobian(
        lambda x: PRIOR.posterior_mean(x, schedule(t)), x_t[0]
    )
    misfit = Y - PRIOR.posterior_mean(x_t, schedule(t)) @ MATRIX.mT
    slope = -(misfit / misfit.norm(dim=1, keepdim=True)) @ MATRIX @ gain
    torch.testing.assert_close(found, plain - 0.7 * slope, rtol=1e-11, atol=1e-11)
    assert (found - (plain + 0.7 * slope)).abs().max() > 0.01
    assert (found - (plain - 1.4 * slope)).abs().max() > 0.01
    # Far too large a step leaves the data.
    times, generator = uniform_times(20, 0.99), torch.Generator().manual_seed(1)
    wild = dps(ancestral_step, Dense(MATRIX), Y.expand(5, 2), 1e3)
    ended = sample(estimate, schedule, x_t, times, wild, generator)
    assert ended.abs().max() > 20


def test_dps_keeps_to_the_measurement_better_than_chance():
    schedule, n = Cosine(), 400
    times, estimate = uniform_times(50, 0.99), denoiser(PRIOR, schedule)
    misfits = []
    for size in (0.0, 0.3):
        step = dps(ancestral_step, Dense(MATRIX), Y.expand(n, 2), size)
        generator = torch.Generator().manual_seed(1)
        x_0 = sample(estimate, schedule, normal(n, 3), times, step, generator)
        misfits.append((Y - x_0 @ MATRIX.mT).norm(dim=1).mean())
    assert misfits[1] < 0.3 * misfits[0]


def test_bad_input_is_refused():
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="noise_std must be positive"):
            linear_posterior(PRIOR, MATRIX, Y, bad)
        with pytest.raises(ValueError, match="noise_std must be positive"):
            measurement_guided(denoiser(PRIOR, Cosine()), Cosine(), Dense(MATRIX), Y[None], bad)
    with pytest.raises(ValueError, match="the matrix is"):
        linear_posterior(PAIR, MATRIX, Y, 0.1)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="step_size must be"):
            dps(ddim_step, Dense(MATRIX), Y[None], bad)
    with pytest.raises(ValueError, match="n_repeats must be at least 1"):
        repaint(ddim_step, KNOWN, SEEN[None], 0)
    chain = (denoiser(PAIR, Cosine()), Cosine())
    for times, n_repeats in ((uniform_times(2), 0), (uniform_times(1)[:1], 1)):
        with pytest.raises(ValueError, match="need n_repeats >= 1"):
            replacement_moments(*chain, times, KNOWN, SEEN, n_repeats)
    # One step is a chain too; from pure noise to data it makes its mean certain.
    mean, cov = replacement_moments(*chain, uniform_times(1), KNOWN, SEEN)
    assert mean.tolist() == [1.5, 0.0]
    assert not cov.any()
    at_noise = torch.ones(1, dtype=F64)
    guided = measurement_guided(
        denoiser(PRIOR, Cosine()), Cosine(), Dense(MATRIX), Y[None], NOISE_STD
    )
    with pytest.raises(ValueError, match="alpha_t = 0"):
        guided(normal(1, 3), at_noise)
    one = torch.tensor(0.5, dtype=F64)
    step = replacement(ddim_step, KNOWN, SEEN[None])
    with pytest.raises(ValueError, match="pass generator"):
        step(denoiser(PAIR, Cosine()), Cosine(), normal(1, 2), one, one / 2, None)


def test_one_example_of_pure_noise_among_others_cannot_be_steered():
    guided = measurement_guided(
        denoiser(PRIOR, Cosine()), Cosine(), Dense(MATRIX), Y.expand(2, 2), NOISE_STD
    )
    assert guided(normal(2, 3), torch.tensor([0.5, 0.6], dtype=F64)).shape == (2, 3)
    with pytest.raises(ValueError, match="start later"):
        guided(normal(2, 3), torch.tensor([0.5, 1.0], dtype=F64))


def test_the_walk_starts_at_the_noise_of_its_first_time():
    """One step of a denoiser that says nothing: the start shrinks, fresh noise comes on top."""
    times = torch.tensor([0.8, 0.4], dtype=F64)
    mean, covariance = replacement_moments(
        lambda x_t, t: torch.zeros_like(x_t),
        VE(0.01, 5.0),
        times,
        torch.tensor([False, False]),
        torch.zeros(2, dtype=F64),
    )
    at_t, at_s = (VE(0.01, 5.0)(t) for t in times)
    one = torch.ones(1, 1, dtype=F64)
    moved, fresh = posterior(one, torch.zeros_like(one), at_t, at_s)
    expected = (moved.squeeze() * at_t.sigma_t).square() + fresh
    assert mean.abs().max() == 0
    assert (covariance - expected * torch.eye(2, dtype=F64)).abs().max() < 1e-12
