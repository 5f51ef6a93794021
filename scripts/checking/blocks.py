"""Python blocks of the built pages, as the copy button yields them, and whether each runs alone.

The theme's button takes the text of a `data-copy` attribute around the code, or what is visible of
the code element, and trims its end. Line numbers are anchors or separate elements and are not part
of it. Signatures and the source listings of the API reference are not blocks to run: they carry
classes of their own. Every other Python block runs, with no list of exceptions.
"""

import ast
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml.html import HtmlElement

from checking import snippets
from checking.book import Book, Fault, Page, has_class

PYTHON = f"(ancestor-or-self::*[{has_class('language-python')}])"
LISTING = " or ".join(
    f"ancestor-or-self::*[{has_class(name)}]"
    for name in ("doc-signature", "mkdocstrings-source", "mkdocs-source", "doc-symbol")
)
SOURCE_LISTING = "ancestor::details[summary[starts-with(normalize-space(.), 'Source code in')]]"
NUMBERS = f"self::a[starts-with(@id, '__codelineno')] or self::*[{has_class('linenos')}]"
TIMEOUT_S = 60


@dataclass(frozen=True)
class Block:
    """The text that one copy button puts on the clipboard."""

    page: Page
    element: HtmlElement
    number: int
    text: str

    @property
    def name(self) -> str:
        """Page and number of the block on it, from 1."""
        return f"{self.page.address.removesuffix('index.html').rstrip('/') or 'home'}#{self.number}"

    @property
    def source(self) -> str | None:
        """`path:section` of the source that the block shows, if it shows one."""
        return attribute_above(self.element, "data-source")


def attribute_above(element: HtmlElement, name: str) -> str | None:
    """An attribute of an element or the nearest one around it."""
    for node in (element, *element.iterancestors()):
        if node.get(name) is not None:
            return node.get(name)
    return None


def of_page(page: Page) -> list[Block]:
    """The Python blocks of a page that a reader can copy, in order."""
    condition = f"{PYTHON} and not({LISTING}) and not({SOURCE_LISTING})"
    codes = page.all(f"//pre//code[{condition}]")
    return [Block(page, code, number, copied(code)) for number, code in enumerate(codes, start=1)]


def copied(code: HtmlElement) -> str:
    """What the copy button yields for a code element."""
    whole = attribute_above(code, "data-copy")
    if whole is not None:
        return whole.rstrip()
    hidden = set(code.xpath(f".//*[{NUMBERS}]"))
    parts: list[str] = []

    def walk(element: HtmlElement) -> None:
        if element not in hidden:
            parts.append(element.text or "")
            for child in element:
                walk(child)
                parts.append(child.tail or "")

    walk(code)
    return "".join(parts).rstrip()


def all_blocks(book: Book) -> list[Block]:
    """Every Python block of the site."""
    return [block for page in book.pages for block in of_page(page)]


def check(book: Book) -> Iterator[Fault]:
    """What can be seen without running: syntax, and whether a shown section is the source's."""
    for block in all_blocks(book):
        try:
            ast.parse(block.text)
        except SyntaxError as error:
            sentence = f"block {block.name} is not Python: {error.msg}, its line {error.lineno}"
            yield block.page.fault(block.element, "block-syntax", sentence)
        if not block.text.strip():
            yield block.page.fault(block.element, "block-syntax", f"block {block.name} is empty")
        if block.source is not None:
            yield from shows_its_source(book, block)


def shows_its_source(book: Book, block: Block) -> Iterator[Fault]:
    """The fault of a block that says it shows a section, and does not."""
    path, _, section = (block.source or "").partition(":")
    file = book.root / path
    text = snippets.section_text(file, section) if file.is_file() else None
    if text is None:
        sentence = f"block {block.name} shows {block.source}, which is not there"
        yield block.page.fault(block.element, "snippet-missing", sentence)
    elif tidy(text) not in tidy(block.text):
        sentence = f"block {block.name} differs from {block.source}: build the site again"
        yield block.page.fault(block.element, "block-differs", sentence)


def tidy(text: str) -> str:
    """Dedented, without spaces at the ends of lines or blank lines around."""
    lines = [line.rstrip() for line in textwrap.dedent(text).split("\n")]
    return "\n".join(lines).strip("\n")


def run_alone(text: str, timeout: float = TIMEOUT_S) -> str | None:
    """Run a block as a reader would: a new file, a new interpreter, an empty folder.

    Returns:
        None when it ran, and otherwise what went wrong, in one or a few lines.
    """
    with _script(text) as folder:
        try:
            done = subprocess.run(
                [*PYTHON_ALONE, "copied.py"],
                cwd=folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _too_long(timeout)
        return _problem(done.returncode, done.stderr)


class Warm:
    """Runs blocks as `run_alone` does, without the seconds that each would wait for torch.

    Every block has a process of its own: the fork of an interpreter that has read libraries, and
    nothing of this project.
    """

    LIBRARIES = ("torch", "numpy", "scipy.stats", "jaxtyping", "matplotlib", "sklearn.datasets")

    def __init__(self) -> None:
        # Beside the other modules here it would take their names for those of libraries.
        server = Path(__file__).with_name("forks.py").read_text(encoding="utf-8")
        self._home = _script(server)
        self._server = subprocess.Popen(
            [*PYTHON_ALONE, "copied.py", *self.LIBRARIES],
            cwd=self._home.__enter__(),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def run(self, text: str, timeout: float = TIMEOUT_S) -> str | None:
        """The same as `run_alone`."""
        with _script(text) as folder:
            self._server.stdin.write(f"{timeout} {folder}\n")
            self._server.stdin.flush()
            status = int(self._answer())
            if status == -signal.SIGALRM:
                return _too_long(timeout)
            return _problem(status, (folder / "said").read_text(encoding="utf-8"))

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._home.__exit__(None, None, None)

    def _answer(self) -> str:
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError("the interpreter that runs the blocks has ended")
        return line


PYTHON_ALONE = (sys.executable, "-W", "error::SyntaxWarning")


@contextlib.contextmanager
def _script(text: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="block-")).resolve()
    try:
        (folder / "copied.py").write_text(text + "\n", encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    # Only the installed package may help: no path of this checkout, no pytest hook.
    kept = ("PATH", "HOME", "LANG", "SYSTEMROOT", "VIRTUAL_ENV", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _too_long(timeout: float) -> str:
    return f"still running after {timeout:g} s"


def _problem(status: int, said: str) -> str | None:
    if status == 0:
        return None
    last = [line for line in said.strip().split("\n") if line.strip()][-4:]
    return "\n".join(last) or f"exit status {status}"


def run_all(book: Book, jobs: int | None = None) -> Iterator[Fault]:
    """Run every block, several at a time, and report those that fail."""
    from concurrent.futures import ThreadPoolExecutor

    blocks = all_blocks(book)
    # Each block is a process of one thread; a thread here only waits for it.
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        results = pool.map(lambda block: run_alone(block.text), blocks)
        for block, problem in zip(blocks, results, strict=True):
            if problem is not None:
                sentence = f"block {block.name} does not run alone: {problem.splitlines()[-1]}"
                yield block.page.fault(block.element, "block-fails", sentence)
