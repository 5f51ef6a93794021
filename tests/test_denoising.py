"""The denoising loss: zero at the answer, weighted, over even times; and the samplers' face."""

import pytest
import torch

from chance import share_gap
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.schedules import Cosine, Rectified
from fromnoise.targets import PredictEps, PredictV, PredictVelocity, PredictX0


def points(n=64, dims=2, seed=0):
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("target", [PredictX0(), PredictEps(), PredictV(), PredictVelocity()])
def test_the_perfect_network_has_no_loss_but_what_noise_leaves(target):
    """Data at one point: the exact answer is a function of x_t, so the loss can reach zero."""
    point = torch.tensor([0.3, -0.7])

    def perfect(x_t, t, label=None):
        scales = Cosine()(t)
        x_0 = point.expand_as(x_t)
        eps = (x_t - scales.alpha_t[:, None] * x_0) / scales.sigma_t[:, None]
        return target.true(x_0, eps, scales)

    loss = denoising_loss(Cosine(), target, t_min=0.05)
    value = loss(perfect, (point.expand(64, 2),), torch.Generator().manual_seed(0))
    wrong = loss(lambda x, t, label=None: -perfect(x, t), (point.expand(64, 2),), torch.Generator())
    assert value < 1e-9
    assert wrong > 0.1


def test_the_weight_multiplies_the_squared_error():
    def zero(x_t, t, label=None):
        return torch.zeros_like(x_t)

    x_0 = points(128)

    def value(weight):
        loss = denoising_loss(Rectified(), PredictEps(), weight=weight, t_min=0.1)
        return loss(zero, (x_0,), torch.Generator().manual_seed(0))

    assert value(lambda scales: 3 * torch.ones_like(scales.sigma_t)) == pytest.approx(
        3 * float(value(None)), rel=1e-6
    )
    assert value(lambda scales: scales.sigma_t) < value(None)


def test_times_cover_their_range_evenly():
    seen = []

    def spy(x_t, t, label=None):
        seen.append(t)
        return torch.zeros_like(x_t)

    loss = denoising_loss(Rectified(), PredictVelocity(), t_min=0.2, t_max=0.6)
    loss(spy, (points(100),), torch.Generator().manual_seed(0))
    cells = ((seen[0] - 0.2) / 0.4 * 100).floor()
    assert sorted(cells.tolist()) == list(range(100)), "one time in each hundredth of the range"


def test_labels_are_dropped_at_the_stated_rate():
    seen = []

    def spy(x_t, t, label=None):
        seen.append(label)
        return torch.zeros_like(x_t)

    labels = torch.arange(4000) % 10
    loss = denoising_loss(Rectified(), PredictVelocity(), label_dropout=0.2, null_label=10)
    loss(spy, (points(4000), labels), torch.Generator().manual_seed(0))
    # Of 4000, a rate that is off by 0.08 is seen.
    dropped = (seen[0] == 10).sum()
    assert share_gap(dropped, 4000, 0.2) < 1 < share_gap(dropped, 4000, 0.28)
    assert torch.equal(seen[0][seen[0] != 10], labels[seen[0] != 10])


def test_the_denoiser_of_a_network_asks_with_time_and_label():
    def network(x_t, t, label=None):
        return (t * label)[:, None] * torch.ones_like(x_t)

    denoiser = as_denoiser(network, Rectified(), PredictX0(), torch.tensor([1, 2]))
    out = denoiser(torch.zeros(2, 3), torch.tensor([0.5, 0.25]))
    assert torch.equal(out, torch.full((2, 3), 0.5))


def test_choices_out_of_range_are_refused():
    with pytest.raises(ValueError, match="t_min"):
        denoising_loss(Rectified(), PredictX0(), t_min=0.5, t_max=0.5)
    with pytest.raises(ValueError, match="null_label"):
        denoising_loss(Rectified(), PredictX0(), label_dropout=0.1)


def test_labels_are_dropped_with_the_stated_chance_and_times_cover_the_range():
    seen = []

    def network(x_t, t, label=None):
        seen.append((t, label))
        return torch.ones_like(x_t)

    batch = (torch.zeros(500, 2), torch.full((500,), 3))
    for dropout in (0.0, 0.5, 1.0):
        loss = denoising_loss(
            Cosine(), PredictX0(), label_dropout=dropout, null_label=10, t_min=0.2, t_max=1.0
        )
        # The error is 1 everywhere: the mean over entries, not their sum.
        assert loss(network, batch, torch.Generator().manual_seed(0)) == 1
        t, label = seen.pop()
        assert ((t.diff() - 0.8 / 500).abs() < 1e-6).all()
        assert 0.2 <= t.min() < 0.2 + 0.8 / 500
        assert 1 - 0.8 / 500 <= t.max() <= 1
        dropped = (label == 10).double().mean()
        assert set(label.tolist()) <= {3, 10}
        assert share_gap(round(500 * float(dropped)), 500, dropout) < 1
        assert share_gap(round(500 * float(dropped)), 500, 0.3) > 1
    for dropout in (-0.1, 1.1):
        with pytest.raises(ValueError, match="label_dropout"):
            denoising_loss(Cosine(), PredictX0(), label_dropout=dropout, null_label=10)


def test_labels_pass_as_they_are_without_a_null_class_and_may_be_missing():
    seen = []

    def network(x_t, t, label=None):
        seen.append(label)
        return x_t

    plain = denoising_loss(Cosine(), PredictX0())
    labels = torch.arange(4)
    plain(network, (torch.zeros(4, 2), labels), torch.Generator().manual_seed(0))
    assert torch.equal(seen.pop(), labels)
    with_null = denoising_loss(Cosine(), PredictX0(), label_dropout=0.5, null_label=10)
    with_null(network, (torch.zeros(4, 2),), torch.Generator().manual_seed(0))
    assert seen.pop() is None


@pytest.mark.parametrize("ends", [(0.0, 1.5), (-0.1, 1.0), (0.5, 0.5)])
def test_times_stay_in_the_unit_interval(ends):
    with pytest.raises(ValueError, match="need 0 <= t_min < t_max <= 1"):
        denoising_loss(Cosine(), PredictX0(), t_min=ends[0], t_max=ends[1])
