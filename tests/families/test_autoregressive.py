"""The chain rule gives a density in any order, and samples follow it."""

import dataclasses
import math

import pytest
import torch

from chance import RATE
from fromnoise.families import autoregressive
from fromnoise.families.autoregressive import SETTINGS, Autoregressive, Conditionals, fit
from fromnoise.generative_models import Model

F64 = torch.float64


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def random_model(n_dims=2, order=None, seed=1, scale=0.5):
    """Weights drawn wide, so that the conditionals do depend on what they see."""
    model = Autoregressive(n_dims, order, n_components=3, width=16, seed=seed).double()
    generator = rng(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=F64))
        model.shift.copy_(torch.linspace(-0.5, 0.5, n_dims))
        model.scale.copy_(torch.linspace(0.7, 1.2, n_dims))
    return model.requires_grad_(False)


def grid(reach=16.0, n=641):
    axis = torch.linspace(-reach, reach, n, dtype=F64)
    return torch.cartesian_prod(axis, axis), 2 * reach / (n - 1), n


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_density_integrates_to_one_and_its_parts_are_its_conditionals(order):
    """Trapezoid rule, exact to rounding: the densities are smooth and vanish at the border."""
    model = random_model(order=order, scale=0.3)
    x, h, n = grid()
    density = model.log_prob(x).exp().view(n, n)
    assert density.sum() * h**2 == pytest.approx(1, abs=1e-10)
    first, second = order
    axis = x.view(n, n, 2)[:, 0, 0]
    marginal = density.sum(second) * h
    there = torch.zeros(n, 2, dtype=F64)
    there[:, first] = axis
    expected = model.conditional(there, first).log_prob(axis).exp()
    torch.testing.assert_close(marginal, expected, rtol=0, atol=1e-10)
    # A row of the table over its own sum is the second factor; that of another row is not.
    at = n // 2 + 10
    row = density.select(first, at) / marginal[at]
    there[:, first] = axis[at]
    torch.testing.assert_close(
        row, model.conditional(there, second).log_prob(axis).exp(), rtol=0, atol=1e-10
    )
    there[:, first] = axis[at + 30]
    wrong = model.conditional(there, second).log_prob(axis).exp()
    assert (row - wrong).abs().max() > 1e-3


def test_an_entry_sees_the_earlier_ones_and_no_other():
    model = random_model(n_dims=4, order=(2, 0, 3, 1))
    x = torch.randn(5, 4, generator=rng(), dtype=F64)
    for place, entry in enumerate(model.order):
        before = model.conditional(x, entry).log_prob(x[:, entry])
        for other in range(4):
            changed = x.clone()
            changed[:, other] += 1
            after = model.conditional(changed, entry).log_prob(x[:, entry])
            moved = bool((before != after).any())
            assert moved == (other in model.order[:place])
    hidden = x.clone()
    hidden[:, model.order[1:]] = math.nan
    found = model.conditional(hidden, model.order[1]).means
    assert torch.equal(found, model.conditional(x, model.order[1]).means)


def test_the_log_density_is_the_sum_of_the_factors_in_the_units_of_the_data():
    model = random_model()
    x = torch.randn(6, 2, generator=rng(), dtype=F64)
    far = Autoregressive(2, n_components=3, width=16, seed=1).double()
    far.load_state_dict(model.state_dict())
    far.shift.copy_(3 * model.shift + 1)
    far.scale.copy_(3 * model.scale)
    expected = model.log_prob(x) - 2 * math.log(3)
    torch.testing.assert_close(far.log_prob(3 * x + 1), expected, rtol=1e-12, atol=1e-12)


def uniformity(model, x):
    """Largest gap between the ranks of F(x_i | before) and a uniform law, one per entry."""
    gaps = []
    for i in model.order:
        parts = model.conditional(x, i)
        bells = torch.special.ndtr((x[:, i, None] - parts.means) / parts.stds)
        u = (parts.log_weights.exp() * bells).sum(-1).sort().values
        steps = torch.arange(len(u) + 1, dtype=F64) / len(u)
        gaps.append(max((steps[1:] - u).max().item(), (u - steps[:-1]).max().item()))
    return max(gaps)


def test_samples_follow_the_density():
    """Kolmogorov-Smirnov at a false-alarm rate of 1e-9 for each entry.

    The other order makes another density of the same weights, and is found out.
    """
    n = 4000
    bound = math.sqrt(math.log(2 / RATE) / (2 * n))
    model, other = random_model(), random_model(order=(1, 0))
    x = model.sample(n, rng(3))
    assert uniformity(model, x) < bound
    assert uniformity(other, x) > 2 * bound
    assert torch.equal(x, model.sample(n, rng(3)))


@pytest.mark.parametrize("order", [None, (1, 0)])
def test_it_learns_the_ring(ring, ring_data, held_out, order):
    """Held-out log likelihood within 0.15 nats of the truth; a Gaussian stays 1 nat behind."""
    model = fit(ring_data, order, settings=dataclasses.replace(SETTINGS, n_steps=500))
    assert isinstance(model, Model)
    with torch.no_grad():
        gap = (ring.log_prob(held_out) - model.log_prob(held_out)).mean().item()
    assert -0.02 < gap < 0.15
    x = model.sample(2000, rng(2))
    assert x.dtype == ring_data.dtype
    nearest = (x[:, None] - ring.components.mean).norm(dim=-1).argmin(1)
    assert torch.bincount(nearest, minlength=8).min() > 150


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Autoregressive(0), "sizes must be at least 1, got 0"),
        (lambda: Autoregressive(2, (0, 0)), r"each of 0..1 once, got \(0, 0\)"),
        (lambda: Autoregressive(2).conditional(torch.zeros(1, 2), 2), "0..1, got 2"),
        (lambda: Autoregressive(2).log_prob(torch.zeros(1, 3)), "2 entries, got 3"),
        (lambda: fit(torch.ones(5, 2)), "must vary"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_least_sizes_are_allowed_and_none_below():
    model = Autoregressive(1, n_components=1, width=1)
    assert model.sample(3, rng()).shape == (3, 1)
    for sizes in ((0, None, 1, 1), (1, None, 0, 1), (1, None, 1, 0)):
        with pytest.raises(ValueError, match="sizes must be at least 1"):
            Autoregressive(*sizes)


def test_bells_begin_spread_over_three_deviations():
    model = Autoregressive(2, n_components=4, width=8)
    assert model.network[-1].bias[4:8].tolist() == pytest.approx([-1.5, -0.5, 0.5, 1.5])


def test_the_network_is_shown_earlier_entries_zeros_and_which_entry_is_drawn():
    model, shown = random_model(3, order=(2, 0, 1)), []
    model.network.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0]))
    x = torch.tensor([[1.0, 2.0, 3.0]], dtype=F64)
    u = ((x - model.shift) / model.scale)[0].tolist()
    found = model.conditional(x, 0)
    assert shown[0][0].tolist() == pytest.approx([0, 0, u[2], 1, 0, 0])
    logits, means, log_stds = model.network(shown[0]).chunk(3, -1)
    scale, shift = model.scale[0], model.shift[0]
    torch.testing.assert_close(found.log_weights, logits.log_softmax(-1))
    torch.testing.assert_close(found.means, shift + scale * means)
    torch.testing.assert_close(found.stds, scale * (5 * torch.tanh(log_stds / 5)).exp())


def test_an_entry_that_does_not_vary_is_refused_and_a_small_one_is_not():
    settings = dataclasses.replace(SETTINGS, n_steps=1, batch_size=2, warmup_steps=0)
    with pytest.raises(ValueError, match="every entry of the data must vary"):
        fit(torch.tensor([[0.0, 1.0], [0.01, 1.0]]), width=2, settings=settings)
    fitted = fit(torch.tensor([[0.0, 1.0], [0.01, 1.5]]), width=2, settings=settings)
    assert fitted.scale.tolist() == pytest.approx([0.005, 0.25])
    assert fitted.shift.tolist() == pytest.approx([0.005, 1.25])


def test_the_loss_is_the_mean_of_the_negative_log_density(monkeypatch):
    seen = []

    def caught(network, loss, data, settings):
        seen.append((network, loss(network, data, rng())))
        return type("Run", (), {"network": network})()

    monkeypatch.setattr(autoregressive, "train", caught)
    data = torch.randn(7, 2, generator=rng(3), dtype=F64)
    fit(data, width=4)
    network, value = seen[0]
    torch.testing.assert_close(value, -network.log_prob(data).sum() / 7)


def test_a_draw_is_the_mean_of_its_bell_plus_noise_of_its_width():
    means = torch.tensor([[-5.0, 0.0, 5.0], [10.0, 20.0, 30.0]], dtype=F64)
    stds = torch.tensor([[0.1, 1.0, 2.0], [3.0, 0.5, 0.2]], dtype=F64)
    weights = torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.1, 0.4]], dtype=F64)
    for seed in range(5):
        found = Conditionals(weights.log(), means, stds).sample(rng(seed))
        g = rng(seed)
        k = torch.multinomial(weights, 1, generator=g)[:, 0]
        eps = torch.randn(2, generator=g, dtype=F64)
        expected = means[range(2), k] + stds[range(2), k] * eps
        torch.testing.assert_close(found, expected)


def test_no_samples_are_an_empty_batch():
    assert Autoregressive(2).sample(0).shape == (0, 2)
