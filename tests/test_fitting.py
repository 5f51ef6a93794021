"""Fits of one Gaussian: recovered where it is the truth, and where each direction settles."""

import math

import pytest
import torch

from fromnoise.fitting import forward_fit, gaussian_log_prob, line_kl, reverse_fit

F64 = torch.float64
X = torch.linspace(-30, 30, 6001, dtype=F64)


def two_bells(distance, std=1.0, share=0.5):
    parts = torch.stack(
        [
            math.log(w) + gaussian_log_prob(X, m, std)
            for w, m in ((share, -distance), (1 - share, distance))
        ]
    )
    return parts.logsumexp(0)


def test_the_divergence_of_two_gaussians_is_the_closed_form():
    found = line_kl(X, gaussian_log_prob(X, 0.5, 1.2), gaussian_log_prob(X, -1.0, 2.0))
    expected = 0.5 * (1.2**2 / 4 + 1.5**2 / 4 - 1 - math.log(1.2**2 / 4))
    assert math.isclose(found, expected, rel_tol=1e-12)


def test_both_directions_recover_a_gaussian():
    log_q = gaussian_log_prob(X, 1.3, 0.8)
    for fit in (forward_fit(X, log_q), reverse_fit(X, log_q, (0.0, 2.0))):
        assert abs(fit.mean - 1.3) < 1e-6
        assert abs(fit.std - 0.8) < 1e-6
        assert abs(fit.divergence) < 1e-10


def test_forward_covers_and_reverse_seeks():
    log_q = two_bells(4.0)
    forward = forward_fit(X, log_q)
    left, right = (reverse_fit(X, log_q, (start, 1.0)) for start in (-3.0, 3.0))
    assert math.isclose(forward.std, math.sqrt(1 + 16), rel_tol=1e-12)
    assert abs(forward.mean) < 1e-12
    assert abs(left.mean + 4) < 1e-2
    assert abs(right.mean - 4) < 1e-2
    assert abs(left.divergence - math.log(2)) < 1e-3


def test_no_neighbor_does_better():
    log_q = two_bells(1.5, share=0.7)
    forward, reverse = forward_fit(X, log_q), reverse_fit(X, log_q, (-1.5, 1.0))
    for dm, ds in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        near = gaussian_log_prob(X, forward.mean + dm, forward.std + ds)
        assert line_kl(X, log_q, near) > forward.divergence
        near = gaussian_log_prob(X, reverse.mean + dm, reverse.std + ds)
        assert line_kl(X, near, log_q) > reverse.divergence


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: forward_fit(X[:1], X[:1]), "two points"),
        (lambda: forward_fit(X**3, two_bells(1.0)), "evenly"),
        (lambda: forward_fit(X, two_bells(1.0) - 1), "mass 1"),
        (lambda: reverse_fit(X, two_bells(1.0) - 1, (0.0, 1.0)), "mass 1"),
        (lambda: reverse_fit(X, two_bells(1.0), (0.0, 0.0)), "positive"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_two_points_make_a_grid_and_it_must_rise_evenly_whatever_its_unit():
    # Two points a unit apart with half the mass each: mean 1/2, deviation 1/2.
    two = torch.tensor([0.0, 1.0], dtype=F64)
    fit = forward_fit(two, torch.full((2,), math.log(0.5), dtype=F64))
    assert (fit.mean, fit.std) == pytest.approx((0.5, 0.5))
    even = torch.zeros(3, dtype=F64)
    for unit in (1e-4, 1.0, 1e4):
        assert line_kl(unit * torch.tensor([0.0, 1.0, 2.0 + 5e-7], dtype=F64), even, even) == 0
        for places in ([0.0, 1.0, 2.0 + 5e-6], [0.0, 1.0, 1.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.0]):
            with pytest.raises(ValueError, match="rise evenly"):
                line_kl(unit * torch.tensor(places, dtype=F64), even, even)
    with pytest.raises(ValueError, match="at least two points"):
        line_kl(two[:1], even[:1], even[:1])


def test_the_search_begins_where_it_is_told_to():
    """From either bell, and with either width, it ends at that bell."""
    log_q = two_bells(6.0)
    for start in ((-6.0, 0.2), (-6.0, 1.0), (6.0, 0.2)):
        assert reverse_fit(X, log_q, start).mean == pytest.approx(start[0], abs=1e-3)
