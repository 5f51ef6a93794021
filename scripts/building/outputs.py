"""Outputs come into place in an order in which no half of them can be taken for the whole.

All files are made in a folder of their own. They are then moved one by one, the manifest last. A
kill in between leaves an old manifest beside a new figure, whose hash it does not hold: stale.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from building.tree import Experiment


def staging(experiment: Experiment, size: str) -> Path:
    """Folder of unfinished outputs, on the file system of the finished ones."""
    return experiment.root / ".build" / "staging" / experiment.lock(size)


@contextmanager
def draft(experiment: Experiment, size: str) -> Iterator[Path]:
    """An empty folder for the outputs of one run, gone at the end."""
    folder = staging(experiment, size) / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, destination: Path, manifest_name: str) -> None:
    """Move the files of a draft into place, the manifest last.

    Raises:
        OSError: There is no room or no permission.
    """
    destination.mkdir(parents=True, exist_ok=True)
    files = sorted(folder.iterdir(), key=lambda path: (path.name == manifest_name, path.name))
    for file in files:
        with open(file, "rb+") as content:
            os.fsync(content.fileno())
    for file in files:
        os.replace(file, destination / file.name)


def clear_staging(experiment: Experiment, size: str) -> None:
    """Remove what killed runs left; only for the holder of the lock."""
    shutil.rmtree(staging(experiment, size), ignore_errors=True)
