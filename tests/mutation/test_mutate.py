"""Planted faults are seen by tests that check, and not by tests that only look."""

import subprocess
import sys
from pathlib import Path

import pytest

from mutation.mutants import mutants

ROOT = Path(__file__).resolve().parents[2]
MODULE = '''
def area(r):
    """3 r^2."""
    if r < 0:
        raise ValueError(f"r must be at least {0}, got {r}")
    return 3 * r**2


class Disk:
    def __init__(self, r: float = 1.0):
        self.r = r

    def area(self):
        return area(self.r)


def unused(x):
    return x + 1
'''
STRONG = """
import pytest
from disk import Disk, area, unused

def test_values():
    assert [area(0), area(2), Disk(3).area(), unused(4)] == [0, 12, 27, 5]
    with pytest.raises(ValueError):
        area(-1)
    with pytest.raises(ValueError):
        area(-0.5)
"""
WEAK = """
from disk import area

def test_one_value():
    assert area(1) == 3
"""
JUDGE = """
import sys
from pathlib import Path
from mutation.mutants import mutants
from mutation.session import judged
sys.path.insert(0, ".")
found = judged(mutants(Path("disk.py").resolve()), [Path("test_disk.py")], 2)
print("KILLED", *sorted(m.label for m, _ in found.killed), sep="|")
print("SURVIVED", *sorted(m.label for m in found.survived), sep="|")
print("UNCALLED", *sorted(m.label for m in found.uncalled), sep="|")
print("BROKEN", *found.broken, sep="|")
"""


def verdicts(folder: Path, tests: str) -> dict[str, list[str]]:
    (folder / "disk.py").write_text(MODULE)
    (folder / "test_disk.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-c", JUDGE],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "scripts"), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    names = ("KILLED", "SURVIVED", "UNCALLED", "BROKEN")
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(names)]
    assert len(rows) == 4, done.stdout + done.stderr
    return {row[0]: row[1:] for row in rows}


def test_every_kind_of_fault_is_planted_in_bodies_and_nowhere_else(tmp_path):
    path = tmp_path / "disk.py"
    path.write_text(MODULE)
    assert [mutant.label for mutant in mutants(path)] == [
        "disk.area: r < 0 -> r <= 0",
        "disk.area: 0 -> 1",
        "disk.area: 3 * r ** 2 -> 3 / r ** 2",
        "disk.area: 3 -> 4",
        "disk.area: r ** 2 -> r * 2",
        "disk.area: 2 -> 3",
        "disk.unused: x + 1 -> x - 1",
        "disk.unused: 1 -> 2",
    ]


@pytest.mark.slow
def test_strong_tests_notice_every_fault(tmp_path):
    found = verdicts(tmp_path, STRONG)
    assert (found["SURVIVED"], found["UNCALLED"], found["BROKEN"]) == ([], [], [])
    assert len(found["KILLED"]) == 8


@pytest.mark.slow
def test_weak_tests_leave_survivors(tmp_path):
    found = verdicts(tmp_path, WEAK)
    assert "disk.area: 3 * r ** 2 -> 3 / r ** 2" in found["SURVIVED"]
    assert "disk.area: 2 -> 3" in found["SURVIVED"]
    assert "disk.area: 3 -> 4" in found["KILLED"]
    assert found["UNCALLED"] == ["disk.unused: 1 -> 2", "disk.unused: x + 1 -> x - 1"]


@pytest.mark.slow
def test_a_test_that_fails_without_a_fault_is_named(tmp_path):
    found = verdicts(tmp_path, WEAK + "\ndef test_wrong():\n    assert area(1) == 4\n")
    assert found["BROKEN"] == ["test_disk.py::test_wrong"]


@pytest.mark.slow
@pytest.mark.thorough  # minutes: it plants every fault that it knows
@pytest.mark.timeout(1200)
def test_the_core_of_the_library_is_guarded():
    """At least 95 % of the faults are noticed, and every survivor is listed with a reason."""
    done = subprocess.run(
        [sys.executable, "scripts/mutate.py", "--core", "--jobs", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
