"""Ways to steer a denoiser, against exact posteriors, and what is refused."""

import pytest
import torch

from fromnoise.gaussians import Gaussian
from fromnoise.guidance import classifier_free
from fromnoise.inverse import linear_posterior
from fromnoise.mixtures import GaussianMixture
from fromnoise.oracles import denoiser
from fromnoise.schedules import Cosine
from fromnoise.steering import (
    autoguided,
    avoiding,
    classifier_guided,
    composed,
    guidance_scale_from_multiplier,
    limited,
    multiplier_from_guidance_scale,
    rescaled,
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


def test_an_interval_may_be_one_time_or_all_of_them():
    guided, plain = (lambda x_t, t: x_t * 2), (lambda x_t, t: x_t * 3)
    x_t, t = torch.ones(3, 2), torch.tensor([0.0, 0.5, 1.0])
    assert limited(guided, plain, 0.0, 1.0)(x_t, t)[:, 0].tolist() == [2, 2, 2]
    assert limited(guided, plain, 0.5, 0.5)(x_t, t)[:, 0].tolist() == [3, 2, 3]
    assert limited(guided, plain, 0.0, 0.0)(x_t, t)[:, 0].tolist() == [2, 3, 3]


def test_a_classifier_is_refused_where_one_example_is_pure_noise():
    guided = classifier_guided(lambda x, t: x, lambda x, t: x.sum(1), Cosine(), 1.0)
    with pytest.raises(ValueError, match="start later"):
        guided(torch.ones(2, 2), torch.tensor([0.5, 1.0]))
