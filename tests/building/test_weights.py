"""Published weights: recorded, given to the experiments that need them, never half there."""

import json

import pytest

from building import manifest

TRAINER = "scripts/experiments/numbers/trainer.py"
TRAINED = '''
"""What is learned?"""
from dataclasses import dataclass
from fromnoise import figures

publishes = ("model",)

@dataclass(frozen=True)
class Config:
    seed: int = 0

SIZES = {"full": Config(), "smoke": Config(seed=1)}

def run(config, device, workdir):
    with open("runs.txt", "a") as file:
        file.write("trained\\n")
    (workdir / "model.safetensors").write_bytes(b"learned 5")
    return {"loss": 0.5}

def draw(results):
    return f"loss {results['loss']} {figures.STROKE}"
'''
USER = '''
"""What is it good for?"""
from dataclasses import dataclass
from pathlib import Path
from fromnoise import figures

needs = ("numbers/trainer",)

@dataclass(frozen=True)
class Config:
    pass

SIZES = {"full": Config(), "smoke": Config()}

def run(config, device, workdir, needed):
    found = needed["numbers/trainer"]
    return {"read": Path(found["weights"]["model"]).read_bytes().decode(), "loss": found["loss"]}

def draw(results):
    return results["read"] + str(figures.STROKE)
'''


@pytest.fixture
def trained(project):
    project.experiment("numbers/trainer", TRAINED)
    project.experiment("numbers/user", USER)
    project.build()
    return project


def results(project, name):
    return json.loads((project.figures / f"{name}.json").read_text())["results"]


def test_weights_lie_beside_the_figure_and_reach_who_needs_them(trained):
    assert (trained.figures / "numbers/trainer.model.safetensors").read_bytes() == b"learned 5"
    made = manifest.load(trained.figures / "numbers/trainer.json")
    assert set(made.outputs) == {
        "trainer.svg",
        "trainer.dark.svg",
        "trainer.model.safetensors",
    }
    assert results(trained, "numbers/user") == {"read": "learned 5", "loss": 0.5}
    assert {state for state, _ in trained.states().values()} == {"fresh"}


def test_a_smoke_run_publishes_beside_the_smoke_figure(project):
    project.experiment("numbers/trainer", TRAINED)
    project.build("numbers/trainer", "--size", "smoke")
    assert (project.root / ".build/smoke/numbers/trainer.model.safetensors").is_file()
    assert not (project.figures / "numbers/trainer.model.safetensors").exists()


def test_a_redraw_keeps_the_weights_and_trains_nothing(trained):
    runs = trained.runs()
    trained.edit("src/fromnoise/figures.py", "STROKE = 1", "STROKE = 2")
    trained.build()
    assert trained.runs() == runs
    assert {state for state, _ in trained.states().values()} == {"fresh"}


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_damaged_weights_are_trained_again(trained, damage):
    file = trained.figures / "numbers/trainer.model.safetensors"
    file.write_bytes(b"learned 6") if damage == "changed" else file.unlink()
    state, reason = trained.states()["numbers/trainer"]
    assert state == "stale"
    assert "trainer.model.safetensors" in reason
    trained.build()
    assert file.read_bytes() == b"learned 5"


def test_other_weights_make_their_users_stale(trained):
    trained.edit(TRAINER, "learned 5", "learned 7")
    trained.build("numbers/trainer")
    assert trained.states()["numbers/user"] == (
        "stale",
        "results of numbers/trainer changed",
    )
    trained.build()
    assert results(trained, "numbers/user")["read"] == "learned 7"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"model.safetensors"', '"other.safetensors"', "run() left no model.safetensors"),
        ('b"learned 5"', 'b"5" * 4_000_001', "is over 4 MB"),
        ('{"loss": 0.5}', '{"loss": 0.5, "weights": 1}', "call no result 'weights'"),
        ('("model",)', '"model"', "publishes must be a tuple of names, written out"),
    ],
)
def test_a_broken_promise_is_named_and_leaves_nothing(project, old, new, said):
    project.experiment("numbers/trainer", TRAINED.replace(old, new))
    done = project.call("run", "numbers/trainer")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert not (project.figures / "numbers/trainer.json").exists()


def test_weights_without_a_promise_are_nobodys(trained):
    (trained.figures / "numbers/trainer.extra.safetensors").write_bytes(b"?")
    assert trained.states()["numbers/trainer.extra.safetensors"][0] == "orphan"
