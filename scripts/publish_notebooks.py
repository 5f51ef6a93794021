"""Put the companion notebooks on a branch of their own, from which Colab opens them.

They are made by the build and not kept with the sources. The branch holds nothing else and no
history: it is written anew each time.

    REPO_URL=https://github.com/<owner>/<name> TOKEN=... python scripts/publish_notebooks.py
"""

import base64
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "src")]

from book import notebooks  # noqa: E402
from book.volume import Volume  # noqa: E402


def publish(volume: Volume, remote: str, token: str = "") -> int:
    """Write the notebooks and push them; return how many there are.

    Args:
        volume: The book, loaded; its repository stands in the first cell of each notebook.
        remote: Address to push to.
        token: What lets one push there; given to git through the environment, so that it shows
            neither in an address nor among the processes.

    Raises:
        subprocess.CalledProcessError: git refuses.
    """
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    if token:
        secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraheader",
            "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {secret}",
        }
    with tempfile.TemporaryDirectory() as folder:

        def git(*arguments: str) -> None:
            subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)

        paths = notebooks.write(volume)
        for path in paths:
            shutil.copy(volume.root / notebooks.FOLDER / path, folder)
        git("init", "--quiet", "--initial-branch", notebooks.BRANCH)
        git("config", "user.name", "From Noise")
        git("config", "user.email", "notebooks@localhost")
        git("add", ".")
        git("commit", "--quiet", "--message", "Notebooks of the book, made by its build")
        git("push", "--quiet", "--force", remote, notebooks.BRANCH)
    return len(paths)


def main() -> int:
    """Publish to the repository that the environment names."""
    address = os.environ.get("REPO_URL", "")
    if not notebooks.GITHUB.fullmatch(address):
        print(f"REPO_URL is no address of a repository on GitHub: {address!r}", file=sys.stderr)
        return 2
    volume = Volume(repository=address).load()
    count = publish(volume, address, os.environ.get("TOKEN", ""))
    print(f"{count} notebooks on the branch {notebooks.BRANCH}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
