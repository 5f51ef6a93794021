"""The equations of the family chapter: one idea of each kind of model, each by two routes."""

import itertools
import math

import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from torch import Tensor
from torch.func import grad, jacrev, vmap

from fromnoise.families.energy import EnergyModel
from fromnoise.families.gan import (
    fake_loss,
    non_saturating_loss,
    optimal_logit,
    real_loss,
    saturating_loss,
)
from fromnoise.families.normalizing_flow import Coupling, NormalizingFlow
from fromnoise.families.transforms import Affine, Spline
from fromnoise.gaussians import Gaussian
from fromnoise.information import gaussian_kl_divergence, jensen_shannon, kl_divergence
from fromnoise.mixtures import GaussianMixture
from fromnoise.networks import seeded
from fromnoise.schedules import VE, Cosine, Rectified
from proof import Sides, proves

FLOAT = torch.float64
LOG_2PI = math.log(2 * math.pi)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=FLOAT)


def legendre(low: float, high: float, n_nodes: int = 200) -> tuple[Tensor, Tensor]:
    """Nodes and weights for an integral from low to high."""
    points, weights = leggauss(n_nodes)
    half = (high - low) / 2
    return torch.from_numpy(points) * half + (high + low) / 2, torch.from_numpy(weights) * half


def hermite(n_nodes: int = 80) -> tuple[Tensor, Tensor]:
    """Nodes and weights for a mean over a standard normal."""
    points, weights = hermegauss(n_nodes)
    return torch.from_numpy(points), torch.from_numpy(weights) / math.sqrt(2 * math.pi)


def bell(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log density of a Gaussian on the line."""
    return -0.5 * ((x - mean) / std).square() - torch.log(std) - 0.5 * LOG_2PI


def covariance(dim: int, seed: int) -> Tensor:
    root = normal(dim, dim, seed=seed)
    return root @ root.T / dim + 0.3 * torch.eye(dim, dtype=FLOAT)


def conditional(x: Tensor, mean: Tensor, cov: Tensor, entry: int, seen: list[int]) -> Tensor:
    """Log density of one entry given some others, by the Schur complement."""
    center, variance = mean[entry].expand(len(x)), cov[entry, entry]
    if seen:
        gain = torch.linalg.solve(cov[seen][:, seen], cov[seen, entry])
        center = center + (x[:, seen] - mean[seen]) @ gain
        variance = variance - cov[entry, seen] @ gain
    return bell(x[:, entry], center, variance.sqrt())


@proves("families-chain-rule")
def test_a_density_is_the_product_of_its_conditionals_in_every_order() -> Sides:
    """Left: the joint density of a Gaussian. Right: its conditionals, by Schur complements."""
    mean, cov = normal(3, seed=0), covariance(3, 1)
    x = normal(7, 3, seed=2)
    orders = list(itertools.permutations(range(3)))
    parts = [[conditional(x, mean, cov, o[i], list(o[:i])) for i in range(3)] for o in orders]
    joint = torch.distributions.MultivariateNormal(mean, cov).log_prob(x)
    alone = sum(conditional(x, mean, cov, i, []) for i in range(3))
    everything = sum(
        conditional(x, mean, cov, i, [j for j in range(3) if j != i]) for i in range(3)
    )
    assert isinstance(alone, Tensor)
    assert isinstance(everything, Tensor)
    return Sides(
        joint.expand(6, -1),
        torch.stack([torch.stack(part).sum(0) for part in parts]),
        {
            "each entry on its own": alone.expand(6, -1),
            "each entry given all others": everything.expand(6, -1),
            "last factor forgotten": torch.stack([part[0] + part[1] for part in parts]),
        },
    )


@proves("families-divergence-chain")
def test_the_divergence_of_a_pair_is_the_sum_of_two() -> Sides:
    """Left: the closed divergence in the plane. Right: that of one entry, and a mean over it."""
    q, p = (Gaussian(normal(2, seed=s), covariance(2, s + 10)) for s in (0, 1))
    left = gaussian_kl_divergence(q, p)

    def entry(g: Gaussian, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the second entry given the first."""
        gain = g.covariance[1, 0] / g.covariance[0, 0]
        return g.mean[1] + gain * (y - g.mean[0]), g.covariance[1, 1] - gain * g.covariance[0, 1]

    def divergence(m_q: Tensor, v_q: Tensor, m_p: Tensor, v_p: Tensor) -> Tensor:
        return 0.5 * ((v_q + (m_q - m_p) ** 2) / v_p - 1 - torch.log(v_q / v_p))

    first = divergence(q.mean[0], q.covariance[0, 0], p.mean[0], p.covariance[0, 0])
    z, weight = hermite()
    each = {
        name: divergence(*entry(q, y), *entry(p, y))
        for name, y in (
            ("q", q.mean[0] + q.covariance[0, 0].sqrt() * z),
            ("p", p.mean[0] + p.covariance[0, 0].sqrt() * z),
        )
    }
    return Sides(
        left[None],
        (first + (weight * each["q"]).sum())[None],
        {
            "mean over the model": (first + (weight * each["p"]).sum())[None],
            "second factor forgotten": first[None],
            "one place instead of a mean": (
                first + divergence(*entry(q, q.mean[0]), *entry(p, q.mean[0]))
            )[None],
        },
    )


def random_flow(transform: Spline | Affine) -> NormalizingFlow:
    model = NormalizingFlow(2, transform, n_layers=3, width=8, seed=3).double()
    with torch.no_grad():
        for i, weight in enumerate(model.parameters()):
            weight.add_(0.6 * normal(*weight.shape, seed=50 + i))
    model.scale.copy_(torch.tensor([1.4, 0.7], dtype=FLOAT))
    return model.requires_grad_(False)


@proves("families-change-of-variables")
def test_the_density_of_a_flow_is_that_of_the_noise_times_the_stretch() -> Sides:
    """Left: the flow's own log density. Right: the noise's, with the Jacobian by autograd."""
    left, right, without, flipped = [], [], [], []
    for transform in (Affine(), Spline(5, 3.0)):
        model = random_flow(transform)
        x = normal(9, 2, seed=4)
        z = model.to_noise(x)[0]
        jacobian = vmap(jacrev(lambda one, m=model: m.to_noise(one[None])[0][0]))(x)
        noise = -0.5 * z.square().sum(1) - LOG_2PI
        stretch = torch.linalg.slogdet(jacobian).logabsdet
        left.append(model.log_prob(x))
        right.append(noise + stretch)
        without.append(noise)
        flipped.append(noise - stretch)
    return Sides(
        torch.cat(left),
        torch.cat(right),
        {"without the stretch": torch.cat(without), "stretch of the way back": torch.cat(flipped)},
    )


@proves("families-coupling")
def test_the_determinant_of_a_coupling_is_the_product_of_its_slopes() -> Sides:
    """Left: log determinant of the Jacobian by autograd. Right: slopes by autograd, one by one."""
    kept = torch.tensor([True, False, True, False])
    with seeded(1):
        layer = Coupling(kept, Affine(), 8).double().requires_grad_(False)
    for i, weight in enumerate(layer.parameters()):
        weight.add_(0.5 * normal(*weight.shape, seed=70 + i))
    x = normal(6, 4, seed=5)
    jacobian = vmap(jacrev(lambda one: layer(one[None])[0][0]))(x)
    left = torch.linalg.slogdet(jacobian).logabsdet
    slopes = jacobian.diagonal(dim1=1, dim2=2)[:, ~kept]
    return Sides(
        left,
        slopes.log().sum(1),
        {
            "slopes added": slopes.sum(1).log(),
            "product of squares": 2 * slopes.log().sum(1),
            "one slope only": slopes[:, 0].log(),
        },
    )


def decoder(z: Tensor) -> Tensor:
    """A curved decoder of one latent to one entry."""
    return torch.tanh(1.7 * z) + 0.3 * z


@proves("families-elbo")
def test_the_likelihood_is_the_bound_plus_the_miss_of_the_encoder() -> Sides:
    """Left: log p(x) by quadrature over the latent. Right: distortion, rate and miss, likewise."""
    z, dz = legendre(-9, 9, 600)
    x, sigma = normal(5, seed=6), number(0.6)
    m, s = normal(5, seed=7)[:, None], (0.4 + 0.3 * torch.sigmoid(normal(5, seed=8)))[:, None]
    log_joint = bell(z, number(0.0), number(1.0)) + bell(x[:, None], decoder(z), sigma)
    log_p = (log_joint.exp() * dz).sum(1).log()
    log_q = bell(z, m, s)
    q = log_q.exp() * dz
    distortion = -(q * bell(x[:, None], decoder(z), sigma)).sum(1)
    rate = (q * (log_q - bell(z, number(0.0), number(1.0)))).sum(1)
    miss = (q * (log_q - log_joint + log_p[:, None])).sum(1)
    return Sides(
        log_p,
        -distortion - rate + miss,
        {
            "rate forgotten": -distortion + miss,
            "miss forgotten": -distortion - rate,
            "rate added": -distortion + rate + miss,
        },
    )


@proves("families-vae-width")
def test_a_sample_varies_with_the_code_and_with_the_decoder_s_width() -> Sides:
    """Left: variance of x by quadrature of its density. Right: that of the mean, plus width."""
    z, dz = legendre(-9, 9, 400)
    x, dx = legendre(-14, 14, 500)
    prior = bell(z, number(0.0), number(1.0)).exp() * dz
    left, spread, widths = [], [], []
    for sigma in (0.3, 1.0, 1.7):
        density = (prior[:, None] * bell(x, decoder(z)[:, None], number(sigma)).exp()).sum(0) * dx
        mean = (density * x).sum()
        left.append((density * (x - mean).square()).sum())
        inner = decoder(z) - (prior * decoder(z)).sum()
        spread.append((prior * inner.square()).sum())
        widths.append(number(sigma))
    g, s = torch.stack(spread), torch.stack(widths)
    return Sides(
        torch.stack(left),
        g + s.square(),
        {"width forgotten": g, "width not squared": g + s, "decoder forgotten": s.square()},
    )


def tables(seed: int) -> tuple[Tensor, Tensor]:
    """Two distributions over eight outcomes."""
    p, q = normal(2, 8, seed=seed).mul(1.2).softmax(1)
    return p, q


@proves("families-gan-optimal")
def test_the_best_inspector_answers_with_the_share_of_the_data() -> Sides:
    """Left: each answer found by Newton's method. Right: q / (q + p)."""
    p, q = tables(9)
    logit = torch.zeros(8, dtype=FLOAT)
    for _ in range(30):
        slope = -q * torch.sigmoid(-logit) + p * torch.sigmoid(logit)
        bend = (q + p) * torch.sigmoid(logit) * torch.sigmoid(-logit)
        logit = logit - (slope / bend).clamp(-1, 1)
    value = grad(lambda a: (q * real_loss(a) + p * fake_loss(a)).sum())(logit)
    assert value.abs().max() < 1e-12
    return Sides(
        torch.sigmoid(logit),
        torch.sigmoid(optimal_logit(q.log(), p.log())),
        {
            "share of the forger": p / (p + q),
            "ratio instead of share": q / p,
            "all or nothing": (q > p).double(),
        },
    )


@proves("families-gan-value")
def test_the_value_of_the_game_is_twice_the_divergence_less_two_logs() -> Sides:
    """Left: the game's value at the best inspector, outcome by outcome. Right: the library's JS."""
    p, q = zip(*(tables(seed) for seed in range(5)), strict=True)
    p_all, q_all = torch.stack(p), torch.stack(q)
    share = q_all / (q_all + p_all)
    left = (q_all * share.log() + p_all * (1 - share).log()).sum(1)
    js = jensen_shannon(q_all, p_all)
    return Sides(
        left,
        2 * js - 2 * math.log(2),
        {
            "once": js - 2 * math.log(2),
            "one log": 2 * js - math.log(2),
            "a divergence one way": kl_divergence(q_all, p_all) - 2 * math.log(2),
        },
    )


def followed(loss) -> tuple[Tensor, dict[str, Tensor]]:
    """Slope of a generator's loss, the inspector at rest, and slopes of three divergences.

    Data and generator are Gaussians on the line; the generator's parameters are its center and the
    logarithm of its width. Means are quadratures.
    """
    center, log_std = number(0.8), number(-0.2)
    x, dx = legendre(-16, 16, 600)
    z, weight = hermite(120)
    log_q = lambda x: bell(x, number(-0.3), number(1.2))  # noqa: E731

    def log_p(x: Tensor, at: Tensor) -> Tensor:
        return bell(x, at[0], at[1].exp())

    at = torch.stack([center, log_std])

    def generator_loss(moving: Tensor) -> Tensor:
        forged = moving[0] + moving[1].exp() * z
        return (weight * loss(log_q(forged) - log_p(forged, at))).sum()

    def forward(moving: Tensor) -> Tensor:
        return (log_q(x).exp() * (log_q(x) - log_p(x, moving)) * dx).sum()

    def reverse(moving: Tensor) -> Tensor:
        return (log_p(x, moving).exp() * (log_p(x, moving) - log_q(x)) * dx).sum()

    def js(moving: Tensor) -> Tensor:
        p, q = log_p(x, moving).exp(), log_q(x).exp()
        middle = torch.log((p + q) / 2)
        return 0.5 * ((p * (log_p(x, moving) - middle) + q * (log_q(x) - middle)) * dx).sum()

    slopes = {"forward": forward, "reverse": reverse, "js": js}
    return grad(generator_loss)(at), {name: grad(f)(at) for name, f in slopes.items()}


@proves("families-gan-saturating")
def test_the_loss_of_the_game_follows_the_divergence_of_jensen_and_shannon() -> Sides:
    """Left: slope of log(1 - D) through the samples. Right: slope of the divergence itself."""
    left, of = followed(saturating_loss)
    return Sides(
        left,
        2 * of["js"],
        {"once": of["js"], "sign": -2 * of["js"], "reverse divergence": of["reverse"]},
        tolerance=1e-8,
        reason="quadrature by 120 Hermite nodes of a logarithm of a sum of exponentials",
    )


@proves("families-gan-non-saturating")
def test_the_loss_in_use_follows_the_reverse_divergence_less_twice_the_other() -> Sides:
    """Left: slope of -log D through the samples. Right: slopes of the two divergences."""
    left, of = followed(non_saturating_loss)
    return Sides(
        left,
        of["reverse"] - 2 * of["js"],
        {
            "reverse divergence alone": of["reverse"],
            "forward divergence": of["forward"] - 2 * of["js"],
            "sum": of["reverse"] + 2 * of["js"],
        },
        tolerance=1e-8,
        reason="quadrature by 120 Hermite nodes of a logarithm of a sum of exponentials",
    )


@proves("families-gan-slopes")
def test_one_loss_is_flat_where_the_other_is_steep() -> Sides:
    """Left: slopes in the logit by autograd. Right: minus D, and minus one less D."""
    logit = torch.linspace(-9, 9, 19, dtype=FLOAT)
    share = torch.sigmoid(logit)
    left = torch.stack([vmap(grad(f))(logit) for f in (saturating_loss, non_saturating_loss)])
    return Sides(
        left,
        torch.stack([-share, share - 1]),
        {
            "exchanged": torch.stack([share - 1, -share]),
            "sign": torch.stack([share, 1 - share]),
            "slope of the sigmoid": torch.stack([-share * (1 - share)] * 2),
        },
    )


def wells(theta: Tensor, x: Tensor) -> Tensor:
    """An energy on the line with three weights."""
    return theta[0] * x + theta[1] * torch.cos(2 * x) + theta[2].exp() * x.square() / 2


@proves("families-energy-gradient")
def test_the_slope_of_the_likelihood_is_a_difference_of_two_means() -> Sides:
    """Left: autograd through -E - log Z. Right: means of the energy's slope, data less model."""
    theta = torch.tensor([0.3, -0.8, 0.2], dtype=FLOAT)
    x, dx = legendre(-10, 10, 400)
    data = normal(6, seed=11)

    def log_likelihood(theta: Tensor) -> Tensor:
        log_z = ((-wells(theta, x)).exp() * dx).sum().log()
        return (-wells(theta, data) - log_z).mean()

    slope = vmap(grad(wells), in_dims=(None, 0))
    mass = (-wells(theta, x)).exp() * dx
    at_data, at_model = slope(theta, data).mean(0), (mass / mass.sum()) @ slope(theta, x)
    return Sides(
        grad(log_likelihood)(theta),
        -at_data + at_model,
        {
            "without the model": -at_data,
            "sign of the model's mean": -at_data - at_model,
            "mass not normalized": -at_data + mass @ slope(theta, x),
        },
    )


@proves("families-energy-score")
def test_the_constant_has_no_slope() -> Sides:
    """Left: differences of the log density, with its constant. Right: minus the slope of E."""
    model = EnergyModel(2, 8, seed=2).double().requires_grad_(False)
    x, h = normal(5, 2, seed=12), 1e-4
    columns = []
    for e in torch.eye(2, dtype=FLOAT):
        far, near = (model.log_prob(x + k * h * e) - model.log_prob(x - k * h * e) for k in (2, 1))
        columns.append((8 * near - far) / (12 * h))
    left = torch.stack(columns, 1)
    slope = grad(lambda points: model.energy(points).sum())(x)
    return Sides(
        left,
        -slope,
        {"sign": slope, "half": -slope / 2, "with the constant": -slope + model.log_partition()},
        tolerance=1e-9,
        reason="differences of order four with a step of 1e-4 keep nine digits",
    )


MIXTURE = GaussianMixture.isotropic(
    torch.tensor([[-1.0], [0.4], [1.3]], dtype=FLOAT), 0.3, torch.tensor([0.5, 0.2, 0.3]).double()
)


def posterior_means(alpha: Tensor, sigma: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the data and of the noise given a noisy point, by Bayes and quadrature."""
    x_0, dx = legendre(-4, 4, 800)
    log_prior = MIXTURE.log_prob(x_0[:, None])
    mass = (log_prior + bell(x[:, None], alpha * x_0, sigma)).exp() * dx
    mass = mass / mass.sum(1, keepdim=True)
    mean = mass @ x_0
    return mean, (x - alpha * mean) / sigma


@proves("families-denoising")
def test_the_mean_of_the_noise_is_the_score() -> Sides:
    """Left: mean of the noise given the noisy point, by Bayes. Right: the exact score."""
    left, right, x = [], [], torch.linspace(-2, 2, 9, dtype=FLOAT)
    wrong: dict[str, list[Tensor]] = {"sign": [], "variance for deviation": [], "clean score": []}
    for schedule, t in itertools.product((Cosine(), Rectified(), VE(0.1, 3.0)), (0.2, 0.6)):
        at = schedule(number(t))
        left.append(posterior_means(at.alpha_t, at.sigma_t, x)[1])
        score = MIXTURE.noised(at).score(x[:, None])[:, 0]
        right.append(-at.sigma_t * score)
        wrong["sign"].append(at.sigma_t * score)
        wrong["variance for deviation"].append(-at.sigma_t.square() * score)
        wrong["clean score"].append(-at.sigma_t * MIXTURE.score(x[:, None])[:, 0])
    return Sides(
        torch.stack(left), torch.stack(right), {k: torch.stack(v) for k, v in wrong.items()}
    )


@proves("families-velocity")
def test_the_velocity_is_another_reading_of_the_score() -> Sides:
    """Left: mean velocity of the lines through a point, by Bayes. Right: from the exact score."""
    left, right, x = [], [], torch.linspace(-2, 2, 9, dtype=FLOAT)
    wrong: dict[str, list[Tensor]] = {"sign of the score": [], "score alone": [], "doubled": []}
    for schedule, t in itertools.product((Cosine(), Rectified(), VE(0.1, 3.0)), (0.2, 0.6)):
        at = schedule(number(t))
        data, noise = posterior_means(at.alpha_t, at.sigma_t, x)
        left.append(at.d_alpha_t * data + at.d_sigma_t * noise)
        score = MIXTURE.noised(at).score(x[:, None])[:, 0]
        rate = at.d_alpha_t / at.alpha_t
        pull = at.sigma_t * at.d_sigma_t - rate * at.sigma_t.square()
        right.append(rate * x - pull * score)
        wrong["sign of the score"].append(rate * x + pull * score)
        wrong["score alone"].append(-pull * score)
        wrong["doubled"].append(rate * x - 2 * pull * score)
    return Sides(
        torch.stack(left), torch.stack(right), {k: torch.stack(v) for k, v in wrong.items()}
    )
