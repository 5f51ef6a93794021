"""Build the same sources with another generator, and say what a reader would notice.

mkdocs 1.x gets no new releases. ProperDocs continues it; Zensical is written anew by the authors of
the theme. Each goes into an environment of its own under .build/exit, which borrows all other
packages from .venv. ProperDocs gets the sources as they are. Zensical runs no hooks: it gets a copy
in which the Markdown extension is named, the pages of the reference are written, and the templates
that ask hooks are left out. Exit status: 0 when a reader would notice nothing, 1 when one would or
nothing came out, 2 when the generator cannot be installed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

try:
    from book import blocks, notebooks, reference
    from book.volume import Volume
    from checking.book import Book
    from checking.likeness import agreement, differences
except ModuleNotFoundError as error:
    if error.name and error.name.partition(".")[0] in ("book", "checking"):
        raise  # the tree itself is damaged
    sys.exit("Run `make install` once and use .venv/bin/python.")

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".build" / "exit"
# Newest first; an older one is tried where a newer one cannot be had.
GENERATORS = {"properdocs": ("1.6.7",), "zensical": ("0.1.2", "0.0.73")}
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


def environment(generator: str, version: str) -> Path:
    """The folder of programs of an environment that holds the generator, made on first use."""
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


def newest(generator: str) -> tuple[str, Path]:
    """The newest version that can be installed, and its folder of programs."""
    for version in GENERATORS[generator]:
        try:
            return version, environment(generator, version)
        except NotInstalled as error:
            print(error, file=sys.stderr)
    raise NotInstalled(f"no version of {generator} that was tried can be installed here")


def build(
    command: list[str | Path], site: Path, folder: Path = ROOT, paths: tuple[Path, ...] = ()
) -> str:
    """Build into a folder; what the generator said when it failed, or nothing."""
    env = {**os.environ, **SETTINGS}
    if paths:
        env["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and (site / "index.html").is_file():
        return ""
    said = done.stderr.strip() or done.stdout.strip()
    if "Traceback (most recent call last)" in said:
        said = said.splitlines()[-1]
    return said or f"it ended with status {done.returncode} and no word"


def with_mkdocs(name: str, program: Path) -> tuple[Path, str]:
    """A build by mkdocs or by what has its command line."""
    site = FOLDER / f"{name}-site"
    shutil.rmtree(site, ignore_errors=True)
    command = [program, "build", "--strict", "--quiet", "-f", "mkdocs.yml", "--site-dir", site]
    return site, build(command, site)


def without_hooks(settings: str, modules: list[str]) -> str:
    """The text of mkdocs.yml for a generator that runs no hooks.

    It names the Markdown extension, which a hook adds otherwise, and the pages of these modules; it
    names neither the hooks nor the templates that ask them, and asks for the look of the theme.
    """
    pages = "".join(f"      - {module}\n" for module in modules)
    for old, new in (
        (r"^hooks:\n(?:  - .*\n)+", ""),
        (r"^  custom_dir: .*\n", "  variant: classic\n"),
        (r"^markdown_extensions:\n", "markdown_extensions:\n  - book.standalone\n"),
        (r"^      - reference/index\.md\n", f"      - reference/index.md\n{pages}"),
    ):
        settings, count = re.subn(old, new.replace("\\", r"\\"), settings, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{count} places in mkdocs.yml match {old!r}")
    return settings


def prepare(folder: Path) -> None:
    """Write into a copy of the sources what hooks would add."""
    modules = reference.modules(ROOT)
    written = {module.path: reference.page(module, module.says) for module in modules}
    volume = Volume(ROOT, ROOT / "docs").load()
    for path in notebooks.chapters_with_code(volume):
        script = blocks.script_file(volume.pages[path], ROOT)
        written[f"{path.removesuffix('.md')}.py"] = script
    for path, text in written.items():
        file = folder / "docs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    settings = folder / "mkdocs.yml"
    text = without_hooks(settings.read_text(encoding="utf-8"), [m.path for m in modules])
    settings.write_text(text, encoding="utf-8")


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
    prepare(copy)
    paths = (ROOT / "scripts", ROOT / "src")
    return copy / "site", build([program, "build"], copy / "site", copy, paths)


def book(site: Path) -> Book:
    """A built site, to be read."""
    return Book(root=ROOT, docs=ROOT / "docs", site=site)


def main(arguments: list[str] | None = None) -> int:
    """Try the generators that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("generator", nargs="?", choices=GENERATORS, default="properdocs")
    generator = parser.parse_args(arguments).generator
    FOLDER.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        version, programs = newest(generator)
    except NotInstalled as error:
        print(error, file=sys.stderr)
        return 2
    name, program = f"{generator} {version}", programs / generator
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
    if found:
        shared, same = agreement(book(ours), book(theirs))
        print(
            f"On {shared} of {len(book(ours).pages)} pages, as many are the same in: "
            + ", ".join(f"{look} {count}" for look, count in same.items())
        )
    print(
        f"{name}: {len(book(theirs).pages)} pages, {len(found)} differences, "
        f"in {time.monotonic() - start:.0f} s"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
