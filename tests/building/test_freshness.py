"""What makes a figure stale, what the build then does, and what it leaves alone."""

import json
import os
import py_compile

import pytest

from building import manifest
from building.freshness import states
from building.manifest import ManifestError, load, reproduce_line

TWICE = "scripts/experiments/numbers/twice.py"


def test_a_build_makes_figures_and_a_record_and_is_then_fresh(project):
    assert project.states() == {"numbers/twice": ("missing", "never run")}
    project.build()
    assert project.states() == {"numbers/twice": ("fresh", "")}
    assert sorted(project.files()) == [
        "numbers/twice.dark.svg",
        "numbers/twice.json",
        "numbers/twice.svg",
    ]
    assert (
        b"twice is 3.0 width 1 dark numbers/twice.dark"
        in (project.files()["numbers/twice.dark.svg"])
    )
    made = load(project.figures / "numbers/twice.json")
    assert made.results == {"twice": 3.0, "nested": {"list": [1, 2.5, [3]]}}
    assert (made.seed, made.config["number"], made.n_threads) == (0, 1.5, 1)
    assert made.versions["torch"]
    assert reproduce_line(made) == {
        "command": "python scripts/build_figures.py run numbers/twice --size full",
        "seed": "0",
        "device": f"cpu ({made.device_name}), 1 thread",
        "wall_time": manifest.duration(made.cost),
        "code": made.run_hash[:12],
        "needs": "",
    }
    before = project.files()
    assert "0 made, 1 fresh" in project.build().stdout
    assert project.files() == before
    assert project.runs() == 1


def test_a_run_over_several_seeds_names_them_all(project):
    project.edit(TWICE, "seed: int = 0", "seeds: tuple = (3, 4)")
    project.build()
    assert reproduce_line(load(project.figures / "numbers/twice.json"))["seed"] == "3, 4"
    project.edit(TWICE, "seeds: tuple", "n_points: tuple")
    project.build()
    assert reproduce_line(load(project.figures / "numbers/twice.json"))["seed"] == "none"


def test_prose_neither_retrains_nor_redraws(built):
    before = built.files()
    built.edit(TWICE, "What is twice the number?", "Another question?")
    built.edit("src/fromnoise/numbers.py", "# not x * x", "# a comment")
    built.build()
    assert built.files() == before
    assert built.runs() == 1


def test_code_of_a_dependency_retrains(built):
    built.edit("src/fromnoise/numbers.py", "2 * x", "x * 3")
    assert built.states()["numbers/twice"] == ("stale", "src/fromnoise/numbers.py changed")
    assert built.call("check").returncode == 1
    built.build()
    assert load(built.figures / "numbers/twice.json").results["twice"] == 4.5
    assert built.call("check").returncode == 0
    assert built.runs() == 2


def test_an_edit_of_the_same_length_in_the_same_second_reaches_the_worker(project):
    """Python would take its cached bytecode for current: size and whole second agree."""
    file = project.root / "src/fromnoise/numbers.py"
    for factor, twice in (("2", 3.0), ("4", 6.0)):
        file.write_text(f"def twice(x):\n    return {factor} * x\n")
        os.utime(file, (1e9, 1e9))
        project.build()
        assert load(project.figures / "numbers/twice.json").results["twice"] == twice
        py_compile.compile(str(file))  # what an editor or a test beside us leaves


def test_an_edit_of_drawing_redraws_from_stored_results(built):
    results = load(built.figures / "numbers/twice.json").results
    built.edit(TWICE, "twice is", "the double is")
    assert built.states()["numbers/twice"] == ("redraw", f"{TWICE}:draw changed")
    built.build()
    assert built.runs() == 1
    assert b"the double is 3.0" in built.files()["numbers/twice.svg"]
    assert load(built.figures / "numbers/twice.json").results == results
    built.edit(TWICE, "the double is", "twice is")
    built.build()
    assert built.runs() == 1


@pytest.mark.parametrize("damage", ["edited", "cut off", "gone"])
@pytest.mark.parametrize("name", ["twice.svg", "twice.dark.svg"])
def test_a_damaged_figure_is_noticed_and_drawn_again_to_the_same_bytes(built, name, damage):
    before = built.files()
    path = built.figures / "numbers" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content.replace(b"3.0", b"3.1") if damage == "edited" else content[:9])
    state, reason = built.states()["numbers/twice"]
    assert state == "redraw"
    assert name in reason
    assert built.call("check").returncode == 1
    built.build()
    after = built.files()
    assert {n: c for n, c in after.items() if n.endswith("svg")} == {
        n: c for n, c in before.items() if n.endswith("svg")
    }
    assert built.runs() == 1


@pytest.mark.parametrize(
    "old, new, said",
    [
        (b'"twice": 3.0', b'"twice": 3.5', "changed after it was written"),
        (b'"seed": 0', b'"seed": 1', "changed after it was written"),
        (b'"schema": 2', b'"schema": 0', "schema 0"),
        (b'"results"', b'"reslts"', "changed after it was written"),
        (b'"schema"', b'"sch\xff\xfe"', "not JSON"),
        (b"{\n", b"[\n", "not JSON"),
        (None, b"", "not JSON"),
        (None, b"[]", "not a manifest"),
        (None, b"\x00" * 100, "not JSON"),
    ],
)
def test_a_damaged_record_is_noticed_and_made_again(built, old, new, said):
    path = built.figures / "numbers/twice.json"
    content = path.read_bytes()
    assert old is None or old in content
    path.write_bytes(new if old is None else content.replace(old, new, 1))
    with pytest.raises(ManifestError, match=r"twice\.json"):
        load(path)
    state, reason = built.states()["numbers/twice"]
    assert state == "corrupt"
    assert said in reason
    checked = built.call("check")
    assert checked.returncode == 1
    assert "twice" in checked.stdout
    assert "Traceback" not in checked.stderr
    built.build()
    assert built.states()["numbers/twice"] == ("fresh", "")
    assert built.runs() == 2


def test_every_flipped_bit_of_a_record_is_noticed(built):
    path = built.figures / "numbers/twice.json"
    content = path.read_bytes()
    same = load(path)
    for place in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            made = load(path)
        except ManifestError:
            continue
        assert made == same  # only white space outside the values may differ


def test_a_record_moved_to_another_experiment_is_stale(built):
    (built.root / TWICE).rename(built.root / TWICE.replace("twice", "double"))
    for file in list((built.figures / "numbers").iterdir()):
        file.rename(file.with_name(file.name.replace("twice", "double")))
    state, reason = built.states()["numbers/double"]
    assert state == "stale"
    assert "is of numbers/twice" in reason


def test_a_figure_without_an_experiment_fails_the_check(built):
    (built.root / TWICE).unlink()
    assert set(built.states()) == {
        "numbers/twice.json",
        "numbers/twice.svg",
        "numbers/twice.dark.svg",
    }
    assert all(state == "orphan" for state, _ in built.states().values())
    checked = built.call("check")
    assert checked.returncode == 1
    assert "remove" in checked.stderr


def test_smoke_leaves_the_figures_of_the_site_alone(project):
    project.build("--size", "smoke")
    assert project.files() == {}
    assert project.states("smoke")["numbers/twice"] == ("fresh", "")
    assert project.states()["numbers/twice"][0] == "missing"
    assert load(project.root / ".build/smoke/numbers/twice.json").results["twice"] == 1.0


def test_a_stale_gpu_result_is_told_and_does_not_fail(project):
    project.edit(TWICE, 'SIZES = {"full"', 'SIZES = {"gpu": Config(number=9.0), "full"')
    project.build()
    assert project.call("check").returncode == 0
    assert [(row.size, row.state) for row in states(project.root)] == [
        ("full", "fresh"),
        ("gpu", "missing"),
    ]
    project.build("--size", "gpu", "--device", "cpu")
    assert {"numbers/twice.gpu.json", "numbers/twice.gpu.dark.svg"} <= set(project.files())
    project.edit(TWICE, "number=9.0", "number=8.0")
    checked = project.call("check")
    assert checked.returncode == 0
    assert "numbers/twice (gpu) is stale" in checked.stdout
    (project.figures / "numbers/twice.gpu.json").write_text("{}")
    assert project.call("check").returncode == 1


def test_results_needed_by_another_come_first_and_count(project):
    needing = (project.root / TWICE).read_text()
    needing = needing.replace("@dataclass", 'needs = ("numbers/twice",)\n\n@dataclass')
    needing = needing.replace("device, workdir)", "device, workdir, needed)")
    needing = needing.replace(
        "numbers.twice(config.number)", 'needed["numbers/twice"]["twice"] + 1'
    )
    project.experiment("home/sum", needing)
    project.build("home/sum")  # brings the needed one with it
    assert load(project.figures / "home/sum.json").results["twice"] == 4.0
    assert project.runs() == 2

    # Other code, same results: the one that only reads them stands.
    project.edit("src/fromnoise/numbers.py", "2 * x", "x + x")
    assert project.states()["home/sum"][0] == "stale"  # it imports numbers too
    project.edit("scripts/experiments/home/sum.py", "import numbers, figures", "import figures")
    project.build()
    runs = project.runs()
    project.edit("src/fromnoise/numbers.py", "x + x", "x * 2")
    project.build()
    assert project.runs() == runs + 1

    project.edit("src/fromnoise/numbers.py", "x * 2", "x * 4")
    project.build()
    assert load(project.figures / "home/sum.json").results["twice"] == 7.0
    made = json.loads((project.figures / "home/sum.json").read_text())
    assert list(made["needs"]) == ["numbers/twice"]
    project.edit(TWICE, "seed: int = 0", "seed: int = 5")
    project.edit("scripts/experiments/home/sum.py", "seed: int = 0", "start: int = 0")
    project.build()
    line = reproduce_line(load(project.figures / "home/sum.json"))
    assert (line["seed"], line["needs"]) == ("5", "numbers/twice")


@pytest.mark.parametrize(
    "needs, said",
    [('("numbers/none",)', "numbers/none, which does not exist"), ('("numbers/twice",)', "wait")],
)
def test_needs_that_cannot_be_met_are_named(project, needs, said):
    project.edit(TWICE, "@dataclass", f"needs = {needs}\n\n@dataclass")
    done = project.call("run")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_need_stops_only_those_that_need_it(project):
    text = (project.root / TWICE).read_text()
    project.experiment("a/bad", text.replace("    with open", "    1 / 0\n    with open"))
    project.experiment(
        "a/needing",
        text.replace("@dataclass", 'needs = ("a/bad",)\n\n@dataclass').replace(
            "device, workdir)", "device, workdir, needed)"
        ),
    )
    done = project.call("run")
    assert done.returncode == 1
    assert "a/needing was not run: it needs a/bad" in done.stderr
    assert project.states()["numbers/twice"][0] == "fresh"
