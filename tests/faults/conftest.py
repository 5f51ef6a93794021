"""A small book and its site, clean, in a folder of the test's own; a fault is planted in a copy."""

import shutil
from pathlib import Path

import pytest

from building import closure, manifest, tree
from checking.book import Book
from fromnoise.provenance import sha256_of

FIXTURE = Path(__file__).parent / "fixture"
# The fixture has tests of its own, which are there to be read.
collect_ignore = ["fixture"]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small book with a manifest for its one figure, as a run would have left it."""
    root = tmp_path_factory.mktemp("pristine") / "book"
    shutil.copytree(FIXTURE, root, ignore=shutil.ignore_patterns("__pycache__"))
    experiment = tree.Experiment("toy/line", root)
    code = closure.Sources(root).code(experiment, "full")
    results = {
        "gap": 0.123456789,
        "name": "half",
        "seeds": {"mean": 0.5, "low": 0.25, "high": 0.75},
    }
    made = manifest.Manifest(
        experiment="toy/line",
        size="full",
        seed=0,
        config={"seed": 0},
        results=results,
        run_code=code.run,
        draw_code=code.draw,
        data=code.data,
        needs={},
        trained=[],
        outputs={figure.name: sha256_of(figure) for figure in experiment.figures("full")},
        command=experiment.command("full"),
        device="cpu",
        device_name="test",
        n_threads=1,
        versions={},
        wall_s=0.1,
        draw_s=0.1,
    )
    manifest.dump(made, experiment.manifest("full"))
    return root


@pytest.fixture
def book(pristine: Path, tmp_path: Path) -> Book:
    """A copy to plant a fault in."""
    root = tmp_path / "book"
    shutil.copytree(pristine, root)
    return Book(root=root, docs=root / "docs", site=root / "built")
