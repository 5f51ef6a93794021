"""What programs read: a plain version of each page, and `llms.txt`, the list of them.

The form of the list is that of https://llmstxt.org: a title, a summary, and under headings a link
and a line for each page. Its section *Optional* holds what a short reading may leave out.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator

import nbformat

from book import notebooks, reference, words
from book.volume import Volume

LIST = "llms.txt"
SESSION = re.compile(r"^ *>>> .*(?:\n(?! *$).*)*", re.M)
OPTIONAL = ("ledger.md", "experiments.md", "how-it-is-built.md", "changes.md", "notebooks/index.md")
SUMMARY = """\
Each link leads to the plain version of a page: formulas are TeX, the code of the book is written
out, and measured numbers stand as they were measured. The HTML of the same page has the address
without the ending `.md`. Text and figures are under CC BY 4.0, code under the MIT license.
"""


def plain_pages(volume: Volume) -> Iterator[tuple[str, str]]:
    """Address and text of the plain version of every page."""
    for path, page in volume.pages.items():
        yield words.address(volume, path), words.page_text(volume, page)
    for module in reference.modules(volume.root):
        yield words.address(volume, module.path), module_text(volume, module)
    for path in notebooks.chapters_with_code(volume):
        name = f"notebooks/{volume.pages[path].stem}.ipynb"
        yield words.address(volume, name), notebook_text(volume, name)


def module_text(volume: Volume, module: reference.Module) -> str:
    """Signatures and docstrings of a module, in the order of the source."""
    file = volume.root / "src" / "fromnoise" / f"{module.name.replace('.', '/')}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parts = [f"# fromnoise.{module.name}", _says(ast.get_docstring(tree) or "")]
    for node in tree.body:
        parts += _object(node, f"fromnoise.{module.name}", 2)
    return "\n\n".join(filter(None, parts)) + "\n"


def _object(node: ast.stmt, where: str, level: int) -> list[str]:
    """Heading, signature and docstring of a public class or function, then those inside."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    if not isinstance(node, kinds) or (node.name.startswith("_") and node.name != "__init__"):
        return []
    says = ast.get_docstring(node)
    if not says:
        return []
    name = f"{where}.{node.name}"
    found = [f"{'#' * level} {name}", f"```python\n{_signature(node)}\n```", _says(says)]
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            found += _object(inner, name, level + 1)
    return found


def _says(docstring: str) -> str:
    """A docstring whose examples are blocks of code."""

    def fence(session: re.Match[str]) -> str:
        return f"\n```pycon\n{textwrap.dedent(session[0])}\n```"

    return re.sub(r"\n{3,}", "\n\n", SESSION.sub(fence, inspect.cleandoc(docstring)))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """The definition without its body; of a class, with the fields that it declares."""
    kept: list[ast.stmt] = [ast.Expr(ast.Constant(...))]
    if isinstance(node, ast.ClassDef):
        kept = [inner for inner in node.body if isinstance(inner, ast.AnnAssign)] or kept
    bare = ast.copy_location(type(node)(**{**dict(ast.iter_fields(node)), "body": kept}), node)
    return ast.unparse(ast.fix_missing_locations(bare))


def notebook_text(volume: Volume, name: str) -> str:
    """The cells of a notebook; code in fences."""
    book = nbformat.read(volume.root / notebooks.FOLDER / name, as_version=4)
    return (
        "\n\n".join(
            f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source
            for cell in book.cells
        )
        + "\n"
    )


def llms(volume: Volume, name: str, summary: str, site_url: str = "") -> str:
    """The list of pages.

    Args:
        volume: The book; its addresses must be known.
        name: Title of the site.
        summary: What the book is, in a sentence.
        site_url: Where the site stands; without it the links are relative.
    """
    base = site_url.rstrip("/") + "/" if site_url else ""

    def line(path: str, title: str, says: str) -> str:
        tidy = " ".join(says.split())
        return f"- [{title}]({base}{words.address(volume, path)}): {tidy}"

    pages = {
        path: line(path, page.title, str(page.meta.get("description") or ""))
        for path, page in volume.pages.items()
    }
    modules = [
        line(module.path, f"fromnoise.{module.name}", module.says)
        for module in reference.modules(volume.root)
    ]
    companions = [
        line(f"notebooks/{volume.pages[path].stem}.ipynb", volume.pages[path].title, "its code")
        for path in notebooks.chapters_with_code(volume)
    ]
    others = [p for p in pages if p not in volume.chapters and p not in OPTIONAL]
    sections = {
        "Chapters, in the order of reading": [pages[path] for path in volume.chapters],
        "About the book": [pages[path] for path in others],
        "Reference of the library": modules,
        "Optional": [pages[path] for path in OPTIONAL if path in pages] + companions,
    }
    parts = [f"# {name}", f"> {' '.join(summary.split())}", SUMMARY.strip()]
    for title, lines in sections.items():
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"
