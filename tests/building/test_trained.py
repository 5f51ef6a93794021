"""A record says which models its run trained, by their sizes, however often the run was stopped."""

import pytest
import torch

from building import manifest, trained

TWO_MODELS = '''
"""Which models are trained?"""
import os
from dataclasses import dataclass
from torch.optim import Optimizer

@dataclass(frozen=True)
class Config:
    seed: int = 0

SIZES = {"full": Config(), "smoke": Config()}

def run(config, device, workdir):
    first = workdir / "first"
    if not first.exists():  # the checkpoint of a model that needs no further step
        Optimizer(40, 2).step()
        first.touch()
    if os.path.exists("stop"):
        raise RuntimeError("stopped")
    for _ in range(3):
        Optimizer(7).step()
    return {"done": 1}

def draw(results):
    return "done"
'''


def sizes_of(project, name):
    return manifest.load(project.figures / f"{name}.json").trained


def test_a_run_that_trains_says_so_and_one_that_does_not_says_nothing(project):
    project.experiment("models/two", TWO_MODELS)
    project.build()
    assert sizes_of(project, "models/two") == [7, 42]
    assert sizes_of(project, "numbers/twice") == []


def test_a_model_trained_before_a_stop_is_in_the_record_of_the_run_that_ends(project):
    project.experiment("models/two", TWO_MODELS)
    project.write("stop", "")
    assert project.call("run", "models").returncode != 0
    (project.root / "stop").unlink()
    project.build()
    assert sizes_of(project, "models/two") == [7, 42]


def test_every_kind_of_optimizer_is_seen_and_nothing_after_the_run(tmp_path):
    file = tmp_path / "trained.txt"

    def step(kind, *shape):
        x = torch.zeros(*shape, requires_grad=True)
        optimizer = kind([x], lr=0.1)
        x.sum().backward()
        optimizer.step(lambda: x.sum())

    with trained.noted(file):
        for kind, n in ((torch.optim.SGD, 3), (torch.optim.AdamW, 5), (torch.optim.LBFGS, 8)):
            step(kind, n)
            step(kind, n)
    step(torch.optim.Adam, 11)
    assert trained.sizes(file) == [3, 5, 8]


def test_a_failed_run_leaves_no_ear_behind(tmp_path):
    file = tmp_path / "trained.txt"
    with pytest.raises(ArithmeticError), trained.noted(file):
        raise ArithmeticError
    x = torch.zeros(2, requires_grad=True)
    x.sum().backward()
    torch.optim.SGD([x], lr=0.1).step()
    assert trained.sizes(file) == []


def test_a_line_cut_off_by_a_kill_does_not_count(tmp_path):
    file = tmp_path / "trained.txt"
    file.write_text("42\n700\n12", encoding="utf-8")
    assert trained.sizes(file) == [42, 700]
