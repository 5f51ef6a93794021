"""An exported network computes what the network does, and its file tells nothing else."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from fromnoise import export
from fromnoise.dit import DiT
from fromnoise.export import export_network
from fromnoise.networks import MLP, UNet
from fromnoise.transformer import Transformer

ROOT = Path(__file__).resolve().parents[1]


def trained(network: nn.Module) -> nn.Module:
    """The network with weights in place of the zeros that it starts with."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return network.eval()


def images(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "x_t": torch.randn((rows, 1, 8, 8), generator=generator),
        "t": torch.rand(rows, generator=generator),
        "label": torch.randint(0, 11, (rows,), generator=generator),
    }


def points(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "x_t": torch.randn((rows, 2), generator=generator),
        "t": torch.rand(rows, generator=generator),
    }


def words(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"tokens": torch.randint(0, 5, (rows, 6), generator=generator)}


NETWORKS = {
    "MLP": (lambda: MLP(2, width=16, n_blocks=2), points),
    "UNet": (lambda: UNet(8, 8, 10), images),
    "Transformer": (lambda: Transformer(5, 6, 16, n_blocks=1, n_heads=2), words),
}


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    make, inputs = NETWORKS[request.param]
    network = trained(make())
    path = tmp_path_factory.mktemp("export") / "network.onnx"
    digest = export_network(network, inputs(3), path)
    return network, inputs, path, digest


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_graph_computes_what_the_network_does_for_any_batch(exported, rows):
    network, inputs, path, _ = exported
    given = inputs(rows, seed=rows)
    (found,) = ReferenceEvaluator(str(path)).run(None, {k: v.numpy() for k, v in given.items()})
    with torch.no_grad():
        wanted = network(**given).numpy()
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-5
    assert np.abs(wanted).max() > 0.1  # or zeros would pass


def test_names_batch_and_operators_are_as_promised(exported):
    _, inputs, path, digest = exported
    model = onnx.load(path)
    assert [value.name for value in model.graph.input] == list(inputs(2))
    assert [value.name for value in model.graph.output] == ["output"]
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    (operators,) = [o for o in model.opset_import if o.domain == ""]
    assert operators.version == export.OPSET
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def secrets_in(content: bytes) -> list[bytes]:
    """What betrays the machine, or who wrote the code."""
    words = (b"/", b"\\", b".py", b"File ", b"line ", b"fromnoise", str(Path.home()).encode())
    strings = content.decode("latin-1")
    # Weights are bytes too: only runs of printable letters can be a path.
    runs = [r.encode("latin-1") for r in re.findall(r"[\x20-\x7e]{6,}", strings)]
    return [run for run in runs if any(word in run for word in words)]


def without_weights(path: Path) -> bytes:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
    return model.SerializeToString()


def test_the_file_tells_nothing_of_the_machine(exported):
    *_, path, _ = exported
    assert secrets_in(without_weights(path)) == []
    for word in (
        str(ROOT).encode(),
        str(Path.home()).encode() + b"/",
        b"stack_trace",
        b"fromnoise",
    ):
        assert word not in path.read_bytes()


def test_unstripped_the_file_would_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_strip", lambda model: None)
    path = tmp_path / "network.onnx"
    export_network(trained(MLP(2, width=8, n_blocks=1)), points(2), path)
    assert secrets_in(without_weights(path))
    assert str(ROOT).encode() in path.read_bytes()


SCRIPT = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from fromnoise.export import export_network
from fromnoise.networks import MLP
given = {"x_t": torch.ones(int(sys.argv[2]), 2), "t": torch.ones(int(sys.argv[2]))}
print(export_network(MLP(2, width=8, seed=3).eval(), given, "network.onnx"))
"""


def test_one_network_gives_one_file_in_every_process(tmp_path):
    def digest(rows: int, name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        command = [sys.executable, "-c", SCRIPT, str(ROOT / "src"), str(rows)]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    first = digest(2, "a")
    assert digest(5, "b") == first
    here = tmp_path / "network.onnx"
    assert export_network(MLP(2, width=8, seed=3).eval(), points(4), here) == first
    assert export_network(MLP(2, width=8, seed=4).eval(), points(4), here) != first


def test_the_random_state_stays(tmp_path):
    network = MLP(2, width=8, n_blocks=1).eval()
    before = torch.get_rng_state()
    export_network(network, points(2), tmp_path / "network.onnx")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_graph_of_another_network_is_refused_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"old")
    network, other = (trained(MLP(2, width=8, n_blocks=1, seed=seed)) for seed in (0, 1))
    right = export._traced
    monkeypatch.setattr(export, "_traced", lambda _, *rest: right(other, *rest))
    with pytest.raises(ValueError, match="differs from the network"):
        export_network(network, points(2), path)
    assert path.read_bytes() == b"old"


class Counting(nn.Module):
    """Divides by the number of rows: as a size, or as the number that it had when traced."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.frozen = frozen

    def forward(self, x_t):
        """The batch, divided by its size."""
        return x_t / (len(x_t) if self.frozen else x_t.shape[0])


def test_the_size_of_the_batch_is_no_constant(tmp_path):
    path = tmp_path / "network.onnx"
    export_network(Counting(frozen=False).eval(), {"x_t": torch.ones(2, 3)}, path)
    (found,) = ReferenceEvaluator(str(path)).run(None, {"x_t": np.ones((5, 3), np.float32)})
    assert np.allclose(found, 1 / 5)


@pytest.mark.parametrize(
    "network, inputs",
    [
        (Counting(frozen=True), {"x_t": torch.ones(2, 3)}),
        (DiT(8, 16, 10, patch_size=4, n_blocks=1, n_heads=2), images(3)),  # it calls len()
    ],
)
def test_a_size_that_is_written_down_is_refused(network, inputs, tmp_path):
    with pytest.raises(ValueError, match="no graph for any size of batch"):
        export_network(network.eval(), inputs, tmp_path / "network.onnx")


@pytest.mark.parametrize(
    "network, inputs, words",
    [
        (MLP(2), points(2), "training mode"),
        (MLP(2).eval().double(), points(2), "float32, got torch.float64"),
        (MLP(2).eval(), {}, "at least one"),
        (MLP(2).eval(), points(1), "two rows"),
        (MLP(2).eval(), {**points(3), "t": torch.ones(2)}, "same number of rows"),
        (MLP(2).eval(), {**points(3), "t": torch.ones(3).double()}, "t must be float32 or int64"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_words(network, inputs, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        export_network(network, inputs, tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_the_network_lacks_is_named(tmp_path):
    with pytest.raises(TypeError, match="noise"):
        export_network(MLP(2).eval(), {**points(3), "noise": torch.ones(3)}, tmp_path / "n.onnx")


def test_without_onnx_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match="install onnx and onnxscript"):
        export_network(MLP(2).eval(), points(2), tmp_path / "network.onnx")
