"""Each layer is undone exactly, and its log-determinant is that of autograd's Jacobian."""

import dataclasses

import pytest
import torch
from torch.func import jacrev, vmap

from fromnoise.families import normalizing_flow
from fromnoise.families.normalizing_flow import SETTINGS, NormalizingFlow, fit
from fromnoise.families.transforms import Affine, Spline
from fromnoise.generative_models import Model

F64 = torch.float64
TRANSFORMS = [Affine(), Spline(), Spline(2, 2.0), Spline(5, 3.0)]
NAMES = ["affine", "spline", "two bins", "five bins"]
every_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=NAMES)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def random_flow(transform, n_dims=2, n_layers=3, scale=0.4):
    """Every weight drawn at random: an untrained layer moves nothing and would hide all faults."""
    flow = NormalizingFlow(n_dims, transform, n_layers, width=8).double().requires_grad_(False)
    generator = rng(1)
    for p in flow.parameters():
        p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=F64))
    flow.shift.copy_(torch.linspace(-0.3, 0.4, n_dims))
    flow.scale.copy_(torch.linspace(0.8, 1.3, n_dims))
    return flow


@every_transform
@pytest.mark.parametrize("n_dims", [2, 3, 5])
def test_the_way_back_is_exact_and_its_log_determinant_the_opposite(transform, n_dims):
    # Wider weights make slopes of 1e-6, which cost as many digits on the way back.
    flow = random_flow(transform, n_dims, scale=0.25)
    x = 2 * normal(200, n_dims, seed=2)
    z, log_det = flow.to_noise(x)
    back, log_det_back = flow.to_data(z)
    assert (z - x).abs().max() > 0.3
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(log_det_back, -log_det, rtol=0, atol=1e-10)


@every_transform
@pytest.mark.parametrize("n_dims", [2, 3])
def test_the_log_determinant_is_that_of_the_jacobian(transform, n_dims):
    flow = random_flow(transform, n_dims)
    x = 1.5 * normal(50, n_dims, seed=3)
    jacobians = vmap(jacrev(lambda one: flow.to_noise(one[None])[0][0]))(x)
    signs, expected = torch.linalg.slogdet(jacobians)
    _, log_det = flow.to_noise(x)
    assert bool((signs > 0).all())
    torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-10)
    # Without the last layer, or with the scale of the data forgotten, the table would tell.
    assert (flow.layers[-1](x)[1]).abs().max() > 1e-2
    assert flow.scale.log().sum().abs() > 1e-2


@every_transform
def test_a_layer_leaves_the_kept_entries_alone(transform):
    flow = random_flow(transform, 3)
    x = normal(20, 3).clamp(-1.9, 1.9)  # a spline moves nothing outside its range
    for layer in flow.layers:
        y, _ = layer(x)
        assert torch.equal(y[:, layer.kept], x[:, layer.kept])
        assert bool((y[:, ~layer.kept] != x[:, ~layer.kept]).all())
    assert bool((flow.layers[0].kept ^ flow.layers[1].kept).all())


@pytest.mark.parametrize("transform", TRANSFORMS[:2], ids=NAMES[:2])
def test_the_density_integrates_to_one(transform):
    """Trapezoid rule, exact to rounding for the smooth one; a spline's slope has kinks."""
    flow = random_flow(transform, scale=0.2)
    reach = 14 if isinstance(transform, Affine) else 8
    axis = torch.linspace(-reach, reach, 401, dtype=F64)
    cell = (2 * reach / 400) ** 2
    x = torch.cartesian_prod(axis, axis)
    total = (flow.log_prob(x).exp().sum() * cell).item()
    assert total == pytest.approx(1, abs=1e-9 if isinstance(transform, Affine) else 1e-4)
    _, log_det = flow.to_noise(x)
    without = ((flow.log_prob(x) - log_det).exp().sum() * cell).item()
    assert abs(without - 1) > 1e-2


def test_samples_are_noise_led_back():
    flow = random_flow(Spline())
    z = torch.randn(7, 2, generator=rng(6), dtype=F64)
    x = flow.sample(7, rng(6))
    torch.testing.assert_close(flow.to_noise(x)[0], z, rtol=0, atol=1e-10)


def test_it_learns_the_ring(ring, ring_data, held_out):
    """Held-out log likelihood within 0.2 nats of the truth; a Gaussian stays 1 nat behind."""
    model = fit(ring_data, Spline(), settings=dataclasses.replace(SETTINGS, n_steps=300))
    assert isinstance(model, Model)
    with torch.no_grad():
        gap = (ring.log_prob(held_out) - model.log_prob(held_out)).mean().item()
    assert -0.02 < gap < 0.2
    x = model.sample(2000, rng(2))
    assert x.dtype == ring_data.dtype
    nearest = (x[:, None] - ring.components.mean).norm(dim=-1).argmin(1)
    assert torch.bincount(nearest, minlength=8).min() > 100


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: NormalizingFlow(1), "n_dims >= 2"),
        (lambda: NormalizingFlow(2).log_prob(torch.zeros(1, 3)), "2 entries, got 3"),
        (lambda: NormalizingFlow(2).to_data(torch.zeros(1, 3)), "2 entries, got 3"),
        (lambda: fit(torch.ones(5, 2)), "must vary"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_even_and_odd_entries_take_turns_beginning_with_the_even_ones():
    flow = NormalizingFlow(5, n_layers=3)
    even = [True, False, True, False, True]
    assert [layer.kept.tolist() for layer in flow.layers] == [
        even,
        [not kept for kept in even],
        even,
    ]


def test_the_least_sizes_are_allowed_and_none_below():
    flow = NormalizingFlow(2, n_layers=1, width=1)
    assert flow.sample(3, rng()).shape == (3, 2)
    for sizes in ((1, 1, 1), (2, 0, 1), (2, 1, 0)):
        with pytest.raises(ValueError, match="need n_dims >= 2"):
            NormalizingFlow(sizes[0], None, *sizes[1:])


def test_an_entry_that_does_not_vary_is_refused_and_a_small_one_is_not():
    settings = dataclasses.replace(SETTINGS, n_steps=1, batch_size=2, warmup_steps=0)
    data = torch.tensor([[0.0, 1.0], [0.01, 1.0]])
    with pytest.raises(ValueError, match="every entry of the data must vary"):
        fit(data, n_layers=1, width=2, settings=settings)
    fitted = fit(torch.tensor([[0.0, 1.0], [0.01, 1.5]]), n_layers=1, width=2, settings=settings)
    # The deviation of two values is half their distance; the mean lies between them.
    assert fitted.scale.tolist() == pytest.approx([0.005, 0.25])
    assert fitted.shift.tolist() == pytest.approx([0.005, 1.25])


def test_the_loss_is_the_mean_of_the_negative_log_density(monkeypatch):
    seen = []

    def caught(network, loss, data, settings):
        seen.append((network, loss(network, data, rng())))
        return type("Run", (), {"network": network})()

    monkeypatch.setattr(normalizing_flow, "train", caught)
    data = normal(7, 2)
    fit(data, width=4)
    network, value = seen[0]
    torch.testing.assert_close(value, -network.log_prob(data).sum() / 7)


def test_no_samples_are_an_empty_batch():
    assert NormalizingFlow(2).sample(0).shape == (0, 2)
