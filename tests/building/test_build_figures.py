"""The command line: it says what there is, it is quick, and it needs no torch to look."""

import re
import time
from dataclasses import replace

import pytest

from building import manifest
from building.command import main
from building.progress import time_left

TWICE = "scripts/experiments/numbers/twice.py"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["rnu"], "unknown command 'rnu' (did you mean 'run'?); there are list, run, check, adopt"),
        (
            ["run", "numbers/twce"],
            "unknown experiment 'numbers/twce'; did you mean 'numbers/twice'?\n",
        ),
        (["check", "nmbers"], "unknown experiment 'nmbers'; did you mean 'numbers'?\n"),
        (["list", "qq*"], "unknown experiment 'qq*'; `build_figures.py list` shows all\n"),
        (["list", "scripts/experiments/numbers/twic.py"], "did you mean 'numbers/twice'?\n"),
        (["run", "--size", "ful"], "unknown size 'ful' (did you mean 'full'?); there are smoke, f"),
        (["list", "--size", "small"], "there are smoke, full, gpu"),
        (["run", "--device", "gpu"], "unknown device 'gpu'"),
        (["run", "--device", "cuda"], "torch sees no CUDA device on this machine"),
        (["run", "numbers/twice", "--size", "gpu", "--device", "cpu"], "there are full, smoke"),
        (["run", "--size", "gpu"], "needs a CUDA device"),
        (["run", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["run", "--jobs", "many"], "build_figures: --jobs must be a whole number, got 'many'\n"),
        (["run", "--jobs"], "build_figures: --jobs needs a whole number\n"),
        (["run", "--size"], "build_figures: --size needs one of smoke, full, gpu\n"),
        (["run", "--device"], "build_figures: --device needs one of auto, cpu, cuda\n"),
        (["run", "--sizes", "full"], "unrecognized arguments: --sizes"),
        (["adopt"], "required: folder"),
        ([], "build_figures: say what to do: list, run, check or adopt\n"),
    ],
)
def test_a_mistake_is_answered_with_what_there_is(built, capsys, arguments, said):
    assert main(arguments, built.root) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""


def test_the_answer_is_the_exit_status_of_the_program(built):
    done = built.call("rnu")
    assert done.returncode == 2
    assert done.stderr.startswith("build_figures: unknown command 'rnu'")


def test_an_experiment_that_does_not_parse_is_named_and_the_others_run(project):
    project.experiment("bad/broken", "def run(:\n")
    alone = project.call("check", "bad")
    assert alone.stderr == "build_figures: 1 figure is not fresh; mend what is broken\n"
    project.experiment("bad/half", "def run(config, device, workdir): ...\n")
    listed = project.call("list")
    assert listed.returncode == 0
    assert re.search(
        r"^bad/broken +broken .*/broken.py, line 1 is not Python: [^(]*$", listed.stdout, re.M
    )
    done = project.call("run")
    assert done.returncode == 1
    assert done.stdout.endswith("1 made, 0 fresh, 2 failed.\n")
    assert "scripts/experiments/bad/half.py defines no function draw()" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.states()["numbers/twice"][0] == "fresh"
    assert project.call("check").returncode == 1


def test_patterns_choose(project):
    text = (project.root / TWICE).read_text()
    for name in ("numbers/thrice", "other/one", "numbers/_shared"):
        project.experiment(name, text)
    project.build("numbers/tw*", "other")
    states = {name: state for name, (state, _) in project.states().items()}
    assert states == {"numbers/thrice": "missing", "numbers/twice": "fresh", "other/one": "fresh"}
    assert project.call("check", "other").returncode == 0
    assert project.call("check", "scripts/experiments/other/one.py").returncode == 0
    assert project.call("check", "./scripts/experiments/other/").returncode == 0
    assert project.call("check", "numbers").returncode == 1
    assert "1 made" in project.build("--force", "other/one").stdout


def test_several_run_at_once_and_the_longest_starts_first(project):
    seconds = {"a": 1.0, "b": 40.0, "c": 30.0, "d": 20.0}
    for name in seconds:
        project.experiment(f"p/{name}", (project.root / TWICE).read_text())
    project.build("--jobs", "4")
    for name, took in seconds.items():
        # What a busy machine measured would be no order to rely on.
        file = project.figures / f"p/{name}.json"
        manifest.dump(replace(manifest.load(file), wall_s=took), file)
        project.edit(f"scripts/experiments/p/{name}.py", "[1, 2.5, [3]]", "[1]")
    out = project.build("p", "--jobs", "1").stdout
    assert re.findall(r"p/(\w): started", out) == ["b", "c", "d", "a"]
    assert re.search(r"\[1/4\] p/b: done in \d\.\d s, about 51 s left", out), out
    assert "p/a.py changed, about 1." in out


def test_time_left_is_the_longer_of_the_mean_load_and_the_longest_rest():
    assert time_left([], [], 2) is None
    assert time_left([(None, 3.0)], [None], 2) is None
    assert time_left([(10.0, 4.0)], [], 2) == 6.0
    assert time_left([(10.0, 4.0), (10.0, 8.0)], [8.0, 4.0], 2) == 10.0
    assert time_left([(10.0, 30.0)], [None], 1) == 10.0


def test_looking_needs_neither_torch_nor_matplotlib(built):
    for library in ("torch", "matplotlib", "numpy", "sklearn", "rich", "safetensors"):
        built.write(f"fake/{library}.py", f"raise RuntimeError('{library} was imported')")
    for verb in ("list", "check"):
        done = built.call(verb)
        assert done.returncode == 0, done.stderr


def test_a_check_of_many_experiments_is_quick(built):
    """The target is one second; the bound here leaves room for a loaded machine."""
    lines = "\n".join(f"def f{i}(x, y=None):\n    return [x, {i}, y(x)]" for i in range(80))
    names = [f"m{i}" for i in range(40)]
    for index, name in enumerate(names):
        others = "\n".join(f"import fromnoise.{other}" for other in names[:index])
        built.write(f"src/fromnoise/{name}.py", f"{others}\n{lines}\n")
    text = (built.root / TWICE).read_text().replace("import numbers,", "import m39, numbers,")
    for index in range(100):
        built.experiment(f"many/e{index}", f"{text}\n{lines}")
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        assert built.call("check").returncode == 1
        seconds.append(time.perf_counter() - started)
    print(f"check of 101 experiments on 41 modules: {min(seconds):.2f} s")
    assert min(seconds) < 3
