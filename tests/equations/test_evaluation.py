"""The equations of judging samples: transport of Gaussians, biases, power and a cheap mixture."""

import itertools
import math

import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from fromnoise.evaluation import frechet_gaussians
from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import Diluted
from fromnoise.sample_measures import expected_coverage, mmd_squared
from proof import Sides, proves

FLOAT = torch.float64


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def covariance(dim: int, seed: int) -> Tensor:
    x = normal(dim, 2 * dim, seed=seed)
    return x @ x.T / (2 * dim) + 0.1 * torch.eye(dim, dtype=FLOAT)


def root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=FLOAT)


@proves("evaluation-path")
def test_only_the_shared_part_depends_on_the_coupling() -> Sides:
    """Left: mean over every pair of a discrete coupling. Right: means and covariances."""
    x, y = normal(5, 3, seed=0), normal(5, 3, seed=1)
    shares = normal(5, seed=2).softmax(0)[:, None]
    left = (shares * (x - y).square()).sum()
    mean_x, mean_y = (shares * x).sum(0), (shares * y).sum(0)
    u, v = x - mean_x, y - mean_y
    shift = (mean_x - mean_y).square().sum()
    own = (shares * u.square()).sum() + (shares * v.square()).sum()
    shared = (shares * u * v).sum()
    return Sides(
        left,
        shift + own - 2 * shared,
        {"once": shift + own - shared, "sign": shift + own + 2 * shared, "no means": own - shared},
    )


@proves("evaluation-young")
def test_the_gap_of_the_bound_is_a_square() -> Sides:
    """Left: the bound less the product. Right: one square, evaluated after the map."""
    stretch, u, v = covariance(4, 3), normal(20, 4, seed=4), normal(20, 4, seed=5)
    inverse = torch.linalg.inv(stretch)
    left = (u @ stretch * u).sum(1) / 2 + (v @ inverse * v).sum(1) / 2 - (u * v).sum(1)
    away = u @ stretch - v
    return Sides(
        left,
        (away @ inverse * away).sum(1) / 2,
        {
            "half forgotten": (away @ inverse * away).sum(1),
            "not inverted": (away @ stretch * away).sum(1) / 2,
            "wrong way": ((u - v @ stretch) @ inverse * (u - v @ stretch)).sum(1) / 2,
        },
    )


@proves("evaluation-overlap", "evaluation-rest")
def test_the_overlap_of_gaussians_is_the_least_of_the_bounds() -> Sides:
    """Left: roots of matrices. Right: the bound, minimized numerically over stretches."""
    lefts, rights, sums, whole = [], [], [], []
    for seed in (6, 8, 10):
        a, b = covariance(3, seed), covariance(3, seed + 1)
        factor = torch.eye(3, dtype=FLOAT).requires_grad_()
        search = torch.optim.LBFGS(
            [factor],
            max_iter=500,
            tolerance_grad=1e-13,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def bound(a: Tensor = a, b: Tensor = b, factor: Tensor = factor) -> Tensor:
            stretch = factor @ factor.T
            return ((a @ stretch).trace() + (b @ torch.linalg.inv(stretch)).trace()) / 2

        def step(factor: Tensor = factor, bound=bound) -> Tensor:
            value = bound()
            (factor.grad,) = torch.autograd.grad(value, [factor])
            return value

        search.step(step)
        rights.append(bound().detach())
        lefts.append(root(root(a) @ b @ root(a)).trace())
        sums.append((root(a) @ root(b)).trace())
        whole.append((a @ b).trace().sqrt())
    return Sides(
        torch.stack(lefts),
        torch.stack(rights),
        {
            "roots multiplied": torch.stack(sums),
            "root of the trace": torch.stack(whole),
            "half forgotten": 2 * torch.stack(rights),
        },
    )


@proves("evaluation-map")
def test_the_best_stretch_carries_one_covariance_to_the_other() -> Sides:
    """Left: covariance after the map. Right: the covariance it should become."""
    a, b = covariance(4, 12), covariance(4, 13)
    inverse = torch.linalg.inv(root(a))
    stretch = inverse @ root(root(a) @ b @ root(a)) @ inverse
    naive = root(b) @ inverse
    plain = inverse @ root(b)
    return Sides(
        b,
        stretch @ a @ stretch,
        {
            "roots side by side": naive @ a @ naive,
            "other order": plain @ a @ plain,
            "no root": (inverse @ root(a) @ b @ root(a) @ inverse) @ a,
        },
    )


@proves("evaluation-second-order")
def test_a_small_change_of_covariances_costs_its_square() -> Sides:
    """Left: the library's distance, even part of a difference. Right: the sum of squares."""
    c = torch.tensor([0.3, 0.8, 1.0, 2.5], dtype=FLOAT)
    change_a, change_b = (normal(4, 4, seed=s) for s in (14, 15))
    change_a, change_b = change_a + change_a.T, change_b + change_b.T
    zero, h = torch.zeros(4, dtype=FLOAT), 1e-3

    def distance(h: float) -> float:
        return frechet_gaussians(
            zero, torch.diag(c) + h * change_a, zero, torch.diag(c) + h * change_b
        )

    left = number((distance(h) + distance(-h)) / (2 * h**2))
    square = (change_a - change_b).square()
    right = (square / (2 * (c[:, None] + c))).sum()
    return Sides(
        left,
        right,
        {
            "half forgotten": 2 * right,
            "diagonal only": (square.diagonal() / (4 * c)).sum(),
            "product below": (square / (2 * c[:, None] * c)).sum(),
        },
        tolerance=1e-4,
        reason="the fourth order in a step of 1e-3, and rounding over its square",
    )


@proves("evaluation-expansion")
def test_the_bound_near_the_identity_to_second_order() -> Sides:
    """Left: the exact bound, its second derivative in a step. Right: that of the expansion."""
    c = torch.diag(torch.tensor([0.3, 0.8, 1.0, 2.5], dtype=FLOAT))
    change_a, change_b, turn = (normal(4, 4, seed=s) for s in (24, 25, 26))
    change_a, change_b, turn = (x + x.T for x in (change_a, change_b, turn))
    one = torch.eye(4, dtype=FLOAT)

    def exact(h: Tensor) -> Tensor:
        a, b, stretch = c + h * change_a, c + h * change_b, one + h * turn
        return (a @ stretch).trace() + (b @ torch.linalg.inv(stretch)).trace()

    def expansion(h: Tensor, sign: float = -1.0, own: float = 1.0) -> Tensor:
        a, b, small = c + h * change_a, c + h * change_b, h * turn
        moved = (h * (change_a + sign * change_b) @ small).trace()
        return a.trace() + b.trace() + moved + own * (c @ small @ small).trace()

    zero = torch.zeros((), dtype=FLOAT)

    def orders(f) -> Tensor:
        slope = torch.func.grad(f)
        return torch.stack([f(zero), slope(zero), torch.func.grad(slope)(zero)])

    return Sides(
        orders(exact),
        orders(expansion),
        {
            "changes added": orders(lambda h: expansion(h, sign=1.0)),
            "square twice": orders(lambda h: expansion(h, own=2.0)),
            "square halved": orders(lambda h: expansion(h, own=0.5)),
        },
    )


@proves("evaluation-wishart")
def test_entries_of_a_sample_covariance_scatter() -> Sides:
    """Left: Gauss-Hermite over three points in the plane, exact here. Right: the closed form."""
    points, weights = hermegauss(4)
    c = torch.tensor([0.7, 1.9], dtype=FLOAT)
    n = 3
    grid = torch.tensor(list(itertools.product(points, repeat=2 * n)), dtype=FLOAT)
    mass = torch.tensor(list(itertools.product(weights, repeat=2 * n)), dtype=FLOAT).prod(1)
    x = grid.reshape(-1, n, 2) * c.sqrt()
    away = x - x.mean(1, keepdim=True)
    found = away.mT @ away / (n - 1) - torch.diag(c)
    left = (mass[:, None, None] * found.square()).sum(0) / mass.sum()
    both = c[:, None] * c
    right = (both + torch.diag(c.square())) / (n - 1)
    return Sides(
        left,
        right,
        {
            "over n": right * (n - 1) / n,
            "diagonal not doubled": both / (n - 1),
            "all doubled": 2 * both / (n - 1),
        },
    )


@proves("evaluation-frechet-bias")
def test_two_samples_of_one_gaussian_lie_apart_by_order_one_over_n() -> Sides:
    """Left: n times the mean distance over many pairs of samples. Right: the first order."""
    c, n, n_pairs = torch.tensor([0.5, 2.0], dtype=FLOAT), 200, 20_000
    generator = torch.Generator().manual_seed(16)
    moments = []
    for _ in range(2):
        sums, squares = [], []
        for _ in range(10):
            shape = (n_pairs // 10, n, 2)
            x = torch.randn(shape, generator=generator, dtype=FLOAT) * c.sqrt()
            away = x - x.mean(1, keepdim=True)
            sums.append(x.mean(1))
            squares.append(away.mT @ away / (n - 1))
        moments.append((torch.cat(sums), torch.cat(squares)))
    (mean_a, a), (mean_b, b) = moments
    # In the plane the trace of a root is the root of the trace plus twice that of the determinant.
    product = a @ b
    overlap = (torch.einsum("nii->n", product) + 2 * torch.linalg.det(product).sqrt()).sqrt()
    traces = torch.einsum("nii->n", a + b)
    left = n * ((mean_a - mean_b).square().sum(1) + traces - 2 * overlap).mean()
    entries = (c[:, None] * c / (c[:, None] + c)).sum() + c.sum() / 2
    return Sides(
        left,
        2 * c.sum() + entries,
        {
            "means only": 2 * c.sum(),
            "one sample only": c.sum() + entries / 2,
            "diagonal only": 2 * c.sum() + c.sum(),
        },
        tolerance=0.02,
        reason="20,000 pairs, and a second order of one part in 200",
    )


POINTS = normal(3, 2, seed=17)
P, Q = normal(3, seed=18).softmax(0), normal(3, seed=19).softmax(0)


def kernel(x: Tensor, y: Tensor) -> Tensor:
    return torch.exp(-torch.cdist(x, y).square() / 2)


def true_mmd() -> Tensor:
    table = kernel(POINTS, POINTS)
    return (P - Q) @ table @ (P - Q)


def expected(estimate, n: int) -> Tensor:
    """Mean of an estimate over every possible pair of samples of n points."""
    total = torch.zeros((), dtype=FLOAT)
    for draw in itertools.product(range(3), repeat=2 * n):
        a, b = list(draw[:n]), list(draw[n:])
        total = total + P[a].prod() * Q[b].prod() * estimate(POINTS[a], POINTS[b])
    return total


def plug_in(x: Tensor, y: Tensor) -> Tensor:
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


@proves("evaluation-mmd-estimate", "evaluation-mmd")
def test_without_the_pairs_of_a_point_with_itself_there_is_no_bias() -> Sides:
    """Left: mean of the library's estimate over every sample. Right: the population's value."""
    n = 3
    left = expected(lambda x, y: number(mmd_squared(x, y, kernel)), n)
    table = kernel(POINTS, POINTS)
    return Sides(
        left,
        true_mmd(),
        {
            "pairs with itself": expected(plug_in, n),
            "cross term once": P @ table @ P + Q @ table @ Q - P @ table @ Q,
            "no cross term": P @ table @ P + Q @ table @ Q,
        },
    )


@proves("evaluation-mmd-bias")
def test_pairs_of_a_point_with_itself_lift_the_distance() -> Sides:
    """Left: mean of the plug-in estimate over every sample. Right: the closed form."""
    n, table = 3, kernel(POINTS, POINTS)
    spread = (1 - P @ table @ P) + (1 - Q @ table @ Q)
    return Sides(
        expected(plug_in, n),
        true_mmd() + spread / n,
        {
            "no bias": true_mmd(),
            "one set": true_mmd() + (1 - P @ table @ P) / n,
            "downward": true_mmd() - spread / n,
            "n - 1": true_mmd() + spread / (n - 1),
        },
    )


@proves("evaluation-coverage")
def test_coverage_at_best_is_a_matter_of_order() -> Sides:
    """Left: every order of real points and samples by distance. Right: the product."""
    cases = [(3, 3, 1), (4, 3, 2), (5, 4, 3), (3, 5, 2)]
    lefts, shifted, powers = [], [], []
    for n_real, n_samples, k in cases:
        others = [True] * (n_real - 1) + [False] * n_samples
        orders = set(itertools.permutations(others))
        # The ball reaches the k-th real one; it is empty if all of the first k are real.
        lefts.append(sum(not all(order[:k]) for order in orders) / len(orders))
        product = 1.0
        for j in range(1, k + 1):
            product *= (n_real - j + 1) / (n_real + n_samples - j + 1)
        shifted.append(1 - product)
        powers.append(1 - (n_real / (n_real + n_samples)) ** k)
    right = [expected_coverage(*case) for case in cases]
    return Sides(
        torch.tensor(lefts, dtype=FLOAT),
        torch.tensor(right, dtype=FLOAT),
        {
            "the point itself counted": torch.tensor(shifted, dtype=FLOAT),
            "with replacement": torch.tensor(powers, dtype=FLOAT),
        },
    )


@proves("evaluation-c2st-gaussians")
def test_two_bells_are_told_apart_by_half_their_distance() -> Sides:
    """Left: half of one plus the total variation, by quadrature. Right: the normal integral."""
    nodes, weights = (torch.from_numpy(part) for part in leggauss(200))
    lefts, gaps = [], torch.tensor([0.1, 0.5, 1.0, 3.0], dtype=FLOAT)
    for gap in gaps:
        total = torch.zeros((), dtype=FLOAT)
        for low, high in ((-14.0, float(gap) / 2), (float(gap) / 2, 18.0)):
            x = low + (high - low) * (nodes + 1) / 2
            p, q = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0.0, gap))
            total = total + ((high - low) / 2 * weights * (p - q).abs()).sum() / 2
        lefts.append((1 + total) / 2)
    return Sides(
        torch.stack(lefts),
        torch.special.ndtr(gaps / 2),
        {
            "whole distance": torch.special.ndtr(gaps),
            "total variation itself": 2 * torch.special.ndtr(gaps / 2) - 1,
            "root of two": torch.special.ndtr(gaps / math.sqrt(2)),
        },
    )


@proves("evaluation-power")
def test_power_is_the_chance_to_pass_the_bar() -> Sides:
    """Left: quadrature of the density of the difference beyond the bar. Right: closed form."""
    nodes, weights = (torch.from_numpy(part) for part in leggauss(200))
    bar = torch.special.ndtri(number(0.975))
    lefts, rights, variance_once, one_sided = [], [], [], []
    for effect, n in ((0.5, 20), (0.2, 100), (1.0, 5), (0.0, 30)):
        center = effect * math.sqrt(n / 2)
        total = torch.zeros((), dtype=FLOAT)
        for low, high in ((float(bar), center + 14.0), (center - 14.0, -float(bar))):
            z = low + (high - low) * (nodes + 1) / 2
            density = torch.exp(-((z - center) ** 2) / 2) / math.sqrt(2 * math.pi)
            total = total + ((high - low) / 2 * weights * density).sum()
        lefts.append(total)
        shift = number(center)
        rights.append(torch.special.ndtr(shift - bar) + torch.special.ndtr(-shift - bar))
        wide = number(effect * math.sqrt(n))
        variance_once.append(torch.special.ndtr(wide - bar) + torch.special.ndtr(-wide - bar))
        one_sided.append(torch.special.ndtr(shift - bar))
    return Sides(
        torch.stack(lefts),
        torch.stack(rights),
        {
            "variance of one mean": torch.stack(variance_once),
            "one side only": torch.stack(one_sided),
        },
    )


@proves("evaluation-standard-error")
def test_the_difference_of_two_means_scatters_with_twice_the_variance() -> Sides:
    """Left: variance over every pair of samples of a discrete distribution. Right: 2 / n."""
    values, shares, n = normal(3, seed=20), normal(3, seed=21).softmax(0), 3
    left = torch.zeros((), dtype=FLOAT)
    for draw in itertools.product(range(3), repeat=2 * n):
        gap = values[list(draw[:n])].mean() - values[list(draw[n:])].mean()
        left = left + shares[list(draw)].prod() * gap.square()
    variance = (shares * values.square()).sum() - (shares * values).sum().square()
    return Sides(
        left,
        2 * variance / n,
        {"one mean": variance / n, "not shrinking": 2 * variance, "root": 2 * variance / n**0.5},
    )


@proves("evaluation-log-two")
def test_every_other_sample_may_be_noise_for_log_two_nats() -> Sides:
    """Left: the library's mixture. Right: the good model, less log 2, plus a positive term."""
    good = Gaussian(torch.zeros(3, dtype=FLOAT), covariance(3, 22))
    noise = Gaussian(torch.ones(3, dtype=FLOAT), 9 * torch.eye(3, dtype=FLOAT))
    x = 2 * normal(40, 3, seed=23)
    ratio = (noise.log_prob(x) - good.log_prob(x)).exp()
    assert bool((Diluted(good, noise, 0.5).log_prob(x) >= good.log_prob(x) - math.log(2)).all())
    return Sides(
        Diluted(good, noise, 0.5).log_prob(x),
        good.log_prob(x) - math.log(2) + torch.log1p(ratio),
        {
            "log 2 gained": good.log_prob(x) + math.log(2) + torch.log1p(ratio),
            "free": good.log_prob(x) + torch.log1p(ratio),
            "noise forgotten": good.log_prob(x) - math.log(2),
        },
    )
