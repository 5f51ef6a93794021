"""The networks of the pages: exported once, named by their hash, never from damaged weights."""

import gzip
import hashlib
import json
import sys
import types
from pathlib import Path

import pytest
import torch

from book import models, node
from book.errors import BookError
from book.models import Published
from fromnoise.networks import MLP
from fromnoise.provenance import load_tensors, save_tensors

ROOT = Path(__file__).resolve().parents[2]


def points() -> dict[str, torch.Tensor]:
    return {"x_t": torch.ones(2, 2), "t": torch.ones(2)}


TOY = Published("toy/points", "model", "toy_loader:load", points)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project of one published network and the file that exports it."""
    write_weights(tmp_path, seed=0)
    code = tmp_path / "src" / "fromnoise" / "export.py"
    code.parent.mkdir(parents=True)
    code.write_text("OPSET = 18\n")

    def load(path: Path) -> MLP:
        network = MLP(2, width=8, n_blocks=1)
        network.load_state_dict(load_tensors(path)[0])
        return network.eval()

    loader = types.ModuleType("toy_loader")
    loader.load = load
    monkeypatch.setitem(sys.modules, "toy_loader", loader)
    return tmp_path


def write_weights(root: Path, seed: int) -> Path:
    path = TOY.path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, dict(MLP(2, width=8, n_blocks=1, seed=seed).state_dict()))
    return path


def made(root: Path, published: Published = TOY) -> tuple[dict, bytes]:
    return models._model(root, "toy", published)


def exports(monkeypatch) -> list[str]:
    """Names of the networks that are exported from now on."""
    seen = []
    right = models._export

    def export(root: Path, name: str, published: Published) -> bytes:
        seen.append(name)
        return right(root, name, published)

    monkeypatch.setattr(models, "_export", export)
    return seen


def test_the_list_tells_what_the_file_is(root):
    says, packed = made(root)
    content = gzip.decompress(packed)
    assert says == {
        "file": "toy.onnx.gz",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "compressed": len(packed),
        "inputs": {
            "x_t": {"type": "float32", "dims": ["batch", 2]},
            "t": {"type": "float32", "dims": ["batch"]},
        },
        "outputs": {"output": {"type": "float32", "dims": ["batch", 2]}},
        "experiment": "toy/points",
        "command": "python scripts/build_figures.py run toy/points",
        "weights_sha256": hashlib.sha256(TOY.path(root).read_bytes()).hexdigest(),
    }
    assert packed[4:8] == bytes(4)  # the time in a gzip file: none, so that equal is equal


def test_a_network_is_exported_once_and_again_when_what_it_stands_on_changes(root, monkeypatch):
    seen = exports(monkeypatch)
    first = made(root)
    assert made(root) == first
    assert len(seen) == 1
    write_weights(root, seed=1)
    assert made(root)[0]["sha256"] != first[0]["sha256"]
    assert len(seen) == 2
    write_weights(root, seed=0)
    assert made(root) == first
    assert len(seen) == 2
    (root / "src" / "fromnoise" / "export.py").write_text("OPSET = 19\n")
    made(root)
    assert len(seen) == 3
    (root / "src" / "fromnoise" / "export.py").write_text("OPSET = 19  # a comment\n")
    made(root)
    assert len(seen) == 3
    monkeypatch.setattr(models.importlib.metadata, "version", lambda name: "0")
    made(root)
    assert len(seen) == 4


@pytest.mark.parametrize("damage", ["a bit", "the end", "all of it"])
def test_a_damaged_cache_is_made_again(root, monkeypatch, damage):
    first = made(root)
    seen = exports(monkeypatch)
    (kept,) = (root / models.CACHE).iterdir()
    content = bytearray(kept.read_bytes())
    if damage == "a bit":
        content[len(content) // 2] ^= 4
    kept.write_bytes({"a bit": content, "the end": content[:-9], "all of it": b""}[damage])
    assert made(root) == first
    assert seen == ["toy"]


def test_weights_that_are_not_there_or_damaged_stop_the_build_in_words(root):
    path = TOY.path(root)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(BookError, match=r"toy cannot be exported: .* is damaged"):
        made(root)
    path.unlink()
    with pytest.raises(BookError, match=r"docs/figures/toy/points\.model\.safetensors"):
        made(root)


def test_a_part_to_take_away_must_be_a_switch_of_the_network(root):
    wrong = Published(TOY.experiment, TOY.weights, TOY.loader, points, without="time_embeding")
    with pytest.raises(BookError, match="time_embeding"):
        made(root, wrong)


def test_the_runtime_is_the_plain_build_of_the_package(root):
    says, packed = models._runtime(ROOT)
    content = gzip.decompress(packed)
    installed = ROOT / "node_modules" / models.RUNTIME
    assert content == installed.read_bytes()
    assert content[:4] == b"\0asm"
    assert says["sha256"] == hashlib.sha256(content).hexdigest()
    assert says["compressed"] == len(packed) < 4e6
    package = json.loads((ROOT / "package.json").read_text())
    assert says["package"] == f"onnxruntime-web {package['dependencies']['onnxruntime-web']}"


def bundled(*names: str) -> dict[str, str]:
    entries = {name: f"./src/widgets/{name}.mjs" for name in names}
    found = node.run(ROOT / "scripts" / "book" / "bundle.mjs", entries, ROOT)
    assert isinstance(found, dict)
    return found


def test_the_worker_comes_with_the_first_widget_that_runs_a_network():
    assert set(bundled("noising")) == {"noising"}
    assert set(bundled("noising", "digit_sampler")) == {"noising", "digit_sampler", "worker"}


def test_the_code_of_the_pages_makes_no_code_and_names_no_place_of_this_machine():
    for name, code in bundled("digit_sampler").items():
        assert "new Function" not in code, name
        assert "eval(" not in code.replace(".eval(", ""), name
        assert str(ROOT) not in code
        assert str(Path.home()) + "/" not in code
    assert "Microsoft Corporation" in bundled("digit_sampler")["worker"]  # its license asks for it
