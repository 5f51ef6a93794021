"""The two-level bound is the evidence when every part is exact, and below it otherwise."""

import math

import pytest
import torch
from torch.nn.utils import skip_init

from chance import covariance_gap, mean_gap
from fromnoise.decoders import DiscretizedLogistic, Gaussian
from fromnoise.elbo import iwae_bound
from fromnoise.hierarchical_vae import MarkovianVAE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(mean_slope, variance):
    """A network that answers (slope * input, log variance)."""
    layer = skip_init(torch.nn.Linear, 1, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[0], layer.weight[1] = mean_slope, 0.0
        layer.bias[0], layer.bias[1] = 0.0, math.log(variance)
    return layer


def gaussian_chain():
    """z_2 ~ N(0, 1), z_1 = 0.6 z_2 + 0.8 noise, x = z_1 + noise, with the exact posteriors."""
    chain = MarkovianVAE(Gaussian(1.0), (1, 1), n_dims=1, width=4).double()
    chain.prior = linear(0.6, 0.64)
    chain.decoder = skip_init(torch.nn.Linear, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        chain.decoder.weight.fill_(1.0)
        chain.decoder.bias.fill_(0.0)
    chain.encoder = linear(0.5, 0.5)  # z_1 has the marginal N(0, 1)
    chain.upper_encoder = linear(0.6, 0.64)
    return chain


def test_with_exact_posteriors_every_draw_gives_the_evidence():
    x = torch.tensor([[-2.0], [0.3], [1.7]], dtype=torch.float64)
    evidence = -(x[:, 0] ** 2) / 4 - math.log(4 * math.pi) / 2
    for seed in range(3):
        eps = [torch.randn(3, 1, generator=generator(seed + s), dtype=x.dtype) for s in (0, 9)]
        terms = gaussian_chain()(x, *eps)
        torch.testing.assert_close(terms.elbo, evidence, rtol=1e-12, atol=1e-12)
        assert terms.top_rate.abs().max() > 0.01


@pytest.mark.parametrize("part", ["encoder", "upper_encoder"])
def test_a_wrong_posterior_costs_nats_but_not_the_weighted_bound(part):
    chain = gaussian_chain()
    setattr(chain, part, linear(0.4, 0.9))
    x = torch.tensor([[1.0]], dtype=torch.float64).expand(20_000, 1)
    evidence = torch.distributions.Normal(0.0, math.sqrt(2.0)).log_prob(torch.tensor(1.0)).item()
    eps = [torch.randn(20_000, 1, generator=generator(s), dtype=x.dtype) for s in (0, 1)]
    weights = chain(x, *eps).elbo
    assert weights.mean().item() < evidence - 0.01
    # The weights estimate p(x) without bias; their logarithms are another thing.
    assert mean_gap((weights - evidence).exp(), 1.0) < 1
    assert mean_gap(weights, evidence) > 1
    assert iwae_bound(weights).item() > weights.mean().item()


def test_the_fixed_encoder_mixes_the_code_with_noise():
    chain = MarkovianVAE(DiscretizedLogistic(), (3, 3), n_dims=6, width=8, kept=0.7)
    z_1 = torch.randn(4, 3, generator=generator())
    mean, log_var = chain.climb(z_1)
    torch.testing.assert_close(mean, 0.7 * z_1)
    torch.testing.assert_close(log_var.exp(), torch.full_like(z_1, 1 - 0.49))


def test_a_standard_normal_code_stays_one_through_the_fixed_encoder():
    chain = MarkovianVAE(DiscretizedLogistic(), (1, 1), n_dims=6, width=8, kept=0.7)
    z_1 = torch.tensor([[-2.0], [0.0], [1.0]])
    mean, log_var = chain.climb(z_1)
    # A mean that is linear in z_1, and what its variance lacks of one.
    slope = mean[2]
    torch.testing.assert_close(mean, slope * z_1)
    torch.testing.assert_close(slope**2 + log_var.exp(), torch.ones(3, 1))
    assert 0.1 < slope < 0.9


def test_samples_go_down_the_chain_by_the_generator_alone():
    chain = MarkovianVAE(DiscretizedLogistic(), (4, 3), n_dims=6, width=8)
    first = chain.sample(5, generator(1))
    assert first.shape == (5, 6)
    assert torch.equal(first, chain.sample(5, generator(1)))
    assert not torch.equal(first, chain.sample(5, generator(2)))


def test_samples_of_the_gaussian_chain_have_its_variance():
    """40,000 draws see 9 percent of a variance."""
    draws = gaussian_chain().sample(40_000, generator())
    assert covariance_gap(draws[:, 0], 2.0) < 1
    chain = gaussian_chain()
    chain.prior = linear(0.6, 1.0)  # noise of the second step that keeps its whole variance
    assert covariance_gap(chain.sample(40_000, generator())[:, 0], 2.0) > 1


def test_bad_choices_are_refused_in_words():
    with pytest.raises(ValueError, match=r"kept must lie in \(0, 1\), got 1"):
        MarkovianVAE(DiscretizedLogistic(), kept=1.0)
    with pytest.raises(ValueError, match="equal levels"):
        MarkovianVAE(DiscretizedLogistic(), (4, 3), kept=0.5)


def test_what_is_kept_is_a_share_strictly_between_nothing_and_all():
    with pytest.raises(ValueError, match="kept must lie in"):
        MarkovianVAE(DiscretizedLogistic(), kept=0.0)


def test_each_network_gives_a_mean_and_a_log_variance_for_every_entry():
    chain = MarkovianVAE(DiscretizedLogistic(), (4, 3), n_dims=6, width=8)
    sizes = [
        getattr(chain, name)[-1].out_features for name in ("encoder", "upper_encoder", "prior")
    ]
    assert sizes == [8, 6, 8]


def test_codes_of_different_sizes_go_up_and_down():
    chain = MarkovianVAE(DiscretizedLogistic(), (4, 3), n_dims=6, width=8)
    x = torch.zeros(2, 6)
    mean, log_var = chain.climb(torch.zeros(2, 4))
    assert mean.shape == log_var.shape == (2, 3)
    terms = chain(x, torch.zeros(2, 4), torch.zeros(2, 3))
    assert terms.elbo.shape == (2,)


def test_no_samples_are_an_empty_batch():
    assert gaussian_chain().sample(0, generator()).shape == (0, 1)
