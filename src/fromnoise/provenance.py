"""Files that can be trusted: written whole or not at all, and checked before they are read.

Source:
    The book's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DIGEST_LENGTH = 64
"""Hexadecimal digits of a SHA-256."""


class CorruptFile(ValueError):
    """A file is not what was written: cut off, changed, or another kind of file."""


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Args:
        path: The file.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace a file at one moment: whoever reads it sees the old bytes or all the new ones.

    Args:
        path: The file; its folder must exist.
        content: The new bytes.

    Raises:
        OSError: There is no room, or no permission. The old file stays as it was.
    """
    path = Path(path)
    # Beside the target, because a move is one moment only within a file system.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(draft, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk does not say for which file
        raise


def save_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors in the safetensors format behind one line that holds their SHA-256.

    The hash lies in the file itself, so that no moment exists at which one is there without the
    other.

    Args:
        path: The file; its folder must exist.
        tensors: Contiguous tensors on the CPU, by name.
        metadata: Strings to keep with them.

    Raises:
        OSError: There is no room, or no permission. The old file stays as it was.
    """
    # Imported here: the build script hashes files, and must start without torch.
    from safetensors.torch import save

    # None for no metadata: safetensors 0.8 writes a header it cannot read for ({}, {}).
    content = save(dict(tensors), dict(metadata) if metadata else None)
    write_whole(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of `save_tensors`; nothing is parsed before the hash agrees.

    Args:
        path: The file.

    Raises:
        CorruptFile: The bytes do not have the hash that the first line states.
        OSError: The file cannot be read.
    """
    from safetensors.torch import load

    content = Path(path).read_bytes()
    digest, newline, body = (
        content[:DIGEST_LENGTH],
        content[DIGEST_LENGTH : DIGEST_LENGTH + 1],
        content[DIGEST_LENGTH + 1 :],
    )
    if newline != b"\n" or hashlib.sha256(body).hexdigest().encode() != digest:
        raise CorruptFile(f"{path} is damaged: its SHA-256 is not the one it states")
    header_length = int.from_bytes(body[:8], "little")
    metadata = json.loads(body[8 : 8 + header_length]).get("__metadata__", {})
    return load(body), metadata
