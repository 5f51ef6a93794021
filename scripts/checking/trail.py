"""One name leads everywhere: from a chapter to its module, test, experiments and figures, and back.

    docs/chapters/diffusion.md -> src/fromnoise/diffusion.py -> tests/test_diffusion.py
      -> scripts/experiments/diffusion/<name>.py -> docs/figures/diffusion/<name>.json

A reader who holds any of these files finds the others by changing the root of its path. Where a
chapter needs several modules, a package of its name with a folder of tests stands for both. A page
that goes on with a chapter says `continues: diffusion` at its head and shares that chapter's trail.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from book.sources import parse
from checking.book import Book, Fault
from checking.known import PACKAGE

# The living picture of the home page has no chapter of its own.
PAGES_WITHOUT_CHAPTER = {"home": "index.md"}
SHOWN = re.compile(r"scripts/experiments/([\w-]+/[\w-]+)\.py|docs/figures/([\w-]+/[\w-]+)\.json")


def check(book: Book) -> Iterator[Fault]:
    """Broken steps of the trail, in both directions."""
    yield from from_chapters(book)
    yield from from_modules(book)
    yield from from_reference(book)
    yield from from_experiments(book)
    yield from from_tests(book)
    yield from from_public_names(book)


def modules(book: Book) -> list[Path]:
    """Modules of the package."""
    found = (book.root / "src" / PACKAGE).rglob("*.py")
    return sorted(file for file in found if not file.stem.startswith("_"))


def from_chapters(book: Book) -> Iterator[Fault]:
    """A chapter has a module, an experiment and checks of its equations."""
    for chapter in book.chapters:
        meta = parse(chapter.read_text(encoding="utf-8")).meta
        name = str(meta.get("continues", chapter.stem))
        if name != chapter.stem and not chapter.with_stem(name).is_file():
            yield book.fault(chapter, 1, "trail", f"it continues no chapter: {name}")
        code = (f"src/{PACKAGE}/{name}.py", f"tests/test_{name}.py")
        if (book.root / f"src/{PACKAGE}/{name}" / "__init__.py").is_file():
            code = (f"src/{PACKAGE}/{name}", f"tests/{name}")
        wanted = {
            code[0]: "module",
            code[1]: "test",
            f"tests/equations/test_{name}.py": "file of equation checks",
            f"scripts/experiments/{name}": "folder of experiments",
        }
        for path, what in wanted.items():
            if not (book.root / path).exists():
                yield book.fault(chapter, 1, "trail", f"the chapter has no {what}: {path}")


def from_modules(book: Book) -> Iterator[Fault]:
    """A module has a test of its name."""
    package = book.root / "src" / PACKAGE
    for module in modules(book):
        place = module.relative_to(package)
        test = book.root / "tests" / place.parent / f"test_{place.name}"
        if not test.is_file():
            yield book.fault(module, 1, "trail", f"the module has no test: {book.shown(test)}")


def from_reference(book: Book) -> Iterator[Fault]:
    """A module has a page of reference, and such a page has a module."""
    names = {
        module.relative_to(book.root / "src" / PACKAGE).with_suffix(""): module
        for module in modules(book)
    }
    wanted = {f"reference/{name.as_posix()}/index.html": file for name, file in names.items()}
    for address, module in wanted.items():
        if address not in book.by_address:
            yield book.fault(module, 1, "trail", f"the module has no page of reference: {address}")
    for address, page in book.by_address.items():
        is_reference = address.startswith("reference/") and address != "reference/index.html"
        if is_reference and address not in wanted:
            yield page.fault(None, "trail", "a page of reference for no module")


def from_experiments(book: Book) -> Iterator[Fault]:
    """An experiment belongs to a chapter, and a page shows its figure or one of its numbers."""
    folder = book.root / "scripts" / "experiments"
    seen = shown(book)
    for file in sorted(folder.glob("*/*.py")):
        chapter, name = file.parent.name, file.stem
        if name.startswith("_"):
            continue  # a part that several experiments share
        page = PAGES_WITHOUT_CHAPTER.get(chapter, f"chapters/{chapter}.md")
        if not (book.docs / page).is_file():
            yield book.fault(file, 1, "trail", f"the experiment has no chapter: docs/{page}")
        if f"{chapter}/{name}" not in seen:
            yield book.fault(file, 1, "trail", "no page shows this experiment")
    for manifest in sorted((book.docs / "figures").rglob("*.json")):
        name = manifest.relative_to(book.docs / "figures").with_suffix("").as_posix()
        if not (folder / f"{name.removesuffix('.gpu')}.py").is_file():
            yield book.fault(manifest, 1, "trail", "results of an experiment that is gone")


def shown(book: Book) -> set[str]:
    """Experiments with a figure or a number on some page that is not a list of all of them."""
    found: set[str] = set()
    for page in book.pages:
        if page.address.startswith("ledger"):
            continue
        for value in page.all("//figure/@data-experiment | //data/@data-source"):
            found |= {one or other for one, other in SHOWN.findall(value)}
    return found


def from_tests(book: Book) -> Iterator[Fault]:
    """A test at the top is of a module, a script or a page, and a file of proofs of a page.

    A module may be proved before its chapter is written.
    """
    known = {module.stem for module in modules(book)}
    scripts = (book.root / "scripts").rglob("*")
    known |= {file.stem for file in scripts if file.suffix == ".py" or file.is_dir()}
    # These are of the whole: this trail, the experiments run small, and numbers found in print.
    known |= {"trail", "experiments", "package", "published_constants", "docstrings"}
    known |= {page.stem for page in book.docs.glob("*.md")}
    for test in sorted((book.root / "tests").glob("test_*.py")):
        if test.stem.removeprefix("test_") not in known:
            yield book.fault(test, 1, "trail", "a test of no module, no script and no page")
    chapters = {chapter.stem for chapter in book.chapters} | {"proof"}
    chapters |= {module.stem for module in modules(book)}
    chapters |= {page.stem for page in book.docs.glob("*.md")}
    for test in sorted((book.root / "tests" / "equations").glob("test_*.py")):
        if test.stem.removeprefix("test_") not in chapters:
            yield book.fault(test, 1, "trail", "checks of the equations of no chapter")


def from_public_names(book: Book) -> Iterator[Fault]:
    """A public function or class has its entry in the reference."""
    anchors = {name for page in book.pages for name in page.ids if name.startswith(PACKAGE)}
    package = book.root / "src"
    for module in modules(book):
        dotted = ".".join(module.relative_to(package).with_suffix("").parts)
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if f"{dotted}.{node.name}" not in anchors:
                sentence = f"{node.name} is public and has no entry in the reference"
                yield book.fault(module, node.lineno, "trail", sentence)
