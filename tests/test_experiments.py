"""Every experiment runs small: in a worker of the build, and here with shapes checked."""

import dataclasses
import importlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import suppress
from functools import cache

import pytest
import torch

from building import fonts, manifest
from building.closure import Sources
from building.freshness import needed
from building.tree import ROOT, BuildError, Experiment, experiments
from elsewhere import Elsewhere
from fromnoise import figures

NAMES = [experiment.name for experiment in experiments()]


@pytest.fixture(scope="session")
def small_build() -> str:
    """All experiments at size smoke, by the command itself; what it says when one fails."""
    command = [sys.executable, "scripts/build_figures.py", "run", "--size", "smoke", "--jobs", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stderr


@cache
def small_results(name: str, workdir) -> str:
    """Results of a run in this process, as JSON, after those of the experiments it reads."""
    experiment = Experiment(name)
    module = importlib.import_module(experiment.module)
    arguments = [module.SIZES["smoke"], torch.device("cpu"), workdir / name]
    if needs := needed_by(name):
        arguments.append({other: small_reading(other, workdir) for other in needs})
    (workdir / name).mkdir(parents=True, exist_ok=True)
    return json.dumps(manifest.checked_results(module.run(*arguments), name))


def needed_by(name: str) -> dict[str, str]:
    return needed(Experiment(name), "smoke", Sources())


def small_reading(name: str, workdir) -> dict:
    """What an experiment that needs this one is given: results, and paths of published weights."""
    results = json.loads(small_results(name, workdir))
    published = Sources().experiment(Experiment(name))[1].publishes
    weights = {each: str(workdir / name / f"{each}.safetensors") for each in published}
    return {**results, "weights": weights} if weights else results


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def test_there_are_experiments():
    assert len(NAMES) > 3


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_asks_a_question_in_one_line(name):
    _, says = Sources().experiment(Experiment(name))
    assert "?" in says.question, f"{name} asks no question"
    assert len(says.question) < 110


# The first of these waits for the whole small build: minutes where nothing was made before.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_numbers_in_another_process(name, small_build, workdir):
    path = Experiment(name).manifest("smoke")
    told = [line for line in small_build.splitlines() if name in line]
    assert path.exists(), told
    assert not told
    assert json.loads(small_results(name, workdir)) == manifest.load(path).results


GPU = [name for name in NAMES if "gpu" in Sources().experiment(Experiment(name))[1].sizes]


SHAPES = {"size", "multipliers"}
"""Choices of the small size that would make other images than a GPU will see."""


# A handful of points may not fill a panel; at full size the build refuses this warning.
@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
@pytest.mark.slow
@pytest.mark.parametrize("name", GPU)
def test_the_gpu_size_runs_with_its_own_shapes_on_a_second_device(name, workdir, tmp_path):
    """Its images, for as few examples and steps as the small run."""
    module = importlib.import_module(Experiment(name).module)
    small, full = (dataclasses.asdict(module.SIZES[size]) for size in ("smoke", "full"))
    few = {k: v for k, v in small.items() if v != full[k] and k not in SHAPES}
    few |= {k: 8 for k in small if "batch" in k}
    config = dataclasses.replace(module.SIZES["gpu"], **few)
    needs = {other: small_reading(other, workdir) for other in needed_by(name)}
    with Elsewhere() as there:
        arguments = [config, there.device, tmp_path, *([needs] if needs else [])]
        found = module.run(*arguments)
    assert there.n_operations > 100
    results = json.loads(json.dumps(manifest.checked_results(found, name)))
    with figures.theme("light"):
        module.draw(results)


@pytest.mark.parametrize("name", GPU)
def test_the_gpu_size_is_nowhere_smaller(name):
    module = importlib.import_module(Experiment(name).module)
    full, gpu = (dataclasses.asdict(module.SIZES[size]) for size in ("full", "gpu"))
    counts = {key: value for key, value in full.items() if isinstance(value, int)}
    assert all(gpu[key] >= value for key, value in counts.items())
    assert any(gpu[key] > value for key, value in counts.items())


def test_a_tensor_left_behind_is_found():
    """What fails on a GPU fails on the device of the tests, in each of the ways to slip."""
    with Elsewhere() as there:
        x = torch.ones(3, device=there.device)
        made = torch.Generator(there.device).manual_seed(0)
        assert torch.randn(3, generator=made, device=x.device).device == there.device
        assert (2 * x + torch.tensor(1.0)).cpu().sum() == 9  # single numbers meet any tensor
        slips = {
            "two devices": lambda: x + torch.ones(3),
            "another device": lambda: torch.randn(3, generator=made),
            "no array": lambda: x.numpy(),
            "of two": lambda: torch.nn.functional.linear(x, torch.ones(1, 3)),
            "meets": lambda: torch.ones(3)[x.long()],
        }
        for words, slip in slips.items():
            with pytest.raises((RuntimeError, TypeError), match=words):
                slip()


@pytest.fixture(scope="session")
def one_set_of_fonts() -> None:
    """Those of the page, made now: another test must not make them between two drawings."""
    with suppress(BuildError):  # without node packages every drawing has matplotlib's own font
        fonts.make(ROOT, "full")


# A handful of points may not fill a panel; at full size the build refuses this warning.
@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_is_a_pure_function_of_the_results(name, tmp_path, workdir, one_set_of_fonts):
    module = importlib.import_module(Experiment(name).module)
    text = small_results(name, workdir)
    drawn = {}
    for mode in ("light", "dark"):
        for copy in ("first", "second"):
            results = json.loads(text)
            path = tmp_path / f"{mode}.{copy}.svg"
            with figures.theme(mode):
                figures.save(module.draw(results), path, name)
            assert json.dumps(results) == text, "draw changed the results it was given"
            drawn[mode, copy] = path.read_bytes()
        assert drawn[mode, "first"] == drawn[mode, "second"]
        width = float(ElementTree.fromstring(drawn[mode, "first"]).attrib["width"])
        assert width <= figures.COLUMN_PX * 1.001
    assert drawn["light", "first"] != drawn["dark", "first"]
