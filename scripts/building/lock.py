"""One build at a time for an experiment and size. The lock of a process that dies is free at once.

The operating system holds the lock itself and drops it with the process, however that ends. The
note beside it only says who holds it.
"""

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from building.tree import BuildError
from fromnoise.provenance import write_whole


def folder(root: Path) -> Path:
    """Where locks lie."""
    return root / ".build" / "locks"


@contextmanager
def held(
    root: Path, names: Iterable[str], wait: bool = True, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Hold several locks of a tree.

    Args:
        root: The tree.
        names: What is locked, each `<chapter>.<name>.<size>`.
        wait: Wait for another build to end; otherwise say who holds the lock, and fail.
        say: Told when we wait, and for whom.

    Raises:
        BuildError: Another build holds a lock, and `wait` is false.
    """
    folder(root).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name in sorted(set(names)):  # all builds in one order, so that no two wait for others
            stack.enter_context(_one(folder(root) / name, wait, say))
        yield


@contextmanager
def _one(path: Path, wait: bool, say: Callable[[str], None]) -> Iterator[None]:
    note = path.with_name(f"{path.name}.json")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            raise BuildError(f"another build of {path.name} is at work: {_holder(note)}") from error
        say(f"Waiting for another build of {path.name}: {_holder(note)}")
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
