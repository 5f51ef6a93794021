"""Calls the widgets' JavaScript in node, so that its numbers can be held against the package's."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from book import node

ROOT = Path(__file__).resolve().parents[2]
CALL = Path(__file__).with_name("call.mjs")


@pytest.fixture(scope="session")
def javascript() -> Callable[..., list]:
    """`javascript("maths/random.mjs", ["normals", 4, 0], ...)` gives the answers in order."""

    def call(module: str, *calls: list) -> list:
        answers = node.run(CALL, {"module": module, "calls": list(calls)}, ROOT)
        assert isinstance(answers, list)
        return answers

    return call


# In a process of its own, as the build does it: here every call checks shapes, and a graph that
# was traced through such checks has one size of batch.
EXPORT = """
import sys
from pathlib import Path
from book import models

names = {name: models.MODELS[name] for name in sys.argv[2:]}
for path, content in models.site_files(Path.cwd(), names).items():
    file = Path(sys.argv[1], Path(path).name)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
"""


@pytest.fixture(scope="session")
def site_models(tmp_path_factory) -> Callable[..., Path]:
    """`site_models("digits", ...)` gives a folder of these networks as the site has them."""

    def make(*names: str) -> Path:
        folder = tmp_path_factory.mktemp("models")
        path = os.pathsep.join(str(ROOT / part) for part in ("scripts", "src"))
        command = [sys.executable, "-c", EXPORT, str(folder), *names]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return folder

    return make
