"""Guidance is a straight line through two denoisers."""

import torch

from fromnoise.gaussians import Gaussian
from fromnoise.guidance import classifier_free
from fromnoise.oracles import denoiser
from fromnoise.schedules import Cosine
from fromnoise.targets import score_from_x_0

F64 = torch.float64
NARROW = Gaussian(torch.tensor([0.5], dtype=F64), torch.tensor([[0.2]], dtype=F64))
WIDE = Gaussian(torch.tensor([-0.1], dtype=F64), torch.tensor([[0.9]], dtype=F64))
X_T = torch.linspace(-2, 2, 9, dtype=F64)[:, None]
T = torch.full((9,), 0.6, dtype=F64)


def guided(scale):
    pair = (denoiser(NARROW, Cosine()), denoiser(WIDE, Cosine()))
    return classifier_free(*pair, scale)(X_T, T)


def test_no_guidance_is_the_condition_and_minus_one_forgets_it():
    assert torch.equal(guided(0.0), denoiser(NARROW, Cosine())(X_T, T))
    torch.testing.assert_close(guided(-1.0), denoiser(WIDE, Cosine())(X_T, T))


def test_scores_combine_with_the_same_weights():
    """The guided denoiser has the score of p(x|c)^(1+w) / p(x)^w at this noise level."""
    at, scale = Cosine()(T), 2.5
    expected = (1 + scale) * NARROW.noised(at).score(X_T) - scale * WIDE.noised(at).score(X_T)
    found = score_from_x_0(guided(scale), X_T, at)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
