"""Proofs of the displayed equations of the chapter on information."""

import math
from itertools import product

import torch
from scipy import optimize, stats

from fromnoise.codes import huffman_code
from fromnoise.fitting import forward_fit, gaussian_log_prob, line_kl, reverse_fit
from fromnoise.information import cross_entropy, entropy, jensen_shannon, kl_divergence
from proof import Sides, proves

F64 = torch.float64
X = torch.linspace(-40, 40, 16001, dtype=F64)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def distributions(*shape, seed=0):
    p = torch.rand(*shape, generator=rng(seed), dtype=F64) ** 2 + 1e-3
    return p / p.sum(-1, keepdim=True)


@proves("information-excess")
def test_the_wrong_belief_costs_the_divergence() -> Sides:
    """A loop over outcomes for the left side; the library's sums for the right."""
    q, p = distributions(5, 7, seed=1), distributions(5, 7, seed=2)
    left = torch.tensor(
        [
            -sum(a * math.log(b) for a, b in zip(row, other, strict=True))
            for row, other in zip(q.tolist(), p.tolist(), strict=True)
        ],
        dtype=F64,
    )
    return Sides(
        left=left,
        right=entropy(q) + kl_divergence(q, p),
        wrong={
            "arguments exchanged": entropy(q) + kl_divergence(p, q),
            "entropy of the belief": entropy(p) + kl_divergence(q, p),
            "sign": entropy(q) - kl_divergence(q, p),
        },
    )


@proves("information-gibbs")
def test_the_divergence_is_a_sum_of_terms_that_are_never_negative() -> Sides:
    """The library's divergence against the sum in the proof, whose terms are checked one by one."""
    q, p = distributions(6, 9, seed=3), distributions(6, 9, seed=4)
    terms = p / q - 1 - (p / q).log()
    assert bool((terms >= 0).all())
    return Sides(
        left=kl_divergence(q, p),
        right=(q * terms).sum(-1),
        wrong={
            "ratio turned round": (q * (q / p - 1 - (q / p).log())).sum(-1),
            "mean under the belief": (p * terms).sum(-1),
        },
    )


@proves("information-word-length")
def test_the_mean_length_of_words_is_a_cross_entropy() -> Sides:
    """Huffman words counted bit by bit; on the right what their lengths believe."""
    rows = distributions(6, 11, seed=5)
    lengths = torch.tensor([[len(word) for word in huffman_code(q)] for q in rows], dtype=F64)
    belief = 2.0**-lengths
    assert torch.equal(belief.sum(-1), torch.ones(6, dtype=F64))
    right = (entropy(rows) + kl_divergence(rows, belief)) / math.log(2)
    assert bool((right < entropy(rows) / math.log(2) + 1).all())
    return Sides(
        left=(rows * lengths).sum(-1),
        right=right,
        wrong={
            "nats for bits": entropy(rows) + kl_divergence(rows, belief),
            "no excess": entropy(rows) / math.log(2),
            "the divergence turned round": (entropy(rows) + kl_divergence(belief, rows))
            / math.log(2),
        },
    )


def table(seed=6):
    """A joint distribution of x (4 rows) and y (6 columns)."""
    return distributions(24, seed=seed).view(4, 6)


@proves("information-chain")
def test_entropy_follows_the_chain_rule() -> Sides:
    """The joint entropy of the flat table, against the marginal and the mean over rows."""
    q = table()
    q_x = q.sum(1)
    given_x = (q_x * entropy(q / q_x[:, None])).sum()
    return Sides(
        left=entropy(q.flatten()),
        right=entropy(q_x) + given_x,
        wrong={
            "as if independent": entropy(q_x) + entropy(q.sum(0)),
            "rows not weighted": entropy(q_x) + entropy(q / q_x[:, None]).mean(),
        },
    )


def mutual(q):
    """I(x; y) of a table, as a divergence."""
    return (q * (q / (q.sum(1, keepdim=True) * q.sum(0))).log()).sum()


@proves("information-mutual")
def test_mutual_information_has_three_faces() -> Sides:
    """A divergence from independence, a saving, and a difference of entropies."""
    q = table(seed=7)
    q_x, q_y = q.sum(1), q.sum(0)
    saving = entropy(q_y) - (q_x * entropy(q / q_x[:, None])).sum()
    total = entropy(q_x) + entropy(q_y) - entropy(q.flatten())
    return Sides(
        left=mutual(q).expand(2),
        right=torch.stack([saving, total]),
        wrong={
            "joint added": torch.stack(
                [saving, entropy(q_x) + entropy(q_y) + entropy(q.flatten())]
            ),
            "entropy of the other": torch.stack([entropy(q_x) - entropy(q_y) + saving, total]),
        },
    )


@proves("information-processing")
def test_what_processing_loses_is_a_mutual_information() -> Sides:
    """y has six values, z merges them in pairs; the loss is the mean over z of what is left."""
    q = table(seed=8)
    merged = q.view(4, 3, 2)
    q_z = merged.sum((0, 2))
    left = mutual(q) - mutual(merged.sum(2))
    parts = torch.stack([mutual(merged[:, z] / q_z[z]) for z in range(3)])
    return Sides(
        left=left,
        right=(q_z * parts).sum(),
        wrong={"not weighted": parts.mean(), "nothing is lost": torch.zeros((), dtype=F64)},
    )


def two_bells(distance, share=0.5):
    left = math.log(share) + gaussian_log_prob(X, -distance, 1.0)
    right = math.log(1 - share) + gaussian_log_prob(X, distance, 1.0)
    return torch.logaddexp(left, right)


@proves("information-moments")
def test_the_forward_fit_has_the_moments_of_the_data() -> Sides:
    """A search that knows nothing of moments, against the closed form for two bells."""
    distance, share = 2.0, 0.7
    log_q = two_bells(distance, share)

    def cost(parameters):
        return line_kl(X, log_q, gaussian_log_prob(X, parameters[0], math.exp(parameters[1])))

    found = optimize.minimize(cost, [0.3, 0.0], method="BFGS", options={"gtol": 1e-10}).x
    mean = (1 - 2 * share) * distance
    var = 1 + 4 * share * (1 - share) * distance**2
    fit = forward_fit(X, log_q)
    assert abs(fit.mean - mean) < 1e-12
    assert abs(fit.std**2 - var) < 1e-11
    return Sides(
        left=torch.tensor([found[0], math.exp(2 * found[1])], dtype=F64),
        right=torch.tensor([mean, var], dtype=F64),
        wrong={
            "variance of one bell": torch.tensor([mean, 1.0], dtype=F64),
            "mean of the larger bell": torch.tensor([-distance, var], dtype=F64),
            "about zero": torch.tensor([mean, 1 + distance**2], dtype=F64),
        },
        tolerance=1e-5,
        reason="the search stops where finite differences no longer see a slope",
    )


@proves("information-far-bells")
def test_two_bells_far_apart_cost_these() -> Sides:
    """Both fits by quadrature at a distance of 12, where the bells overlap by less than 1e-30."""
    distance, share = 12.0, 0.6
    log_q = two_bells(distance, share)
    forward = forward_fit(X, log_q)
    reverse = reverse_fit(X, log_q, (-distance, 1.0))
    h = -share * math.log(share) - (1 - share) * math.log(1 - share)
    var = 1 + 4 * share * (1 - share) * distance**2
    return Sides(
        left=torch.tensor([forward.divergence, reverse.divergence], dtype=F64),
        right=torch.tensor([0.5 * math.log(var) - h, -math.log(share)], dtype=F64),
        wrong={
            "entropy of the choice forgotten": torch.tensor(
                [0.5 * math.log(var), -math.log(share)], dtype=F64
            ),
            "share not in the logarithm": torch.tensor(
                [0.5 * math.log(var) - h, 1 - share], dtype=F64
            ),
            "the other bell": torch.tensor(
                [0.5 * math.log(var) - h, -math.log(1 - share)], dtype=F64
            ),
        },
    )


@proves("information-softmax-gradient")
def test_the_gradient_is_belief_minus_truth() -> Sides:
    """Autograd through the divergence, against the difference of two distributions."""
    q = distributions(5, 10, seed=9)
    scores = torch.randn(5, 10, generator=rng(10), dtype=F64, requires_grad=True)
    divergence = kl_divergence(q, scores.softmax(-1)).sum()
    (left,) = torch.autograd.grad(divergence, scores)
    p = scores.detach().softmax(-1)
    return Sides(
        left=left,
        right=p - q,
        wrong={"sign": q - p, "without the normalizer": -q, "weighted": q * (p - q)},
    )


@proves("information-bins")
def test_the_entropy_of_bins_is_the_density_minus_the_width() -> Sides:
    """Exact masses of fine bins of two Gaussians, against the closed form."""
    width, found, expected = 0.004, [], []
    for std in (1.0, 0.1):
        n = int(14 * std / width)
        edges = (torch.arange(-n, n + 1, dtype=F64) + 0.5) * width
        p = torch.from_numpy(stats.norm.cdf(edges.numpy() / std)).diff()
        found.append(entropy(p / p.sum()))
        expected.append(0.5 * math.log(2 * math.pi * math.e * std**2) - math.log(width))
    right = torch.tensor(expected, dtype=F64)
    return Sides(
        left=torch.stack(found),
        right=right,
        wrong={
            "without the width": right + math.log(width),
            "without e": right - 0.5,
            "sign of the width": right + 2 * math.log(width),
        },
        tolerance=1e-4,
        reason="the next term is width^2 / (24 std^2), 7e-5 here",
    )


def samples(q, n):
    """Every sample of size n: counts and probability."""
    for counts in product(range(n + 1), repeat=len(q)):
        if sum(counts) == n:
            ways = math.factorial(n) / math.prod(math.factorial(c) for c in counts)
            chance = ways * math.prod(a**c for a, c in zip(q.tolist(), counts, strict=True))
            yield torch.tensor(counts, dtype=F64) / n, chance


def sampled(q, p, n):
    """Mean divergence of the shares in a sample, from p and from q itself."""
    rows = [(kl_divergence(s, p), kl_divergence(s, q), c) for s, c in samples(q, n)]
    return sum(a * c for a, _, c in rows), sum(b * c for _, b, c in rows)


@proves("information-bias")
def test_a_sample_adds_its_own_divergence() -> Sides:
    """All samples of twelve from three outcomes, each with its probability."""
    q, p = distributions(3, seed=11), distributions(3, seed=12)
    from_p, from_q = sampled(q, p, 12)
    return Sides(
        left=from_p,
        right=kl_divergence(q, p) + from_q,
        wrong={
            "unbiased": kl_divergence(q, p),
            "sign": kl_divergence(q, p) - from_q,
            "the wrong direction": kl_divergence(p, q) + from_q,
        },
    )


@proves("information-bias-size")
def test_the_bias_is_half_the_free_shares_over_the_sample() -> Sides:
    """All samples of 160 from three outcomes."""
    q, n = torch.tensor([0.3, 0.3, 0.4], dtype=F64), 160
    _, bias = sampled(q, q, n)
    right = torch.tensor((3 - 1) / (2 * n), dtype=F64)
    return Sides(
        left=n * bias,
        right=n * right,
        wrong={
            "all shares free": torch.tensor(1.5, dtype=F64),
            "without the half": torch.tensor(2.0, dtype=F64),
        },
        tolerance=0.01,
        reason="the next term, in n times the bias, is (sum of 1/q - 1) / (12 n): 0.004 here",
    )


@proves("information-boxes")
def test_shifted_boxes_share_no_more_than_log_two() -> Sides:
    """The library's sum over fine cells, against the closed form, overlapping and not."""
    n, shifts = 64, (0, 8, 32, 64, 100)
    rows = []
    for shift in shifts:
        q, p = torch.zeros(2, 4 * n, dtype=F64)
        q[:n] = p[shift : shift + n] = 1 / n
        rows.append(jensen_shannon(q, p))
    share = torch.tensor([min(shift / n, 1.0) for shift in shifts], dtype=F64)
    return Sides(
        left=torch.stack(rows),
        right=share * math.log(2),
        wrong={
            "grows on": torch.tensor(shifts, dtype=F64) / n * math.log(2),
            "in bits": share,
            "twice": 2 * share * math.log(2),
        },
    )


@proves("information-exponent")
def test_cross_entropy_is_what_a_long_message_costs() -> Sides:
    """Probability of every message of length five, one by one."""
    q, p, n = distributions(3, seed=13), distributions(3, seed=14), 5
    total = torch.zeros((), dtype=F64)
    for message in product(range(3), repeat=n):
        chance = math.prod(float(q[i]) for i in message)
        total -= chance * math.log(math.prod(float(p[i]) for i in message))
    return Sides(
        left=total / n,
        right=cross_entropy(q, p),
        wrong={"the right code": entropy(q), "arguments exchanged": cross_entropy(p, q)},
    )
