"""Build the same sources with another generator, and say what a reader would notice.

mkdocs 1.x gets no new releases. ProperDocs continues it; Zensical is written anew by the authors of
the theme. Each goes into an environment of its own under .build/exit, which borrows all other
packages from .venv. Exit status: 0 when a reader would notice nothing, 1 when one would or nothing
came out, 2 when the generator cannot be installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

try:
    from checking.book import Book
    from checking.likeness import differences
except ModuleNotFoundError as error:
    if error.name and error.name.partition(".")[0] == "checking":
        raise  # the tree itself is damaged
    sys.exit("Run `make install` once and use .venv/bin/python.")

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".build" / "exit"
GENERATORS = {"properdocs": "1.6.7", "zensical": "0.0.73"}
# What is built is the same for both, so cells that were run add nothing but time.
SETTINGS = {
    "FROMNOISE_EXECUTE": "false",
    "NO_MKDOCS_2_WARNING": "1",
    # Jupyter's templates lie beside the packages that are borrowed.
    "JUPYTER_PATH": str(Path(sys.prefix, "share", "jupyter")),
}
SHOWN = 40


class NotInstalled(Exception):
    """The generator cannot be had here."""


def environment(generator: str) -> Path:
    """The folder of programs of an environment that holds the generator, made on first use."""
    version = GENERATORS[generator]
    folder = FOLDER / f"{generator}-{version}"
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if (folder / "installed").is_file():
        return programs
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("**/site-packages")
    borrowed = next(path for path in sys.path if path.endswith("site-packages"))
    command = [programs / "python", "-m", "pip", "install", "--quiet", f"{generator}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise NotInstalled(f"{generator} {version} cannot be installed: {(said or ['?'])[-1]}")
    # Not a plain path: the packages that are linked from there must be found too.
    line = f"import site; site.addsitedir({borrowed!r})\n"
    (packages / "borrowed.pth").write_text(line, encoding="utf-8")
    (folder / "installed").touch()
    return programs


def build(command: list[str | Path], site: Path, folder: Path = ROOT) -> str:
    """Build into a folder; what the generator said when it failed, or nothing."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and (site / "index.html").is_file():
        return ""
    said = done.stderr.strip() or done.stdout.strip()
    return said or f"it ended with status {done.returncode} and no word"


def with_mkdocs(name: str, program: Path) -> tuple[Path, str]:
    """A build by mkdocs or by what has its command line."""
    site = FOLDER / f"{name}-site"
    shutil.rmtree(site, ignore_errors=True)
    command = [program, "build", "--strict", "--quiet", "-f", "mkdocs.yml", "--site-dir", site]
    return site, build(command, site)


def with_zensical(program: Path) -> tuple[Path, str]:
    """A build by Zensical, which writes beside its sources: in a copy of them."""
    copy = FOLDER / "zensical-sources"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    return copy / "site", build([program, "build"], copy / "site", copy)


def book(site: Path) -> Book:
    """A built site, to be read."""
    return Book(root=ROOT, docs=ROOT / "docs", site=site)


def main(arguments: list[str] | None = None) -> int:
    """Try the generators that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("generator", nargs="?", choices=GENERATORS, default="properdocs")
    generator = parser.parse_args(arguments).generator
    name = f"{generator} {GENERATORS[generator]}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        program = environment(generator) / generator
    except NotInstalled as error:
        print(error, file=sys.stderr)
        return 2
    if generator == "zensical":
        theirs, failure = with_zensical(program)
    else:
        theirs, failure = with_mkdocs(generator, program)
    if failure:
        pages = sum(1 for _ in theirs.rglob("*.html")) if theirs.is_dir() else 0
        print(f"{name} does not build the book ({pages} pages came out): {failure}")
        return 1
    ours, failure = with_mkdocs("mkdocs", Path(sys.executable).parent / "mkdocs")
    if failure:
        print(f"mkdocs itself does not build the book: {failure}", file=sys.stderr)
        return 1
    found = list(differences(book(ours), book(theirs)))
    for sentence in found[:SHOWN]:
        print(sentence)
    if len(found) > SHOWN:
        print(f"... and {len(found) - SHOWN} more")
    print(
        f"{name}: {len(book(theirs).pages)} pages, {len(found)} differences, "
        f"in {time.monotonic() - start:.0f} s"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
