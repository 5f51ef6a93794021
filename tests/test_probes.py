"""Linear probes: exact on linear data, honest about data they have not seen."""

import pytest
import torch
from sklearn.linear_model import Ridge

from fromnoise.probes import fit_probe

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


X = normal(6, 3)


def test_the_probe_is_ridge_regression():
    """Against scikit-learn, and by the gradient of its loss, which is zero at the answer."""
    features, targets = 2 + normal(40, 5), normal(40, 2, seed=1)
    probe = fit_probe(features, targets, penalty=3.0)
    peer = Ridge(alpha=3.0).fit(features.numpy(), targets.numpy())
    torch.testing.assert_close(probe.weight, torch.from_numpy(peer.coef_.T), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(probe.bias, torch.from_numpy(peer.intercept_), rtol=1e-9, atol=1e-9)
    weight, bias = probe.weight.clone().requires_grad_(), probe.bias.clone().requires_grad_()
    loss = (targets - features @ weight - bias).square().sum() + 3.0 * weight.square().sum()
    for slope in torch.autograd.grad(loss, [weight, bias]):
        assert slope.abs().max() < 1e-10
    other = fit_probe(features, targets, penalty=1.0)
    assert (other.weight - probe.weight).abs().max() > 1e-3


def test_a_linear_truth_is_read_and_noise_is_not():
    features = normal(200, 4)
    truth = features @ normal(4, 2, seed=1) + 5
    probe = fit_probe(features[:100], truth[:100], penalty=1e-8)
    read = probe.r_squared(features[100:], truth[100:])
    torch.testing.assert_close(read, torch.ones(2, dtype=F64), rtol=0, atol=1e-12)
    torch.testing.assert_close(probe(features), truth, rtol=1e-8, atol=1e-8)
    noise = normal(200, 1, seed=2)
    unread = fit_probe(features[:100], noise[:100]).r_squared(features[100:], noise[100:])
    assert unread < 0.1
    # The mean alone reads nothing, by definition.
    mean = fit_probe(torch.zeros(200, 1, dtype=F64), truth)
    torch.testing.assert_close(mean.r_squared(torch.zeros(200, 1).to(truth), truth), 0 * read)


def test_bad_input_is_refused():
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="penalty must be positive"):
            fit_probe(X, X, bad)
    with pytest.raises(ValueError, match="rows of features"):
        fit_probe(X, X[:2])
    with pytest.raises(ValueError, match="does not vary"):
        fit_probe(X, X).r_squared(X, torch.ones(6, 3, dtype=F64))


def test_one_target_that_does_not_vary_is_refused():
    features, targets = normal(8, 2), normal(8, 2, seed=3)
    probe = fit_probe(features, targets)
    targets[:, 1] = 4.0
    with pytest.raises(ValueError, match="does not vary"):
        probe.r_squared(features, targets)


def test_the_share_read_does_not_depend_on_the_unit_of_the_target():
    features, targets = normal(30, 3), normal(30, 1, seed=3)
    plain = fit_probe(features, targets).r_squared(features, targets)
    small = fit_probe(features, 1e-3 * targets).r_squared(features, 1e-3 * targets)
    torch.testing.assert_close(small, plain, rtol=1e-9, atol=0)


def test_one_example_is_read_as_itself():
    probe = fit_probe(normal(1, 3), normal(1, 2, seed=4))
    torch.testing.assert_close(probe(normal(1, 3)), normal(1, 2, seed=4))
