"""The equations of "Training one that works", each by two routes that share no formula."""

import itertools
import math

import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from fromnoise.denoising import denoising_loss
from fromnoise.evaluation import frechet_gaussians
from fromnoise.gaussians import Gaussian
from fromnoise.schedules import Cosine, Rectified, Scales
from fromnoise.training import TrainingSettings, learning_rate_at, update_average
from proof import Sides, proves

FLOAT = torch.float64


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=FLOAT)


def hermite(n: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of an expectation under N(0, 1)."""
    nodes, weights = hermegauss(n)
    return torch.tensor(nodes), torch.tensor(weights / weights.sum())


def covariance(d: int, seed: int) -> Tensor:
    root = normal(d, d, seed=seed)
    return root @ root.T / d + 0.1 * torch.eye(d, dtype=FLOAT)


def root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.sqrt() @ vectors.T


@proves("training-split")
def test_the_loss_is_a_miss_plus_a_floor() -> Sides:
    """Left: the loss over data and noise by quadrature. Right: over x_t, with Bayes' rule there."""
    values, shares = torch.tensor([-1.0, 0.2, 1.0], dtype=FLOAT), normal(3, seed=0).softmax(0)
    alpha, sigma = 0.6, 0.8

    def f(x: Tensor) -> Tensor:
        return 0.3 * x + 0.1 * x.square() - 0.2

    eps, weight = hermite(64)
    x_t = alpha * values[:, None] + sigma * eps
    left = (shares[:, None] * weight * (f(x_t) - values[:, None]).square()).sum()

    # The trapezoid rule on a smooth density that vanishes at both ends is exact to rounding.
    x = torch.linspace(-12, 12, 20001, dtype=FLOAT)
    joint = shares * torch.exp(-((x[:, None] - alpha * values) ** 2) / (2 * sigma**2))
    joint = joint / (sigma * math.sqrt(2 * math.pi))
    density = joint.sum(1)
    step = x[1] - x[0]
    mean = (joint * values).sum(1) / density.clamp(min=1e-300)
    square = (joint * values.square()).sum(1) / density.clamp(min=1e-300)
    miss = (density * (f(x) - mean).square()).sum() * step
    floor = (density * (square - mean.square())).sum() * step
    variance = (shares * values.square()).sum() - (shares * values).sum() ** 2
    return Sides(
        left,
        miss + floor,
        {"no floor": miss, "floor twice": miss + 2 * floor, "prior variance": miss + variance},
    )


@proves("training-error-eps", "training-error-v", "training-error-velocity")
def test_an_error_of_the_target_becomes_an_error_of_the_data() -> Sides:
    """Left: errors of the data, by solving the two linear equations for x_0 with a wrong target."""
    t = torch.tensor([0.05, 0.4, 0.93], dtype=FLOAT)
    x_0, eps, slip = (normal(3, 5, seed=s) for s in range(3))

    def solve(a: Tensor, b: Tensor, target: Tensor, scales: Scales) -> Tensor:
        """x_0 from x_t = alpha x_0 + sigma eps and target = a x_0 + b eps."""
        x_t = scales.alpha_t[:, None] * x_0 + scales.sigma_t[:, None] * eps
        system = torch.stack(
            [
                torch.stack([scales.alpha_t, scales.sigma_t], -1),
                torch.stack([a, b], -1),
            ],
            dim=-2,
        )
        return torch.linalg.solve(system, torch.stack([x_t, target + slip], dim=-2))[:, 0]

    lefts, rights, flips, roots, blind = [], [], [], [], []
    cosine, rectified = Cosine()(t), Rectified()(t)
    zero, one = torch.zeros_like(t), torch.ones_like(t)
    for scales, a, b, gain in (
        (cosine, zero, one, (cosine.sigma_t / cosine.alpha_t).square()),
        (cosine, -cosine.sigma_t, cosine.alpha_t, cosine.sigma_t.square()),
        (rectified, -one, one, t.square()),
    ):
        target = a[:, None] * x_0 + b[:, None] * eps
        lefts.append((solve(a, b, target, scales) - x_0).square().sum(1))
        miss = slip.square().sum(1)
        rights.append(gain * miss)
        flips.append(miss / gain)
        roots.append(gain.sqrt() * miss)
        blind.append(scales.sigma_t.square() * miss)
    return Sides(
        torch.cat(lefts),
        torch.cat(rights),
        {
            "gain upside down": torch.cat(flips),
            "square forgotten": torch.cat(roots),
            "signal forgotten": torch.cat(blind),
        },
    )


@proves("training-scale-shift")
def test_stretched_data_are_data_at_another_noise_level() -> Sides:
    """Gaussian data: the exact denoiser of a x_0, against that of x_0 at the shifted log-SNR."""
    mean, cov, a = normal(3, seed=0), covariance(3, 1), 8.0
    alpha, sigma = torch.tensor(0.7, dtype=FLOAT), torch.tensor(0.6, dtype=FLOAT)
    x_t = normal(4, 3, seed=2)

    def denoise(mean: Tensor, cov: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        gain = alpha * cov @ torch.linalg.inv(alpha**2 * cov + sigma**2 * torch.eye(3, dtype=FLOAT))
        return mean + (x_t - alpha * mean) @ gain.T

    left = denoise(a * mean, a * a * cov, alpha, sigma) / a

    def shifted(shift: float) -> Tensor:
        """Same data, unstretched, at log-SNR + shift; found from the library's oracle."""
        log_snr = (alpha / sigma).square().log() + shift
        # Only the ratio alpha / sigma is free: keep sigma, as adding noise does.
        new_alpha = sigma * torch.exp(log_snr / 2)
        scales = Scales(
            new_alpha, sigma, torch.zeros((), dtype=FLOAT), torch.zeros((), dtype=FLOAT)
        )
        return Gaussian(mean, cov).posterior_mean(x_t, scales)

    return Sides(
        left,
        shifted(2 * math.log(a)),
        {
            "not squared": shifted(math.log(a)),
            "sign": shifted(-2 * math.log(a)),
            "no shift": shifted(0.0),
        },
    )


@proves("training-resolution-shift")
def test_averaging_pixels_raises_the_signal_to_noise_ratio() -> Sides:
    """Left: log-SNR of block means, from the matrix that takes them. Right: the shift."""
    lefts, rights, linear, none = [], [], [], []
    for b in (1, 2, 4):
        side = 8
        block = torch.kron(
            torch.eye(side // b, dtype=FLOAT), torch.full((1, b), 1 / b, dtype=FLOAT)
        )
        average = torch.kron(block, block)
        alpha, sigma = 0.8, 0.6
        noise = sigma**2 * (average @ average.T).diagonal()
        # An image that is constant within blocks keeps its variance of 1 under averaging.
        smooth = average.T * b * b
        signal = alpha**2 * (average @ smooth @ smooth.T @ average.T).diagonal()
        lefts.append((signal / noise).log())
        level = math.log(alpha**2 / sigma**2)
        rights.append(torch.full_like(lefts[-1], level + 2 * math.log(b)))
        linear.append(torch.full_like(lefts[-1], level + math.log(b)))
        none.append(torch.full_like(lefts[-1], level))
    return Sides(
        torch.cat(lefts),
        torch.cat(rights),
        {"not squared": torch.cat(linear), "no shift": torch.cat(none)},
    )


@proves("training-even-times")
def test_evenly_spread_times_leave_the_mean_loss_alone() -> Sides:
    """Left: batch mean over all offsets, by quadrature. Right: the integral over time."""
    nodes, weights = leggauss(30)
    offsets, weights = torch.tensor((nodes + 1) / 2), torch.tensor(weights / 2)
    n, a = 7, 2.3

    def g(t: Tensor) -> Tensor:
        return (a * t).exp() + t.square()

    cells = (torch.arange(n, dtype=FLOAT)[:, None] + offsets) / n
    left = (weights * g(cells).mean(0)).sum()
    right = torch.tensor((math.exp(a) - 1) / a + 1 / 3, dtype=FLOAT)
    edge = g(torch.arange(n, dtype=FLOAT) / n).mean()
    middle = g((torch.arange(n, dtype=FLOAT) + 0.5) / n).mean()
    return Sides(left, right, {"no offset": edge, "always the middle": middle})


def test_the_loss_draws_such_times() -> None:
    """The code's times are one offset per batch and one time in each cell."""
    seen = []

    def spy(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(t)
        return torch.zeros_like(x_t)

    from fromnoise.targets import PredictVelocity

    loss = denoising_loss(Rectified(), PredictVelocity())
    for seed in (0, 1):
        loss(spy, (torch.zeros(50, 1),), rng(seed))
    for t in seen:
        gaps = t.diff()
        assert torch.allclose(gaps, torch.full_like(gaps, 1 / 50), atol=1e-6)
    assert not torch.equal(seen[0], seen[1])


def averaged(values: Tensor, decay: float) -> list[Tensor]:
    """The library's average after each of the values, as weights of a one-parameter module."""
    average, network = (torch.nn.Module() for _ in range(2))
    average.register_parameter("w", torch.nn.Parameter(torch.zeros((), dtype=FLOAT)))
    network.register_parameter("w", torch.nn.Parameter(torch.zeros((), dtype=FLOAT)))
    found = []
    for n, value in enumerate(values, start=1):
        network.w.data = value.clone()
        update_average(average, network, n, decay)
        found.append(average.w.detach().clone())
    return found


@proves("training-ema-unrolled")
def test_the_plain_average_keeps_a_share_of_its_start() -> Sides:
    """Left: the recursion, step by step. Right: the unrolled sum."""
    lefts, rights, late, unscaled = [], [], [], []
    for decay in (0.5, 0.99, 0.9999):
        theta = normal(40, seed=3)
        mean = theta[0]
        for value in theta[1:]:
            mean = decay * mean + (1 - decay) * value
        n = len(theta) - 1
        powers = decay ** torch.arange(n - 1, -1, -1, dtype=FLOAT)
        lefts.append(mean)
        rights.append(decay**n * theta[0] + (1 - decay) * (powers * theta[1:]).sum())
        late.append(decay**n * theta[0] + (1 - decay) * (decay * powers * theta[1:]).sum())
        unscaled.append((1 - decay) * (powers * theta[1:]).sum())
    return Sides(
        torch.stack(lefts),
        torch.stack(rights),
        {"one power too many": torch.stack(late), "start forgotten": torch.stack(unscaled)},
    )


def printed_recursion(
    values: Tensor, decay: float, late: int = 0, corrected: bool = True
) -> Tensor:
    """The recursion as the chapter prints it, or with a fault."""
    mean = torch.zeros((), dtype=FLOAT)
    for n, value in enumerate(values, start=1):
        weight = 1 - decay ** (n + late) if corrected else 1.0
        mean = mean + (1 - decay) / weight * (value - mean)
    return mean


@proves("training-ema-corrected")
def test_the_corrected_average_is_a_mean_with_weights_that_sum_to_one() -> Sides:
    """Left: the library's recursion. Right: the recursion and the weighted mean, as printed."""
    lefts, rights, biased, late = [], [], [], []
    for decay in (0.3, 0.9, 0.999):
        theta = normal(30, seed=4) + 2
        lefts += 2 * [averaged(theta, decay)[-1]]
        powers = decay ** torch.arange(29, -1, -1, dtype=FLOAT)
        rights += [printed_recursion(theta, decay), (powers * theta).sum() / powers.sum()]
        biased += [
            printed_recursion(theta, decay, corrected=False),
            (1 - decay) * (powers * theta).sum(),
        ]
        late += [
            printed_recursion(theta, decay, late=1),
            (1 - decay) * (powers * theta).sum() / (1 - decay**29),
        ]
    return Sides(
        torch.stack(lefts),
        torch.stack(rights),
        {"uncorrected": torch.stack(biased), "corrected for another n": torch.stack(late)},
    )


@proves("training-ema-variance")
def test_averaging_shrinks_the_jitter_of_the_weights() -> Sides:
    """Left: sum of squared weights of a long average, term by term. Right: the closed form."""
    decays = torch.tensor([0.5, 0.9, 0.99], dtype=FLOAT)
    powers = decays[:, None] ** torch.arange(6000, dtype=FLOAT)
    shares = powers / powers.sum(1, keepdim=True)
    left = shares.square().sum(1)
    return Sides(
        left,
        (1 - decays) / (1 + decays),
        {
            "one over the window": 1 - decays,
            "square of that": (1 - decays).square(),
            "upside down": (1 + decays) / (1 - decays),
        },
    )


@proves("training-rate")
def test_the_learning_rate_is_the_product_of_two_ramps() -> Sides:
    """Left: the function that the loop calls. Right: the formula as printed."""
    lefts, rights, cold, whole, doubled = [], [], [], [], []
    for share in (0.0, 0.3, 1.0):
        settings = TrainingSettings(
            n_steps=80, warmup_steps=10, learning_rate=0.3, final_share=share
        )
        lefts += [learning_rate_at(n, settings) for n in range(1, 81)]
        n = torch.arange(1, 81, dtype=FLOAT)
        warm = (n / 10).clamp(max=1)
        wave = torch.cos(math.pi * (n - 1) / 80)
        rights.append(0.3 * warm * (share + (1 - share) * (1 + wave) / 2))
        cold.append(0.3 * (share + (1 - share) * (1 + wave) / 2))
        doubled.append(0.3 * warm * (share + (1 - share) * (1 + wave)))
        wave = torch.cos(2 * math.pi * (n - 1) / 80)
        whole.append(0.3 * warm * (share + (1 - share) * (1 + wave) / 2))
    return Sides(
        torch.tensor(lefts, dtype=FLOAT),
        torch.cat(rights),
        {
            "no warm-up": torch.cat(cold),
            "a whole wave": torch.cat(whole),
            "no half": torch.cat(doubled),
        },
    )


@proves("training-frechet")
def test_the_frechet_distance_is_the_cost_of_the_optimal_map() -> Sides:
    """Left: the library. Right: mean squared path of the linear map that carries a onto b."""
    mean_a, mean_b = normal(5, seed=0), normal(5, seed=1)
    a, b = covariance(5, 2), covariance(5, 3)
    left = torch.tensor(frechet_gaussians(mean_a, a, mean_b, b), dtype=FLOAT)
    inverse = torch.linalg.inv(root(a))
    move = inverse @ root(root(a) @ b @ root(a)) @ inverse
    assert torch.allclose(move @ a @ move, b), "the map must carry a onto b"
    away = torch.eye(5, dtype=FLOAT) - move
    shift = (mean_a - mean_b).square().sum()
    right = shift + (away @ a @ away.T).trace()
    return Sides(
        left,
        right,
        {
            "roots multiplied": shift + (a + b - 2 * root(a) @ root(b)).trace(),
            "once instead of twice": shift + (a + b - root(root(a) @ b @ root(a))).trace(),
            "no covariance": shift,
        },
    )


@proves("training-frechet-floor")
def test_two_samples_of_one_distribution_lie_apart() -> Sides:
    """Left: expectation over every possible pair of samples. Right: the closed form."""
    points, shares = normal(3, 2, seed=5), normal(3, seed=6).softmax(0)
    n_a, n_b = 2, 3
    left = torch.zeros((), dtype=FLOAT)
    for draw in itertools.product(range(3), repeat=n_a + n_b):
        probability = shares[list(draw)].prod()
        gap = points[list(draw[:n_a])].mean(0) - points[list(draw[n_a:])].mean(0)
        left = left + probability * gap.square().sum()
    mean = (shares[:, None] * points).sum(0)
    trace = (shares[:, None] * (points - mean).square()).sum()
    return Sides(
        left,
        trace * (1 / n_a + 1 / n_b),
        {
            "one sample only": trace / n_a,
            "pooled size": trace / (n_a + n_b),
            "unbiased": torch.zeros((), dtype=FLOAT),
        },
    )


@proves("training-c2st")
def test_the_best_accuracy_is_half_of_one_plus_the_total_variation() -> Sides:
    """Left: accuracy of the best rule, by quadrature. Right: half of 1 + the closed-form TV."""
    shifts = torch.tensor([0.0, 0.5, 2.0, 4.0], dtype=FLOAT)
    # Split at the crossing, where the larger density changes and has a kink.
    nodes, weights = leggauss(200)
    nodes, weights = torch.tensor(nodes), torch.tensor(weights)
    lefts = []
    for shift in shifts:
        total = torch.zeros((), dtype=FLOAT)
        for low, high in ((-12.0, float(shift) / 2), (float(shift) / 2, 16.0)):
            x = low + (high - low) * (nodes + 1) / 2
            p, q = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0.0, shift))
            total = total + ((high - low) / 2 * weights * torch.maximum(p, q) / 2).sum()
        lefts.append(total)
    tv = torch.special.erf(shifts / (2 * math.sqrt(2)))
    return Sides(
        torch.stack(lefts),
        (1 + tv) / 2,
        {"without half": tv, "half of TV forgotten": 0.5 + tv, "quarter": 0.5 + tv / 4},
    )


@proves("training-label-bits")
def test_giving_the_label_saves_at_most_the_bits_of_the_label() -> Sides:
    """Left: surprise of x without its label, by summing over labels. Right: the chain rule."""
    p_c = normal(4, seed=7).softmax(0)
    p_x_c = normal(4, 6, seed=8).softmax(1)
    left = -(p_c[:, None] * p_x_c).sum(0).log().expand(4, 6)
    p_c_x = p_c[:, None] * p_x_c / (p_c[:, None] * p_x_c).sum(0)
    given, label, known = -p_x_c.log(), -p_c.log()[:, None], p_c_x.log()
    assert bool((left <= given + label).all()), "dropping the last term leaves an upper bound"
    return Sides(
        left.contiguous(),
        given + label + known,
        {"label free": given, "label saved": given - label, "label paid in full": given + label},
    )
