"""Trained networks for the pages: published weights as ONNX, and what runs them, packed small.

Each file lies in the site beside `manifest.json`, which holds its SHA-256: the worker of the page
checks it before anything reads the bytes. Exports are kept in .build by the hash of all that they
stand on.
"""

import gzip
import hashlib
import importlib
import importlib.metadata
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from book import node
from book.errors import BookError
from building.closure import Sources
from fromnoise.provenance import CorruptFile, sha256_of, write_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

FOLDER = "assets/models"
CACHE = ".build/models"
RUNTIME = Path("onnxruntime-web/dist/ort-wasm-simd-threaded.wasm")
"""The plain build for processors: no graphics card, no generated code."""
EXPORTERS = ("torch", "onnx", "onnxscript")


@dataclass(frozen=True)
class Published:
    """Weights that an experiment publishes, and how to make the network from them."""

    experiment: str
    weights: str
    loader: str
    """Module and function that make the network from the path of the weights."""
    inputs: Callable[[], dict[str, "Tensor"]]
    """Examples by the names of the arguments of its `forward`, two rows each."""
    outputs: tuple[str, ...] = ("output",)
    """Names of what it answers, in order."""
    without: str = ""
    """A switch of the network that is turned off: a part that the reader may take away."""

    def path(self, root: Path) -> Path:
        """Where the weights lie."""
        return root / "docs" / "figures" / f"{self.experiment}.{self.weights}.safetensors"


def _digits() -> dict[str, "Tensor"]:
    import torch

    return {
        "x_t": torch.zeros(2, 1, 8, 8),
        "t": torch.tensor([0.3, 0.7]),
        "label": torch.tensor([3, 10]),
    }


DIGITS = Published("training/digits", "model", "experiments._flagship:load_network", _digits)


def _map(experiment: str, weights: str) -> Published:
    def inputs() -> dict[str, "Tensor"]:
        import torch

        return {"z": torch.tensor([[0.5, -1.0], [2.0, 0.0]]), "row": torch.tensor([0, 7])}

    outputs = ("image", "code", "label", "digit")
    return Published(experiment, weights, "experiments.vae._published:load_map", inputs, outputs)


def _text(experiment: str, weights: str, loader: str) -> Published:
    def inputs() -> dict[str, "Tensor"]:
        import torch

        return {"tokens": torch.arange(96).reshape(2, 48) % 22}

    return Published(experiment, weights, f"experiments.text._published:{loader}", inputs)


def _board() -> dict[str, "Tensor"]:
    import torch

    keep = torch.tensor([[1.0, 0.0, 1.0, 0.5, 1.0, 0.0, 1.0, 0.0, 1.0]] * 2)
    return _digits() | {"keep": keep, "put": 1 - keep, "row": torch.tensor([0, 7])}


def _images() -> dict[str, "Tensor"]:
    import torch

    return {"images": torch.zeros(2, 1, 8, 8)}


LESIONS = "experiments.lesions._published"
# name that widgets call it by: where it comes from
MODELS = {
    "digits": DIGITS,
    "digits_cut": replace(DIGITS, without="skip_connections"),
    "vae_map": _map("vae/latent_map", "whole"),
    "vae_map_without_kl": _map("vae/holes", "without_kl"),
    "vae_map_too_strong": _map("vae/holes", "too_strong"),
    "lesion_board": replace(
        DIGITS,
        loader=f"{LESIONS}:load_board",
        inputs=_board,
        outputs=("velocity", "digit", "class"),
    ),
    "judge": Published("lesions/steer", "judge", f"{LESIONS}:load_judge", _images),
    "text_masked": _text("text/budget", "masked", "load_masked"),
    "text_without_distances": _text("text/distances", "masked_cut", "load_without_distances"),
}


def site_files(root: Path, names: Mapping[str, Published] = MODELS) -> dict[str, bytes | str]:
    """Path in the site and content of each file.

    Raises:
        BookError: Weights are missing or damaged, a network cannot be exported, or the package
            that runs them is not installed.
    """
    made: dict[str, bytes | str] = {}
    runtime, packed = _runtime(root)
    made[f"{FOLDER}/{runtime['file']}"] = packed
    models = {}
    for name, published in names.items():
        models[name], packed = _model(root, name, published)
        made[f"{FOLDER}/{models[name]['file']}"] = packed
    manifest = {"models": models, "runtime": runtime}
    made[f"{FOLDER}/manifest.json"] = json.dumps(manifest, indent=1) + "\n"
    return made


def _model(root: Path, name: str, published: Published) -> tuple[dict[str, Any], bytes]:
    weights = published.path(root)
    if not weights.is_file():
        raise BookError(f"the page wants the weights {weights.relative_to(root)}, not there")
    command = f"python scripts/build_figures.py run {published.experiment}"
    key = _key(root, published, weights)
    content = _kept(root, f"{name}-{key}.onnx", lambda: _export(root, name, published))
    says, content = content.split(b"\n", 1)
    return {
        "file": f"{name}.onnx.gz",
        **_sizes(content, packed := gzip.compress(content, 9, mtime=0)),
        **json.loads(says),
        "experiment": published.experiment,
        "command": command,
        "weights_sha256": sha256_of(weights),
    }, packed


def _key(root: Path, published: Published, weights: Path) -> str:
    """Hash of the weights, of the code that makes and writes the network, and of what writes it."""
    sources = Sources(root)
    modules = [published.loader.partition(":")[0], "fromnoise.export", "book.models"]
    code = {name: source.digest for name, source in sources.closure(modules).items()}
    versions = {name: importlib.metadata.version(name) for name in EXPORTERS}
    stands_on = [sha256_of(weights), published.loader, published.without, code, versions]
    return hashlib.sha256(json.dumps(stands_on, sort_keys=True).encode()).hexdigest()[:16]


def _export(root: Path, name: str, published: Published) -> bytes:
    """A line of JSON with the network's inputs and outputs, then the ONNX file."""
    import onnx
    import torch.onnx  # noqa: F401 - it sets the level of its loggers when it is imported

    # The exporter tells of packages that it would know how to export if they were here.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # of empty lists, whose type is plain here

    from fromnoise.export import export_network

    module, _, function = published.loader.partition(":")
    try:
        network: nn.Module = getattr(importlib.import_module(module), function)(
            published.path(root)
        )
        if published.without:
            # setattr would make a switch that is not there.
            getattr(network, published.without)
            setattr(network, published.without, False)
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "network.onnx"
            export_network(network, published.inputs(), draft, published.outputs)
            content = draft.read_bytes()
    except (AttributeError, CorruptFile, ModuleNotFoundError, ValueError) as error:
        raise BookError(f"the network {name} cannot be exported: {error}") from error
    graph = onnx.load_from_string(content).graph
    says = {"inputs": _signature(graph.input), "outputs": _signature(graph.output)}
    return json.dumps(says).encode() + b"\n" + content


def _signature(values: Any) -> dict[str, dict[str, Any]]:
    import onnx

    return {
        value.name: {
            "type": {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT64: "int64"}[
                value.type.tensor_type.elem_type
            ],
            "dims": [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim],
        }
        for value in values
    }


def _runtime(root: Path) -> tuple[dict[str, Any], bytes]:
    path = node.ensure_packages(root) / RUNTIME
    package = json.loads((path.parents[1] / "package.json").read_text(encoding="utf-8"))
    content = path.read_bytes()
    sha = hashlib.sha256(content).hexdigest()
    packed = _kept(root, f"runtime-{sha[:16]}.gz", lambda: gzip.compress(content, 9, mtime=0))
    return {
        "file": "runtime.wasm.gz",
        **_sizes(content, packed),
        "package": f"{package['name']} {package['version']}",
        "license": package["license"],
    }, packed


def _sizes(content: bytes, packed: bytes) -> dict[str, Any]:
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "compressed": len(packed),
    }


def _kept(root: Path, name: str, make: Callable[[], bytes]) -> bytes:
    """Content of a file in the cache, made where it is not there or is not what was written."""
    path = root / CACHE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        digest, content = path.read_bytes().split(b"\n", 1)
        if hashlib.sha256(content).hexdigest().encode() == digest:
            return content
    except (OSError, ValueError):
        pass
    content = make()
    write_whole(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return content
