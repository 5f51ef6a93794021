"""Bounds of the chain and of continuous time, against closed forms on Gaussian data."""

import math

import pytest
import torch
from torch.distributions import Categorical

from chance import detectable, mean_gap
from fromnoise.diffusion_bounds import (
    continuous_bound,
    gaussian_reconstruction,
    level_reconstruction,
    three_term_bound,
)
from fromnoise.gaussians import Gaussian
from fromnoise.oracles import denoiser
from fromnoise.schedules import Cosine, Rectified, VPLinear

F64 = torch.float64
GAUSSIAN = Gaussian(
    torch.tensor([0.3, -0.2], dtype=F64), torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=F64)
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def at(schedule, *times):
    return schedule(torch.tensor(times, dtype=F64))


def test_gaussian_reconstruction_is_a_normal_density():
    x_0, x_s = torch.randn(2, 4, 3, generator=seeded(), dtype=F64)
    scales = at(VPLinear(), 0.1, 0.2, 0.3, 0.4)
    std = (scales.sigma_t / scales.alpha_t)[:, None]
    expected = -torch.distributions.Normal(x_s / scales.alpha_t[:, None], std).log_prob(x_0).sum(1)
    torch.testing.assert_close(gaussian_reconstruction(x_0, x_s, scales), expected)


def test_level_reconstruction_is_a_distribution_over_levels():
    # Not symmetric about zero: a wrong sign would go unseen.
    levels = torch.linspace(-0.8, 1.2, 17, dtype=F64)
    scales = at(Cosine(), 0.05)
    x_s = torch.tensor([[0.137, -0.9]], dtype=F64)
    nll = level_reconstruction(levels)
    # Every pair of levels, one pixel each: probabilities sum to one.
    pairs = torch.cartesian_prod(levels, levels)
    many = type(scales)(*(scale.expand(len(pairs)) for scale in scales))
    total = (-nll(pairs, x_s.expand(len(pairs), 2), many)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)
    logits = -scales.snr_t / 2 * (x_s[0, 0] / scales.alpha_t - levels) ** 2
    expected = -Categorical(logits=logits).log_prob(torch.tensor(9))
    found = nll(levels[9].reshape(1, 1), x_s[:, :1], scales)
    torch.testing.assert_close(found, expected.reshape(1))


def test_level_reconstruction_costs_nothing_without_noise_and_the_prior_under_much():
    levels = torch.linspace(-1, 1, 17, dtype=F64)
    x_0 = levels.reshape(1, -1)
    clean, noisy = at(Cosine(), 1e-3), at(Cosine(), 1 - 1e-6)
    assert level_reconstruction(levels)(x_0, clean.alpha_t * x_0, clean).item() < 1e-9
    found = level_reconstruction(levels)(x_0, noisy.sigma_t * torch.ones_like(x_0), noisy)
    assert found.item() == pytest.approx(17 * math.log(17), rel=1e-4)


def expected_bound(times):
    """The bound of the exact denoiser on Gaussian data, averaged in closed form."""
    scales = Cosine()(times)
    snr, var = scales.snr_t, GAUSSIAN.eigenvalues
    steps = (snr.diff()[:, None] / 2 * var / (1 + var * snr[:-1, None])).sum()
    return steps + 2 * (torch.log(2 * math.pi / snr[-1]) + 1) / 2


def entropy():
    return (torch.log(2 * math.pi * math.e * GAUSSIAN.eigenvalues) / 2).sum()


@pytest.mark.parametrize("n_steps", [3, 10])
def test_three_term_bound_has_its_closed_form_on_gaussian_data(n_steps):
    """40,000 draws see 0.2 nats; a denoiser that answers too small costs more than that."""
    times = torch.linspace(1, 0.2, n_steps + 1, dtype=F64)
    x_0 = GAUSSIAN.sample(40_000, seeded())
    bound = three_term_bound(
        denoiser(GAUSSIAN, Cosine()), Cosine(), x_0, times, gaussian_reconstruction, seeded(1)
    )
    assert detectable(bound.total) < 0.2
    assert mean_gap(bound.total, expected_bound(times)) < 1
    exact = denoiser(GAUSSIAN, Cosine())
    wrong = three_term_bound(
        lambda x, t: 0.7 * exact(x, t), Cosine(), x_0, times, gaussian_reconstruction, seeded(1)
    )
    assert mean_gap(wrong.total, expected_bound(times)) > 1
    assert (bound.prior == 0).all()
    assert bound.total.mean() > entropy()


def test_gap_of_the_bound_closes_like_one_over_the_number_of_steps():
    def gap(n_steps):
        ends = Cosine()(torch.tensor([0.999, 0.01], dtype=F64)).log_snr_t
        return expected_bound(Cosine().time_at(torch.linspace(*ends, n_steps + 1, dtype=F64)))

    # What remains is the price of the two ends, which more steps cannot lower.
    limit = 2 * gap(40_000) - gap(20_000)
    ratio = (gap(500) - limit) / (gap(1000) - limit)
    assert math.log2(ratio) == pytest.approx(1, abs=0.05)


def test_continuous_bound_agrees_with_its_integral_on_gaussian_data():
    """40,000 draws on three schedules, each at its own times; a worse denoiser costs more."""
    t_min = 0.05
    x_0 = GAUSSIAN.sample(40_000, seeded())
    for schedule in (Cosine(), Rectified(), VPLinear()):
        bound = continuous_bound(
            denoiser(GAUSSIAN, schedule),
            schedule,
            x_0,
            gaussian_reconstruction,
            seeded(1),
            n_draws=2,
            t_min=t_min,
        )
        snr = at(schedule, 1.0, t_min).snr_t
        high, low = snr[1], snr[0]
        var = GAUSSIAN.eigenvalues
        expected = (torch.log((1 + var * high) / (1 + var * low)) / 2).sum()
        assert mean_gap(bound.steps, expected) < 1
        exact = denoiser(GAUSSIAN, schedule)
        wrong = continuous_bound(
            lambda x, t, exact=exact: 0.5 * exact(x, t),
            schedule,
            x_0,
            gaussian_reconstruction,
            seeded(1),
            n_draws=2,
            t_min=t_min,
        )
        assert mean_gap(wrong.steps, expected) > 1


def test_continuous_bound_sees_every_time_and_moves_no_data():
    seen = []

    def denoise(x_t, t):
        seen.append(t)
        return x_t

    x_0 = torch.zeros(50, 1, 2, 2)
    bound = continuous_bound(denoise, Cosine(), x_0, gaussian_reconstruction, seeded(), t_min=0.1)
    times = seen[0].sort().values
    # Evenly spread from one random shift: neighbors are a fixth of a tenth apart.
    torch.testing.assert_close(times.diff(), torch.full((49,), 0.9 / 50), rtol=1e-4, atol=1e-6)
    assert 0.1 <= times[0] <= times[-1] <= 1
    assert bound.total.shape == (50,)
    assert bound.total.dtype == torch.float32


def test_bad_bounds_are_refused():
    x = torch.zeros(2, 2)
    for times in ([1.0, 0.0], [1.0, 0.5, 0.0], [0.2, 0.5]):
        with pytest.raises(ValueError, match="fall strictly"):
            three_term_bound(
                lambda x, t: x, Cosine(), x, torch.tensor(times), gaussian_reconstruction, seeded()
            )
    for options in ({"n_draws": 0}, {"t_min": 0.0}, {"t_max": 0.5, "t_min": 0.5}):
        with pytest.raises(ValueError, match="n_draws >= 1"):
            continuous_bound(
                lambda x, t: x, Cosine(), x, gaussian_reconstruction, seeded(), **options
            )


def test_empty_batches_cost_nothing():
    x = torch.zeros(0, 3, dtype=F64)
    times = torch.tensor([1.0, 0.5], dtype=F64)
    bound = three_term_bound(lambda x, t: x, Cosine(), x, times, gaussian_reconstruction, seeded())
    assert bound.total.shape == (0,)


def test_one_example_without_noise_or_without_data_is_refused():
    x = torch.ones(2, 3, dtype=F64)
    for times in ((0.5, 0.0), (0.5, 1.0), (0.0, 0.0), (1.0, 1.0)):
        with pytest.raises(ValueError, match="needs alpha_s > 0 and sigma_s > 0"):
            gaussian_reconstruction(x, x, at(Rectified(), *times))


def test_times_of_a_chain_may_not_stand_still_or_turn():
    x_0 = torch.ones(1, 2, dtype=F64)
    for times in ([0.9, 0.5, 0.5], [0.9, 0.5, 0.6], [0.9, 0.5, 0.0]):
        with pytest.raises(ValueError, match="times must fall strictly"):
            three_term_bound(
                denoiser(GAUSSIAN, Cosine()),
                Cosine(),
                x_0,
                torch.tensor(times, dtype=F64),
                gaussian_reconstruction,
                seeded(),
            )


@pytest.mark.parametrize("n", [1, 7])
def test_times_of_a_batch_are_evenly_spread_and_all_in_the_range(n):
    asked = []

    def ask(x_t, t):
        asked.append(t)
        return x_t

    x_0 = torch.ones(n, 2, dtype=F64)
    ends = {"t_min": 0.25, "t_max": 1.0}
    continuous_bound(ask, Cosine(), x_0, gaussian_reconstruction, seeded(3), n_draws=4, **ends)
    assert len(asked) == 4
    for t in asked:
        assert 0.25 <= t.min() <= t.max() < 1
        # The places in the batch are numbers of single precision.
        assert ((t.sort().values.diff() - 0.75 / n).abs() < 1e-7).all()
    g = seeded(3)
    shift = torch.rand(1, generator=g, dtype=F64)
    order = torch.randperm(n, generator=g)
    assert (asked[0] - (0.25 + 0.75 * ((shift + order / n) % 1))).abs().max() < 1e-7


@pytest.mark.parametrize("ends", [(0.5, 1.5), (0.0, 1.0), (0.5, 0.5), (0.6, 0.5)])
def test_times_of_the_continuous_bound_stay_in_the_unit_interval(ends):
    with pytest.raises(ValueError, match=r"need n_draws >= 1 and 0 < t_min < t_max <= 1"):
        continuous_bound(
            denoiser(GAUSSIAN, Cosine()),
            Cosine(),
            torch.ones(1, 2, dtype=F64),
            gaussian_reconstruction,
            seeded(),
            t_min=ends[0],
            t_max=ends[1],
        )


def test_a_chain_needs_a_time():
    with pytest.raises(ValueError, match="times must"):
        three_term_bound(
            denoiser(GAUSSIAN, Cosine()),
            Cosine(),
            torch.ones(1, 2, dtype=F64),
            torch.zeros(0, dtype=F64),
            gaussian_reconstruction,
            seeded(),
        )
    one = three_term_bound(
        denoiser(GAUSSIAN, Cosine()),
        Cosine(),
        torch.ones(1, 2, dtype=F64),
        torch.tensor([0.5], dtype=F64),
        gaussian_reconstruction,
        seeded(),
    )
    assert one.steps.tolist() == [0.0]
