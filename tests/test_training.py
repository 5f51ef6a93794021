"""The loop: same bits when resumed, honest averages, no silent failure."""

import itertools
import math
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from fromnoise import training
from fromnoise.networks import MLP, UNet, seeded
from fromnoise.provenance import CorruptFile
from fromnoise.training import (
    NonFiniteLoss,
    TrainingSettings,
    learning_rate_at,
    train,
    update_average,
)


def noisy_regression(network, batch, generator):
    """Denoise at a random time: draws from the generator, runs dropout from the global state."""
    (x_0,) = batch
    t = torch.rand(len(x_0), generator=generator)
    shape = (-1,) + (1,) * (x_0.dim() - 1)
    x_t = x_0 + t.reshape(shape) * torch.randn(x_0.shape, generator=generator)
    return (network(x_t, t) - x_0).square().mean()


def points(n=64, dims=2, seed=0):
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(seed))


class Killed(Exception):
    pass


def kill_at(step):
    def stop(progress):
        if progress.step == step:
            raise Killed

    return stop


@pytest.mark.parametrize("kind", ["mlp", "unet"])
def test_a_killed_and_resumed_run_gives_the_same_bits(kind, tmp_path):
    if kind == "mlp":
        network, data = MLP(2, width=16, dropout=0.2), (points(),)
    else:
        network = UNet(8, channels=8, dropout=0.2)
        data = (points(32, 64).reshape(32, 1, 8, 8),)
    settings = TrainingSettings(n_steps=9, batch_size=16, warmup_steps=3)
    whole = train(network, noisy_regression, data, settings, folder=tmp_path / "whole")
    for stop in (4, 7):
        with pytest.raises(Killed):
            train(
                network,
                noisy_regression,
                data,
                settings,
                folder=tmp_path / "cut",
                checkpoint_seconds=0.0,
                progress=kill_at(stop),
            )
    seen = []
    cut = train(
        network,
        noisy_regression,
        data,
        settings,
        folder=tmp_path / "cut",
        progress=lambda p: seen.append(p.step),
    )
    assert seen == [8, 9], "it must go on from the checkpoint, not begin again"
    for ours, theirs in ((whole.network, cut.network), (whole.last, cut.last)):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
    assert whole.records == cut.records
    # The checkpoints hold optimizer and random states too: the files agree to the byte.
    names = [tmp_path / name / "checkpoint.safetensors" for name in ("whole", "cut")]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_a_run_killed_by_the_system_goes_on_to_the_same_bits(tmp_path):
    """The process gets SIGKILL in the middle of a step: no handler, no clean-up."""
    script = f"""
import os, signal, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_training import noisy_regression, points
from fromnoise.networks import MLP
from fromnoise.training import TrainingSettings, train
def stop(progress):
    if progress.step == 30:
        os.kill(os.getpid(), signal.SIGKILL)
train(MLP(2, width=16, dropout=0.2), noisy_regression, (points(),),
      TrainingSettings(n_steps=40, batch_size=16), folder={str(tmp_path / "cut")!r},
      checkpoint_seconds=0.0, progress=stop)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    settings = TrainingSettings(n_steps=40, batch_size=16)
    results = [
        train(
            MLP(2, width=16, dropout=0.2),
            noisy_regression,
            (points(),),
            settings,
            folder=tmp_path / name,
        )
        for name in ("cut", "whole")
    ]
    for a, b in zip(*(r.network.parameters() for r in results), strict=True):
        assert torch.equal(a, b)
    files = [tmp_path / name / "checkpoint.safetensors" for name in ("cut", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_finished_run_returns_at_once(tmp_path):
    settings = TrainingSettings(n_steps=5, batch_size=8)
    first = train(MLP(2), noisy_regression, (points(),), settings, folder=tmp_path)

    def never(network, batch, generator):
        raise AssertionError("a finished run must not train")

    again = train(MLP(2), never, (points(),), settings, folder=tmp_path)
    for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert again.records == first.records


@pytest.mark.parametrize("change", ["settings", "data", "network"])
def test_a_checkpoint_of_another_run_is_refused(change, tmp_path):
    settings = TrainingSettings(n_steps=3, batch_size=8)
    train(MLP(2), noisy_regression, (points(),), settings, folder=tmp_path)
    network, data = MLP(2), points()
    if change == "settings":
        settings = TrainingSettings(n_steps=3, batch_size=8, learning_rate=1e-3)
    elif change == "data":
        data = points(seed=1)
    else:
        network = MLP(2, seed=1)
    with pytest.raises(ValueError, match="other settings, data or network"):
        train(network, noisy_regression, (data,), settings, folder=tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_a_number_stops_by_name_and_keeps_nothing(bad, tmp_path):
    calls = []

    def breaks(network, batch, generator):
        calls.append(1)
        value = noisy_regression(network, batch, generator)
        return value * bad if len(calls) == 4 else value

    with pytest.raises(NonFiniteLoss, match="step 4") as caught:
        train(
            MLP(2),
            breaks,
            (points(),),
            TrainingSettings(n_steps=9, batch_size=8),
            folder=tmp_path,
            checkpoint_seconds=0.0,
        )
    assert caught.value.step == 4
    assert list(tmp_path.iterdir()) == []


def test_an_infinite_gradient_stops_too_although_the_loss_is_finite():
    def loss(network, batch, generator):
        out = network(batch[0], torch.zeros(len(batch[0])))
        return out.square().mean().sqrt()  # finite at 0, with slope infinity

    with pytest.raises(NonFiniteLoss, match="step 1"):
        train(MLP(2), loss, (points(),), TrainingSettings(n_steps=2, batch_size=8))


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    settings = TrainingSettings(n_steps=3, batch_size=8)
    train(MLP(2), noisy_regression, (points(),), settings, folder=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"checkpoint\.safetensors"):
        train(MLP(2), noisy_regression, (points(),), settings, folder=tmp_path)


def test_the_callers_network_is_left_alone_and_training_lowers_the_loss():
    network = MLP(2, seed=2)
    before = [p.clone() for p in network.parameters()]
    result = train(
        network,
        noisy_regression,
        (points(512) * 0.1 + 1.0,),
        TrainingSettings(n_steps=150, batch_size=64, learning_rate=5e-3),
        measure=lambda net: {"outside": float(net(torch.ones(1, 2), torch.zeros(1)).mean())},
        measure_every=50,
    )
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert [record["step"] for record in result.records] == [50, 100, 150]
    # Data near (1, 1): the clean answer is 1, and the residual loss far below the first, about 1.
    assert result.records[-1]["loss"] < 0.15 < result.records[0]["loss"]
    assert abs(result.records[-1]["outside"] - 1) < 0.1
    assert not result.network.training


def test_equal_seeds_give_equal_runs_and_other_seeds_others():
    def run(seed):
        settings = TrainingSettings(n_steps=5, batch_size=8, seed=seed)
        return train(MLP(2, dropout=0.1), noisy_regression, (points(),), settings).last.last.weight

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_the_average_is_the_mean_with_geometric_weights(decay):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    with seeded(0):
        average, network = (nn.Linear(3, 1, bias=False).double() for _ in range(2))
    for step, value in enumerate(values, start=1):
        network.weight.data = value[None].clone()
        update_average(average, network, step, decay)
    shares = torch.tensor([decay ** (6 - i) for i in range(1, 7)], dtype=torch.float64)
    expected = (shares[:, None] * values).sum(dim=0) / shares.sum()
    torch.testing.assert_close(average.weight.data[0], expected, rtol=1e-13, atol=1e-13)
    # The usual recursion, started at the first weights, is another mean.
    plain = values[0]
    for value in values[1:]:
        plain = decay * plain + (1 - decay) * value
    assert decay == 0 or not torch.allclose(plain, expected, atol=1e-3)


def test_the_average_copies_buffers():
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    network.running_mean.fill_(3.0)
    update_average(average, network, 1, 0.9)
    assert torch.equal(average.running_mean, network.running_mean)


def test_the_learning_rate_rises_then_falls_to_zero():
    settings = TrainingSettings(n_steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, settings) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(range(100), key=rates.__getitem__) == 9
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a > b for a, b in pairwise(rates[9:]))
    assert rates[-1] < 1e-3
    constant = replace(settings, final_share=1.0)
    assert {learning_rate_at(step, constant) for step in range(10, 101)} == {1.0}


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"n_steps": -1}, "n_steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"final_share": 1.5}, "final_share"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**wrong)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no data"):
        train(MLP(2), noisy_regression, (torch.zeros(0, 2),), TrainingSettings(n_steps=1))
    data = (torch.zeros(4, 2), torch.zeros(3))
    with pytest.raises(ValueError, match=r"\[4, 3\]"):
        train(MLP(2), noisy_regression, data, TrainingSettings(n_steps=1))


def test_progress_counts_down():
    told = []
    settings = TrainingSettings(n_steps=4, batch_size=8)
    train(MLP(2), noisy_regression, (points(),), settings, progress=told.append)
    assert [p.step for p in told] == [1, 2, 3, 4]
    assert told[-1].seconds_left == 0
    assert "step 4/4" in str(told[-1])


def test_the_rate_is_a_line_times_half_a_cosine():
    settings = TrainingSettings(n_steps=8, warmup_steps=4, learning_rate=2.0, final_share=0.25)
    for step in range(1, 9):
        fall = 0.5 * (1 + math.cos(math.pi * (step - 1) / 8))
        expected = 2.0 * min(1, step / 4) * (0.25 + 0.75 * fall)
        assert learning_rate_at(step, settings) == pytest.approx(expected, rel=1e-12), step


def test_the_least_settings_are_allowed_and_bad_ones_named():
    TrainingSettings(n_steps=0, batch_size=1, ema_decay=0.0, final_share=0.0)
    with pytest.raises(ValueError, match="gradient_clip"):
        TrainingSettings(gradient_clip=0.0)
    with seeded(0):
        layer = nn.Linear(1, 1)
    for step, decay in ((0, 0.5), (1, 1.0), (1, -0.1)):
        with pytest.raises(ValueError, match="need step >= 1"):
            update_average(layer, layer, step, decay)


def test_the_time_that_is_left_is_the_pace_so_far_times_the_steps_to_go(monkeypatch):
    """A clock that moves on by one second each time it is read."""
    clock = itertools.count(100.0)
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    told = []
    settings = TrainingSettings(n_steps=4, batch_size=8)
    train(MLP(2), noisy_regression, (points(),), settings, progress=told.append)
    # The clock is read once at the start and once after each step.
    assert [p.seconds_left for p in told] == [3.0, 2.0, 1.0, 0.0]


def test_there_is_no_step_zero_no_warm_up_of_less_than_nothing_and_no_record_every_minus_one():
    assert learning_rate_at(1, TrainingSettings(warmup_steps=0)) > 0
    with pytest.raises(ValueError, match="step must be at least 1, got 0"):
        learning_rate_at(0, TrainingSettings())
    with pytest.raises(ValueError, match="warmup_steps must be at least 0, got -1"):
        TrainingSettings(warmup_steps=-1)
    with pytest.raises(ValueError, match="measure_every must be at least 0, got -1"):
        train(
            torch.nn.Linear(1, 1, device="meta"),
            lambda network, batch, generator: network(batch[0]).mean(),
            (torch.ones(2, 1),),
            TrainingSettings(n_steps=1),
            measure_every=-1,
        )


def test_a_warm_up_of_one_step_is_none():
    settings = TrainingSettings(n_steps=8, warmup_steps=1, learning_rate=2.0)
    assert learning_rate_at(1, settings) == 2.0


def test_checkpoints_are_written_when_their_time_has_come_and_the_pace_is_that_of_this_run(
    monkeypatch, tmp_path
):
    """A clock that moves on by one second each time it is read; a stop after seven steps."""
    clock = itertools.count(100.0)
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    saved, told = [], []
    save = training.TrainingState.save
    monkeypatch.setattr(
        training.TrainingState,
        "save",
        lambda state, path: (saved.append(state.step), save(state, path)),
    )

    def stop(progress):
        if progress.step == 7:
            raise KeyboardInterrupt

    settings = TrainingSettings(n_steps=12, batch_size=8)
    run = partial(
        train,
        MLP(2),
        noisy_regression,
        (points(),),
        settings,
        folder=tmp_path,
        checkpoint_seconds=3.0,
    )
    with pytest.raises(KeyboardInterrupt):
        run(progress=stop)
    # Three seconds after the start, then three after each save.
    assert saved == [3, 6]
    run(progress=told.append)
    assert [p.step for p in told] == [7, 8, 9, 10, 11, 12]
    # One second a step, and one more for the save after the ninth.
    assert told[0].seconds_left == 5.0
    assert told[3].seconds_left == pytest.approx(5 / 4 * 2)


def test_the_average_wants_no_gradient_and_the_last_weights_may_go_on():
    result = train(MLP(2), noisy_regression, (points(),), TrainingSettings(n_steps=1, batch_size=4))
    assert not any(p.requires_grad for p in result.network.parameters())
    assert all(p.requires_grad for p in result.last.parameters())
