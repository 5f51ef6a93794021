"""Files fetched once, checked against a published SHA-256 before anything reads them.

A file is written under a temporary name, checked, and only then moved to its place, so a stopped
download never looks like a finished one. A cached file is checked again each time it is used.

Source:
    The book's own.
"""

import gzip
import hashlib
import http.client
import os
import struct
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class DownloadError(OSError):
    """A file could not be fetched, or what came is not the published file."""


class RemoteFile(NamedTuple):
    """A published file: its name under the base address, size in bytes and SHA-256.

    Attributes:
        sha256: Its SHA-256, in hexadecimal.
    """

    name: str
    n_bytes: int
    sha256: str


def cache_folder(name: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where files of a data set lie: `cache_dir`, else $FROMNOISE_DATA, else ~/.cache/fromnoise.

    Args:
        name: Name of the data set, a folder of its own.
        cache_dir: Folder to use in place of the default.
    """
    root = cache_dir or os.environ.get("FROMNOISE_DATA") or Path.home() / ".cache" / "fromnoise"
    return Path(root) / name


def fetch(file: RemoteFile, base_url: str, folder: Path, timeout: float = 30.0) -> bytes:
    """Bytes of a published file, from `folder` if a sound copy lies there, else from the network.

    Args:
        file: What to fetch, with its published size and hash.
        base_url: Address of the folder that holds the file.
        folder: Where the copy is kept; made if missing.
        timeout: Seconds without an answer after which the network is given up.

    Raises:
        DownloadError: The network does not answer, the transfer is cut off, or the bytes that came
            do not have the published hash. Nothing is kept in any of these cases.
    """
    path = folder / file.name
    cached = path.read_bytes() if path.is_file() else None
    if cached is not None and _sha256(cached) == file.sha256:
        return cached
    url = base_url.rstrip("/") + "/" + file.name
    try:
        content = _download(url, file, timeout)
    except DownloadError as error:
        if cached is None:
            raise
        raise DownloadError(f"the cached copy {path} is damaged, and {error}") from error
    _write_atomically(path, content)
    return content


def parse_idx(content: bytes, name: str = "file") -> NDArray[np.uint8]:
    """Array held by a gzip-compressed IDX file of unsigned bytes.

    The layout is two zero bytes, a type code (8 for unsigned bytes), the number of dimensions, one
    big-endian 32-bit size per dimension, then the entries in row-major order.

    Args:
        content: The compressed bytes.
        name: How to call the file in an error.

    Raises:
        ValueError: The bytes are not such a file.
    """
    try:
        raw = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise ValueError(f"{name} is not a whole gzip file: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"{name} is not an IDX file of unsigned bytes: it begins {raw[:4]!r}")
    n_axes = raw[3]
    header = 4 + 4 * n_axes
    if len(raw) < header:
        raise ValueError(f"{name} ends inside its header")
    shape = struct.unpack(f">{n_axes}I", raw[4:header])
    entries = np.frombuffer(raw, dtype=np.uint8, offset=header)
    if entries.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{name} promises the shape {shape} but holds {entries.size} entries")
    return entries.reshape(shape)


def _download(url: str, file: RemoteFile, timeout: float) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            # One byte more than published is enough to know that the file is another.
            content: bytes = answer.read(file.n_bytes + 1)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url} answered {error.code} {error.reason}") from error
    # A cut transfer can surface as an HTTPException, which is no OSError.
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} could not be reached or was cut off: {error}") from error
    if _sha256(content) == file.sha256:
        return content
    if content.lstrip()[:1] == b"<":
        raise DownloadError(f"{url} sent a web page in place of the file (a login or a proxy?)")
    if len(content) < file.n_bytes:
        raise DownloadError(f"{url} was cut off: {len(content)} of {file.n_bytes} bytes came")
    raise DownloadError(
        f"{url} does not have the published SHA-256: expected {file.sha256}, "
        f"got {_sha256(content)}; nothing was kept"
    )


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
