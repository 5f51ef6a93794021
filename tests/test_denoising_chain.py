"""A chain is its stages in a row; what the loss asks of them decides whether it can draw."""

import dataclasses
import math

import pytest
import torch

from fromnoise.autoencoders import SETTINGS, fit_linear_denoiser
from fromnoise.denoising_chain import (
    DenoisingChain,
    chain_variances,
    end_to_end_loss,
    fit_chain,
    stagewise_loss,
)
from fromnoise.mixtures import GaussianMixture

F64 = torch.float64


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def ring(std=0.3):
    angles = torch.arange(8) * math.pi / 4
    return GaussianMixture.isotropic(2 * torch.stack([angles.cos(), angles.sin()], 1), std)


def random_chain(sigmas=(2.0, 1.0, 0.5)):
    chain = DenoisingChain(2, sigmas, width=8).double().requires_grad_(False)
    generator = rng(3)
    for p in chain.parameters():
        p.copy_(0.5 * torch.randn(p.shape, generator=generator, dtype=F64))
    return chain


def test_the_path_is_its_stages_with_the_noise_of_the_next_between():
    chain, x, generator = random_chain(), normal(5, 2), rng(4)
    expected, now = [x], x
    for k, stage in enumerate(chain.stages):
        if k > 0:
            z = torch.randn(5, 2, generator=generator, dtype=F64)
            now = now + chain.sigmas[k] * z
        now = stage(now)
        expected.append(now)
    found = chain.path(x, rng(4))
    assert torch.equal(found, torch.stack(expected))
    quiet = chain.path(x)
    assert torch.equal(quiet[-1], chain.stages[2](chain.stages[1](chain.stages[0](x))))
    assert not torch.equal(quiet[2:], found[2:])
    generator = rng(5)
    start = 2.0 * torch.randn(7, 2, generator=generator, dtype=F64)
    assert torch.equal(chain.sample(7, rng(5)), chain.path(start, generator)[-1])
    assert torch.equal(chain.sample(7, rng(5), renoise=False), chain.path(start)[-1])


def test_the_losses_ask_every_stage_or_the_last_one():
    chain, x_0, generator = random_chain(), normal(6, 2), rng(6)
    z = [torch.randn(6, 2, generator=generator, dtype=F64) for _ in range(3)]
    errors = [
        (stage(x_0 + sigma * eps) - x_0).square().sum(1).mean()
        for stage, sigma, eps in zip(chain.stages, chain.sigmas, z, strict=True)
    ]
    torch.testing.assert_close(stagewise_loss(chain, (x_0,), rng(6)), sum(errors))
    last = chain.path(x_0 + 2.0 * z[0])[-1]
    expected = (last - x_0).square().sum(1).mean()
    torch.testing.assert_close(end_to_end_loss(chain, (x_0,), rng(6)), expected)


def test_an_untrained_chain_passes_its_input_on():
    x = normal(4, 2).float()
    assert torch.equal(DenoisingChain(2, [1.0, 0.1]).path(x)[-1], x)


def share_on_the_ring(x):
    """Points within three deviations of a bell, and how many the least visited bell has."""
    distance, nearest = (x[:, None] - ring().components.mean).norm(dim=-1).min(1)
    return (distance < 0.9).float().mean().item(), torch.bincount(nearest, minlength=8).min().item()


def test_a_trained_chain_samples_the_ring_and_without_noise_it_blurs():
    """Five coarse stages reach 87 percent. No noise put back, or none in the training: the middle.

    The bounds leave room for another seed (0.06 from the one, 0.2 from the others).
    """
    data = ring().sample(2000, rng())
    settings = dataclasses.replace(SETTINGS, n_steps=400)
    chain, whole = (
        fit_chain(data, (4.0, 2.0, 1.0, 0.5, 0.25), loss, settings=settings)
        for loss in (stagewise_loss, end_to_end_loss)
    )
    share, least = share_on_the_ring(chain.sample(2000, rng(2)))
    assert share > 0.8
    assert least > 100
    assert share_on_the_ring(chain.sample(2000, rng(2), renoise=False))[0] < 0.3
    assert share_on_the_ring(whole.sample(2000, rng(2), renoise=False))[0] < 0.3


@pytest.mark.parametrize("residual", [True, False])
def test_its_weights_come_from_the_seed_alone(residual):
    state = torch.get_rng_state()
    one, two, other = (DenoisingChain(2, [1.0], residual=residual, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(
        not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


def test_a_plain_stage_does_not_pass_its_input_on():
    x = normal(4, 2).float()
    chain = DenoisingChain(2, [1.0], residual=False)
    assert torch.equal(chain.path(x)[-1], chain.stages[0](x))
    assert (chain.path(x)[-1] - x).abs().max() > 0.1


def test_the_variance_of_a_linear_chain_is_that_of_its_draws():
    """Covariances carried through the fitted matrices; the draws never enter."""
    data = normal(40, 3) @ normal(3, 3, seed=1)
    variances, directions = torch.linalg.eigh(torch.cov(data.mT, correction=0))
    sigmas, c = (3.0, 1.0, 0.4), torch.zeros(3, 3, dtype=F64)
    expected = chain_variances(variances, sigmas)
    for sigma, v in zip(sigmas, expected, strict=True):
        w = fit_linear_denoiser(data, sigma).matrix
        c = w @ (c + sigma**2 * torch.eye(3, dtype=F64)) @ w.mT
        torch.testing.assert_close(
            directions.mT @ c @ directions, torch.diag(v), rtol=0, atol=1e-12
        )
    still = chain_variances(variances, [0.5] * 2000)[-1]
    rest = variances**2 / (2 * variances + 0.25)
    torch.testing.assert_close(still, rest, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: DenoisingChain(0, [1.0]), "sizes must be at least 1, got 0"),
        (lambda: DenoisingChain(2, [1.0], width=0), "sizes must be at least 1, got 2, 0"),
        (lambda: DenoisingChain(2, []), r"got \(\)"),
        (lambda: DenoisingChain(2, [1.0, 1.0]), "fall strictly"),
        (lambda: DenoisingChain(2, [1.0, 0.0]), "stay positive"),
        (lambda: chain_variances(torch.ones(2), []), "at least one stage"),
        (lambda: chain_variances(torch.ones(2), [1.0, -1.0]), "got -1.0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_least_sizes_are_allowed_and_no_samples_are_an_empty_batch():
    assert DenoisingChain(1, [1.0], width=1).sample(0, rng()).shape == (0, 1)
