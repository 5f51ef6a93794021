"""The loop: same bits when resumed, honest averages, no silent failure."""

import pytest
import torch

from fromnoise.networks import MLP, UNet
from fromnoise.training import (
    TrainingSettings,
    train,
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
