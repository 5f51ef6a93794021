"""Each way of steering is a line through denoisers; only Bayes' rule among them is a posterior."""

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.guidance import classifier_free
from fromnoise.inverse import linear_posterior
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.schedules import Cosine, Rectified
from fromnoise.steering import (
    autoguided,
    avoiding,
    classifier_guided,
    composed,
    guidance_scale_from_multiplier,
    guided_ode_variance,
    guided_score,
    limited,
    multiplier_from_guidance_scale,
    rescaled,
    tilted_by_measurement,
    tilted_gaussian,
)
from fromnoise.targets import score_from_x_0

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


def classify(x_t, t):
    return MIXTURE.noised(SCHEDULE(t)).responsibilities(x_t)[:, 0].log()


def close(found, expected, tolerance=1e-10):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_the_two_conventions_are_one_apart():
    assert guidance_scale_from_multiplier(1.0) == 0.0
    assert multiplier_from_guidance_scale(0.0) == 1.0
    assert guidance_scale_from_multiplier(multiplier_from_guidance_scale(2.5)) == 2.5
    multiplier = multiplier_from_guidance_scale(OMEGA)
    by_multiplier = PLAIN(X_T, T) + multiplier * (FIRST(X_T, T) - PLAIN(X_T, T))
    close(classifier_free(FIRST, PLAIN, OMEGA)(X_T, T), by_multiplier)
    mixed_up = classifier_free(FIRST, PLAIN, multiplier)(X_T, T)
    assert (mixed_up - by_multiplier).abs().max() > 0.1


def test_an_exact_classifier_is_bayes_and_guides_like_classifier_free():
    """At omega 0 the condition itself; one noise level off, or a clean classifier, is not."""
    close(classifier_guided(PLAIN, classify, SCHEDULE)(X_T, T), FIRST(X_T, T))
    found = classifier_guided(PLAIN, classify, SCHEDULE, OMEGA)(X_T, T)
    close(found, classifier_free(FIRST, PLAIN, OMEGA)(X_T, T))

    def clean(x_t, t):
        return classify(x_t, torch.zeros_like(t))

    wrong = classifier_guided(PLAIN, clean, SCHEDULE)(X_T, T)
    assert (wrong - FIRST(X_T, T)).abs().max() > 0.1


def test_a_limited_interval_has_both_ends_and_calls_what_it_needs():
    calls = []

    def spy(name, inner):
        def ask(x_t, t):
            calls.append(name)
            return inner(x_t, t)

        return ask

    within = limited(spy("guided", FIRST), spy("plain", PLAIN), T[2].item(), T[4].item())
    inside = torch.tensor([0, 0, 1, 1, 1, 0, 0], dtype=torch.bool)
    expected = torch.where(inside[:, None], FIRST(X_T, T), PLAIN(X_T, T))
    assert torch.equal(within(X_T, T), expected)
    calls.clear()
    assert torch.equal(within(X_T[2:5], T[2:5]), FIRST(X_T[2:5], T[2:5]))
    assert torch.equal(within(X_T[5:], T[5:]), PLAIN(X_T[5:], T[5:]))
    assert calls == ["guided", "plain"]


def test_rescaling_gives_back_the_contrast():
    guided = classifier_free(FIRST, PLAIN, 5.0)
    x_0_hat, wanted = guided(X_T, T), FIRST(X_T, T).std(1, correction=0)
    full = rescaled(guided, FIRST, 1.0)(X_T, T)
    close(full.std(1, correction=0), wanted)
    close(full / full.norm(dim=1, keepdim=True), x_0_hat / x_0_hat.norm(dim=1, keepdim=True))
    assert torch.equal(rescaled(guided, FIRST, 0.0)(X_T, T), x_0_hat)
    close(rescaled(guided, FIRST)(X_T, T), 0.7 * full + 0.3 * x_0_hat)
    assert (full - x_0_hat).abs().max() > 0.1
    flat = rescaled(lambda x_t, t: torch.ones_like(x_t), FIRST)(X_T, T)
    close(flat, torch.ones_like(X_T))


def test_negative_prompts_and_autoguidance_are_lines_and_the_unconditional_cancels():
    line = (1 + OMEGA) * FIRST(X_T, T) - OMEGA * SECOND(X_T, T)
    close(autoguided(FIRST, SECOND, OMEGA)(X_T, T), line)
    close(avoiding(FIRST, SECOND, OMEGA)(X_T, T), line)
    both = composed(PLAIN, [FIRST, SECOND], [1 + OMEGA, -OMEGA])
    close(both(X_T, T), line)
    assert (composed(PLAIN, [FIRST, SECOND], [OMEGA, -OMEGA])(X_T, T) - line).abs().max() > 0.1
    close(composed(PLAIN, [FIRST], [1.0])(X_T, T), FIRST(X_T, T))
    assert torch.equal(composed(PLAIN, [], [])(X_T, T), PLAIN(X_T, T))


def test_a_sum_of_conditions_is_exact_only_where_noise_does_not_tie_them():
    """Two measurements of a Gaussian: the sum is Bayes' rule if they are of separate axes."""
    prior = Gaussian(torch.zeros(2, dtype=F64), torch.diag(torch.tensor([1.0, 0.5], dtype=F64)))
    estimate = denoiser(prior, SCHEDULE)

    def gap(rows):
        y, std = torch.tensor([0.7, -0.4], dtype=F64), 0.4
        parts = [linear_posterior(prior, rows[i : i + 1], y[i : i + 1], std) for i in (0, 1)]
        summed = composed(estimate, [denoiser(part, SCHEDULE) for part in parts], [1.0, 1.0])
        exact = denoiser(linear_posterior(prior, rows, y, std), SCHEDULE)
        return (summed(X_T, T) - exact(X_T, T)).abs().amax(1)

    assert gap(torch.eye(2, dtype=F64)).max() < 1e-12
    assert (gap(torch.tensor([[1.0, 0.3], [0.5, 1.0]], dtype=F64)) > 1e-3).all()


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
    with pytest.raises(ValueError, match="alpha_t = 0"):
        classifier_guided(PLAIN, classify, SCHEDULE)(X_T[:1], torch.ones(1, dtype=F64))
    for ends in ((0.5, 0.4), (-0.1, 0.4), (0.5, 1.1), (float("nan"), 0.5)):
        with pytest.raises(ValueError, match="t_min <= t_max"):
            limited(FIRST, PLAIN, *ends)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share must lie"):
            rescaled(FIRST, PLAIN, bad)
    with pytest.raises(ValueError, match="2 conditions but 1"):
        composed(PLAIN, [FIRST, SECOND], [1.0])
    with pytest.raises(ValueError, match="no tilted density"):
        tilted_gaussian(DATA, CONDITION, 3.0)
    one, y = torch.eye(2, dtype=F64), torch.zeros(2, dtype=F64)
    for bad in (-1.0, -2.0, float("nan")):
        with pytest.raises(ValueError, match="guidance_scale must be above -1"):
            tilted_by_measurement(MIXTURE, one, y, 0.1, bad)
    with pytest.raises(ValueError, match="variances must be positive"):
        guided_ode_variance(torch.tensor(0.0), torch.tensor(1.0), 1.0)
