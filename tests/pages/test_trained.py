"""Every model that a figure needed has its line, made from the record of the run."""

import json

import pytest

EXPERIMENT = '''
"""Where is the gap?"""
from dataclasses import dataclass
{publishes}
@dataclass(frozen=True)
class Config:
    seed: int = 0

SIZES = {{"full": Config(), "smoke": Config()}}

def run(config, device, workdir):
    return {{}}

def draw(results):
    return None
'''
PAGE = "# T\n\n/// trained\n///\n"


@pytest.fixture
def record(shelf):
    """The record of the small book's one run, with a change."""

    def write(publishes: str = "", **changes) -> str:
        shelf.put("scripts/experiments/elbo/gap.py", EXPERIMENT.format(publishes=publishes))
        file = shelf.root / "docs/figures/elbo/gap.json"
        made = json.loads(file.read_text(encoding="utf-8")) | changes
        file.write_text(json.dumps(made), encoding="utf-8")
        return shelf.render(PAGE)

    return write


def test_a_run_that_trained_has_its_line_with_data_sizes_and_choices(record):
    html = record(data={"digits": "0" * 64}, config={"n_steps": 300, "n_images": None})
    assert "<td>Where is the gap?</td>" in html
    assert "<td>digits</td><td>85, 1,201</td><td>n_steps&nbsp;300</td>" in html


def test_data_that_no_file_holds_are_no_files(record):
    assert "<td>none</td>" in record(data={})


@pytest.mark.parametrize(
    ("publishes", "sizes"), [("", []), ('publishes = ("model",)\n', [85])], ids=["none", "kept"]
)
def test_what_trained_nothing_or_is_kept_has_none(record, publishes, sizes):
    assert "<tr><td>" not in record(publishes, trained=sizes)


def test_a_book_without_results_yet_has_an_empty_table(shelf):
    (shelf.root / "docs/figures/elbo/gap.json").unlink()
    assert "<tr><td>" not in shelf.render(PAGE)
