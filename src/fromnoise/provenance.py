"""Files that can be trusted: written whole or not at all, and checked before they are read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor


class CorruptFile(ValueError):
    """A file is not what was written: cut off, changed, or another kind of file."""


def write_whole(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then move it into place."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file behind one line with its SHA-256, whole or not at all."""
    content = save(dict(tensors), dict(metadata or {}))
    write_whole(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file of `save_tensors`; nothing is parsed before the hash agrees.

    Raises:
        CorruptFile: The content does not have the hash that its first line states.
    """
    digest, _, content = Path(path).read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise CorruptFile(f"{path} is damaged (its SHA-256 does not agree): remove it")
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return load(content), metadata
