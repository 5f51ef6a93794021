"""Two processes under torchrun, and one: the same gradients, weights and files.

This file is also the program that torchrun starts: each process leaves what it found in a folder.
"""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from fromnoise.checkpoints import TrainingState
from fromnoise.datasets import DATA_HASHES, Split, Splits
from fromnoise.denoising import denoising_loss
from fromnoise.distributed import SharedNetwork, is_lead, n_processes, rows_of
from fromnoise.downloads import DownloadError
from fromnoise.networks import MLP, UNet, seeded
from fromnoise.schedules import Rectified
from fromnoise.targets import PredictVelocity
from fromnoise.training import NonFiniteLoss, TrainingSettings, train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
# Nothing but the loopback interface.
ENV = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
LOSS = denoising_loss(Rectified(), PredictVelocity(), label_dropout=0.2, null_label=3)
# Seven rows for two processes: their parts are unequal.
SETTINGS = TrainingSettings(n_steps=6, batch_size=7, warmup_steps=2)


def network_of(seed=0):
    """In float64, with a last layer that is not zero, so that every weight has a gradient."""
    network = MLP(2, width=16, n_classes=3, seed=seed).double()
    with seeded(seed + 100):
        torch.nn.init.normal_(network.last.weight, std=0.3)
    return network


def data_of():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    return x, torch.arange(40) % 3


def gradients(network, called, loss=LOSS, seed=5):
    network.zero_grad()
    x, label = data_of()
    loss(called, (x[:7], label[:7]), torch.Generator().manual_seed(seed)).backward()
    return [p.grad.clone() for p in network.parameters()]


def weighted(network, batch, generator):
    """Two calls of the network, and a term of the weights that no output shows."""
    squares = sum(p.square().sum() for p in network.parameters())
    return LOSS(network, batch, generator) + LOSS(network, batch, generator) + 0.1 * squares


class Killed(Exception):
    pass


def kill_at(step):
    def stop(progress):
        if progress.step == step:
            raise Killed

    return stop


def refusal(call):
    try:
        call()
    except (ValueError, NonFiniteLoss) as error:
        return str(error)
    return "not refused"


def worker(folder):
    """What one of the processes does."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    found = {"lead": is_lead(), "processes": n_processes()}

    network = network_of()
    shared = SharedNetwork(network)
    found["gradients"] = gradients(network, shared)
    found["two calls"] = gradients(network, shared, weighted)
    found["other seeds"] = gradients(network, shared, seed=5 + rank)
    with shared.parallel.no_sync():
        found["no sync"] = gradients(network, shared)
    # DistributedDataParallel alone, on this process's rows of an even batch and of this one.
    x, label = data_of()
    rows = rows_of(rank, 2, 7)
    network.zero_grad()
    generator = torch.Generator().manual_seed(5)
    LOSS(shared.parallel, (x[:7][rows], label[:7][rows]), generator).backward()
    found["plain DDP"] = [p.grad.clone() for p in network.parameters()]
    with mock.patch.object(torch.Tensor, "register_hook"):
        found["mean for sum"] = gradients(network, shared)

    saves, save = [], TrainingState.save
    TrainingState.save = lambda self, path: (saves.append(self.step), save(self, path))
    whole = train(network_of(), LOSS, data_of(), SETTINGS, folder=folder / "whole")
    found["saves"] = list(saves)
    try:
        train(
            network_of(),
            LOSS,
            data_of(),
            SETTINGS,
            folder=folder / "cut",
            checkpoint_seconds=0.0,
            progress=kill_at(3),
        )
    except Killed:
        dist.barrier()  # the lead has written
    seen = []
    cut = train(
        network_of(),
        LOSS,
        data_of(),
        SETTINGS,
        folder=folder / "cut",
        progress=lambda p: seen.append(p.step),
    )
    found["seen"] = seen
    again = train(network_of(), None, data_of(), SETTINGS, folder=folder / "cut")
    found["again"] = list(again.last.parameters())
    for name, result in (("whole", whole), ("cut", cut)):
        found[name] = {
            "last": list(result.last.parameters()),
            "average": list(result.network.parameters()),
            "records": result.records,
        }

    def run(network=None, settings=SETTINGS, loss=LOSS, data=None, **kwargs):
        return lambda: train(
            network_of() if network is None else network,
            loss,
            data or data_of(),
            settings,
            **kwargs,
        )

    def forward_derivative(network, batch, generator):
        t = torch.zeros(len(batch[0]))
        value, slope = torch.func.jvp(lambda t: network(batch[0], t), (t,), (torch.ones_like(t),))
        return (value + slope).square().mean()

    # One process's rows go wrong: all must stop, or one would wait for the others for ever.
    def bad_weights(network, batch, generator):
        with torch.no_grad():
            if rank == 1:
                next(network.parameters()).fill_(float("nan"))
        return LOSS(network, batch, generator)

    other = replace(SETTINGS, seed=rank)
    x, label = data_of()
    found["refusals"] = {
        "network": refusal(run(network_of(seed=rank))),
        "settings": refusal(run(settings=other)),
        "data": refusal(run(data=(x + rank, label))),
        "small batch": refusal(run(settings=replace(SETTINGS, batch_size=1))),
        "forward derivative": refusal(run(loss=forward_derivative)),
        "input gradient": refusal(lambda: shared(x.clone().requires_grad_(), x[:, 0], label)),
        "rows": refusal(lambda: shared(x, x[:3, 0], label)),
        "non-finite": refusal(run(loss=bad_weights, folder=folder / "bad", checkpoint_seconds=0.0)),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def processes(folder):
    """What both processes found."""
    command = [*TORCHRUN, __file__, str(folder)]
    done = subprocess.run(command, env=ENV, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def far(ours, theirs):
    """Largest difference, relative to the largest entry."""
    ours, theirs = ([t.detach() for t in tensors] for tensors in (ours, theirs))
    gap = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    return gap / max(float(b.abs().max()) for b in theirs)


@pytest.mark.slow
def test_the_gradient_is_that_of_one_process_on_the_joined_batch(processes):
    network = network_of()
    expected = gradients(network, network)
    twice = gradients(network, network, weighted)
    assert all(float(g.abs().max()) > 0 for g in expected[:2])
    for found in processes:
        # Float64 sums in another order.
        assert far(found["gradients"], expected) < 1e-13
        assert far(found["two calls"], twice) < 1e-13
        for wrong in ("mean for sum", "other seeds", "no sync", "plain DDP"):
            assert far(found[wrong], expected) > 1e-2, wrong


@pytest.mark.slow
def test_a_run_is_that_of_one_process_and_the_same_in_all(processes):
    expected = train(network_of(), LOSS, data_of(), SETTINGS)
    first, second = (found["whole"] for found in processes)
    for name, network in (("last", expected.last), ("average", expected.network)):
        # Adam divides by the root of the gradient's square: round-off grows where that is small.
        assert far(first[name], list(network.parameters())) < 1e-10
        assert all(map(torch.equal, first[name], second[name]))
        assert far(first[name], list(network_of().parameters())) > 1e-3, "nothing was trained"
    assert first["records"] == second["records"]
    assert first["records"][0]["loss"] == pytest.approx(expected.records[0]["loss"], rel=1e-12)


@pytest.mark.slow
def test_the_first_process_writes_and_all_go_on_from_its_checkpoint(processes):
    assert [found["lead"] for found in processes] == [True, False]
    assert [found["processes"] for found in processes] == [2, 2]
    assert [found["saves"] for found in processes] == [[6], []]
    for found in processes:
        assert found["seen"] == [4, 5, 6]
        for name in ("last", "average"):
            assert all(map(torch.equal, found["whole"][name], found["cut"][name]))
        assert found["whole"]["records"] == found["cut"]["records"]
        assert all(map(torch.equal, found["cut"]["last"], found["again"]))


@pytest.mark.slow
def test_processes_that_disagree_are_refused_in_all_of_them(processes, folder):
    for found in processes:
        refusals = found["refusals"]
        assert refusals["network"] == "the processes disagree in: weights"
        assert refusals["settings"] == "the processes disagree in: settings"
        assert refusals["data"] == "the processes disagree in: data"
        assert "0, 2, 1" in refusals["small batch"] or "1, 2, 1" in refusals["small batch"]
        assert "no derivatives" in refusals["forward derivative"]
        assert "no derivatives" in refusals["input gradient"]
        assert "disagree in rows" in refusals["rows"]
        assert "stopped at step 1" in refusals["non-finite"]
    assert not list((folder / "bad").glob("*"))


@pytest.mark.slow
def test_the_script_for_torchrun_trains_as_it_does_alone(tmp_path):
    script = Path(__file__).parents[1] / "scripts" / "train_digits.py"
    launchers = {"alone": [sys.executable], "two": TORCHRUN}
    for name, launcher in launchers.items():
        command = [*launcher, script, "--steps=4", "--batch=9", "--out", tmp_path / name]
        done = subprocess.run(
            command, env=ENV, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("mean loss") == 1, "the first process alone speaks"
        assert "Warning" not in done.stderr
    alone, two = (torch.load(tmp_path / name) for name in launchers)
    # Single precision, and dropout's masks differ: near, and not the same.
    gap = far([two[name] for name in alone], list(alone.values()))
    assert 0 < gap < 0.05


def script_module():
    path = Path(__file__).parents[1] / "scripts" / "train_digits.py"
    spec = importlib.util.spec_from_file_location("train_digits", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_takes_larger_sets_by_name(tmp_path, monkeypatch, capsys):
    script = script_module()
    assert list(script.SETS) == list(DATA_HASHES)
    generator = torch.Generator().manual_seed(0)
    part = Split(torch.rand(6, 1, 28, 28, generator=generator) * 2 - 1, torch.arange(6))
    monkeypatch.setitem(script.SETS, "mnist", lambda: Splits(part, part, part, n_levels=256))
    small = ["--data=mnist", "--channels=8", "--steps=2", "--batch=4"]
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global stream
        script.main([*small, f"--out={tmp_path / 'weights'}"])
    assert "mean loss" in capsys.readouterr().out
    network = UNet(28, 8, n_classes=10, multipliers=(1, 2, 2), dropout=0.1)
    network.eval().load_state_dict(torch.load(tmp_path / "weights"))
    t = torch.rand(6, generator=generator)
    assert network(part.images, t, part.labels).shape == part.images.shape


def test_the_script_says_in_one_sentence_that_a_set_cannot_be_fetched(monkeypatch, capsys):
    script = script_module()

    def gone():
        raise DownloadError("no server answers")

    monkeypatch.setitem(script.SETS, "mnist", gone)
    with pytest.raises(SystemExit, match="1"):
        script.main(["--data=mnist"])
    assert capsys.readouterr().err == "no server answers\n"


def test_the_parts_are_the_batch_each_row_once():
    for n_rows in range(1, 12):
        for n_ranks in range(1, n_rows + 1):
            parts = [rows_of(rank, n_ranks, n_rows) for rank in range(n_ranks)]
            rows = [row for part in parts for row in range(n_rows)[part]]
            assert rows == list(range(n_rows))
            sizes = {part.stop - part.start for part in parts}
            assert max(sizes) - min(sizes) <= 1 <= min(sizes)
    for wrong in ((2, 2, 4), (-1, 2, 4), (0, 5, 4), (0, 0, 4)):
        with pytest.raises(ValueError, match="processes"):
            rows_of(*wrong)


def test_one_process_is_the_lead():
    assert is_lead()
    assert n_processes() == 1


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
