"""Calls the widgets' JavaScript in node, so that its numbers can be held against the package's."""

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
