"""Each curve rises, is undone exactly, and its slope is autograd's."""

import math

import pytest
import torch
from torch.func import grad, vmap

from fromnoise.families.transforms import Affine, Spline

F64 = torch.float64
every_transform = pytest.mark.parametrize(
    "transform",
    [Affine(), Spline(), Spline(2, 2.0), Spline(5, 3.0)],
    ids=["affine", "spline", "two bins", "five bins"],
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@every_transform
def test_the_slope_is_that_of_the_curve_both_ways(transform):
    u, parameters = 1.5 * normal(200), normal(200, transform.n_parameters, seed=1)
    y, log_slope = transform(u, parameters)
    slope = vmap(grad(lambda u, p: transform(u, p)[0]))(u, parameters)
    torch.testing.assert_close(log_slope, slope.log(), rtol=0, atol=1e-11)
    back, log_slope_back = transform.undo(y, parameters)
    torch.testing.assert_close(back, u, rtol=0, atol=1e-11)
    torch.testing.assert_close(log_slope_back, -log_slope, rtol=0, atol=1e-11)
    assert log_slope.std() > 0.1


@every_transform
def test_nothing_to_move_gives_nothing(transform):
    y, log_slope = transform(normal(0), normal(0, transform.n_parameters))
    assert y.shape == log_slope.shape == (0,)


def test_the_curve_goes_through_its_knots_with_its_slopes():
    """At the knots the value and the slope are the ones that the parameters name."""
    spline, parameters = Spline(4, 2.0), normal(11, seed=4)
    sizes = [4 * (1e-3 / 4 + (1 - 1e-3) * part.softmax(0)) for part in parameters[:8].view(2, 4)]
    knots = [part.cumsum(0)[:-1] - 2 for part in sizes]
    y, log_slope = spline(knots[0], parameters.expand(3, 11))
    torch.testing.assert_close(y, knots[1], rtol=0, atol=1e-12)
    slopes = torch.log1p((math.e - 1) * parameters[8:].exp()) + 1e-3
    torch.testing.assert_close(log_slope.exp(), slopes, rtol=1e-12, atol=0)
    # From the left it comes to the same value and slope: no jump at a knot.
    y, log_slope = spline(knots[0] - 1e-12, parameters.expand(3, 11))
    torch.testing.assert_close(y, knots[1], rtol=0, atol=1e-10)
    torch.testing.assert_close(log_slope.exp(), slopes, rtol=1e-9, atol=0)


def test_a_spline_moves_nothing_outside_and_rises_inside():
    spline, parameters = Spline(4, 2.0), 2 * normal(11, seed=5)
    u = torch.linspace(-3, 3, 601, dtype=F64)
    y, log_slope = spline(u, parameters.expand(601, 11))
    outside = u.abs() >= 2
    assert torch.equal(y[outside], u[outside])
    assert bool((log_slope[outside] == 0).all())
    assert bool((y.diff() > 0).all())
    assert (y - u).abs().max() > 0.1
    # It meets the straight ends with their slope, which no parameter can change.
    u = torch.tensor([-2.0, 2.0], dtype=F64) * (1 - 1e-12)
    y, log_slope = spline(u, parameters.expand(2, 11))
    torch.testing.assert_close(y, u, rtol=0, atol=1e-10)
    torch.testing.assert_close(log_slope, 0 * u, rtol=0, atol=1e-7)


@pytest.mark.parametrize("transform", [Affine(), Spline()], ids=["affine", "spline"])
def test_zero_parameters_are_nearly_the_identity(transform):
    u = torch.linspace(-3, 3, 50, dtype=F64)
    y, log_slope = transform(u, torch.zeros(50, transform.n_parameters, dtype=F64))
    assert (y - u).abs().max() < 2e-3
    assert log_slope.abs().max() < 2e-3


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Spline(1), "n_bins >= 2"),
        (lambda: Spline(4, math.inf), "got 4, inf"),
        (lambda: Spline(4, 0.0), "got 4, 0.0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_layer_scales_by_e_cubed_at_most_and_by_the_parameter_if_it_is_small():
    u = torch.ones(3, dtype=F64)
    s = torch.tensor([0.01, 3.0, 1e4], dtype=F64)
    _, log_slope = Affine()(u, torch.stack([torch.zeros(3, dtype=F64), s], -1))
    assert log_slope.tolist() == pytest.approx([0.01, 3 * math.tanh(1), 3], rel=1e-4)


def test_two_bins_are_the_fewest_and_the_reach_is_positive():
    for options in ((1, 4.0), (2, 0.0), (2, math.inf)):
        with pytest.raises(ValueError, match="need n_bins >= 2 and reach > 0"):
            Spline(*options)
    assert Spline(2, 0.5).n_parameters == 5
