"""Mixes of noise, the way up and down the flow, and codes in other units."""

import math

import pytest
import torch

from chance import covariance_gap, mean_gap
from fromnoise.applications import (
    Rescaling,
    encode,
    renoise,
    spherical_mix,
    variance_preserving_mix,
)
from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import (
    ancestral_step,
    ddim_step,
    euler_step,
    heun_step,
    sample,
    uniform_times,
)
from fromnoise.schedules import Cosine, Rectified

F64 = torch.float64
SCHEDULE = Rectified()


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("mix", [spherical_mix, variance_preserving_mix])
def test_a_mix_ends_where_it_should(mix):
    a, b = randn(5, 2, 3), randn(5, 2, 3, seed=1)
    assert torch.allclose(mix(a, b, 0.0), a)
    assert torch.allclose(mix(a, b, 1.0), b)


def test_the_arc_keeps_the_length_and_turns_evenly():
    a, b = (torch.nn.functional.normalize(randn(20, 7, seed=s), dim=1) for s in (0, 1))
    angle = (a * b).sum(1).clamp(-1, 1).arccos()
    for share in (0.1, 0.5, 0.8):
        mixed = spherical_mix(a, b, share)
        assert torch.allclose(mixed.norm(dim=1), torch.ones(20, dtype=F64), atol=1e-12)
        assert torch.allclose((a * mixed).sum(1).arccos(), share * angle, atol=1e-10)
    # The line does neither.
    assert (torch.lerp(a, b, 0.5).norm(dim=1) < 0.97).all()


def test_a_short_arc_is_a_line():
    a = randn(4, 3)
    assert torch.allclose(spherical_mix(a, a, 0.3), a, atol=1e-12)
    b = a + 1e-9 * randn(4, 3, seed=1)
    assert torch.allclose(spherical_mix(a, b, 0.3), torch.lerp(a, b, 0.3), atol=1e-12)


def test_mixed_noise_is_noise():
    """The gate is 0.02 of the variance; the line keeps too little of it."""
    a, b = randn(200_000, 1), randn(200_000, 1, seed=1)
    for share in (0.2, 0.5):
        assert covariance_gap(variance_preserving_mix(a, b, share), 1.0) < 1
        assert covariance_gap(torch.lerp(a, b, share), 1.0) > 1


@pytest.mark.parametrize("mix", [spherical_mix, variance_preserving_mix])
def test_a_mix_refuses_what_it_cannot_mix(mix):
    a = randn(2, 3)
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got 1.5"):
        mix(a, a, 1.5)


def test_there_is_no_shortest_arc_between_opposites():
    a = randn(2, 3)
    for signs in ([-1.0, -1.0], [-1.0, 1.0]):
        with pytest.raises(ValueError, match="opposite"):
            spherical_mix(a, 2 * a * torch.tensor(signs, dtype=F64)[:, None], 0.5)


def test_the_gradient_of_a_short_arc_is_that_of_the_line():
    a = randn(2, 3).requires_grad_()
    spherical_mix(a, a.detach(), 0.3).sum().backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad, torch.full_like(a, 0.7), rtol=0, atol=1e-6)


def rising(n, t_min=1e-3):
    return uniform_times(n, 1.0, t_min).flip(0)


def test_gaussian_data_are_standardized_along_their_axes():
    mean, covariance = torch.tensor([1.0, -2.0], dtype=F64), torch.tensor([[2.0, 0.6], [0.6, 0.5]])
    data = Gaussian(mean, covariance.double())
    x_0 = data.sample(50, torch.Generator().manual_seed(0))
    z = encode(denoiser(data, SCHEDULE), SCHEDULE, x_0, rising(2000))
    # The root of the covariance is the flow of these data: the axes stay and are scaled.
    values, vectors = torch.linalg.eigh(data.covariance)
    exact = ((x_0 - mean) @ vectors / values.sqrt()) @ vectors.T
    # Heun with 2000 steps, and t_min squared over the smaller variance.
    assert torch.allclose(z, exact, atol=2e-5)


def test_the_round_trip_hides_errors_of_even_order():
    """Up and down again the leading error of an even order cancels: Heun's trip is of order 3."""
    data = GaussianMixture.isotropic(torch.tensor([[-1.0], [1.0]], dtype=F64), 0.4)
    x_0 = data.sample(40, torch.Generator().manual_seed(1))
    ask = denoiser(data, Cosine())

    def up(n, step):
        return encode(ask, Cosine(), x_0, rising(n, 0.05), step)

    truth = up(2000, heun_step)
    for step, of_the_way, of_the_trip in ((euler_step, 1, 1), (heun_step, 2, 3)):
        errors = []
        for n in (80, 160):
            z = up(n, step)
            back = sample(ask, Cosine(), z, rising(n, 0.05).flip(0), step)
            start = Cosine()(rising(n, 0.05)[0]).alpha_t * x_0
            errors.append(((z - truth).abs().mean(), (back - start).abs().mean()))
        found = [math.log2(coarse / fine) for coarse, fine in zip(*errors, strict=True)]
        assert abs(found[0] - of_the_way) < 0.15
        assert abs(found[1] - of_the_trip) < 0.15


def test_encoding_refuses_times_that_do_not_rise_from_above_zero():
    x_0 = randn(2, 3)
    for times in ([0.0, 0.5], [0.5, 0.2]):
        with pytest.raises(ValueError, match="rise"):
            encode(lambda x, t: x, SCHEDULE, x_0, torch.tensor(times))


def test_a_point_noised_and_walked_back_has_the_law_of_the_data():
    """4000 points see 0.25 of a mean and 0.2 of a variance; other modes are further off."""
    data, other = (
        GaussianMixture.isotropic(torch.tensor(modes, dtype=F64)[:, None], 0.3)
        for modes in ((-1.0, 1.5), (-0.5, 2.5))
    )
    generator = torch.Generator().manual_seed(0)
    x_0 = data.sample(4000, generator)
    for step in (ancestral_step, ddim_step):
        back, wrong = (
            renoise(denoiser(law, SCHEDULE), SCHEDULE, x_0, uniform_times(80, 0.6), generator, step)
            for law in (data, other)
        )
        assert mean_gap(back, data.mean) < 1
        assert covariance_gap(back, data.covariance) < 1
        assert mean_gap(wrong, data.mean) > 1
        assert covariance_gap(wrong, data.covariance) > 1


def test_little_noise_leaves_nearly_everything_and_all_of_it_leaves_nothing():
    data = Gaussian(torch.zeros(1, dtype=F64), torch.eye(1, dtype=F64))
    generator = torch.Generator().manual_seed(0)
    x_0 = data.sample(4000, generator)

    def products(t):
        grid = uniform_times(60, t)
        back = renoise(denoiser(data, SCHEDULE), SCHEDULE, x_0, grid, generator, ancestral_step)
        return x_0 * back

    # The covariance of before and after is SNR / (1 + SNR), here; 4000 pairs see 0.3 of it.
    for t, another in ((0.2, 0.45), (0.5, 0.8), (0.8, 0.5), (1.0, 0.5)):
        snr = float(SCHEDULE(torch.tensor(t, dtype=F64)).snr_t)
        assert mean_gap(products(t), snr / (1 + snr)) < 1
        assert mean_gap(products(another), snr / (1 + snr)) > 1


def test_the_noise_stops_at_the_first_of_at_least_two_times():
    def stay(denoiser, schedule, x_t, t, s, generator):
        return x_t

    x_0, times = randn(3, 2), torch.tensor([0.6, 0.0], dtype=F64)
    found = renoise(
        lambda x, t: x, SCHEDULE, x_0, times, torch.Generator().manual_seed(5), step=stay
    )
    eps = torch.randn(3, 2, generator=torch.Generator().manual_seed(5), dtype=F64)
    torch.testing.assert_close(found, 0.4 * x_0 + 0.6 * eps, rtol=0, atol=1e-12)


def test_renoising_needs_a_grid():
    with pytest.raises(ValueError, match="at least two"):
        renoise(lambda x, t: x, SCHEDULE, randn(2, 2), torch.tensor([0.5]), torch.Generator())


def test_rescaled_codes_have_unit_variance_and_come_back():
    z = 3.0 * randn(500, 4) @ torch.diag(torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=F64)) + 7.0
    scale = Rescaling.of(z)
    moved = scale.apply(z)
    assert torch.allclose(moved.mean(0), torch.zeros(4, dtype=F64), atol=1e-12)
    assert torch.allclose(moved.var(0).mean(), torch.ones((), dtype=F64))
    assert torch.allclose(scale.undo(moved), z)
    # One scale for all: the shape of the cloud stays.
    assert torch.allclose(moved.var(0) / moved.var(0)[0], z.var(0) / z.var(0)[0])


def test_codes_without_a_scale_are_refused():
    with pytest.raises(ValueError, match="do not vary"):
        Rescaling.of(torch.ones(3, 2))
    for few in (torch.ones(1, 2), torch.tensor([[1.0, 2.0], [math.nan, 0.0]])):
        with pytest.raises(ValueError, match="two or more"):
            Rescaling.of(few)


def test_two_codes_are_enough_and_their_unit_does_not_matter():
    z = torch.tensor([[0.0], [1e-3]], dtype=F64)
    found = Rescaling.of(z).apply(z).ravel()
    # Two points one step apart have the variance 1/2 of a step squared.
    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0], dtype=F64) / math.sqrt(2))
