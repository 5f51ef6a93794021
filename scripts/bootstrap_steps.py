"""The steps that make the environment: a virtual environment, its packages, node's packages.

Run by bootstrap.py, before anything is installed, so it uses the standard library alone.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
LOG = ROOT / ".build" / "logs" / "bootstrap.log"
STAMP = VENV / "installed.sha256"

INPUTS = ("pyproject.toml", "constraints.txt", "package.json", "package-lock.json")


def fingerprint() -> str:
    """Hash of everything that decides what is installed."""
    digest = hashlib.sha256()
    for name in INPUTS:
        path = ROOT / name
        digest.update(name.encode() + (path.read_bytes() if path.exists() else b""))
    return digest.hexdigest()


def pinned(package: str) -> str:
    """The line of constraints.txt that pins this package."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.startswith(f"{package}=="):
            return line
    sys.exit(f"constraints.txt pins no version of {package}.")


def step(title: str, command: list[str], hint: str) -> None:
    """Run one command quietly; on failure say in one sentence what to do, and where the log is."""
    start = time.monotonic()
    print(f"  {title} ...", end="", flush=True)
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        log.flush()
        try:
            status = subprocess.call(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        except OSError as error:
            log.write(f"{error}\n")
            status = 1
    if status != 0:
        print(" failed")
        sys.exit(f"Could not finish: {title}. {hint} The whole output is in {LOG}.")
    print(f" {time.monotonic() - start:.0f} s")


def main() -> None:
    """Install what is missing or out of date; do nothing, quickly, when all is there."""
    if STAMP.exists() and STAMP.read_text() == fingerprint():
        return
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    print("Setting up .venv (once; a few minutes, most of it PyTorch)")
    python = str(BIN / "python")
    if not (BIN / "python").exists():
        shutil.rmtree(VENV, ignore_errors=True)
        step(
            "virtual environment",
            [sys.executable, "-m", "venv", str(VENV)],
            "Is the venv module there (on Debian: the package python3-venv)?",
        )
    network = "Is there a network, or a package mirror set for pip?"
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "-c", "constraints.txt"]
    # torch first and by version: a range would let pip take a newer, much larger build.
    step("PyTorch", [*pip, pinned("torch")], network)
    step("Python packages", [*pip, "-e", ".[site,test,dev]"], network)
    if (ROOT / "package.json").exists():
        step(
            "fonts and math renderer",
            [str(BIN / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            "Is there a network, or a package mirror set for npm?",
        )
    STAMP.write_text(fingerprint())
