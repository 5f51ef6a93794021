"""A trained network as an ONNX file, which other runtimes read: the pages of the book run them.

The file holds the graph and the weights and nothing of the machine that wrote it. One network gives
the same bytes each time, so its SHA-256 is its name.

Source:
    The format and its operators: <https://onnx.ai/onnx/>; the book's own.
"""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import UserError
from torch.overrides import TorchFunctionMode

from fromnoise.provenance import write_whole

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""Version of the operators: the one the exporter writes without converting from another."""
TOLERANCE = 1e-4
"""Largest difference that is rounding, as a share of the largest output (or of 1)."""
DTYPES = (torch.float32, torch.int64)


# --8<-- [start:export_network]
def export_network(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    outputs: Sequence[str] = ("output",),
) -> str:
    """Write a network as ONNX, for any size of batch, and give the SHA-256 of the file.

    What was written is run once, on another batch than it was traced with, and compared with the
    network; a graph that computes something else is not kept.

    Args:
        network: The network, in evaluation mode and float32.
        inputs: Examples by the names of the arguments of `network.forward`, at least two rows
            each, float32 or int64. The values must be ones that the network takes; they are not
            kept.
        path: The file; its folder must exist.
        outputs: Names of what the network returns, in order.

    Returns:
        The SHA-256 of the bytes, as 64 hexadecimal digits.

    Raises:
        ValueError: The network is in training mode or not float32, an example is of another type or
            has fewer than two rows or another number of them than its companions; or the graph
            would hold for one size of batch alone, or does not compute what the network does.
        TypeError: The network takes no such argument.
        ModuleNotFoundError: onnx is not installed.
        OSError: There is no room, or no permission. An old file stays as it was.
    """
    _require_exportable(network, inputs)
    try:
        import onnx
        import onnxscript  # noqa: F401 - the exporter asks for it late, and less clearly
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"to export a network, install onnx and onnxscript ({error})", name=error.name
        ) from error
    model = _traced(network, inputs, outputs)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    _require_agreement(model, network, inputs)
    content: bytes = model.SerializeToString(deterministic=True)
    write_whole(Path(path), content)
    return hashlib.sha256(content).hexdigest()


# --8<-- [end:export_network]


def _require_exportable(network: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    if network.training:
        raise ValueError("the network is in training mode, in which it drops units: call eval()")
    odd = {str(p.dtype) for p in network.parameters() if p.dtype != torch.float32}
    if odd:
        raise ValueError(f"weights must be float32, got {', '.join(sorted(odd))}")
    if not inputs:
        raise ValueError("inputs must name at least one argument of the network")
    for name, value in inputs.items():
        if value.dtype not in DTYPES:
            raise ValueError(f"{name} must be float32 or int64, got {value.dtype}")
        if value.ndim < 1 or len(value) < 2:
            # torch.export takes a size of one for a constant.
            raise ValueError(f"{name} needs at least two rows, got shape {tuple(value.shape)}")
    if len({len(value) for value in inputs.values()}) > 1:
        rows = {name: len(value) for name, value in inputs.items()}
        raise ValueError(f"all inputs need the same number of rows, got {rows}")


class _Unread(TorchFunctionMode):
    """While a graph is traced, integers count as empty.

    The networks refuse labels out of range, and skip that for an empty batch. A graph has no value
    to look at; whoever runs it must keep the range.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.numel and not args[0].is_floating_point():
            return 0
        return func(*args, **(kwargs or {}))


def _traced(
    network: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> "ModelProto":
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about its own parts
        try:
            with _Unread():
                program = torch.export.export(network, (), dict(inputs), dynamic_shapes=shapes)
        except UserError as error:
            raise ValueError(
                "no graph for any size of batch: forward reads a value, or makes a plain number of "
                f"the size, as len() does ({str(error).strip().splitlines()[0]})"
            ) from error
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            verbose=False,
        )
    assert made is not None
    return made.model_proto


def _strip(model: "ModelProto") -> None:
    """Drop what is not needed to run: paths, stack traces, shapes in the middle."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("value_info")
    graph.name = "network"
    # "2.13.0+cpu" and "2.13.0+cu126" write the same graph.
    model.producer_version = model.producer_version.partition("+")[0]
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = "batch"


def _require_agreement(
    model: "ModelProto", network: nn.Module, inputs: Mapping[str, Tensor]
) -> None:
    from onnx.reference import ReferenceEvaluator

    # One row more, so that a size of the batch that was written down as a number shows.
    odd = {name: torch.cat([value, value[:1]]).flip(0) for name, value in inputs.items()}
    found = ReferenceEvaluator(model).run(None, {name: odd[name].numpy() for name in odd})
    with torch.no_grad():
        wanted = network(**odd)
    for right, got in zip([wanted] if isinstance(wanted, Tensor) else wanted, found, strict=True):
        error = (torch.as_tensor(got) - right).abs().max().item()
        if not error <= TOLERANCE * max(1.0, right.abs().max().item()):
            raise ValueError(f"the graph differs from the network by {error:.3g}; nothing was kept")
