"""Numbers that stand in print: ours must be theirs, or differ for a reason that is said.

Each was seen in the source named beside it, or in public code that quotes the source.
"""

import math

import pytest
import torch

from fromnoise.codes import huffman_code
from fromnoise.diffusion import prior_kl
from fromnoise.information import bits_per_dim, entropy
from fromnoise.learned_schedule import LearnedSchedule, MonotoneLogSNR, VELinear
from fromnoise.preconditioning import edm_coefficients, edm_weight, min_snr_weight
from fromnoise.samplers import edm_times
from fromnoise.schedules import VE, Cosine, Scales, VPLinear, discrete_chain

FLOAT = torch.float64


def numbers(*values):
    return torch.tensor(values, dtype=FLOAT)


def in_bits(p):
    return entropy(p).item() / math.log(2)


# Diffusion.


def test_the_chain_of_ddpm():
    """Ho et al. 2020: 1000 steps, variances from 1e-4 to 0.02 in equal steps."""
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=FLOAT)
    signal_left = (1 - betas).prod().sqrt().item()
    assert math.isclose(signal_left, 0.00635, abs_tol=5e-6)
    # The continuous schedule that this book samples instead keeps a little more.
    ours = VPLinear()(numbers(1.0)).alpha_t.item()
    assert math.isclose(ours, math.exp(-10.05 / 2), rel_tol=1e-12)
    assert 1.02 < ours / signal_left < 1.05
    first, last = discrete_chain(VPLinear(), 1000).beta[[0, -1]].tolist()
    assert math.isclose(first, 1e-4, rel_tol=0.15)
    assert math.isclose(last, 0.02, rel_tol=0.015)


def test_the_rates_of_the_continuous_schedules():
    """Song et al. 2021: rates from 0.1 to 20; noise from 0.01 to 50."""
    assert (VPLinear().beta_min, VPLinear().beta_max) == (0.1, 20.0)
    assert (VE().sigma_min, VE().sigma_max) == (0.01, 50.0)


def test_nothing_is_left_of_the_data_at_the_end_of_ddpm():
    """A chain whose signal ends at 0.006 owes about 1e-5 bits per dimension to its prior."""
    pixels = torch.linspace(-1, 1, 256, dtype=FLOAT)[None]
    cost = bits_per_dim(prior_kl(pixels, VPLinear()(numbers(1.0)))[0], 256).item()
    assert 3e-6 < cost < 3e-5


def test_the_shift_of_the_cosine_schedule():
    """Nichol & Dhariwal 2021: s = 0.008 puts the first deviation a little below a pixel's 1/127.5.

    Ours has no shift: its first step is much smaller.
    """

    def first_deviation(s):
        times = (numbers(0.0, 1 / 1000) + s) / (1 + s)
        kept = Cosine()(times).alpha_t.square()
        return (1 - kept[1] / kept[0]).sqrt().item() * 127.5

    assert 0.75 < first_deviation(0.008) < 1
    assert first_deviation(0.0) < 0.25


def test_the_ends_of_a_variational_diffusion_model():
    """Kingma et al. 2021, in their code: gamma = -log SNR from -13.3 to 5."""
    schedule = LearnedSchedule(MonotoneLogSNR())
    ends = schedule(numbers(0.0, 1.0)).log_snr_t.detach()
    torch.testing.assert_close(ends, numbers(13.3, -5.0), rtol=0, atol=1e-9)


def test_the_grid_of_edm():
    """Karras et al. 2022: sigma from 80 to 0.002, rho = 7, then 0."""
    grid = 80 * edm_times(18, VELinear(), t_max=1.0, t_min=0.002 / 80)
    root = numbers(80.0).pow(1 / 7), numbers(0.002).pow(1 / 7)
    shares = torch.arange(18, dtype=FLOAT) / 17
    wanted = (root[0] + shares * (root[1] - root[0])).pow(7)
    torch.testing.assert_close(grid, torch.cat([wanted, numbers(0.0)]), rtol=1e-11, atol=1e-14)
    assert VELinear().sigma_max == 80.0


def test_the_coefficients_of_edm():
    """Karras et al. 2022, with the deviation 0.5 of their data."""
    sigma, std = numbers(0.002, 0.3, 80.0), 0.5
    at = edm_coefficients(VELinear()(sigma / 80))
    total = sigma**2 + std**2
    torch.testing.assert_close(at.c_skip, std**2 / total)
    torch.testing.assert_close(at.c_out, sigma * std / total.sqrt())
    torch.testing.assert_close(at.c_in, 1 / total.sqrt())
    torch.testing.assert_close(at.c_noise, sigma.log() / 4)
    weight = edm_weight(VELinear()(sigma / 80))
    torch.testing.assert_close(weight, total / (sigma * std) ** 2)


def test_the_ceiling_of_min_snr():
    """Hang et al. 2023: gamma = 5."""
    zero = numbers(0.0, 0.0)
    at = Scales(numbers(3.0, 2.0), numbers(1.0, 1.0), zero, zero)
    assert min_snr_weight(at).tolist() == [5.0, 4.0]


# Information.


@pytest.mark.parametrize("n_letters, bits", [(26, 4.70), (27, 4.755)])
def test_letters_that_are_all_alike(n_letters, bits):
    """Shannon 1951: the ceiling for English without and with the space (4.76 in his rounding)."""
    p = torch.full((n_letters,), 1 / n_letters, dtype=FLOAT)
    assert math.isclose(in_bits(p), bits, abs_tol=0.001)


def test_letters_with_their_frequencies():
    """Trappe & Washington, Introduction to Cryptography with Coding Theory: 4.18 bits a letter."""
    per_mille = "82 15 28 43 127 22 20 61 70 2 8 40 24 67 75 19 1 60 63 91 28 10 23 1 20 1"
    p = numbers(*map(float, per_mille.split()))
    assert math.isclose(in_bits(p / p.sum()), 4.18, abs_tol=0.005)


def test_a_race_of_eight_horses():
    """Cover & Thomas: the winner of this race takes two bits, and a code gets there."""
    p = numbers(1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 64, 1 / 64, 1 / 64, 1 / 64)
    assert math.isclose(in_bits(p), 2, rel_tol=1e-12)
    lengths = [len(word) for word in huffman_code(p)]
    assert sorted(lengths) == [1, 2, 3, 4, 6, 6, 6, 6]


def test_a_coin_that_falls_one_way():
    """Touretzky, Basics of Information Theory: heads one time in four, 0.8113 bits a flip."""
    assert math.isclose(in_bits(numbers(0.25, 0.75)), 0.8113, abs_tol=5e-5)


@pytest.mark.parametrize(
    "p, bits",
    [
        ((0.15, 0.10, 0.70, 0.05), 290),
        ((0.30, 0.05, 0.25, 0.40), 380),
        ((0.20, 0.30, 0.30, 0.20), 400),
    ],
)
def test_the_records_of_three_horses(p, bits):
    """Dasgupta, Papadimitriou & Vazirani, Algorithms: 200 races each, by Huffman's code.

    The third number in print, as a reader quotes it, is 420: too large, since two bits serve for
    each outcome.
    """
    lengths = [len(word) for word in huffman_code(numbers(*p))]
    found = 200 * sum(share * length for share, length in zip(p, lengths, strict=True))
    assert math.isclose(found, bits, rel_tol=1e-12)
