"""Score matching: identities on Gaussians, and what is refused."""

import inspect
import math

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.schedules import VE, Cosine, Rectified, Scales, VPLinear
from fromnoise.score import (
    denoiser_score,
    denoising_score_matching,
    explicit_score_matching,
    implicit_score_matching,
    jacobian_slice,
    jacobian_trace,
    rademacher_like,
    sliced_score_matching,
)

F64 = torch.float64
MIXTURE = GaussianMixture.isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64), 0.4)
GAUSSIAN = Gaussian(
    torch.tensor([0.5, -1.0, 0.2], dtype=F64),
    torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.5, -0.2], [0.0, -0.2, 0.8]], dtype=F64),
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def network(shape, seed=0):
    """A smooth field on data of any shape, with every output a function of every input."""
    n = math.prod(shape)
    first, last = normal(7, n, seed=seed), normal(n, 7, seed=seed + 1)
    return lambda x: (torch.tanh(x.flatten(1) @ first.T) @ last.T).reshape(x.shape)


def sigma_points(mean, covariance):
    """2d points whose mean and covariance are exactly these: all that a quadratic loss sees."""
    d = len(mean)
    arms = torch.linalg.cholesky(covariance).T * math.sqrt(d)
    return torch.cat([mean + arms, mean - arms])


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (1,)])
def test_trace_and_slice_are_those_of_the_jacobian(shape):
    field, x, v = network(shape), normal(4, *shape, seed=2), normal(4, *shape, seed=3)
    n = math.prod(shape)
    jacobians = torch.stack(
        [torch.func.jacrev(lambda y: field(y[None])[0])(one).reshape(n, n) for one in x]
    )
    value, trace = jacobian_trace(field, x)
    torch.testing.assert_close(value, field(x), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(trace, jacobians.diagonal(dim1=1, dim2=2).sum(1))
    value, slope = jacobian_slice(field, x, v)
    torch.testing.assert_close(value, field(x), rtol=1e-13, atol=1e-13)
    flat = v.flatten(1)
    torch.testing.assert_close(slope, torch.einsum("bi,bij,bj->b", flat, jacobians, flat))


def affine_losses(a, b):
    """Each objective for the field s(x) = Ax + b on GAUSSIAN, averaged exactly."""

    def field(x):
        return x @ a.T + b

    x = sigma_points(GAUSSIAN.mean, GAUSSIAN.covariance)
    signs = torch.tensor([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]], dtype=F64)
    at = Rectified()(torch.tensor(0.3, dtype=F64))
    joint = sigma_points(
        torch.cat([GAUSSIAN.mean, torch.zeros(3, dtype=F64)]),
        torch.block_diag(GAUSSIAN.covariance, torch.eye(3, dtype=F64)),
    )
    sliced = [sliced_score_matching(field, x, v.expand_as(x)).mean() for v in signs]
    noisy = GAUSSIAN.noised(at)
    return {
        "explicit": (explicit_score_matching(field, GAUSSIAN.score, x).mean(), GAUSSIAN),
        "implicit": (implicit_score_matching(field, x).mean(), GAUSSIAN),
        "sliced": (torch.stack(sliced).mean(), GAUSSIAN),
        "denoising": (
            denoising_score_matching(field, joint[:, :3], joint[:, 3:], at).mean(),
            noisy,
        ),
    }


def gradient_at(name, wanted):
    """Gradient of an objective in A and b, where the field is the score of `wanted`."""
    a = -torch.linalg.inv(wanted.covariance).requires_grad_()
    a = a.detach().requires_grad_()
    b = (-a.detach() @ wanted.mean).requires_grad_()
    loss, _ = affine_losses(a, b)[name]
    return max(g.abs().max().item() for g in torch.autograd.grad(loss, (a, b)))


@pytest.mark.parametrize("name", ["explicit", "implicit", "sliced", "denoising"])
def test_the_true_score_is_the_minimum(name):
    """The gradient is zero there, and at another noise level's score it is not."""
    at = Rectified()(torch.tensor(0.3, dtype=F64))
    clean, noisy = GAUSSIAN, GAUSSIAN.noised(at)
    right, wrong = (noisy, clean) if name == "denoising" else (clean, noisy)
    assert gradient_at(name, right) < 1e-12
    assert gradient_at(name, wrong) > 0.1


@pytest.mark.parametrize("shape", [(2,), (1, 2, 3)])
def test_objectives_judge_each_example_alone(shape):
    field, other = network(shape), network(shape, seed=5)
    x, eps, v = (normal(4, *shape, seed=s) for s in range(3))
    scales = Cosine()(torch.tensor([0.1, 0.4, 0.6, 0.9], dtype=F64))

    def all_four(rows):
        at = Scales(*(scale[rows] for scale in scales))
        return torch.stack(
            [
                explicit_score_matching(field, other, x[rows]),
                implicit_score_matching(field, x[rows]),
                sliced_score_matching(field, x[rows], v[rows]),
                denoising_score_matching(field, x[rows], eps[rows], at),
            ]
        )

    together = all_four(slice(None))
    assert together.shape == (4, 4)
    alone = torch.cat([all_four(slice(i, i + 1)) for i in range(4)], 1)
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    assert all_four(slice(0, 0)).shape == (4, 0)


def test_denoising_asks_for_the_noise_over_its_scale():
    x_0, eps = normal(3, 2), normal(3, 2, seed=1)
    scales = VPLinear()(torch.tensor([0.2, 0.5, 0.8], dtype=F64))
    alpha, sigma = scales.alpha_t[:, None], scales.sigma_t[:, None]
    field = network((2,))
    expected = (field(alpha * x_0 + sigma * eps) + eps / sigma).square().sum(1) / 2
    found = denoising_score_matching(field, x_0, eps, scales)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_a_slice_sees_the_field_along_its_direction_only():
    x, v, across = normal(4, 2), normal(4, 2, seed=1), normal(4, 2, seed=2)
    across = across - v * (across * v).sum(1, keepdim=True) / v.square().sum(1, keepdim=True)

    def field(x):
        return torch.sin(x)

    expected = (v * x.sin()).sum(1).square() / 2 + (v.square() * x.cos()).sum(1)
    found = sliced_score_matching(field, x, v)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    turned = sliced_score_matching(lambda x: field(x) + across, x, v)
    torch.testing.assert_close(turned, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("schedule", [Rectified(), Cosine(), VPLinear(), VE(0.01, 5.0)], ids=repr)
def test_the_score_of_the_exact_denoiser_is_exact(schedule):
    x_t, t = normal(5, 2), torch.linspace(0.05, 0.95, 5, dtype=F64)
    found = denoiser_score(denoiser(MIXTURE, schedule), schedule)(x_t, t)
    torch.testing.assert_close(found, MIXTURE.noised(schedule(t)).score(x_t), rtol=1e-9, atol=1e-9)


def test_random_signs_are_signs_from_the_generator():
    x = torch.zeros(40, 5)
    v = rademacher_like(x, seeded(1))
    assert v.dtype == x.dtype
    assert set(v.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(v, rademacher_like(x, seeded(1)))
    assert not torch.equal(v, rademacher_like(x, seeded(2)))


def test_objectives_reach_the_parameters():
    weight = torch.ones(2, 2, dtype=F64, requires_grad=True)
    x, v = normal(3, 2), normal(3, 2, seed=1)
    for loss in (
        implicit_score_matching(lambda x: torch.tanh(x @ weight), x),
        sliced_score_matching(lambda x: torch.tanh(x @ weight), x, v),
    ):
        (gradient,) = torch.autograd.grad(loss.sum(), weight)
        assert gradient.abs().min() > 1e-3


X = torch.zeros(2, 3)


def plain(function):
    """The function as users meet it, without the shape checks that only the tests switch on."""
    return inspect.unwrap(function)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jacobian_trace(lambda x: x[:, :1], X), r"must have shape \(2, 3\), got \(2, 1\)"),
        (lambda: plain(jacobian_slice)(torch.neg, X, X[:1]), r"v must have shape \(2, 3\)"),
        (lambda: explicit_score_matching(torch.neg, lambda x: x[:1], X), "true_score"),
        (lambda: denoising_score_matching(torch.neg, X, X, at(0.0)), "sigma_t > 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def at(t):
    return Rectified()(torch.tensor(t))
