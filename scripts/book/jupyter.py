"""Pages that mkdocs-jupyter makes, in the site's own markup: no scripts, no styles, MathML.

The plugin executes the notebook and turns it into HTML with Jupyter's whole style sheet. Only the
text, the code and the outputs are kept.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from lxml import etree
from lxml.html import HtmlElement, builder, fragment_fromstring, tostring
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink
from nbclient.exceptions import CellExecutionError

from book import notebooks
from book.extension import COLUMN
from book.lean import in_stretches
from book.volume import Volume

KERNEL = "fromnoise"


def provide_kernel(root: Path) -> None:
    """A kernel that is this Python, whatever kernels the user has; on one thread, and quiet."""
    folder = root / ".build" / "jupyter"
    spec = folder / "kernels" / KERNEL / "kernel.json"
    launch = [sys.executable, "-m", "ipykernel_launcher", "--IPKernelApp.log_level=40"]
    text = json.dumps(
        {
            "argv": [*launch, "-f", "{connection_file}"],
            "display_name": "From Noise",
            "language": "python",
            "env": {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
        }
    )
    if not spec.exists() or spec.read_text(encoding="utf-8") != text:
        spec.parent.mkdir(parents=True, exist_ok=True)
        spec.write_text(text, encoding="utf-8")
    paths = os.environ.get("JUPYTER_PATH", "").split(os.pathsep)
    if str(folder) not in paths:
        os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *filter(None, paths)])


def in_one_sentence(render: Callable[..., None], path: str) -> Callable[..., None]:
    """The plugin's rendering, whose failure is told without a traceback."""

    def wrapped(*arguments: object) -> None:
        try:
            render(*arguments)
        except CellExecutionError as error:
            code = str(error).partition("------------------\n")[2].strip().splitlines()
            raise PluginError(
                f"{path}: a cell raises {error.ename}: {error.evalue.splitlines()[0]}; "
                f"the cell begins with {code[0] if code else '?'!r}"
            ) from None

    return wrapped


def clean(content: str, page: Page, volume: Volume) -> str:
    """The notebook's cells and outputs in the markup that the site's own style sheet knows."""
    tree = fragment_fromstring(content, create_parent="div")
    stem = Path(page.file.src_uri).stem
    parts: list[HtmlElement] = []
    # Cells with code are wrapped twice; those with an id are the inner ones.
    for cell in tree.xpath('.//div[contains(@class, "jp-Cell") and @id]'):
        for text in cell.xpath('.//div[contains(@class, "jp-RenderedMarkdown")]'):
            _formulas(text, volume)
            parts.extend(_plain(text))
        code = cell.xpath('.//div[contains(@class, "highlight-ipynb")]/pre')
        parts.extend(_code(pre, "highlight") for pre in code)
        for output in cell.xpath('.//div[contains(@class, "jp-OutputArea-output")]'):
            parts.extend(_output(output))
    first = next((i for i, part in enumerate(parts) if part.tag == "h1"), -1)
    parts.insert(first + 1, _links(page, stem, volume))
    for item in page.toc:
        _toc(item, volume)
    stretches = in_stretches(parts, builder.DIV)
    return "\n".join(tostring(part, encoding="unicode") for part in stretches)


def _plain(text: HtmlElement) -> list[HtmlElement]:
    """The elements of a Markdown cell; links to headings look as on every other page."""
    for link in text.xpath('.//a[contains(@class, "anchor-link")]'):
        link.set("class", "headerlink")
        link.set("title", "Link to this section")
    found = list(text)
    for element in found:
        element.tail = None
    return found


def _code(pre: HtmlElement, name: str) -> HtmlElement:
    code = builder.CODE()
    code.text = pre.text
    code.extend(list(pre))
    longest = max(map(len, code.text_content().split("\n")))
    return builder.DIV(builder.PRE(code), {"class": f"{name} wide" if longest > COLUMN else name})


def _output(output: HtmlElement) -> list[HtmlElement]:
    """Text as text and images as images; what needs a script has no place here."""
    images = output.xpath(".//img")
    for image in images:
        image.set("alt", image.get("alt") or "Output of the cell above")
        image.attrib.pop("style", None)
    found = [_code(pre, "cell-output") for pre in output.xpath(".//pre")]
    return found + images


def _links(page: Page, stem: str, volume: Volume) -> HtmlElement:
    ways = [builder.A("Download this notebook", href=f"{stem}.ipynb", download="")]
    if address := notebooks.colab(volume, stem):
        ways += [", ", builder.A("open it in Colab", href=address)]
    back = builder.A("its chapter", href=volume.href(f"chapters/{stem}.md"))
    return builder.P(*ways, " or go back to ", back, ".", {"class": "notebook-links"})


def _formulas(cell: HtmlElement, volume: Volume) -> None:
    """Replace TeX between dollars by marks."""
    for element in cell.iter(etree.Element):
        if element.tag in ("code", "pre"):
            continue
        if element.text:
            element.text = volume.with_marks(element.text)
        for child in element:
            if child.tail:
                child.tail = volume.with_marks(child.tail)


def _toc(item: AnchorLink, volume: Volume) -> None:
    item.title = volume.with_marks(item.title)
    for child in item.children:
        _toc(child, volume)
