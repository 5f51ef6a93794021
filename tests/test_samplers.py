"""Samplers against closed forms: a Gaussian's flow is known, so each order can be measured."""

import math
from functools import cache, partial
from itertools import pairwise

import pytest
import torch

from chance import covariance_gap, mean_gap
from fromnoise.diffusion import posterior
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import (
    ancestral_step,
    ddim_step,
    edm_times,
    euler_step,
    heun_step,
    sample,
    uniform_log_snr_times,
    uniform_times,
)
from fromnoise.schedules import VE, Cosine, Rectified, VPLinear

SCHEDULES = [Rectified(), Cosine(), VPLinear(), VE(0.01, 5.0)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
F64 = torch.float64
MEAN, VAR = 0.7, 0.36
GAUSSIAN = Gaussian(torch.tensor([MEAN], dtype=F64), torch.tensor([[VAR]], dtype=F64))
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def time(value):
    return torch.tensor(value, dtype=F64)


def start(schedule, t, z):
    """The point of the Gaussian's flow at time t that stays z standard deviations from the mean."""
    at = schedule(time(t))
    return at.alpha_t * MEAN + (at.alpha_t.square() * VAR + at.sigma_t.square()).sqrt() * z


def order_of(errors):
    """Slope between successive halvings of the step, the finest pair."""
    return math.log2(errors[-2] / errors[-1])


@EVERY
@pytest.mark.parametrize(("step", "order"), [(ddim_step, 1), (euler_step, 1), (heun_step, 2)])
def test_step_has_its_order_on_a_gaussian(schedule, step, order):
    z = torch.linspace(-2, 2, 5, dtype=F64)[:, None]
    x_1, exact = start(schedule, 0.9, z), start(schedule, 0.1, z)
    errors = [
        (
            sample(denoiser(GAUSSIAN, schedule), schedule, x_1, uniform_times(n, 0.9, 0.1), step)
            - exact
        )
        .abs()
        .max()
        .item()
        for n in (100, 200)
    ]
    assert order_of(errors) == pytest.approx(order, abs=0.05)


@cache
def mixture_flow(schedule):
    """A start, and where the flow of the mixture carries it: Heun on a grid 8 times finer."""
    x_1 = 2 * torch.randn(20, 2, generator=seeded(), dtype=F64)
    fine = uniform_times(960, 0.9, 0.1)
    return x_1, sample(denoiser(MIXTURE, schedule), schedule, x_1, fine, heun_step)


@EVERY
@pytest.mark.parametrize(("step", "order"), [(ddim_step, 1), (euler_step, 1), (heun_step, 2)])
def test_step_has_its_order_on_a_mixture(schedule, step, order):
    x_1, exact = mixture_flow(schedule)
    go = partial(sample, denoiser(MIXTURE, schedule), schedule, x_1)
    errors = [(go(uniform_times(n, 0.9, 0.1), step) - exact).abs().mean().item() for n in (60, 120)]
    assert order_of(errors) == pytest.approx(order, abs=0.15)


@EVERY
def test_ancestral_moments_follow_their_recursion_to_first_order(schedule):
    """On a Gaussian every step is linear: its mean and variance need no sampling."""

    def final_moments(n_steps):
        mean, var = start(schedule, 0.9, 0.0), time(0.0)
        at = schedule(time(0.9))
        var = at.alpha_t.square() * VAR + at.sigma_t.square()
        times = uniform_times(n_steps, 0.9, 0.1)
        for t, s in pairwise(times):
            at_t, at_s = schedule(t), schedule(s)
            noise_free = partial(_mean_step, at_t, at_s, denoiser(GAUSSIAN, schedule), t)
            offset, slope = noise_free(time(0.0)), noise_free(time(1.0)) - noise_free(time(0.0))
            _, step_var = posterior(time(0.0)[None], time(0.0)[None], at_t, at_s)
            mean, var = offset + slope * mean, slope**2 * var + step_var
        return mean, var

    at = schedule(time(0.1))
    exact_var = at.alpha_t.square() * VAR + at.sigma_t.square()
    coarse, fine = final_moments(100), final_moments(200)
    assert fine[0].item() == pytest.approx((at.alpha_t * MEAN).item(), rel=1e-9)
    assert order_of([abs(coarse[1] - exact_var), abs(fine[1] - exact_var)]) == pytest.approx(
        1, abs=0.05
    )


def _mean_step(at_t, at_s, denoise, t, x):
    x = x.reshape(1, 1)
    return posterior(x, denoise(x, t.reshape(1)), at_t, at_s)[0].squeeze()


@EVERY
def test_ancestral_step_has_the_moments_of_the_posterior(schedule):
    """200,000 draws see 3 percent of the posterior's spread; `ddim_step` lacks it."""
    n, t, s = 200_000, time(0.7), time(0.4)
    x_t = torch.full((n, 1), 0.3, dtype=F64)
    found = ancestral_step(lambda x, t: 0.2 + 0 * x, schedule, x_t, t, s, seeded())
    mean, var = posterior(x_t[:1], time(0.2).reshape(1, 1), schedule(t), schedule(s))
    assert mean_gap(found, mean) < 1 < mean_gap(found + 0.03 * var.sqrt(), mean)
    assert covariance_gap(found[:, 0], var.squeeze()) < 1
    half = ddim_step(lambda x, t: 0.2 + 0 * x, schedule, x_t, t, s, seeded(), eta=0.9)
    assert covariance_gap(half[:, 0], var.squeeze()) > 1


@EVERY
def test_ddim_with_full_noise_is_the_ancestral_step(schedule):
    x_t = torch.randn(7, 2, generator=seeded(), dtype=F64)
    args = (denoiser(MIXTURE, schedule), schedule, x_t, time(0.8), time(0.3))
    found = ddim_step(*args, seeded(5), eta=1.0)
    torch.testing.assert_close(found, ancestral_step(*args, seeded(5)), rtol=1e-12, atol=1e-12)


@EVERY
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_keeps_the_marginal_whatever_the_noise(schedule, eta):
    """If x_t is alpha x_0 + sigma eps and the denoiser knows x_0, so is x_s: check both moments."""
    x_0, t, s = time(0.4).reshape(1, 1), time(0.8), time(0.3)
    at_t, at_s = schedule(t), schedule(s)

    def step(eps, noise):
        x_t = at_t.alpha_t * x_0 + at_t.sigma_t * eps
        return ddim_step(lambda x, t: x_0, schedule, x_t, t, s, noise, eta=eta)

    zero, one = torch.zeros(1, 1, dtype=F64), torch.ones(1, 1, dtype=F64)
    z = torch.randn(1, 1, generator=seeded(3), dtype=F64)
    fixed = step(zero, seeded(3))  # alpha_s x_0 + fresh * z
    kept = step(one, seeded(3)) - fixed
    fresh = (fixed - at_s.alpha_t * x_0) / z
    torch.testing.assert_close(kept**2 + fresh**2, at_s.sigma_t.square().reshape(1, 1))


def test_euler_on_straight_lines_is_ddim():
    args = (denoiser(MIXTURE, Rectified()), Rectified(), torch.ones(3, 2, dtype=F64))
    found = euler_step(*args, time(0.8), time(0.3))
    torch.testing.assert_close(found, ddim_step(*args, time(0.8), time(0.3)), rtol=1e-13, atol=0)


def test_ddim_does_not_see_the_shape_of_the_schedule():
    """The same log-SNR grid and the same noise give the same data on every schedule."""
    log_snr = torch.linspace(-4, 8, 30, dtype=F64)
    ends = []
    for schedule in (Rectified(), Cosine(), VPLinear(), VE(0.01, 50.0)):
        times = schedule.time_at(log_snr)
        # Scaled so that x / alpha, which is what the denoiser of every schedule can tell, agrees.
        first = schedule(times[0])
        x = first.alpha_t * torch.linspace(-8, 8, 20, dtype=F64).reshape(10, 2)
        x_s = sample(denoiser(MIXTURE, schedule), schedule, x, times)
        ends.append(x_s / schedule(times[-1]).alpha_t)
    for other in ends[1:]:
        torch.testing.assert_close(other, ends[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", [ddim_step, ancestral_step, euler_step, heun_step])
def test_last_step_to_clean_data_is_the_denoised_estimate(step):
    x = torch.ones(2, 2, dtype=F64)
    t, s = time(0.25), time(0.0)
    found = step(denoiser(MIXTURE, Rectified()), Rectified(), x, t, s, seeded())
    expected = MIXTURE.posterior_mean(x, Rectified()(t.expand(2)))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_sampling_starts_from_pure_noise_without_division_by_zero():
    x_1 = torch.randn(5, 2, generator=seeded(), dtype=F64)
    for schedule in (Rectified(), Cosine()):
        for step in (ddim_step, ancestral_step, euler_step, heun_step):
            x_0 = sample(
                denoiser(MIXTURE, schedule), schedule, x_1, uniform_times(10), step, seeded()
            )
            assert x_0.isfinite().all()


def test_same_generator_same_sample():
    x_1 = torch.randn(5, 2, generator=seeded())
    mixture = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.4)
    go = partial(sample, denoiser(mixture, Cosine()), Cosine(), x_1, uniform_times(8))
    assert torch.equal(go(ancestral_step, seeded(1)), go(ancestral_step, seeded(1)))
    assert not torch.equal(go(ancestral_step, seeded(1)), go(ancestral_step, seeded(2)))
    assert go(ancestral_step, seeded(1)).dtype == torch.float32


def test_path_starts_at_the_noise_and_ends_at_the_sample():
    x_1 = torch.randn(5, 2, generator=seeded(), dtype=F64)
    before = x_1.clone()
    go = partial(sample, denoiser(MIXTURE, Cosine()), Cosine(), x_1, uniform_times(6))
    path = go(return_path=True)
    assert path.shape == (7, 5, 2)
    assert torch.equal(path[0], before)
    assert torch.equal(path[-1], go())
    assert torch.equal(x_1, before)


def test_sampling_builds_no_graph_and_takes_an_empty_batch():
    weight = torch.ones(1, requires_grad=True)
    x_0 = sample(lambda x, t: weight * x, Cosine(), torch.ones(2, 2), uniform_times(2))
    assert not x_0.requires_grad
    empty = sample(lambda x, t: x, Cosine(), torch.zeros(0, 2), uniform_times(2))
    assert empty.shape == (0, 2)


def test_denoiser_is_told_one_time_per_example():
    seen = []

    def denoise(x, t):
        seen.append(t)
        return x

    sample(denoise, Cosine(), torch.zeros(3, 2), uniform_times(2), heun_step)
    assert [t.tolist() for t in seen] == [[1.0] * 3, [0.5] * 3, [0.5] * 3]
    assert seen[0].dtype == torch.float32


def test_stochastic_steps_ask_for_a_generator():
    x = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="pass generator"):
        sample(lambda x, t: x, Cosine(), x, uniform_times(2), ancestral_step)
    with pytest.raises(ValueError, match="eta must lie in"):
        ddim_step(lambda x, t: x, Cosine(), x, time(0.5), time(0.2), eta=1.5)


@pytest.mark.parametrize("times", [[1.0], [0.5, 0.5], [0.2, 0.8], [1.5, 0.0], [1.0, -0.1]])
def test_grids_that_do_not_fall_within_the_unit_interval_are_refused(times):
    with pytest.raises(ValueError, match="times must"):
        sample(lambda x, t: x, Cosine(), torch.zeros(1, 1), torch.tensor(times))


def test_uniform_times_are_equal_steps():
    assert uniform_times(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert uniform_times(1, 0.9, 0.2).tolist() == [0.9, 0.2]


@EVERY
def test_log_snr_grid_has_equal_steps_in_log_snr(schedule):
    times = uniform_log_snr_times(9, schedule, 0.95, 0.05)
    assert times[-1] == 0
    assert times[[0, -2]].tolist() == pytest.approx([0.95, 0.05], rel=1e-12)
    steps = schedule(times[:-1]).log_snr_t.diff()
    torch.testing.assert_close(steps, steps.mean().expand(8), rtol=1e-10, atol=0)


@EVERY
def test_edm_grid_has_equal_steps_in_a_root_of_the_noise_ratio(schedule):
    times = edm_times(9, schedule, 3.0, 0.95, 0.05)
    at = schedule(times[:-1])
    assert times[-1] == 0
    assert times[[0, -2]].tolist() == pytest.approx([0.95, 0.05], rel=1e-12)
    steps = ((at.sigma_t / at.alpha_t) ** (1 / 3)).diff()
    torch.testing.assert_close(steps, steps.mean().expand(8), rtol=1e-10, atol=0)


def test_edm_grid_approaches_equal_log_snr():
    large = edm_times(9, Cosine(), 1e6)
    torch.testing.assert_close(large, uniform_log_snr_times(9, Cosine()), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform_times(0), "n_steps"),
        (lambda: uniform_times(3, 0.2, 0.5), "t_min"),
        (lambda: uniform_log_snr_times(1, Cosine()), "n_steps >= 2"),
        (lambda: uniform_log_snr_times(5, Cosine(), t_max=1.0), "finite log-SNR"),
        (lambda: edm_times(5, Cosine(), t_min=0.0), "t_min > 0"),
        (lambda: edm_times(5, Cosine(), rho=0.0), "rho"),
    ],
)
def test_bad_grids_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_times_that_rise_once_are_refused():
    x = torch.zeros(1, 1, dtype=torch.float64)
    for times in ([1.0, 0.5, 0.6], [1.0, 1.0, 0.5], [0.5]):
        with pytest.raises(ValueError, match="strictly falling"):
            sample(lambda x, t: x, Rectified(), x, torch.tensor(times))


def test_the_message_names_both_ends_of_a_grid_outside_the_unit_interval():
    x = torch.zeros(1, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"got -0\.25\.\.0\.75"):
        sample(lambda x, t: x, Rectified(), x, torch.tensor([0.75, 0.5, -0.25]))


def test_the_smallest_grids_are_allowed_and_smaller_ones_named():
    assert uniform_times(1).tolist() == [1.0, 0.0]
    assert len(uniform_log_snr_times(2, Rectified())) == 3
    assert len(edm_times(2, Rectified())) == 3
    with pytest.raises(ValueError, match="at least 1, got 0"):
        uniform_times(0)
    with pytest.raises(ValueError, match=r"n_steps >= 2.*got n_steps 1"):
        uniform_log_snr_times(1, Rectified())
    with pytest.raises(ValueError, match=r"0 <= t_min < t_max <= 1, got t_min 0\.5, t_max 0\.5"):
        uniform_times(3, t_max=0.5, t_min=0.5)


def test_the_message_names_the_log_snr_at_both_ends():
    with pytest.raises(ValueError, match=r"t 0\.5\.\.1\.0, log-SNR -inf\.\.0"):
        uniform_log_snr_times(3, Rectified(), t_max=1.0, t_min=0.5)


def test_rho_must_be_positive():
    with pytest.raises(ValueError, match=r"rho must be positive, got 0\.0"):
        edm_times(3, Rectified(), rho=0.0)
    assert edm_times(3, Rectified(), rho=0.5)[1] > 0


def test_one_step_is_a_grid():
    x = torch.ones(1, 1, dtype=torch.float64)
    found = sample(lambda x, t: 0 * x, Rectified(), x, torch.tensor([1.0, 0.25]), step=ddim_step)
    assert found.item() == 0.25


def test_a_grid_in_log_snr_may_not_begin_at_clean_data_even_where_that_is_finite():
    with pytest.raises(ValueError, match="t_min > 0"):
        uniform_log_snr_times(3, VE(0.01, 10.0), t_min=0.0)
    with pytest.raises(ValueError, match=r"t_max <= 1, got t_min 0\.0, t_max 1\.5"):
        uniform_times(3, t_max=1.5)
