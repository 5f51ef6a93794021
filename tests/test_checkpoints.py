"""A saved run is read back to the bit, and another's is refused."""

import pytest
import torch
from torch import nn

from fromnoise.checkpoints import TrainingState, identity_of
from fromnoise.networks import MLP, seeded
from fromnoise.provenance import CorruptFile


def state_of(seed=0):
    network = MLP(2, width=8, seed=seed)
    return TrainingState(
        network=network,
        average=MLP(2, width=8, seed=seed),
        optimizer=torch.optim.AdamW(network.parameters(), fused=True),
        generator=torch.Generator().manual_seed(seed),
        identity=identity_of(network, {"seed": seed}, (torch.ones(3, 2),)),
    )


def step(state):
    x = torch.randn(4, 2, generator=state.generator)
    state.optimizer.zero_grad()
    state.network(x, torch.rand(4)).sub(1.0).square().mean().backward()
    state.optimizer.step()
    state.step += 1
    state.loss_sum, state.loss_count = state.loss_sum + 0.1, state.loss_count + 1


def bits(state):
    kept = state.optimizer.state_dict()["state"]
    moments = [kept[index][name] for index in sorted(kept) for name in sorted(kept[index])]
    return [*state.network.parameters(), *state.average.parameters(), *moments]


@pytest.fixture
def own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def test_a_run_read_back_goes_on_to_the_same_bits(tmp_path, own_rng):
    whole = state_of()
    whole.set_global_rng(7)
    for _ in range(3):
        step(whole)
    whole.record({"bound": 1.5})
    step(whole)
    whole.save(tmp_path / "new" / "own" / "run.safetensors")
    for _ in range(2):
        step(whole)

    torch.rand(5)  # the global stream is elsewhere when the run is taken up
    resumed = state_of()
    resumed.restore(tmp_path / "new" / "own" / "run.safetensors")
    assert (resumed.step, resumed.records, resumed.loss_count) == (4, whole.records, 1)
    resumed.set_global_rng(7)
    for _ in range(2):
        step(resumed)
    assert all(map(torch.equal, bits(whole), bits(resumed)))
    assert torch.equal(whole.generator.get_state(), resumed.generator.get_state())

    # Without the global stream, or without the moments, it is another run.
    for forget in ("stream", "moments"):
        wrong = state_of()
        wrong.restore(tmp_path / "new" / "own" / "run.safetensors")
        if forget == "stream":
            torch.default_generator.manual_seed(8)
        else:
            wrong.set_global_rng(7)
            wrong.optimizer = torch.optim.AdamW(wrong.network.parameters(), fused=True)
        for _ in range(2):
            step(wrong)
        pairs = zip(whole.network.parameters(), wrong.network.parameters(), strict=True)
        assert not all(torch.equal(a, b) for a, b in pairs), forget


def test_the_global_stream_starts_from_the_seed_after_the_runs_own(own_rng):
    state_of().set_global_rng(7)
    assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(8).get_state())


def test_a_record_holds_the_mean_loss_since_the_last():
    state = state_of()
    state.loss_sum, state.loss_count, state.step = 3.0, 2, 5
    state.record({})
    state.record({"bound": 2.0})
    assert state.records == [
        {"step": 5.0, "loss": 1.5},
        {"step": 5.0, "loss": 0.0, "bound": 2.0},
    ]
    state.loss_sum, state.loss_count = 4.0, 1
    state.record({})
    assert state.records[-1]["loss"] == 4.0


def test_a_file_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    state_of().save(path)
    with pytest.raises(ValueError, match="other settings, data or network"):
        state_of(seed=1).restore(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=r"run\.safetensors"):
        state_of().restore(path)


def test_the_identity_tells_networks_settings_and_data_apart():
    def of(weight=1.0, rate=0.1, value=1.0):
        with seeded(0):
            network = nn.Linear(1, 1, bias=False)
        network.weight.data.fill_(weight)
        return identity_of(network, {"rate": rate}, (torch.full((2,), value),))

    assert of() == of()
    assert all(of() != other for other in (of(weight=2.0), of(rate=0.2), of(value=0.0)))
