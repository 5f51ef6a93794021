"""The tilted density and the guided flow in closed form: what guidance samples and what not."""

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.guidance import classifier_free
from fromnoise.inverse import linear_posterior
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.schedules import Cosine, Rectified
from fromnoise.targets import score_from_x_0
from fromnoise.tilting import (
    guided_ode_variance,
    guided_score,
    tilted_by_measurement,
    tilted_gaussian,
)

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


MIXTURE = GaussianMixture(
    torch.tensor([0.5, 0.2, 0.3], dtype=F64),
    normal(3, 2, seed=1),
    torch.stack([v * torch.eye(2, dtype=F64) for v in (0.2, 0.5, 0.3)]),
)
X_T, T, SCHEDULE = normal(7, 2), torch.linspace(0.1, 0.9, 7, dtype=F64), Cosine()
PLAIN, FIRST, SECOND = (
    denoiser(data, SCHEDULE) for data in (MIXTURE, MIXTURE.component(0), MIXTURE.component(1))
)
OMEGA = 1.7


def close(found, expected, tolerance=1e-10):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_guidance_follows_the_guided_score():
    found = guided_score(MIXTURE.component(0), MIXTURE, X_T, SCHEDULE(T), OMEGA)
    x_0_hat = classifier_free(FIRST, PLAIN, OMEGA)(X_T, T)
    close(found, score_from_x_0(x_0_hat, X_T, SCHEDULE(T)))


CONDITION = Gaussian(
    torch.tensor([0.6, -0.2], dtype=F64), torch.tensor([[0.3, 0.1], [0.1, 0.4]], dtype=F64)
)
DATA = Gaussian(
    torch.tensor([0.1, 0.0], dtype=F64), torch.tensor([[1.2, -0.2], [-0.2, 0.9]], dtype=F64)
)


def test_the_tilted_gaussian_is_the_tilt_up_to_a_constant():
    x, other = normal(9, 2), normal(9, 2, seed=3)

    def tilt(point):
        return (1 + OMEGA) * CONDITION.log_prob(point) - OMEGA * DATA.log_prob(point)

    found = tilted_gaussian(CONDITION, DATA, OMEGA)
    close(found.log_prob(x) - found.log_prob(other), tilt(x) - tilt(other))
    wrong = tilted_gaussian(CONDITION, DATA, OMEGA - 1)
    assert ((wrong.log_prob(x) - wrong.log_prob(other)) - tilt(x) + tilt(other)).abs().max() > 0.1
    close(tilted_gaussian(CONDITION, DATA, 0.0).covariance, CONDITION.covariance)
    close(tilted_gaussian(CONDITION, DATA, -1.0).mean, DATA.mean)


def test_noising_the_tilt_is_not_tilting_the_noised():
    """On the line the gap is a formula in three variances; it vanishes at both ends of time."""
    c, u = 0.3, 1.2
    one = torch.zeros(1, dtype=F64)
    narrow, wide = (Gaussian(one, torch.tensor([[v]], dtype=F64)) for v in (c, u))
    tilted = tilted_gaussian(narrow, wide, OMEGA)
    tau = 1 / ((1 + OMEGA) / c - OMEGA / u)
    close(tilted.covariance, torch.tensor([[tau]], dtype=F64))
    t = torch.linspace(0.01, 0.99, 9, dtype=F64)
    at, x_t = SCHEDULE(t), normal(9, 1)
    gap = guided_score(narrow, wide, x_t, at, OMEGA) - tilted.noised(at).score(x_t)
    a, s = at.alpha_t**2, at.sigma_t**2
    slope = 1 / (a * tau + s) - (1 + OMEGA) / (a * c + s) + OMEGA / (a * u + s)
    close(gap, slope[:, None] * x_t, 1e-9)
    assert slope[4].abs() > 0.1
    # Guidance pulls more than the noised tilt, all the way: the strength of a score is concave in
    # the precision, and guidance goes on along the chord.
    assert (slope < 0).all()
    close(guided_score(narrow, wide, x_t, SCHEDULE(t), 0.0), narrow.noised(at).score(x_t))
    for end in (0.0, 1.0):
        at_end = SCHEDULE(torch.tensor(end, dtype=F64))
        gap = guided_score(narrow, wide, x_t, at_end, OMEGA) - tilted.noised(at_end).score(x_t)
        assert gap.abs().max() < 1e-12


def test_a_mixture_tilted_by_a_measurement_is_a_mixture():
    """Against the tilt itself; and its noised score against a sum over a fine grid."""
    matrix, y, std = torch.tensor([[1.0]], dtype=F64), torch.tensor([0.5], dtype=F64), 0.8
    prior = GaussianMixture.isotropic(torch.tensor([[-1.0], [1.2]], dtype=F64), 0.4)
    tilted = tilted_by_measurement(prior, matrix, y, std, OMEGA)
    condition = linear_posterior(prior, matrix, y, std)
    grid = torch.linspace(-6, 6, 6001, dtype=F64)[:, None]
    log_tilt = (1 + OMEGA) * condition.log_prob(grid) - OMEGA * prior.log_prob(grid)
    close(tilted.log_prob(grid), log_tilt - log_tilt.logsumexp(0) - torch.tensor(0.002).log(), 1e-6)
    at, x_t = SCHEDULE(torch.tensor(0.5, dtype=F64)), normal(7, 1)
    # The score is the mean of (alpha x_0 - x_t) / sigma^2 under p(x_0 | x_t), on the grid.
    seen = -((x_t - at.alpha_t * grid.T) ** 2) / (2 * at.sigma_t**2)
    weights = (log_tilt + seen).softmax(-1)
    expected = ((at.alpha_t * weights @ grid) - x_t) / at.sigma_t**2
    close(tilted.noised(at).score(x_t), expected, 1e-10)
    followed = guided_score(condition, prior, x_t, at, OMEGA)
    assert (followed - expected).abs().max() > 0.05


@pytest.mark.parametrize("schedule", [Cosine(), Rectified()], ids=repr)
def test_the_guided_flow_ends_with_a_geometric_mean(schedule):
    """Heun's method, which is linear here: the error falls with the square of the step."""
    c, u = torch.tensor(0.3, dtype=F64), torch.tensor(1.2, dtype=F64)
    zero = torch.zeros(1, dtype=F64)
    pair = [denoiser(Gaussian(zero, v.reshape(1, 1)), schedule) for v in (c, u)]
    exact = guided_ode_variance(c, u, OMEGA)
    close(exact, c ** (1 + OMEGA) / u**OMEGA)
    errors = []
    for n_steps in (50, 100, 200):
        guided, x_1 = classifier_free(*pair, OMEGA), torch.ones(1, 1, dtype=F64)
        x_0 = sample(guided, schedule, x_1, uniform_times(n_steps), heun_step)
        errors.append((x_0.square() - exact).abs().item())
    assert errors[-1] < 1e-3 * exact
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3
    tilted = 1 / ((1 + OMEGA) / c - OMEGA / u)
    assert abs(x_0.square().item() - tilted) > 0.2 * tilted


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no tilted density"):
        tilted_gaussian(DATA, CONDITION, 3.0)
    one, y = torch.eye(2, dtype=F64), torch.zeros(2, dtype=F64)
    for bad in (-1.0, -2.0, float("nan")):
        with pytest.raises(ValueError, match="guidance_scale must be above -1"):
            tilted_by_measurement(MIXTURE, one, y, 0.1, bad)
    with pytest.raises(ValueError, match="variances must be positive"):
        guided_ode_variance(torch.tensor(0.0), torch.tensor(1.0), 1.0)


def test_one_variance_that_is_not_positive_is_refused():
    good = torch.tensor([1.0, 2.0])
    for bad in (torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])):
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(ValueError, match="variances must be positive"):
                guided_ode_variance(*pair, 1.0)
    assert guided_ode_variance(good / 4, good / 2, 1.0).tolist() == [0.125, 0.25]


def test_any_scale_above_minus_one_is_allowed():
    prior = GaussianMixture.isotropic(torch.tensor([[0.0], [2.0]]).double(), 0.5)
    eye, y = torch.eye(1).double(), torch.ones(1).double()
    weak = tilted_by_measurement(prior, eye, y, 0.3, -0.75)
    assert torch.equal(
        weak.components.covariance, linear_posterior(prior, eye, y, 0.6).components.covariance
    )


def test_a_precision_of_exactly_zero_is_no_density():
    """A condition that doubles the variance, at the scale where nothing is left."""
    wide = Gaussian(torch.zeros(1).double(), 2 * torch.eye(1).double())
    narrow = Gaussian(torch.zeros(1).double(), torch.eye(1).double())
    with pytest.raises(ValueError, match="no tilted density"):
        tilted_gaussian(wide, narrow, 1.0)
