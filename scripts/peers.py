"""Compare the library with current releases of its peers, in an environment of their own.

Run by `make peers`; no part of `make test`. Nothing is pinned but PyTorch: the point is to hear
of it when a peer changes its mind. A peer that cannot be had here is named and left out.
"""

import shutil
import subprocess
import sys

from bootstrap_steps import ROOT, pinned

FOLDER = ROOT / ".build" / "peers"
PYTHON = FOLDER / "venv" / "bin" / "python"
LOG = FOLDER / "install.log"
# What the package itself, the tests and the peers' formulas need.
FLOOR = ["numpy", "scipy", "scikit-learn", "jaxtyping", "safetensors"]
TOOLS = ["pytest", "pytest-timeout", "beartype", "einops", "tqdm"]
PEERS = {
    "diffusers": ("compare_diffusers.py", []),
    # Bare: they would bring training frameworks and image readers that no formula needs.
    "torchcfm": ("compare_torchcfm.py", ["--no-deps"]),
    "smalldiffusion": ("compare_smalldiffusion.py", ["--no-deps"]),
    "POT": ("compare_transport.py", []),
    "scipy": ("compare_scipy.py", []),
}
VERSIONS = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"


def pip(*arguments: str) -> bool:
    """Install, quietly; the whole output goes to the log."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    with LOG.open("a") as log:
        print("$", *command[2:], file=log, flush=True)
        return subprocess.call(command, cwd=ROOT, stdout=log, stderr=log) == 0


def version(package: str) -> str:
    """The installed version, or nothing."""
    found = subprocess.run([PYTHON, "-c", VERSIONS, package], capture_output=True, text=True)
    return found.stdout.strip()


def main() -> None:
    """Make the environment, bring the peers up to date, compare."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    if not PYTHON.exists():
        shutil.rmtree(FOLDER / "venv", ignore_errors=True)
        subprocess.check_call([sys.executable, "-m", "venv", str(FOLDER / "venv")])
    # torch first and by version: a range would let pip take a newer, much larger build.
    torch = pinned("torch")
    print(f"Installing {torch} and the peers' current releases (a few minutes the first time) ...")
    if not (pip(torch) and pip(torch, *FLOOR, *TOOLS) and pip("--no-deps", "-e", ".")):
        sys.exit(f"Could not make the environment. Is there a network? The log is {LOG}.")
    missing = [peer for peer, (_, how) in PEERS.items() if not pip("--upgrade", *how, peer, torch)]
    if "POT" in missing:  # torchcfm stands on it
        missing = sorted({*missing, "torchcfm"})
    for peer in PEERS:
        print(f"  {peer:15} {version(peer) or 'not to be had here: left out'}")
    files = [
        str(ROOT / "tests" / "peers" / file) for p, (file, _) in PEERS.items() if p not in missing
    ]
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-o", "python_files=compare_*.py"]
    code = subprocess.call([str(PYTHON), "-m", "pytest", *options, *files], cwd=ROOT)
    left_out = f" Left out: {', '.join(missing)}." if missing else ""
    print(("All comparisons hold." if code == 0 else "Some comparisons failed.") + left_out)
    sys.exit(code)


if __name__ == "__main__":
    main()
