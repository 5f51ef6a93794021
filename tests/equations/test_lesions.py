"""The equations of the chapter on opening the network, each against another way to compute it."""

import numpy as np
import torch
from torch import nn
from torch.func import hessian

from fromnoise.erasure import class_directions, erased
from fromnoise.lesions import Lesion, lesioned, resample, to_mean, zero
from fromnoise.probes import fit_probe
from proof import Sides, proves

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def recording() -> torch.Tensor:
    """Activities with correlated units and means far from zero; the last unit hardly varies."""
    mixing = normal(4, 4, seed=1) * torch.tensor([1.0, 2.0, 0.3, 1e-3], dtype=F64)
    return normal(50, 4) @ mixing + torch.tensor([3.0, -1.0, 0.0, 2.0], dtype=F64)


@proves("lesions-constant")
def test_a_constant_costs_the_variance_and_the_distance_from_the_mean() -> Sides:
    """Average over recorded examples, against moments computed by torch."""
    a = recording()
    constants = normal(9, 4, seed=2)
    left = torch.stack([(a - c).square().sum(1).mean() for c in constants])
    variance = torch.cov(a.mT, correction=0).trace()
    mean = a.mean(0)
    offset = (mean - constants).square().sum(1)
    return Sides(
        left=left,
        right=variance + offset,
        wrong={
            "no variance": offset,
            "distance not squared": variance + offset.sqrt(),
            "variance twice": 2 * variance + offset,
        },
    )


@proves("lesions-mean-is-best")
def test_the_best_constant_is_the_mean() -> Sides:
    """The minimum found by Newton's step on the quadratic cost, against the lesion's own mean."""
    a = recording()
    start = normal(4, seed=3).requires_grad_()
    cost = (a - start).square().sum(1).mean()
    (slope,) = torch.autograd.grad(cost, start)
    curvature = hessian(lambda c: (a - c).square().sum(1).mean())(start.detach())
    found = start.detach() - torch.linalg.solve(curvature, slope)
    return Sides(
        left=found,
        right=to_mean(a)(a[:1])[0],
        wrong={"median": a.median(0).values, "zero": zero(a[0])},
    )


@proves("lesions-zero")
def test_zero_is_the_mean_and_an_offset() -> Sides:
    """The mean squared change by a lesion of a real module, against variance and squared mean."""
    a = recording()
    network = nn.Sequential(nn.Identity())
    with lesioned(network, Lesion("0", zero)):
        left = (network(a) - a).square().mean(0)
    variance, mean = a.var(0, correction=0), a.mean(0)
    return Sides(
        left=left,
        right=variance + mean.square(),
        wrong={"mean not squared": variance + mean, "variance alone": variance},
    )


@proves("lesions-resample")
def test_a_resampled_activity_changes_by_twice_the_variance() -> Sides:
    """All pairs of recorded examples, against the variance."""
    a = recording()
    left = (a[:, None] - a[None]).square().sum(-1).mean()
    variance = a.var(0, correction=0).sum()
    return Sides(
        left=left,
        right=2 * variance,
        wrong={"once": variance, "with the mean": 2 * variance + a.mean(0).square().sum()},
    )


@proves("lesions-resample-batch")
def test_within_a_batch_no_example_keeps_its_own() -> Sides:
    """The lesion averaged over many exchanges, against all pairs of unlike examples."""
    a = recording()[:6]
    replace = resample(torch.Generator().manual_seed(0))
    n_draws = 4000
    left = torch.stack([(replace(a) - a).square().sum(1).mean() for _ in range(n_draws)]).mean()
    n = len(a)
    variance = a.var(0, correction=0).sum()
    return Sides(
        left=left[None],
        right=(2 * variance * n / (n - 1))[None],
        wrong={"own activity allowed": 2 * variance[None], "once": variance[None]},
        tolerance=0.02,
        reason="4000 exchanges of six examples; the standard error is below half a percent",
    )


@proves("lesions-resample-loss")
def test_the_loss_of_a_resampled_unit_is_quadratic_about_the_mean() -> Sides:
    """For a linear read-out: loss averaged over all pairs, against the covariance formula."""
    a, weight, rest = recording(), normal(4, seed=4), normal(50, seed=5)
    y = rest + a @ normal(4, seed=6)
    error = rest + a @ weight - y
    pairs = ((rest - y)[:, None] + (a @ weight)[None]).square().mean()
    read = a @ weight
    read_variance = read.var(correction=0)
    covariance = ((error - error.mean()) * (read - read.mean())).mean()
    return Sides(
        left=(pairs - error.square().mean())[None],
        right=(2 * read_variance - 2 * covariance)[None],
        wrong={
            "without the covariance": 2 * read_variance[None],
            "half the covariance": (2 * read_variance - covariance)[None],
            "the mean's cost": (read_variance - 2 * covariance)[None],
        },
    )


@proves("lesions-mean-loss")
def test_resampling_costs_one_variance_more_than_the_mean() -> Sides:
    """Linear read-out and squared error: measured loss of the mean lesion against the formula."""
    a, weight, rest = recording(), normal(4, seed=4), normal(50, seed=5)
    y = rest + a @ normal(4, seed=6)
    error = rest + a @ weight - y
    read = a @ weight
    cut = rest + a.mean(0) @ weight - y
    read_variance = read.var(correction=0)
    covariance = ((error - error.mean()) * (read - read.mean())).mean()
    return Sides(
        left=(cut.square().mean() - error.square().mean())[None],
        right=(read_variance - 2 * covariance)[None],
        wrong={
            "resampling's": (2 * read_variance - 2 * covariance)[None],
            "sign": (read_variance + 2 * covariance)[None],
        },
    )


def small_loss():
    """A smooth loss of an activity, with its gradient and curvature."""
    w, v = normal(5, 4, seed=7), normal(5, seed=8)

    def loss(a: torch.Tensor) -> torch.Tensor:
        return (torch.tanh(w @ a) @ v - 0.3) ** 2

    return loss


@proves("lesions-first-order")
def test_the_change_is_the_slope_and_half_the_curvature() -> Sides:
    """The exact remainder by quadrature of the curvature along the way, against the loss."""
    loss, a, d = small_loss(), normal(4, seed=9), 0.7 * normal(4, seed=10)
    slope = torch.func.grad(loss)(a) @ d
    x, w = np.polynomial.legendre.leggauss(60)
    nodes, weights = torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)
    curved = torch.stack([d @ hessian(loss)(a + s * d) @ d for s in nodes])
    remainder = (weights * (1 - nodes) * curved).sum()
    return Sides(
        left=(loss(a + d) - loss(a))[None],
        right=(slope + remainder)[None],
        wrong={
            "slope alone": slope[None],
            "sign of the slope": (remainder - slope)[None],
            "unweighted": (slope + (weights * curved).sum())[None],
        },
    )


@proves("lesions-first-order-rate")
def test_the_error_of_the_slope_falls_with_the_square() -> Sides:
    """Observed order when the change is halved, against two."""
    loss, a, d = small_loss(), normal(4, seed=9), normal(4, seed=10)
    slope = torch.func.grad(loss)(a) @ d
    errors = [(loss(a + s * d) - loss(a) - s * slope).abs() for s in (1e-3, 5e-4)]
    order = torch.log2(errors[0] / errors[1])
    two = torch.tensor([2.0], dtype=F64)
    return Sides(
        left=order[None],
        right=two,
        wrong={"first": two - 1, "third": two + 1},
        tolerance=0.01,
        reason="the next term of the expansion is of the order of the step, 1e-3",
    )


@proves("lesions-probe")
def test_the_probe_solves_its_normal_equations() -> Sides:
    """Closed form against the minimum of the penalized loss by a quasi-Newton method."""
    a, y, penalty = recording(), normal(50, 2, seed=11), 0.5
    weight = torch.zeros(4, 2, dtype=F64, requires_grad=True)
    ac, yc = a - a.mean(0), y - y.mean(0)
    optimizer = torch.optim.LBFGS(
        [weight],
        max_iter=500,
        tolerance_grad=1e-14,
        tolerance_change=1e-18,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        total = (yc - ac @ weight).square().sum() + penalty * weight.square().sum()
        total.backward()
        return total

    for _ in range(5):
        optimizer.step(closure)
    return Sides(
        left=fit_probe(a, y, penalty).weight,
        right=weight.detach(),
        wrong={
            "no penalty": fit_probe(a, y, 1e-9).weight,
            "not centered": torch.linalg.solve(
                a.mT @ a + penalty * torch.eye(4, dtype=F64), a.mT @ y
            ),
        },
        tolerance=1e-8,
        reason="the iterative minimizer stops at a relative gradient of about 1e-10",
    )


@proves("lesions-chance")
def test_a_wide_probe_learns_labels_given_by_lot() -> Sides:
    """The mean share of variance that least squares fits of random targets, against k / (n - 1)."""
    n, k, n_draws = 40, 12, 3000
    a = normal(n, k)
    centered = torch.linalg.qr(a - a.mean(0))[0]
    targets = normal(n, n_draws, seed=12)
    targets = targets - targets.mean(0)
    fitted = (centered.mT @ targets).square().sum(0) / targets.square().sum(0)
    value = torch.tensor([k / (n - 1)], dtype=F64)
    return Sides(
        left=fitted.mean()[None],
        right=value,
        wrong={"nothing is learned": 0 * value, "by the square": value.square()},
        tolerance=0.01,
        reason="3000 draws; the standard error is about 0.0014",
    )


def classes():
    labels = torch.arange(60) % 3
    return normal(60, 6, seed=13) + 2 * normal(3, 6, seed=14)[labels], labels


@proves("lesions-erase")
def test_erasing_takes_off_the_part_along_the_basis() -> Sides:
    """The projection against a least-squares fit of the difference by the basis."""
    a, labels = classes()
    basis, center = class_directions(a, labels), a.mean(0)
    found = torch.linalg.lstsq(basis, (a - center).mT).solution
    coordinates = (a - center) @ basis
    return Sides(
        left=erased(a, basis, center),
        right=a - (basis @ found).mT,
        wrong={
            "half": a - 0.5 * coordinates @ basis.mT,
            "reflected": a - 2 * coordinates @ basis.mT,
            "without the center": a - (a @ basis) @ basis.mT,
        },
    )


@proves("lesions-erased-means")
def test_after_erasing_all_classes_have_one_mean() -> Sides:
    """Class means of the erased activity, against the overall mean of the untouched one."""
    a, labels = classes()
    basis, center = class_directions(a, labels), a.mean(0)
    left = erased(a, basis, center)
    one_direction = erased(a, basis[:, :1], center)

    def means(x):
        return torch.stack([x[labels == c].mean(0) for c in range(3)])

    return Sides(
        left=means(left),
        right=center.expand(3, -1),
        wrong={"as they were": means(a), "one direction only": means(one_direction)},
    )


@proves("lesions-no-covariance")
def test_a_probe_of_one_mean_has_nothing_to_read() -> Sides:
    """Covariance of activity and class counted directly, against shares times mean differences."""
    a, labels = classes()
    labels = torch.where(torch.arange(60) < 20, labels * 0, labels)  # unequal classes
    one_hot = nn.functional.one_hot(labels, 3).double()
    left = ((a - a.mean(0)).mT @ (one_hot - one_hot.mean(0))) / len(a)
    shares = one_hot.mean(0)
    means = torch.stack([a[labels == c].mean(0) for c in range(3)])
    right = (shares[:, None] * (means - a.mean(0))).mT
    return Sides(
        left=left,
        right=right,
        wrong={
            "equal shares": ((means - a.mean(0)) / 3).mT,
            "means not centered": (shares[:, None] * means).mT,
        },
    )


@proves("lesions-steer")
def test_steering_moves_the_mean_of_one_class_to_another() -> Sides:
    """Mean of steered activities of one class, against the mean of the other class."""
    a, labels = classes()
    means = torch.stack([a[labels == c].mean(0) for c in range(3)])
    network = nn.Sequential(nn.Identity())
    with lesioned(network, Lesion("0", lambda h: h + (means[1] - means[0]))):
        left = network(a[labels == 0]).mean(0)
    return Sides(
        left=left,
        right=means[1],
        wrong={"not moved": means[0], "away": 2 * means[0] - means[1]},
    )
