"""Importing a module loads the heavy libraries that it uses, and no others."""

import pkgutil
import subprocess
import sys

import pytest

import fromnoise

# What a module, or one that it imports, computes with.
USERS = {
    "matplotlib": {"figures"},
    "scipy.stats": {"intervals", "power", "evaluation", "extrapolation"},
    "scipy.integrate": {"adaptive", "intervals", "power", "evaluation", "extrapolation"},
    "scipy": {
        *("adaptive", "couplings", "exponential", "multistep", "solvers", "fitting"),
        *("intervals", "power", "evaluation", "extrapolation", "sample_measures"),
        "progressive_coding",
    },
    "sklearn": set(),  # imported where it is called: it costs a second
    "onnx": set(),  # the same, and only who builds the site has it
}
MODULES = {
    info.name.removeprefix("fromnoise.")
    for info in pkgutil.walk_packages(fromnoise.__path__, "fromnoise.")
    if not info.ispkg
}


@pytest.mark.parametrize("library", USERS)
def test_only_its_users_load(library):
    others = sorted(MODULES - USERS[library])
    # torch and jaxtyping first: what they load themselves is theirs to answer for.
    code = (
        f"import sys, torch, jaxtyping, importlib\n"
        f"if {library!r} in sys.modules: sys.exit(0)\n"
        f"for name in {others!r}:\n"
        f"    importlib.import_module('fromnoise.' + name)\n"
        f"    assert {library!r} not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


def test_every_user_is_a_module():
    assert set().union(*USERS.values()) <= MODULES
