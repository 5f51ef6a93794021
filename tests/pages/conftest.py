"""A small book in a temporary folder, and a way to render one of its pages."""

from pathlib import Path

import pytest
from markdown import Markdown

from book.extension import BookExtension
from book.maths import Formulas
from book.volume import Volume

SOURCE = '''"""A module to show pieces of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

HALF = 0.5


# --8<-- [start:scale]
def scale(x: Tensor, by: Callable[[float], float] = math.sqrt) -> Tensor:
    return torch.as_tensor(by(HALF)) * x
# --8<-- [end:scale]


# --8<-- [start:pair]
class Pair(NamedTuple):
    left: float

    def twin(self) -> Pair:
        return Pair(self.left)
# --8<-- [end:pair]


# --8<-- [start:plain]
def plain(x):
    return x + 1
# --8<-- [end:plain]
'''

CHECKS = '''from proof import Sides, proves


@proves("gap", "other")
def test_gap() -> Sides:
    """Both sides by quadrature."""
    return Sides(left=1, right=1, wrong={"half forgotten": 2, "sign": -1})


def test_of_nothing():
    pass
'''

BIB = """@inproceedings{kingma2014vae,
  author = {Kingma, Diederik P. and Welling, Max},
  title = {Auto-Encoding Variational {Bayes}},
  booktitle = {International Conference on Learning Representations},
  year = {2014},
}
@article{ho2020ddpm,
  author = {Ho, Jonathan and Jain, Ajay and Abbeel, Pieter},
  title = {Denoising Diffusion Probabilistic Models},
  journal = {A Journal}, year = {2020},
}
"""

RESULTS = """{"experiment": "elbo/gap", "size": "full", "seed": 3, "config": {}, "results":
 {"gap": {"mean": 0.61234567, "low": 0.5801, "high": 0.6402}, "share": 0.4321, "list": [1, 2.5],
  "beta": {"0.5": {"kl": 1.25}}, "name": "cosine"},
 "run_code": {"a": "b"}, "draw_code": {}, "data": {}, "needs": {}, "outputs": {},
 "trained": [85, 1201],
 "command": "python scripts/build_figures.py run elbo/gap --size full", "device": "cpu",
 "device_name": "a processor", "n_threads": 1, "versions": {}, "wall_s": 12.0, "draw_s": 1.0,
 "schema": 2}
"""

DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="300pt" height="150pt"></svg>'


class Shelf:
    """A book in a folder."""

    def __init__(self, root: Path):
        self.root = root
        self.put("src/fromnoise/sample.py", SOURCE)
        self.put("tests/equations/test_elbo.py", CHECKS)
        self.put("docs/references.bib", BIB)
        self.put("docs/figures/elbo/gap.json", RESULTS)
        self.put("docs/figures/elbo/gap.svg", DRAWING)
        self.put("docs/figures/elbo/gap.dark.svg", DRAWING)
        self.put("scripts/experiments/elbo/gap.py", '"""A question?"""\n')
        self.put("docs/bibliography.md", "# Bibliography\n\n/// bibliography\n///\n")
        self.put("docs/ledger.md", "# Ledger\n\n/// ledger\n///\n")
        self.put("mkdocs.yml", "nav:\n  - chapters/one.md\n  - chapters/elbo.md\n  - ledger.md\n")
        self.put("docs/chapters/one.md", "# One\n")
        self.volume: Volume | None = None

    def put(self, path: str, text: str) -> Path:
        """Write a file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def load(self, text: str = "", path: str = "chapters/elbo.md") -> Volume:
        """Read the book, with this text as one of its pages."""
        if text:
            self.put(f"docs/{path}", text)
        volume = Volume(self.root, self.root / "docs", formulas=_formulas(self.root))
        volume.load()
        volume.current = path
        self.volume = volume
        return volume

    def problems(self, text: str, path: str = "chapters/elbo.md") -> list[str]:
        """What is wrong with the book when this is one of its pages."""
        return [str(problem) for problem in self.load(text, path).check()]

    def render(self, text: str, path: str = "chapters/elbo.md") -> str:
        """HTML of a page."""
        volume = self.load(text, path)
        page = volume.pages[path]
        md = Markdown(
            extensions=[
                "attr_list",
                "tables",
                "toc",
                "pymdownx.superfences",
                "pymdownx.highlight",
                BookExtension(volume),
            ],
            extension_configs={"pymdownx.highlight": {"pygments_lang_class": True}},
        )
        html = md.convert(page.text)
        volume.formulas.render()
        assert volume.late == []
        return volume.formulas.fill(html)


def _formulas(root: Path) -> Formulas:
    """Formulas without node: TeX stays TeX, in the shape of MathML."""

    def renderer(wanted):
        return [
            {"error": "Undefined"}
            if "\\undefined" in one["tex"]
            else {"html": f"<math{' display=block' * one['display']}><mi>{one['tex']}</mi></math>"}
            for one in wanted
        ]

    return Formulas(cache=root / ".build" / "math", renderer=renderer)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """An empty chapter in a small book."""
    return Shelf(tmp_path)


@pytest.fixture(scope="session")
def new_shelf() -> type[Shelf]:
    """For tests that need a small book in a folder of their own."""
    return Shelf
