"""The equations of "What is a generative model?", each by two routes that share no formula."""

import itertools
import math

import torch
from torch import Tensor

from fromnoise.gaussians import Gaussian
from fromnoise.generative_models import Diluted, Memorizer, fit_class_gaussians
from fromnoise.information import gaussian_entropy, gaussian_kl_divergence
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Cosine
from proof import Sides, proves

FLOAT = torch.float64


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=FLOAT)


def gaussian(dim: int, seed: int) -> Gaussian:
    root = normal(dim, dim, seed=seed)
    return Gaussian(
        normal(dim, seed=seed + 100), root @ root.T / dim + 0.3 * torch.eye(dim, dtype=FLOAT)
    )


@proves("gm-cross-entropy")
def test_the_cost_is_entropy_plus_divergence() -> Sides:
    """Left: quadrature of -log p under q in the plane. Right: two closed forms."""
    q, p = gaussian(2, 0), gaussian(2, 1)
    axis = torch.linspace(-14, 14, 701, dtype=FLOAT)
    plane = torch.cartesian_prod(axis, axis)
    left = -(q.log_prob(plane).exp() * p.log_prob(plane)).sum() * (axis[1] - axis[0]) ** 2
    entropy, kl = gaussian_entropy(q), gaussian_kl_divergence(q, p)
    return Sides(
        left[None],
        (entropy + kl)[None],
        {
            "entropy of the model": (gaussian_entropy(p) + kl)[None],
            "the other divergence": (entropy + gaussian_kl_divergence(p, q))[None],
            "divergence alone": kl[None],
        },
    )


@proves("gm-gradient")
def test_the_likelihood_and_the_divergence_have_one_gradient() -> Sides:
    """Left: derivatives of the closed divergence. Right: the mean of -grad log p by quadrature.

    Both Gaussians have one dimension; the parameters are the center and the log width of p.
    """
    center, log_std = (torch.tensor(v, dtype=FLOAT, requires_grad=True) for v in (0.4, -0.3))
    m, s = 1.1, 0.7
    variance = (2 * log_std).exp()
    kl = log_std - math.log(s) + (s**2 + (m - center) ** 2) / (2 * variance) - 0.5
    left = torch.stack(torch.autograd.grad(kl, (center, log_std)))
    x = torch.linspace(m - 12 * s, m + 12 * s, 4001, dtype=FLOAT)
    weight = torch.exp(-0.5 * ((x - m) / s) ** 2) / (s * math.sqrt(2 * math.pi)) * (x[1] - x[0])
    offset = (x - center.detach()) / log_std.detach().exp()
    score = torch.stack([offset / log_std.detach().exp(), offset.square() - 1])
    p = torch.exp(-0.5 * offset.square())
    p = p / p.sum()
    return Sides(
        left,
        -(weight * score).sum(-1),
        {
            "sign": (weight * score).sum(-1),
            "mean under the model": -(p * score).sum(-1),
        },
    )


@proves("gm-chain")
def test_a_joint_is_a_product_of_next_steps() -> Sides:
    """Left: probabilities of all texts of length 4, summed over a hidden topic.

    Right: next-character probabilities, from beliefs about the topic updated after each character.
    The next character depends on all before it, so looking back by one is not enough.
    """
    topic = normal(3, seed=0).softmax(0)
    given_topic = normal(3, 3, seed=1).softmax(1)  # each topic's probabilities of a, b, c
    texts = torch.tensor(list(itertools.product(range(3), repeat=4)))
    left = (topic.log() + given_topic.log().T[texts].sum(1)).logsumexp(-1)

    def next_steps(memory: int) -> Tensor:
        """Log probability of each step given the last `memory` characters."""
        steps = []
        for i in range(4):
            beliefs = topic.expand(len(texts), 3)
            for seen in texts[:, max(0, i - memory) : i].T:
                beliefs = beliefs * given_topic.T[seen]
            beliefs = beliefs / beliefs.sum(-1, keepdim=True)
            steps.append((beliefs * given_topic.T[texts[:, i]]).sum(-1).log())
        return torch.stack(steps)

    return Sides(
        left,
        next_steps(memory=3).sum(0),
        {
            "first factor forgotten": next_steps(memory=3)[1:].sum(0),
            "only the last character kept": next_steps(memory=1).sum(0),
            "as if independent": next_steps(memory=0).sum(0),
        },
    )


@proves("gm-bayes")
def test_a_conditional_model_is_a_classifier() -> Sides:
    """Left: responsibilities of the library. Right: torch's densities and Bayes' rule by hand."""
    x = normal(60, 2, seed=0)
    labels = torch.cat([torch.zeros(15), torch.ones(20), torch.full((25,), 2.0)]).long()
    x = x + 1.5 * labels[:, None]
    model = fit_class_gaussians(x, labels, 0.2)
    points = normal(9, 2, seed=3) + 1
    columns = []
    for c in range(3):
        rows = x[labels == c]
        mean = rows.mean(0)
        cov = torch.cov(rows.T, correction=0)
        cov = 0.8 * cov + 0.2 * cov.diagonal().mean() * torch.eye(2, dtype=FLOAT)
        columns.append(torch.distributions.MultivariateNormal(mean, cov).log_prob(points))
    likelihood = torch.stack(columns, -1).exp()
    share = torch.bincount(labels).double() / len(labels)
    joint = share * likelihood
    return Sides(
        model.responsibilities(points),
        joint / joint.sum(-1, keepdim=True),
        {
            "prior forgotten": likelihood / likelihood.sum(-1, keepdim=True),
            "not normalized": joint,
        },
    )


def table_of_pairs() -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of pairs (x, y), the value of each x, and an answer f(y) for each y."""
    joint = torch.rand(5, 4, generator=rng(0), dtype=FLOAT) ** 2
    return joint / joint.sum(), normal(5, seed=1), normal(4, seed=2)


@proves("gm-regression")
def test_squared_error_is_a_floor_plus_a_miss() -> Sides:
    """Left: the loss summed over all pairs. Right: the two parts, from conditionals."""
    joint, x, f = table_of_pairs()
    left = (joint * (x[:, None] - f).square()).sum()
    p_y = joint.sum(0)
    mean = (joint * x[:, None]).sum(0) / p_y
    floor = (joint * (x[:, None] - mean).square()).sum()
    miss = (p_y * (mean - f).square()).sum()
    overall = (joint.sum(1) * x).sum()
    return Sides(
        left[None],
        (floor + miss)[None],
        {
            "no floor": miss[None],
            "floor around the overall mean": (miss + (joint.sum(1) * (x - overall).square()).sum())[
                None
            ],
            "miss not weighted": (floor + (mean - f).square().mean())[None],
        },
    )


@proves("gm-blank")
def test_pure_noise_says_nothing() -> Sides:
    """Left: exact denoiser at the end of the schedule. Right: the mean, for any noise."""
    points = normal(20, 3, seed=0)
    end = Cosine()(torch.ones(6, dtype=FLOAT))
    eps = normal(6, 3, seed=1)
    near = Cosine()(torch.full((6,), 0.6, dtype=FLOAT))
    return Sides(
        Memorizer(points).posterior_mean(eps, end),
        points.mean(0).expand(6, 3),
        {
            "some signal left": Memorizer(points).posterior_mean(eps, near),
            "a training point": points[:6],
            "the noise": eps,
        },
    )


@proves("gm-variance")
def test_variance_splits_between_and_within_classes() -> Sides:
    """Left: variance of a mixture by quadrature. Right: within plus between, from its parts."""
    weights = normal(3, seed=0).softmax(0)
    means, stds = normal(3, 1, seed=1), normal(3, seed=2).exp()
    x = torch.linspace(-40, 40, 40001, dtype=FLOAT)
    p = GaussianMixture(weights, means, stds.square().view(3, 1, 1))
    density = p.log_prob(x[:, None]).exp() * (x[1] - x[0])
    left = (density * x.square()).sum() - (density * x).sum() ** 2
    mean = (weights * means[:, 0]).sum()
    within = (weights * stds.square()).sum()
    between = (weights * (means[:, 0] - mean).square()).sum()
    return Sides(
        left[None],
        (within + between)[None],
        {
            "within alone": within[None],
            "between alone": between[None],
            "classes not weighted": (stds.square().mean() + means.var(correction=0))[None],
        },
    )


@proves("gm-denoiser")
def test_the_denoiser_of_a_training_set() -> Sides:
    """Left: the weights in closed form. Right: Tweedie's formula with autograd on log p_t."""
    points, x_t = normal(7, 3, seed=0), normal(5, 3, seed=1).requires_grad_()
    t = torch.tensor([0.1, 0.3, 0.5, 0.8, 0.95], dtype=FLOAT)
    scales = Cosine()(t)
    alpha, sigma = scales.alpha_t[:, None], scales.sigma_t[:, None]
    centers = alpha[..., None] * points
    squared = (x_t[:, None] - centers).square().sum(-1)
    log_p = (-squared / (2 * sigma**2)).logsumexp(-1)
    (score,) = torch.autograd.grad(log_p.sum(), x_t)
    noisy = x_t.detach()
    nearest = points[torch.cdist(noisy, points).argmin(1)]
    unscaled = (-squared.detach() / 2).softmax(-1) @ points
    return Sides(
        Memorizer(points).posterior_mean(noisy, scales),
        (noisy + sigma**2 * score) / alpha,
        {
            "nearest point": nearest,
            "noise level forgotten": unscaled,
            "sign": (noisy - sigma**2 * score) / alpha,
        },
    )


@proves("gm-diluted")
def test_dilution_costs_at_most_the_log_of_the_share() -> Sides:
    """Left: the library's log density, and how far it falls below the bound: nowhere.

    Right: the good one, less log 100, plus what noise adds.
    """
    good, noise = gaussian(3, 0), Gaussian(torch.zeros(3).double(), 4 * torch.eye(3).double())
    x = torch.cat([good.sample(10, rng(0)), 6 * normal(5, 3, seed=1)])
    left = Diluted(good, noise, 0.01).log_prob(x)
    ratio = (noise.log_prob(x) - good.log_prob(x)).exp()
    bound = good.log_prob(x) - math.log(100)
    fall, none = (bound - left).clamp(min=0), torch.zeros_like(left)
    return Sides(
        torch.cat([left, fall]),
        torch.cat([bound + torch.log1p(99 * ratio), none]),
        {
            "no noise": torch.cat([bound, none]),
            "no cost": torch.cat([good.log_prob(x) + torch.log1p(99 * ratio), none]),
            "99 forgotten": torch.cat([bound + torch.log1p(ratio), none]),
            "a bound from above": torch.cat([left, (left - bound).clamp(min=0)]),
        },
    )
