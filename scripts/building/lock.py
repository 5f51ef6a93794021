"""One build at a time in a tree. The system drops the lock of a process that dies, however."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from building.tree import ROOT, BuildError
from fromnoise.provenance import write_whole


@contextmanager
def held(
    root: Path = ROOT, wait: bool = True, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Hold the lock of the tree.

    Args:
        root: The tree.
        wait: Wait for another build to end; otherwise say who holds the lock, and fail.
        say: Told once that we wait, and for whom.

    Raises:
        BuildError: Another build holds the lock, and `wait` is false.
    """
    folder = root / ".build"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "lock.json"
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            raise BuildError(f"another build is at work: {_holder(note)}") from error
        say(f"Waiting for another build: {_holder(note)}")
        lock.acquire(poll_interval=0.2)
    try:
        me = {"pid": os.getpid(), "host": socket.gethostname()}
        write_whole(note, json.dumps(me | {"since": f"{datetime.now():%H:%M:%S}"}).encode())
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        who = json.loads(note.read_bytes())
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has not yet said who it is"
