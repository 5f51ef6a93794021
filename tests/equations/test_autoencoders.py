"""Proofs of the displayed equations of the chapter from denoising to the VAE."""

import math

import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy import integrate, optimize
from torch import Tensor

from fromnoise.autoencoders import fit_linear_denoiser, score_of_denoiser, shrinkage
from fromnoise.denoising_chain import chain_variances
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.mixtures import GaussianMixture
from fromnoise.schedules import Scales
from proof import Sides, proves

F64 = torch.float64
POINTS = torch.tensor([-1.0, 0.3, 1.4], dtype=F64)
SHARES = torch.tensor([0.2, 0.5, 0.3], dtype=F64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=F64)


def hermite(n: int = 100) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a mean over a standard normal."""
    nodes, weights = hermegauss(n)
    return torch.from_numpy(nodes), torch.from_numpy(weights) / math.sqrt(2 * math.pi)


def covariance(n: int, seed: int = 0) -> Tensor:
    root = randn(n, n, seed=seed)
    return root @ root.mT / n + 0.1 * torch.eye(n, dtype=F64)


def posterior(x: Tensor, sigma: float) -> Tensor:
    """Probability of each of three data points, given a noisy one, by Bayes' rule."""
    fit = SHARES * torch.exp(-0.5 * ((x[:, None] - POINTS) / sigma) ** 2)
    return fit / fit.sum(1, keepdim=True)


@proves("ae-best")
def test_no_answer_beats_the_mean_of_what_could_have_been() -> Sides:
    """At each noisy point the risk, summed over three data points, is minimized numerically."""
    sigma, x = 0.7, torch.linspace(-2, 2, 9, dtype=F64)
    weight = posterior(x, sigma)
    best = []
    for row in weight:
        found = optimize.minimize_scalar(
            lambda a, row=row: float((row * (a - POINTS) ** 2).sum()), method="brent", tol=1e-14
        )
        best.append(found.x)
    median = POINTS[(weight.cumsum(1) < 0.5).sum(1)]
    return Sides(
        left=torch.tensor(best, dtype=F64),
        right=weight @ POINTS,
        wrong={
            "the median": median,
            "the likeliest": POINTS[weight.argmax(1)],
            "the noisy point": x,
        },
        tolerance=1e-7,
        reason="a search that compares values finds a minimum to the root of the precision",
    )


@proves("ae-residual")
def test_the_residual_of_the_best_denoiser_is_the_score() -> Sides:
    """The mean over three data points against autograd of the log density of the noisy data."""
    sigma, x = 0.6, torch.linspace(-2, 2, 9, dtype=F64).requires_grad_()
    density = (SHARES * torch.exp(-0.5 * ((x[:, None] - POINTS) / sigma) ** 2)).sum(1)
    (slope,) = torch.autograd.grad(density.log().sum(), x)
    x = x.detach()
    mean = posterior(x, sigma) @ POINTS
    return Sides(
        left=mean - x,
        right=sigma**2 * slope,
        wrong={
            "divided by the scale once": sigma * slope,
            "sign": -(sigma**2) * slope,
            "the score itself": slope,
        },
    )


@proves("ae-small-noise")
def test_at_little_noise_the_residual_is_the_score_of_the_data() -> Sides:
    """The leading coefficient of the miss falls with the square of the noise: its power is 2."""
    mixture = GaussianMixture.isotropic(POINTS[:, None], 0.5, SHARES)
    x = torch.linspace(-2, 2, 9, dtype=F64)[:, None]
    one = torch.ones((), dtype=F64)

    def miss(sigma: float, score: Tensor) -> Tensor:
        scales = Scales(one, sigma * one, 0 * one, 0 * one)
        found = score_of_denoiser(lambda y: mixture.posterior_mean(y, scales), x, sigma)
        return (found - score).norm()

    def power(score: Tensor) -> Tensor:
        return torch.log2(miss(0.02, score) / miss(0.01, score))

    right = mixture.score(x)
    return Sides(
        left=number(2.0),
        right=power(right),
        wrong={"twice the score": power(2 * right), "no score": power(0 * right)},
        tolerance=1e-2,
        reason="a rate, measured at two finite noise scales",
    )


@proves("ae-linear")
def test_the_best_matrix_is_where_the_error_is_flat() -> Sides:
    """Zero of the gradient of the exact error, by autograd, against the closed form."""
    c, sigma = covariance(4), 0.8
    eye = torch.eye(4, dtype=F64)

    def slope(w: Tensor) -> Tensor:
        w = w.clone().requires_grad_()
        error = ((w - eye) @ c @ (w - eye).mT).trace() + sigma**2 * (w @ w.mT).trace()
        return torch.autograd.grad(error, w)[0]

    # The error is quadratic, so its gradient is linear in w: one solve finds the zero.
    basis = torch.eye(16, dtype=F64).view(16, 4, 4)
    zero = slope(0 * eye)
    linear = torch.stack([slope(b) - zero for b in basis]).view(16, 16).mT
    found = torch.linalg.solve(linear, -zero.reshape(16)).view(4, 4)
    return Sides(
        left=found,
        right=c @ torch.linalg.inv(c + sigma**2 * eye),
        wrong={
            "scale for variance": c @ torch.linalg.inv(c + sigma * eye),
            "noise kept": sigma**2 * torch.linalg.inv(c + sigma**2 * eye),
            "not inverted": c @ (c + sigma**2 * eye),
        },
    )


@proves("ae-shrinkage")
def test_each_direction_keeps_its_share_and_leaves_its_error() -> Sides:
    """Fitted to points by the library, then read along their principal directions."""
    data, sigma = randn(60, 4) @ randn(4, 4, seed=1), 0.9
    lam, u = torch.linalg.eigh(torch.cov(data.mT, correction=0))
    denoiser = fit_linear_denoiser(data, sigma)
    gain = (u.mT @ denoiser.matrix @ u).diagonal()
    nodes, weights = hermite()
    left_over = torch.zeros(4, dtype=F64)
    for j in range(4):  # along direction j the noise is one number; mean over it by quadrature
        noisy = data[:, None] + sigma * nodes[:, None] * u[:, j]
        missed = ((denoiser(noisy.reshape(-1, 4)) - data.repeat_interleave(100, 0)) @ u[:, j]) ** 2
        left_over[j] = (missed.view(60, 100) @ weights).mean()
    g = lam / (lam + sigma**2)
    return Sides(
        left=torch.stack([gain, left_over]),
        right=torch.stack([g, g * sigma**2]),
        wrong={
            "gain of the square root": torch.stack([g.sqrt(), g * sigma**2]),
            "error of the noise alone": torch.stack([g, g**2 * sigma**2]),
            "error of the shrinking alone": torch.stack([g, (1 - g) ** 2 * lam]),
        },
    )


@proves("ae-gain")
def test_every_best_denoiser_keeps_the_same_share_on_average() -> Sides:
    """Not Gaussian: three data points on a line; slopes by quadrature over the noise."""
    nodes, weights = hermite(180)
    sigmas = (0.5, 1.0, 2.5)
    left, right, square = [], [], []
    mean = (SHARES * POINTS).sum()
    lam = (SHARES * (POINTS - mean) ** 2).sum()
    for sigma in sigmas:
        x = (POINTS[:, None] + sigma * nodes).reshape(-1)
        w = (SHARES[:, None] * weights).reshape(-1)
        answer = posterior(x, sigma) @ POINTS
        a, b = answer - (w * answer).sum(), x - (w * x).sum()
        left.append((w * a * b).sum() / (w * b * b).sum())
        square.append((w * a * a).sum() / (w * b * b).sum())
        right.append(lam / (lam + sigma**2))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={
            "without the noise below": torch.ones(3, dtype=F64),
            "the answer's variance": torch.stack(square),
        },
        tolerance=1e-9,
        reason="Gauss-Hermite quadrature of a bent function at three noise scales",
    )


@proves("ae-information")
def test_the_information_of_a_noisy_gaussian() -> Sides:
    """On a line, the integral of the joint density's log ratio; directions add up."""
    sigma, lams = 0.7, (0.3, 2.0)
    total = 0.0
    for lam in lams:

        def integrand(e: float, x: float, lam: float = lam) -> float:
            y, v = x + sigma * e, lam + sigma**2
            log_given = -0.5 * e**2 - math.log(sigma)
            log_marginal = -0.5 * y**2 / v - 0.5 * math.log(v)
            weight = math.exp(-0.5 * e**2 - 0.5 * x**2 / lam) / (2 * math.pi * math.sqrt(lam))
            return weight * (log_given - log_marginal)

        reach = 9 * math.sqrt(lam)
        total += integrate.dblquad(integrand, -reach, reach, -9, 9, epsabs=1e-11, epsrel=1e-11)[0]
    lam = torch.tensor(lams, dtype=F64)
    return Sides(
        left=number(total),
        right=0.5 * torch.log(1 + lam / sigma**2).sum(),
        wrong={
            "without the half": torch.log(1 + lam / sigma**2).sum(),
            "without the one": 0.5 * torch.log(lam / sigma**2).sum(),
            "scale for variance": 0.5 * torch.log(1 + lam / sigma).sum(),
        },
        tolerance=1e-8,
        reason="adaptive quadrature in two dimensions",
    )


@proves("ae-no-gain")
def test_what_a_stage_forgets_no_later_stage_recovers() -> Sides:
    """Fifteen joint outcomes, listed; a stage that merges some of what it sees."""
    joint = torch.rand(3, 5, generator=torch.Generator().manual_seed(0), dtype=F64)
    joint = joint / joint.sum()
    merged = torch.tensor([0, 1, 0, 2, 1])  # what the stage passes on
    p_y = joint.sum(0)
    given_y = (POINTS[:, None] * joint).sum(0) / p_y
    p_h = torch.zeros(3, dtype=F64).index_add(0, merged, p_y)
    given_h = (torch.zeros(3, dtype=F64).index_add(0, merged, p_y * given_y) / p_h)[merged]

    def error(answer: Tensor) -> Tensor:
        return (joint * (POINTS[:, None] - answer) ** 2).sum()

    lost = (p_y * (given_y - given_h) ** 2).sum()
    return Sides(
        left=error(given_h),
        right=error(given_y) + lost,
        wrong={"nothing lost": error(given_y), "gained": error(given_y) - lost},
    )


def chain_error(weights: list[Tensor], c: Tensor, sigma: float) -> Tensor:
    m = torch.eye(len(c), dtype=F64)
    for w in weights:
        m = w @ m
    eye = torch.eye(len(c), dtype=F64)
    return ((m - eye) @ c @ (m - eye).mT).trace() + sigma**2 * (m @ m.mT).trace()


@proves("ae-product", "ae-matrix-error")
def test_the_loss_sees_only_the_product() -> Sides:
    """Mean over exact sigma points of data and noise, stage by stage, against the formula."""
    c, sigma = covariance(3), 0.8
    stages = [randn(3, 3, seed=s) for s in (1, 2, 3)]
    root = torch.linalg.cholesky(c)
    # 3 + 3 independent directions of unit variance, each taken at plus and minus sqrt(6).
    arms = math.sqrt(6) * torch.cat([torch.eye(6, dtype=F64), -torch.eye(6, dtype=F64)])
    x_0, eps = arms[:, :3] @ root.mT, arms[:, 3:]
    h = x_0 + sigma * eps
    for w in stages:
        h = h @ w.mT
    m = stages[2] @ stages[1] @ stages[0]
    eye = torch.eye(3, dtype=F64)

    def formula(m: Tensor) -> Tensor:
        return ((m - eye) @ c @ (m - eye).mT).trace() + sigma**2 * (m @ m.mT).trace()

    return Sides(
        left=(h - x_0).square().sum(1).mean(),
        right=formula(m),
        wrong={
            "order of the stages": formula(stages[0] @ stages[1] @ stages[2]),
            "the last stage alone": formula(stages[2]),
            "noise forgotten": ((m - eye) @ c @ (m - eye).mT).trace(),
        },
    )


@proves("ae-stage-gradient")
def test_a_stage_hears_the_loss_through_the_later_ones() -> Sides:
    """Autograd through the chain against the product of matrices."""
    c, sigma = covariance(3), 0.8
    w = [randn(3, 3, seed=s).requires_grad_() for s in (1, 2, 3)]
    gradients = torch.autograd.grad(chain_error(w, c, sigma), w)
    w = [part.detach() for part in w]
    eye, m = torch.eye(3, dtype=F64), w[2] @ w[1] @ w[0]
    g = 2 * ((m - eye) @ c + sigma**2 * m)
    later = [w[2] @ w[1], w[2], eye]
    before = [eye, w[0], w[1] @ w[0]]
    right = [a.mT @ g @ b.mT for a, b in zip(later, before, strict=True)]
    return Sides(
        left=torch.stack(gradients),
        right=torch.stack(right),
        wrong={
            "not transposed": torch.stack([a @ g @ b for a, b in zip(later, before, strict=True)]),
            "the later stages forgotten": torch.stack([g @ b.mT for b in before]),
            "without the two": torch.stack(right) / 2,
        },
    )


@proves("ae-neighbors")
def test_neighbors_move_together() -> Sides:
    """Descent by autograd at two neighboring stages, against the product of matrices."""
    c, sigma = covariance(3), 0.8
    w = [randn(3, 3, seed=s).requires_grad_() for s in (1, 2, 3)]
    moves = [-g for g in torch.autograd.grad(chain_error(w, c, sigma), w)]
    w = [part.detach() for part in w]
    eye, m = torch.eye(3, dtype=F64), w[2] @ w[1] @ w[0]
    g = 2 * ((m - eye) @ c + sigma**2 * m)
    right = -(w[2] @ w[1]).mT @ g @ w[0].mT
    return Sides(
        left=torch.stack([w[1].mT @ moves[1], moves[0] @ w[0].mT]),
        right=torch.stack([right, right]),
        wrong={
            "sign": -torch.stack([right, right]),
            "transposed": torch.stack([right.mT, right.mT]),
            "one stage too many": torch.stack([right @ w[1].mT, right @ w[1].mT]),
        },
    )


@proves("ae-balance")
def test_training_keeps_the_balance_of_neighbors() -> Sides:
    """The derivative of the difference along the gradient's own direction is zero."""
    c, sigma = covariance(3), 0.8
    w = [randn(3, 3, seed=s).requires_grad_() for s in (1, 2, 3)]
    g = torch.autograd.grad(chain_error(w, c, sigma), w)
    w = [part.detach() for part in w]

    def motion(k: int, flipped: bool = False, sign: int = -1) -> Tensor:
        """Time derivative of the difference of neighbors k and k + 1 when w' = -gradient."""
        upper, lower = -g[k + 1].mT @ w[k + 1], -g[k] @ w[k].mT
        if flipped:
            upper, lower = -g[k + 1] @ w[k + 1].mT, -g[k].mT @ w[k]
        return upper + upper.mT + sign * (lower + lower.mT)

    left = torch.stack([motion(0), motion(1)])
    return Sides(
        left=left,
        right=torch.zeros_like(left),
        wrong={
            "the sum in place of the difference": left - torch.stack([motion(0, sign=1)] * 2),
            "the transposes exchanged": left - torch.stack([motion(0, flipped=True)] * 2),
        },
    )


@proves("ae-split")
def test_the_start_decides_who_works() -> Sides:
    """Gradient flow of a chain of numbers, integrated, against its conserved differences."""
    lam, sigma = 1.3, 0.9
    goal = lam / (lam + sigma**2)
    starts = ((1.0, 1.0, 0.0), (0.8, 1.1, 0.2))

    def rule(t: float, w) -> list[float]:
        p = w[0] * w[1] * w[2]
        slope = 2 * ((p - 1) * lam + sigma**2 * p)
        return [-slope * p_k for p_k in (w[1] * w[2], w[0] * w[2], w[0] * w[1])]

    ends, predicted, even = [], [], []
    for start in starts:
        found = integrate.solve_ivp(rule, (0, 60), start, method="DOP853", rtol=1e-12, atol=1e-13)
        ends.append(found.y[:, -1].tolist())

        # With w_j^2 = w_3^2 + (w_j(0)^2 - w_3(0)^2), one unknown is left.
        def product(last: float, start=start) -> float:
            return last * math.prod(math.sqrt(last**2 + a**2 - start[2] ** 2) for a in start[:2])

        last = optimize.brentq(lambda v: product(v) - goal, 0.0, 3.0, xtol=1e-15)
        predicted.append([*(math.sqrt(last**2 + a**2 - start[2] ** 2) for a in start[:2]), last])
        even.append([goal ** (1 / 3)] * 3)
    frozen = [[start[0], start[1], goal / (start[0] * start[1])] for start in starts]
    return Sides(
        left=torch.tensor(ends, dtype=F64),
        right=torch.tensor(predicted, dtype=F64),
        wrong={
            "shared evenly whatever the start": torch.tensor(even, dtype=F64),
            "the last stage alone moves": torch.tensor(frozen, dtype=F64),
        },
        tolerance=1e-8,
        reason="an adaptive integrator over a finite time",
    )


@proves("ae-chain-variance", "ae-rest")
def test_a_chain_of_means_settles_too_narrow() -> Sides:
    """Two random signs stand for the noise: variances by listing them, against the recursion."""
    lam, sigma = number(1.7), 0.6
    g = lam / (lam + sigma**2)
    signs = torch.tensor([-1.0, 1.0], dtype=F64)
    first = g * 2.0 * signs  # after a first stage whose gain happens to be g, from noise of scale 2
    second = g * (first[:, None] + sigma * signs)
    v = [(part**2).mean() for part in (first, second)]
    still = chain_variances(lam[None], [sigma] * 4000)[-1, 0]
    rest = lam**2 / (2 * lam + sigma**2)
    return Sides(
        left=torch.stack([v[1], still]),
        right=torch.stack([g**2 * (v[0] + sigma**2), rest]),
        wrong={
            "gain not squared": torch.stack([g * (v[0] + sigma**2), rest]),
            "no noise put back": torch.stack([g**2 * v[0], rest]),
            "the data's variance": torch.stack([g**2 * (v[0] + sigma**2), lam]),
        },
    )


@proves("ae-draw")
def test_a_draw_in_place_of_the_mean_keeps_the_variance() -> Sides:
    """Variance of a draw, by quadrature of the posterior made with Bayes' rule on a grid."""
    lam, sigma = 1.7, 0.6
    x = torch.linspace(-16, 16, 4001, dtype=F64)
    step = x[1] - x[0]
    y = torch.linspace(-16, 16, 4001, dtype=F64)
    prior = torch.exp(-0.5 * x**2 / lam)
    p_y = torch.exp(-0.5 * y**2 / (lam + sigma**2))
    p_y = p_y / (p_y.sum() * step)
    total, mean_square, within = number(0.0), number(0.0), number(0.0)
    for part, weight in zip(y.split(500), p_y.split(500), strict=True):
        post = prior * torch.exp(-0.5 * ((part[:, None] - x) / sigma) ** 2)
        post = post / post.sum(1, keepdim=True)
        mean = post @ x
        total += (weight * (post @ x**2)).sum() * step
        mean_square += (weight * mean**2).sum() * step
        within += (weight * (post @ x**2 - mean**2)).sum() * step
    g = lam / (lam + sigma**2)
    right = torch.stack([number(g**2 * (lam + sigma**2)), number(g * sigma**2), number(lam)])
    return Sides(
        left=torch.stack([mean_square, within, total]),
        right=right,
        wrong={
            "only the mean": torch.stack([right[0], right[1], right[0]]),
            "the noise's variance": torch.stack([right[0], number(sigma**2), right[2]]),
        },
    )


@proves("ae-best-code")
def test_the_best_code_is_the_projection() -> Sides:
    """Least squares for each point by the normal equations, against the product with Q."""
    x = randn(7, 5)
    v = torch.linalg.qr(randn(5, 2, seed=1))[0]
    found = torch.linalg.lstsq(v, x.mT).solution.mT
    missed = (x - found @ v.mT).square().sum(1)
    square = x.square().sum(1)
    return Sides(
        left=torch.cat([found, missed[:, None]], 1),
        right=torch.cat([x @ v, (square - (x @ v).square().sum(1))[:, None]], 1),
        wrong={
            "sign of the kept part": torch.cat(
                [x @ v, (square + (x @ v).square().sum(1))[:, None]], 1
            ),
            "half the code": torch.cat([x @ v / 2, (square - (x @ v).square().sum(1))[:, None]], 1),
        },
    )


@proves("ae-pca")
def test_a_linear_code_loses_the_smallest_variances() -> Sides:
    """Encoder and decoder are searched for without constraint; the end against eigenvalues."""
    c = covariance(5, seed=2)
    root = torch.linalg.cholesky(c)
    eye = torch.eye(5, dtype=F64)
    values = torch.linalg.eigvalsh(c)
    found = []
    for k in (1, 2, 3):
        parts = [randn(5, k, seed=3).requires_grad_(), randn(k, 5, seed=4).requires_grad_()]
        search = torch.optim.LBFGS(
            parts,
            max_iter=2000,
            tolerance_grad=1e-12,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def closure(search=search, parts=parts) -> Tensor:
            search.zero_grad()
            error = ((parts[0] @ parts[1] - eye) @ root).square().sum()
            error.backward()
            return error

        search.step(closure)
        found.append(closure().detach())
    return Sides(
        left=torch.stack(found),
        right=torch.stack([values[: 5 - k].sum() for k in (1, 2, 3)]),
        wrong={
            "the largest lost": torch.stack([values[k:].sum() for k in (1, 2, 3)]),
            "one too many": torch.stack([values[: 4 - k].sum() for k in (1, 2, 3)]),
            "squares": torch.stack([(values[: 5 - k] ** 2).sum() for k in (1, 2, 3)]),
        },
        tolerance=1e-9,
        reason="a search stops where the error no longer changes in float64",
    )


@proves("ae-free-code")
def test_a_code_may_be_bent_and_unbent() -> Sides:
    """A decoder that undoes any invertible change gives the same copies."""
    x = randn(6, 3)
    encode = torch.tanh(x @ randn(3, 2, seed=1))
    to_pixels = randn(2, 3, seed=2)

    def decode(z: Tensor) -> Tensor:
        return torch.sin(z) @ to_pixels

    a, shift = randn(2, 2, seed=3), randn(2, seed=4)
    changed = (encode @ a.mT + shift) ** 3  # a cube is invertible, too
    undone = torch.linalg.solve(a, (changed.sign() * changed.abs() ** (1 / 3) - shift).mT).mT
    return Sides(
        left=(decode(encode) - x).square().sum(1),
        right=(decode(undone) - x).square().sum(1),
        wrong={
            "not undone": (decode(changed) - x).square().sum(1),
            "shift forgotten": (
                decode(torch.linalg.solve(a, (changed.sign() * changed.abs() ** (1 / 3)).mT).mT) - x
            )
            .square()
            .sum(1),
        },
    )


@proves("ae-noisy-code")
def test_a_louder_code_drowns_the_noise() -> Sides:
    """Best linear decoder of a z = a x + eps, by least squares over exact sigma points."""
    left, right, rooted = [], [], []
    for lam, a in ((0.5, 0.3), (2.0, 1.0), (2.0, 30.0)):
        arms = math.sqrt(2) * torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]], dtype=F64)
        x, eps = math.sqrt(lam) * arms[:, 0], arms[:, 1]
        z = a * x + eps
        slope = (z * x).mean() / (z * z).mean()
        left.append((x - slope * z).square().mean())
        right.append(number(lam / (1 + a**2 * lam)))
        rooted.append(number(lam / (1 + a * math.sqrt(lam))))
    return Sides(
        left=torch.stack(left),
        right=torch.stack(right),
        wrong={
            "scales for variances": torch.stack(rooted),
            "the signal's share": torch.tensor([0.5, 2, 2], dtype=F64) - torch.stack(right),
        },
    )


@proves("ae-four")
def test_noise_and_pull_pin_the_scale_of_the_code() -> Sides:
    """The loss on a line is searched for its minimum over the scale; above and below the edge."""
    left, right, root = [], [], []
    for lam, eta in ((1.5, 0.4), (3.0, 0.5), (0.2, 0.9)):

        def loss(u: float, lam: float = lam, eta: float = eta) -> float:
            # u = 1 + a^2 lam; the rate comes from the library's divergence, the mean square of
            # the code's mean being u - 1 and the variance of the noise being 1.
            mean = torch.tensor([math.sqrt(u - 1)], dtype=F64)
            rate = kl_diagonal(mean, torch.zeros(1, dtype=F64)).sum().item()
            return lam / (2 * eta**2 * u) + rate

        found = optimize.minimize_scalar(
            loss, bounds=(1.0, 40.0), method="bounded", options={"xatol": 1e-10}
        )
        left.append(found.x - 1)
        right.append(max(math.sqrt(lam) / eta - 1, 0.0))
        root.append(max(lam / eta**2 - 1, 0.0))
    return Sides(
        left=torch.tensor(left, dtype=F64),
        right=torch.tensor(right, dtype=F64),
        wrong={
            "variances for scales": torch.tensor(root, dtype=F64),
            "no floor at zero": torch.tensor(
                [math.sqrt(1.5) / 0.4 - 1, math.sqrt(3.0) / 0.5 - 1, math.sqrt(0.2) / 0.9 - 1],
                dtype=F64,
            ),
        },
        tolerance=1e-6,
        reason="a search that compares values finds a minimum to the root of the precision",
    )


@proves("ae-free-noise")
def test_noise_that_may_be_chosen_leaves_a_code_of_variance_one() -> Sides:
    """The loss on a line is searched over both, signal and noise of the code, on both sides."""
    left, right, held, rooted, no_ceiling = [], [], [], [], []
    for lam, eta in ((1.5, 0.4), (3.0, 0.5), (0.2, 0.9)):

        def loss(parameters: Tensor, lam: float = lam, eta: float = eta) -> Tensor:
            a, log_var = parameters
            # The mean square of the code's mean is a^2 lam; the decoder is the best linear one.
            rate = kl_diagonal((a * math.sqrt(lam))[None], log_var[None]).sum()
            slope = a * lam / (a**2 * lam + log_var.exp())
            error = (1 - slope * a) ** 2 * lam + slope**2 * log_var.exp()
            return error / (2 * eta**2) + rate

        def value_and_gradient(array, loss=loss):
            point = torch.tensor(array, dtype=F64, requires_grad=True)
            value = loss(point)
            (gradient,) = torch.autograd.grad(value, point)
            return value.item(), gradient.numpy()

        found = optimize.minimize(value_and_gradient, [0.5, -0.4], jac=True, tol=1e-12).x
        signal, noise = found[0] ** 2 * lam, math.exp(found[1])
        best = min(eta**2 / lam, 1.0)
        left.append([signal + noise, noise])
        right.append([1.0, best])
        held.append([max(math.sqrt(lam) / eta, 1.0), 1.0])
        rooted.append([1.0, min(eta / math.sqrt(lam), 1.0)])
        no_ceiling.append([1.0, eta**2 / lam])
    return Sides(
        left=torch.tensor(left, dtype=F64),
        right=torch.tensor(right, dtype=F64),
        wrong={
            "the noise held at one": torch.tensor(held, dtype=F64),
            "scales for variances": torch.tensor(rooted, dtype=F64),
            "no ceiling at one": torch.tensor(no_ceiling, dtype=F64),
        },
        tolerance=1e-6,
        reason="a descent stops where the loss no longer changes in float64",
    )


def test_the_library_agrees_with_the_shares() -> None:
    lam = torch.tensor([0.5, 2.0], dtype=F64)
    assert torch.allclose(shrinkage(lam, 0.7), lam / (lam + 0.49), rtol=1e-14)
