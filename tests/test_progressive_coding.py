"""Rate and distortion where both are known, and the plain codes beside them."""

import math
import zlib

import pytest
import torch

from chance import mean_gap
from fromnoise.diffusion import prior_kl
from fromnoise.diffusion_bounds import continuous_bound, gaussian_reconstruction
from fromnoise.gaussians import Gaussian
from fromnoise.oracles import denoiser
from fromnoise.progressive_coding import (
    dct_levels,
    from_dct_levels,
    gaussian_rate,
    progressive_code,
    zlib_bits,
)
from fromnoise.schedules import Cosine, Rectified

F64 = torch.float64


def gaussian(c):
    return Gaussian(torch.zeros(len(c), dtype=F64), torch.diag(torch.tensor(c, dtype=F64)))


@pytest.mark.parametrize("schedule", [Cosine(), Rectified()])
def test_of_a_gaussian_rate_and_distortion_are_known(schedule):
    c = [0.3, 2.0]
    data = gaussian(c)
    generator = torch.Generator().manual_seed(0)
    x = data.sample(4000, generator)
    log_snrs = torch.linspace(-12, 3, 150, dtype=F64)
    found = progressive_code(denoiser(data, schedule), schedule, x, log_snrs, generator)
    snr = log_snrs.exp()[:, None]
    variances = torch.tensor(c, dtype=F64)
    rate = (1 + variances * snr).log().sum(1) / 2
    distortion = (variances / (1 + variances * snr)).sum(1)
    # 4000 squares at 150 levels see 0.25 of a distortion; the rate has the trapezoid's share too.
    assert mean_gap(found.distortion.mT, distortion) < 1
    assert mean_gap(found.distortion.mT, 1.3 * distortion) > 1
    assert mean_gap(found.rate[-1], rate[-1]) < 1 < mean_gap(found.rate[-1], 1.1 * rate[-1])
    assert (found.rate.diff(dim=0) >= 0).all()


def test_the_rate_at_the_clean_end_is_the_bound_without_its_last_term():
    data = gaussian([0.5, 1.0, 1.5])
    schedule = Rectified()
    generator = torch.Generator().manual_seed(1)
    x = data.sample(3000, generator)
    ends = torch.tensor([-11.0, 4.0], dtype=F64)
    t_max, t_min = schedule.time_at(ends).tolist()
    bound = continuous_bound(
        denoiser(data, schedule), schedule, x, gaussian_reconstruction, generator,
        n_draws=40, t_max=t_max, t_min=t_min,
    )  # fmt: skip
    grid = torch.linspace(*ends.tolist(), 120, dtype=F64)
    found = progressive_code(denoiser(data, schedule), schedule, x, grid, generator)
    # Two estimates for each x, so their difference has mean zero; half the steps would show.
    assert mean_gap(found.rate[-1] - bound.prior - bound.steps, 0.0) < 1
    assert mean_gap(found.rate[-1] - bound.prior - 0.9 * bound.steps, 0.0) > 1


@pytest.mark.parametrize("log_snrs", [[1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 0.5], [1.0]])
def test_log_snrs_must_rise(log_snrs):
    with pytest.raises(ValueError, match="two or more and rise"):
        progressive_code(
            lambda x, t: x, Cosine(), torch.zeros(2, 2), torch.tensor(log_snrs), torch.Generator()
        )


def test_two_levels_are_enough_and_the_first_costs_the_end_of_the_forward_process():
    x, log_snrs = torch.ones((3, 2), dtype=F64), torch.tensor([-4.0, 1.0], dtype=F64)
    found = progressive_code(lambda x, t: 0 * x, Cosine(), x, log_snrs, torch.Generator())
    first = prior_kl(x, Cosine()(Cosine().time_at(log_snrs[0])))
    torch.testing.assert_close(found.rate[0], first)
    # An estimate of 0 errs by 2 at either level: the trapezoid between them is exact arithmetic.
    area = 5 * (math.exp(-4) + math.exp(1)) / 2
    torch.testing.assert_close(found.rate[1] - first, torch.full((3,), area, dtype=F64))


def test_water_fills_from_the_deepest_axis():
    c = torch.tensor([4.0, 1.0, 0.25], dtype=F64)
    # A level of 0.5 drowns the last axis: 0.5 + 0.5 + 0.25.
    assert gaussian_rate(c, 1.25) == pytest.approx(0.5 * math.log(8) + 0.5 * math.log(2), abs=1e-9)
    assert gaussian_rate(c, 5.25) == pytest.approx(0.0, abs=1e-9)
    assert gaussian_rate(c, 100.0) == 0.0


def test_one_axis_obeys_the_law_of_the_logarithm():
    for d in (0.9, 0.1, 1e-6):
        assert gaussian_rate(torch.tensor([2.0]), d) == pytest.approx(0.5 * math.log(2 / d))


@pytest.mark.parametrize(
    ("c", "d"),
    [
        ([0.0], 1.0),
        ([1.0, 0.0], 1.0),
        ([1.0, math.inf], 1.0),
        ([1.0], 0.0),
        ([1.0], math.nan),
        ([1.0], math.inf),
    ],
)
def test_a_rate_needs_positive_numbers(c, d):
    with pytest.raises(ValueError, match="positive and finite"):
        gaussian_rate(torch.tensor(c), d)


def test_the_cosine_transform_errs_by_at_most_half_a_step():
    images = torch.rand((5, 8, 8), generator=torch.Generator().manual_seed(0), dtype=F64)
    for step in (0.5, 0.01):
        back = from_dct_levels(dct_levels(images, step), step)
        # Orthonormal: the squared error of an image is that of its 64 coefficients.
        assert ((back - images).square().sum((1, 2)) <= 64 * (step / 2) ** 2 + 1e-12).all()
    flat = dct_levels(torch.full((1, 8, 8), 3.0), 0.1)
    assert flat[0, 0, 0] == 240  # eight times the mean, in steps
    assert flat.abs().sum() == 240


@pytest.mark.parametrize("step", [0.0, -1.0, math.nan, math.inf])
def test_steps_are_positive(step):
    with pytest.raises(ValueError, match="step must be positive"):
        dct_levels(torch.zeros(1, 8, 8), step)
    with pytest.raises(ValueError, match="step must be positive"):
        from_dct_levels(torch.zeros(1, 8, 8, dtype=torch.long), step)


def test_bits_of_zlib_are_those_of_the_file():
    levels = torch.stack([torch.zeros(8, 8).long(), torch.arange(64).reshape(8, 8)])
    found = zlib_bits(levels)
    assert found.tolist() == [
        8 * len(zlib.compress(bytes(64), 9)),
        8 * len(zlib.compress(bytes(range(64)), 9)),
    ]
    assert found[0] < found[1]
    assert zlib_bits(torch.tensor([[0, 255]])).tolist() == [8 * len(zlib.compress(b"\0\xff", 9))]
    assert zlib_bits(torch.tensor([[7, 7]])).tolist() == [8 * len(zlib.compress(b"\7\7", 9))]
    for wrong in ([256, 256], [0, 256], [-1, 5]):
        with pytest.raises(ValueError, match=r"0\.\.255, got"):
            zlib_bits(torch.tensor([wrong]))


def test_one_pixel_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="infinite or not a number"):
        dct_levels(torch.tensor([[[0.0, math.nan]]]), 0.1)
