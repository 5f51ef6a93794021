"""A lesion does what cutting by hand does, only where it was asked to, and then it is gone."""

import pytest
import torch
from torch import nn

from fromnoise.dit import DiT
from fromnoise.lesions import Lesion, effect_by_time, lesioned, recorded, resample, to_mean, zero
from fromnoise.networks import UNet, seeded

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def perceptron():
    """Weights drawn by hand, so that every unit counts."""
    with seeded(0):
        network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double().eval()
    for i, weight in enumerate(network.parameters()):
        weight.data = normal(*weight.shape, seed=10 + i)
    return network


def awake(network):
    """A last layer that does not start at zero."""
    for i, weight in enumerate(network.parameters()):
        if not weight.any():
            weight.data = 0.1 * normal(*weight.shape, seed=i).to(weight)
    return network.eval()


def n_hooks(network):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


X = normal(6, 3)


def by_hand(network, hidden):
    return hidden @ network[2].weight.T + network[2].bias


def test_each_replacement_is_the_cut_made_by_hand():
    network, units = perceptron(), (1, 3)
    hidden = torch.tanh(X @ network[0].weight.T + network[0].bias)
    silent, average = hidden.clone(), hidden.clone()
    silent[:, units] = 0
    average[:, units] = hidden[:, units].mean(0)
    for replacement, cut in ((zero, silent), (to_mean(hidden), average)):
        with lesioned(network, Lesion("1", replacement, units)):
            found = network(X)
        torch.testing.assert_close(found, by_hand(network, cut), rtol=1e-12, atol=1e-12)
        assert (found - network(X)).abs().amax(1).min() > 1e-3
    with lesioned(network, Lesion("1", zero)):
        assert torch.equal(network(X), network[2].bias.expand(6, 2))
    # At the input of the layer that reads it, the cut is the same.
    with lesioned(network, Lesion("2", zero, units, at_input=True)):
        torch.testing.assert_close(network(X), by_hand(network, silent), rtol=1e-12, atol=1e-12)


def test_the_mean_over_all_entries_is_not_the_mean_of_each_unit():
    network = perceptron()
    hidden = torch.tanh(X @ network[0].weight.T + network[0].bias)
    with lesioned(network, Lesion("1", to_mean(hidden))):
        found = network(X)
    one_number = by_hand(network, hidden.mean().expand_as(hidden))
    assert (found - one_number).abs().max() > 0.1


def test_resampling_exchanges_examples_and_none_keeps_its_own():
    activity, generator = normal(7, 2, 3), torch.Generator().manual_seed(1)
    given = [resample(generator)(activity) for _ in range(40)]
    seen = set()
    for other in given:
        rows = [[torch.equal(row, mine) for mine in activity].index(True) for row in other]
        assert sorted(rows) == list(range(7))
        assert all(row != i for i, row in enumerate(rows))
        seen.add(tuple(rows))
    assert len(seen) > 20
    again = resample(torch.Generator().manual_seed(1))(activity)
    assert torch.equal(again, given[0])


def test_units_keep_together_when_resampled():
    network = perceptron()
    lesion = Lesion("1", resample(torch.Generator().manual_seed(0)))
    with lesioned(network, lesion), recorded(network, "1") as activities:
        found = network(X)
    # All units of one donor: each output is that of another example.
    torch.testing.assert_close(found, by_hand(network, activities[0]), rtol=1e-12, atol=1e-12)
    whole = network(X)
    rows = [(whole - row).abs().amax(1).argmin().item() for row in found]
    assert sorted(rows) == list(range(6))
    assert all(row != i for i, row in enumerate(rows))


@pytest.mark.parametrize("error", [False, True])
def test_the_network_is_whole_again_however_the_body_ends(error):
    network = perceptron()
    before, weights = network(X), [w.clone() for w in network.parameters()]
    try:
        with lesioned(network, Lesion("1", zero), Lesion("0", zero, (0,), at_input=True)):
            assert n_hooks(network) == 2
            assert not torch.equal(network(X), before)
            assert all(map(torch.equal, network.parameters(), weights))
            if error:
                raise RuntimeError("on purpose")
    except RuntimeError:
        assert error
    assert n_hooks(network) == 0
    assert torch.equal(network(X), before)
    assert all(map(torch.equal, network.parameters(), weights))
    # A bad name after a good one leaves nothing behind either.
    bad = lesioned(network, Lesion("1", zero), Lesion("nowhere", zero))
    with pytest.raises(ValueError, match="no module 'nowhere'"):
        bad.__enter__()
    assert n_hooks(network) == 0


def test_recording_is_a_copy_and_leaves():
    with seeded(0):
        network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True)).double().eval()
    with recorded(network, "0") as before, recorded(network, "1", at_input=True) as at_input:
        network(X)
        network(X[:2])
    assert [len(a) for a in before] == [6, 2]
    expected = X @ network[0].weight.T + network[0].bias
    # ReLU wrote over it in place afterwards; the recording is from before.
    torch.testing.assert_close(before[0], expected.detach(), rtol=1e-12, atol=1e-12)
    assert (before[0] < 0).any()
    assert torch.equal(before[0], at_input[0])
    assert n_hooks(network) == 0
    network(X)
    assert len(before) == 2


def test_all_skips_severed_is_the_network_without_skip_connections():
    """The switch of UNet and lesions at the inputs of its upward blocks are one cut."""
    whole = awake(UNet(channels=8, seed=3))
    without = UNet(channels=8, seed=3, skip_connections=False).eval()
    without.load_state_dict(whole.state_dict())
    x_t, t = normal(2, 1, 8, 8).float(), torch.tensor([0.2, 0.7])
    cuts = [
        Lesion(f"up.{level}.0", zero, tuple(range(width, 2 * width)), at_input=True)
        for level, width in enumerate((8, 16))
    ]
    with lesioned(whole, *cuts):
        found = whole(x_t, t)
    assert torch.equal(found, without(x_t, t))
    with lesioned(whole, cuts[0]):
        assert not torch.equal(whole(x_t, t), found)
    assert not torch.equal(whole(x_t, t), found)


def test_features_of_tokens_are_on_the_last_axis():
    network, x_t, t = (
        awake(DiT(width=16, n_blocks=1)),
        normal(2, 1, 8, 8).float(),
        torch.ones(2) / 2,
    )
    cut = Lesion("first", zero, (3, 15), axis=-1)
    with lesioned(network, cut), recorded(network, "first") as activities:
        network(x_t, t)
    assert not activities[0][..., [3, 15]].any()
    assert (activities[0][..., :3] != 0).all()


def test_the_effect_is_where_the_lesion_is():
    """A part that only answers at low noise: the cost is known, and zero elsewhere."""

    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Identity()

        def forward(self, x, t):
            return x + (t < 0.5) * self.part(2 * x)

    network, times = Gate().eval(), torch.tensor([0.1, 0.4, 0.6, 0.9], dtype=F64)

    def loss(t):
        return (network(X, t) - 3 * X).square().mean(1)

    found = effect_by_time(network, [Lesion("part", zero)], loss, times)
    assert found.shape == (4, 6)
    torch.testing.assert_close(found[:2], 4 * X.square().mean(1).expand(2, 6))
    assert not found[2:].any()
    assert n_hooks(network) == 0
    assert not effect_by_time(network, [], loss, times).any()


def test_bad_input_is_refused():
    network = perceptron()
    for bad in ((5,), (-1,)):
        with (
            lesioned(network, Lesion("1", zero, bad)),
            pytest.raises(ValueError, match=r"has 0\.\.4"),
        ):
            network(X)
    with (
        lesioned(network, Lesion("1", lambda a: a[:1])),
        pytest.raises(ValueError, match="the replacement is"),
    ):
        network(X)
    with (
        lesioned(network, Lesion("1", to_mean(normal(3, 4)))),
        pytest.raises(ValueError, match="recorded"),
    ):
        network(X)
    with pytest.raises(ValueError, match="at least one recorded"):
        to_mean(normal(0, 4))
    with pytest.raises(ValueError, match="at least two examples"):
        resample(torch.Generator())(normal(1, 4))
    with seeded(0):
        lstm = nn.LSTM(3, 2).double()
    with lesioned(lstm, Lesion("", zero)), pytest.raises(ValueError, match="is a tuple"):
        lstm(X)
    one = torch.zeros(1, dtype=F64)
    with pytest.raises(ValueError, match="training mode"):
        effect_by_time(network.train(), [], lambda t: X, one)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="not repeatable"):
        effect_by_time(network.eval(), [], lambda t: torch.rand(2, generator=generator), one)


def test_two_examples_exchange_and_units_of_the_network_alone_are_cut():
    pair = normal(2, 3)
    assert torch.equal(resample(torch.Generator().manual_seed(0))(pair), pair.flip(0))
    for units in ((0, 3), (3, 0), (-1, 0)):
        with pytest.raises(ValueError, match=r"has 0\.\.2"):
            Lesion("1", zero, units).cut(pair)


def test_every_example_gets_another_and_each_is_given_once():
    """All orders of a ring of five occur: nobody is tied to a fixed neighbor."""
    rows = torch.arange(5.0)[:, None]
    replace, seen = resample(torch.Generator().manual_seed(1)), set()
    for _ in range(300):
        given = tuple(replace(rows)[:, 0].int().tolist())
        assert sorted(given) == [0, 1, 2, 3, 4]
        assert all(i != donor for i, donor in enumerate(given))
        seen.add(given)
    # A cycle through five: 4! of them.
    assert len(seen) == 24
