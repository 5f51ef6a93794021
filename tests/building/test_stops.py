"""A build that is killed, starved, locked out or broken never leaves what could be taken for fresh.

Every kill here is real: a signal to a process, at moments drawn from a fixed seed.
"""

import ctypes
import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from building import outputs
from building.manifest import load
from building.tree import Experiment

TWICE = "scripts/experiments/numbers/twice.py"

LONG = '''
"""Where does a long walk end?"""
import json, time
from dataclasses import dataclass
from fromnoise.provenance import write_whole

@dataclass(frozen=True)
class Config:
    seed: int = 7
    n_steps: int = 80
    pause: float = 0.01

SIZES = {"full": Config(), "smoke": Config(n_steps=2)}

def run(config, device, workdir):
    checkpoint = workdir / "checkpoint.json"
    step, place = json.loads(checkpoint.read_bytes()) if checkpoint.exists() else (0, config.seed)
    while step < config.n_steps:
        step, place = step + 1, (place * 1103515245 + 12345) % 2**31
        write_whole(checkpoint, json.dumps([step, place]).encode())
        with open("steps.txt", "a") as file:
            file.write("step\\n")
        time.sleep(config.pause)
    return {"place": place, "padding": list(range(3000))}

def draw(results):
    return f"{results['place']}"
'''


def svgs(project):
    return {name: content for name, content in project.files().items() if name.endswith("svg")}


def steps(project):
    file = project.root / "steps.txt"
    return len(file.read_text().splitlines()) if file.exists() else 0


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def long(project):
    project.experiment("walk/long", LONG)
    (project.root / TWICE).unlink()
    return project


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, built_once):
    """The figures of the long walk, made in one go."""
    quiet = type(built_once)(tmp_path_factory.mktemp("quiet") / "tree", like=built_once)
    quiet.experiment("walk/long", LONG)
    quiet.build("walk")
    return {name: content for name, content in svgs(quiet).items() if name.startswith("walk/")}


@pytest.mark.parametrize("seed", [0, 1])
def test_kills_at_random_moments_leave_nothing_false_and_lose_little(long, undisturbed, seed):
    draw = random.Random(seed)
    for _ in range(6):
        process = long.start("run", "--no-wait")
        time.sleep(draw.uniform(0.1, 0.6))
        if draw.random() < 0.5:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()  # the parent alone: its worker must notice
        err = process.communicate()[1]
        assert "another build" not in err, "the lock of a dead process did not recover"
        state, _ = long.states()["walk/long"]
        assert state in ("missing", "fresh"), "half of the outputs counts for something"
        if state == "fresh":
            assert svgs(long) == undisturbed
    long.build()
    assert long.states()["walk/long"] == ("fresh", "")
    assert svgs(long) == undisturbed
    assert steps(long) <= 80 + 6, "training began again from nothing"
    assert not list((long.root / ".build/work").rglob("*.json")), "checkpoints outlive success"
    assert not list((long.root / ".build/staging").glob("*/*"))


def test_a_worker_does_not_outlive_its_parent(long):
    long.edit("scripts/experiments/walk/long.py", "n_steps: int = 80", "n_steps: int = 6000")
    process = long.start("run")
    wait_for(lambda: steps(long) > 2)
    process.kill()
    process.communicate()

    def is_quiet():
        before = steps(long)
        time.sleep(0.3)
        return steps(long) == before

    wait_for(is_quiet)
    assert 2 < steps(long) < 3000


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_says_one_sentence_and_the_next_run_resumes(long, undisturbed, sent):
    process = long.start("run")
    wait_for(lambda: steps(long) > 10)
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does
    else:
        process.send_signal(sent)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert "last checkpoint" in err
    assert long.states()["walk/long"][0] == "missing"
    long.build()
    assert steps(long) <= 81
    assert svgs(long) == undisturbed


@pytest.mark.parametrize("n_moved", [0, 1, 2, 3])
def test_a_kill_between_the_moves_is_noticed(built, tmp_path, monkeypatch, n_moved):
    old, code = built.files(), (built.root / "src/fromnoise/numbers.py").read_text()
    built.edit("src/fromnoise/numbers.py", "2 * x", "3 * x")
    built.build()
    new = built.files()
    assert all(old[name] != new[name] for name in new)
    draft = tmp_path / "draft"
    draft.mkdir()
    for name in new:
        (built.figures / name).write_bytes(old[name])
        (draft / Path(name).name).write_bytes(new[name])

    moves = []
    move = os.replace

    def move_until_killed(source, target):
        if len(moves) == n_moved:
            raise KeyboardInterrupt
        moves.append(target)
        move(source, target)

    monkeypatch.setattr(outputs.os, "replace", move_until_killed)
    try:
        outputs.publish(draft, built.figures / "numbers", "twice.json")
    except KeyboardInterrupt:
        assert n_moved < 3
    monkeypatch.undo()
    record = (built.figures / "numbers/twice.json").read_bytes()
    assert record == (new if n_moved == 3 else old)["numbers/twice.json"], "it comes last"
    assert (built.states()["numbers/twice"][0] == "fresh") == (n_moved == 3)
    # Nor is a half taken for the old figure, once the code is put back.
    (built.root / "src/fromnoise/numbers.py").write_text(code)
    assert (built.states()["numbers/twice"][0] == "fresh") == (n_moved == 0)


def test_the_second_of_two_builds_waits_or_says_who_holds_the_lock(long):
    first = long.start("run")
    wait_for(lambda: steps(long) > 2)
    told = long.call("run", "--no-wait")
    assert told.returncode == 1
    assert f"process {first.pid} on " in told.stderr
    second = long.start("run")
    first.communicate(timeout=30)
    second_out, second_err = second.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (0, 0), second_err
    assert f"Waiting for another build of walk.long.full: process {first.pid}" in second_out
    assert "0 made, 1 fresh" in second_out
    assert steps(long) == 80


def test_builds_of_different_experiments_do_not_wait(long):
    long.edit("scripts/experiments/walk/long.py", "n_steps: int = 80", "n_steps: int = 6000")
    first = long.start("run", "walk/long")
    wait_for(lambda: steps(long) > 2)
    long.experiment("walk/short", LONG.replace("n_steps: int = 80", "n_steps: int = 1"))
    assert long.call("run", "walk/short", "--no-wait").returncode == 0
    assert first.poll() is None
    first.terminate()
    first.communicate()


def test_the_lock_of_a_dead_process_recovers_and_its_seconds_count(long):
    process = long.start("run")
    wait_for(lambda: steps(long) > 40)
    process.kill()
    process.communicate()
    assert (long.root / ".build/locks/walk.long.full.json").exists()
    done = long.call("run", "--no-wait")
    assert done.returncode == 0, done.stderr
    assert load(long.figures / "walk/long.json").wall_s >= 0.8


def limit_file_size():
    """Every write past 20 kB fails, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_no_room_for_the_results_is_one_sentence_and_keeps_the_old(long):
    long.edit("scripts/experiments/walk/long.py", "n_steps: int = 80", "n_steps: int = 3")
    long.build()
    before = long.files()
    long.edit("scripts/experiments/walk/long.py", "range(3000)", "range(9000)")
    done = long.call("run", preexec_fn=limit_file_size)
    assert done.returncode == 1
    assert "walk/long: there is no room for /" in done.stderr
    assert "Traceback" not in done.stderr
    assert long.files() == before
    assert not list((long.root / ".build/staging").glob("*/*"))
    long.build()
    assert long.states()["walk/long"] == ("fresh", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="root obeys no mode elsewhere")
@pytest.mark.parametrize("folder", ["docs/figures/numbers", ".build"])
def test_a_folder_that_may_not_be_written_is_named(built, folder):
    def obey_modes():
        if os.geteuid() == 0:  # even root asks for permission without these two capabilities
            for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
                assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP

    before = built.files()
    built.edit("src/fromnoise/numbers.py", "2 * x", "3 * x")
    places = [p for p in (built.root / folder).rglob("*") if p.is_dir()] + [built.root / folder]
    for place in places:
        place.chmod(0o555)
    done = built.call("run", preexec_fn=obey_modes)
    for place in places:
        place.chmod(0o755)
    assert done.returncode == 1
    assert str(built.root / folder) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert built.files() == before


@pytest.mark.parametrize("error", ["FloatingPointError", "NonFiniteLoss"])
def test_nan_in_training_names_the_step_and_keeps_nothing(long, error):
    nan = f"        if step == 33: raise {error}(f'the loss is nan at step {{step}}')\n"
    long.edit("scripts/experiments/walk/long.py", "        time.sleep", nan + "        time.sleep")
    # As fromnoise.training defines it.
    define = "class NonFiniteLoss(RuntimeError): ...\n\n\ndef run"
    long.edit("scripts/experiments/walk/long.py", "def run", define)
    done = long.call("run")
    assert done.returncode == 1
    assert f"walk/long: {error}: the loss is nan at step 33; nothing was kept" in (done.stderr)
    assert "Traceback" not in done.stderr
    assert long.files() == {}
    assert not list((long.root / ".build/work").rglob("checkpoint.json"))


CRASHES = {
    "raise ValueError('t must lie in [0, 1]\\nmore')": "ValueError: t must lie in [0, 1]; see",
    "import sys; sys.exit(3)": "SystemExit: 3; see",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "ended by SIGKILL (did memory",
    "import ctypes; ctypes.string_at(0)": "ended by SIGSEGV",
    "import os; os._exit(5)": "exit status 5",
    "raise MemoryError": "memory ran out",
    "return [1]": "run() must return a dict, got list",
    "return {'a': {'b': [0.0, float('nan')]}}": "the result 'a.b[1]' is nan",
    "return {'a': {'b': device}, 'c': object()}": "the result 'c' is a object",
    "import importlib; importlib.import_module('fromnoise.hidden')": "loaded src/fromnoise/hidden",
}


def test_every_way_to_crash_is_one_sentence_and_the_others_go_on(project):
    project.write("src/fromnoise/hidden.py", "")
    text = (project.root / TWICE).read_text()
    for index, line in enumerate(CRASHES):
        bad = text.replace("    with open", f"    {line}\n    with open")
        project.experiment(f"bad/case_{index}", bad)
    done = project.call("run")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = {line.removeprefix("build_figures: ") for line in done.stderr.splitlines()}
    assert len(told) == len(CRASHES)
    for index, said in enumerate(CRASHES.values()):
        (line,) = [line for line in told if line.startswith(f"bad/case_{index}")]
        assert said in line
        log = project.root / f".build/logs/bad/case_{index}.full.log"
        assert log.exists()
        if "; see " in line:
            assert log.relative_to(project.root).as_posix() in line
    assert "line" in (project.root / ".build/logs/bad/case_0.full.log").read_text()
    assert "string_at" in (project.root / ".build/logs/bad/case_3.full.log").read_text()
    assert list(project.files()) == [
        "numbers/twice.dark.svg",
        "numbers/twice.json",
        "numbers/twice.svg",
    ]


def test_a_crash_while_drawing_keeps_no_figure(project):
    project.edit(TWICE, "return label(results)", "return results['none']")
    done = project.call("run")
    assert done.returncode == 1
    assert "KeyError: 'none'" in done.stderr
    assert project.files() == {}


def test_a_warning_while_drawing_keeps_no_figure_for_the_site(project):
    warn = "    import warnings; warnings.warn('glyph missing')\n    return label(results)"
    project.edit(TWICE, "    return label(results)", warn)
    project.build("--size", "smoke")
    done = project.call("run")
    assert done.returncode == 1
    assert "UserWarning: glyph missing" in done.stderr
    assert project.files() == {}


def test_a_damaged_checkpoint_is_thrown_away_once(long, undisturbed):
    text = (long.root / "scripts/experiments/walk/long.py").read_text()
    text = text.replace("import write_whole", "import write_whole, CorruptFile")
    text = text.replace(
        "    while step",
        "    if step == 5: raise CorruptFile('checkpoint.json is damaged')\n    while step",
    )
    long.experiment("walk/long", text)
    experiment = Experiment("walk/long", long.root)
    process = long.start("run")
    wait_for(lambda: steps(long) > 2)
    process.kill()
    process.communicate()
    (checkpoint,) = experiment.work("full").rglob("checkpoint.json")
    checkpoint.write_text(json.dumps([5, 0]))
    long.build()
    assert svgs(long) == undisturbed


def test_an_edit_during_a_run_is_seen_as_stale(project):
    """The record is of the code that was loaded, whatever the file holds when the run ends."""
    project.edit(
        TWICE,
        "    with open",
        "    with open('src/fromnoise/numbers.py', 'a') as file:\n"
        "        file.write('def third(x): return x / 3\\n')\n    with open",
    )
    project.build()
    made = load(project.figures / "numbers/twice.json")
    assert made.results["twice"] == 3.0
    assert project.states()["numbers/twice"] == ("stale", "src/fromnoise/numbers.py changed")


def test_a_module_edited_before_its_late_import_fails_the_run(project):
    project.write("src/fromnoise/late.py", "x = 1")
    project.edit(
        TWICE,
        "    with open",
        "    open('src/fromnoise/late.py', 'w').write('x = 2')\n"
        "    import fromnoise.late\n    with open",
    )
    done = project.call("run")
    assert done.returncode == 1
    assert "src/fromnoise/late.py changed while it ran" in done.stderr
    assert project.files() == {}


def test_a_drawing_that_returns_nothing_is_told(project):
    project.edit(TWICE, "return label(results)", "label(results)")
    done = project.call("run")
    assert done.returncode == 1
    assert "numbers/twice: draw() returned None, not a matplotlib figure\n" in done.stderr
    assert project.files() == {}
