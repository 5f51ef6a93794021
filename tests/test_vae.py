"""The bound is below the truth, its parts are what they are called, the switches switch."""

import math

import pytest
import torch
from torch.nn.utils import skip_init

from chance import mean_gap
from fromnoise.decoders import Categorical, DiscretizedLogistic, Gaussian
from fromnoise.elbo import iwae_bound
from fromnoise.gaussian_kl import kl_diagonal
from fromnoise.training import TrainingSettings, train
from fromnoise.vae import VAE, active_units, free_bits, summarize, vae_loss


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=8, dims=6):
    levels = torch.randint(17, (n, dims), generator=generator())
    return levels / 8 - 1


def small(likelihood=None, **changes):
    options = {"n_latents": 2, "n_dims": 6, "width": 16, **changes}
    return VAE(likelihood or DiscretizedLogistic(), **options)


def test_the_terms_are_the_divergence_and_the_negative_log_likelihood():
    model, x = small(), images()
    eps = torch.randn(len(x), 2, generator=generator(1))
    terms = model(x, eps)
    z_mean, z_log_var = model.encode(x)
    torch.testing.assert_close(terms.rate, kl_diagonal(z_mean, z_log_var))
    z = z_mean + torch.exp(z_log_var / 2) * eps
    torch.testing.assert_close(terms.distortion, -model.likelihood.log_prob(model.decode(z), x))
    torch.testing.assert_close(terms.elbo, -(terms.rate.sum(1) + terms.distortion))


def test_the_mean_log_weight_is_the_bound():
    model, x = small(), images()
    weights = model.log_weights(x, 4000, generator())
    eps = torch.randn(4000, len(x), 2, generator=generator(1))
    bounds = torch.stack([model(x, e).elbo for e in eps])
    # Independent draws of both: their difference has mean zero. The rate alone is no bound.
    assert mean_gap(weights - bounds, 0.0) < 1
    distortions = torch.stack([model(x, e).distortion for e in eps])
    assert mean_gap(weights + distortions, 0.0) > 1


def test_a_model_with_an_exact_posterior_has_constant_weights_equal_to_the_evidence():
    # One pixel, x = z + noise: the posterior N(x / 2, 1 / 2) is known, and so is log p(x).
    model = VAE(Gaussian(1.0), n_latents=1, n_dims=1, width=4).double()
    model.encoder = skip_init(torch.nn.Linear, 1, 2, dtype=torch.float64)
    model.decoder = skip_init(torch.nn.Linear, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        model.encoder.weight.copy_(torch.tensor([[0.5], [0.0]]))
        model.encoder.bias[0], model.encoder.bias[1] = 0.0, math.log(0.5)
        model.decoder.weight.fill_(1.0)
        model.decoder.bias.fill_(0.0)
    x = torch.tensor([[-1.3], [0.0], [2.2]], dtype=torch.float64)
    evidence = -(x[:, 0] ** 2) / 4 - math.log(4 * math.pi) / 2
    weights = model.log_weights(x, 5, generator())
    torch.testing.assert_close(weights, evidence.expand(5, 3), rtol=1e-12, atol=1e-12)


def test_the_first_weights_come_from_the_seed_alone():
    first, same, other = small(seed=1), small(seed=1), small(seed=2)
    for a, b, c in zip(first.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("beta", [0.0, 1.0, 7.0])
def test_beta_weighs_the_rate_only(beta):
    model, x = small(), images()
    terms = model(x, torch.randn(len(x), 2, generator=generator(3)))
    expected = (beta * terms.rate.sum(1) + terms.distortion).mean() / 6
    torch.testing.assert_close(vae_loss(beta)(model, (x,), generator(3)), expected)


def test_without_noise_the_loss_does_not_depend_on_the_draw():
    model, x = small(), images()
    loss = vae_loss(noise=0.0)
    assert torch.equal(loss(model, (x,), generator(0)), loss(model, (x,), generator(1)))
    loss = vae_loss()
    assert not torch.equal(loss(model, (x,), generator(0)), loss(model, (x,), generator(1)))


def test_free_bits_lift_only_the_units_below_the_floor():
    rate = torch.tensor([[0.1, 3.0], [0.3, 1.0]], requires_grad=True)
    value = free_bits(rate, 0.5)
    assert value.item() == pytest.approx(0.5 + 2.0)
    (gradient,) = torch.autograd.grad(value, rate)
    assert gradient[:, 0].tolist() == [0.0, 0.0]
    assert gradient[:, 1].tolist() == [0.5, 0.5]
    torch.testing.assert_close(free_bits(rate, 0.0), rate.mean(0).sum())
    with pytest.raises(ValueError, match="at least 0, got -1"):
        free_bits(rate, -1.0)


def test_active_units_are_those_whose_means_move():
    z_mean = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.15], [0.0, 1.0, 0.0]])
    assert active_units(z_mean).tolist() == [False, True, False]
    assert active_units(z_mean, 1e-3).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="at least two, got 1"):
        active_units(z_mean[:1])


def test_the_summary_is_the_weights_in_bits_per_pixel():
    model, x = small(), images()
    found = summarize(model, x, 32, generator(5))
    stream = generator(5)  # the summary draws sixteen at a time
    weights = torch.cat([model.log_weights(x, 16, stream) for _ in range(2)]).double()
    scale = 6 * math.log(2)
    assert found["elbo"] == pytest.approx(-weights.mean().item() / scale, rel=1e-9)
    assert found["iwae"] == pytest.approx(-iwae_bound(weights).mean().item() / scale, rel=1e-9)
    assert found["iwae"] < found["elbo"]
    assert found["rate"] + found["distortion"] == pytest.approx(found["elbo"] * scale, rel=1e-9)
    assert found["n_active"] == int(active_units(model.encode(x)[0]).sum())


def test_samples_are_images_on_the_levels_and_follow_the_generator():
    model = small(Categorical())
    first = model.sample(5, generator(1))
    assert first.shape == (5, 6)
    assert torch.equal((first + 1) * 8, ((first + 1) * 8).round())
    assert torch.equal(first, model.sample(5, generator(1)))
    assert not torch.equal(first, model.sample(5, generator(2)))


def test_the_autoregressive_model_trains_and_refuses_to_sample_at_once():
    model, x = small(autoregressive=True), images(32)
    trained = train(model, vae_loss(), (x,), TrainingSettings(n_steps=60, batch_size=32)).network
    before = summarize(model, x, 4, generator())["elbo"]
    assert summarize(trained, x, 4, generator())["elbo"] < before - 0.1
    with pytest.raises(ValueError, match="sees earlier ones"):
        model.sample(2, generator())


def test_bad_sizes_are_refused_in_words():
    with pytest.raises(ValueError, match="sizes must be at least 1, got 0, 6, 16"):
        small(n_latents=0)
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got 1"):
        small(dropout=1.0)


def test_the_summary_is_the_means_of_what_it_names():
    model, x = small(), images()
    found = summarize(model, x, 20, generator())
    g = generator()
    weights = torch.cat([model.log_weights(x, n, g) for n in (16, 4)]).double()
    rate = kl_diagonal(*model.encode(x)).double().sum(1)
    expected = {
        "elbo": -weights.mean() / (6 * math.log(2)),
        "iwae": -iwae_bound(weights).mean() / (6 * math.log(2)),
        "rate": rate.mean(),
        "distortion": -weights.mean() - rate.mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-6), name


def test_two_images_are_enough_for_a_variance_and_the_threshold_is_exclusive():
    z_mean = torch.tensor([[0.0, 0.0, 0.0], [0.5, 1.0, 2.0]], dtype=torch.float64)
    assert active_units(z_mean, threshold=0.5).tolist() == [False, False, True]


def test_the_encoder_gives_a_mean_and_a_log_variance_for_any_number_of_latents():
    for n_latents in (1, 3, 4):
        z_mean, z_log_var = small(n_latents=n_latents).encode(images())
        assert z_mean.shape == z_log_var.shape == (8, n_latents)


def test_no_images_can_be_drawn_and_fewer_cannot():
    assert small().sample(0, generator()).shape == (0, 6)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        small().sample(-1, generator())
