"""One pytest session that runs the tests once, and then again for every fault in a forked child.

The fault is set into the live function objects of the child (`__code__`), so that nothing is
imported or collected twice and no file changes: the tree is copied by `fork`, page by page. A fault
is judged by the tests that call its function, the quickest first. Defaults of arguments, attributes
of classes and constants of modules are out of its reach, and so is what tests compute on import.
"""

import contextlib
import functools
import gc
import io
import os
import select
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, FunctionType

import pytest
from _pytest.runner import runtestprotocol

from mutation.mutants import Mutant

CACHE = type(functools.cache(len))

SECONDS = 20
"""A test that takes as long under a fault, and ten times as long as without it, runs in circles:
that is noticed, too."""
UNPLANTED = "not planted: "


@dataclass
class Verdicts:
    """What became of each fault."""

    killed: list[tuple[Mutant, str]] = field(default_factory=list)
    """Each with the test that noticed it."""
    survived: list[Mutant] = field(default_factory=list)
    uncalled: list[Mutant] = field(default_factory=list)
    """In functions that no test calls; they count as survivors."""
    odd: list[tuple[Mutant, str]] = field(default_factory=list)
    """Faults that could not be planted, or whose child died: neither noticed nor missed."""
    broken: list[str] = field(default_factory=list)
    """Tests that fail without a fault; nothing can be judged by them."""
    seconds: float = 0.0


class Judge:
    """A pytest plugin whose loop is: run all once, then fork for each fault."""

    def __init__(self, mutants: list[Mutant], jobs: int) -> None:
        self.mutants, self.jobs = mutants, jobs
        self.verdicts = Verdicts()
        self._files = {str(mutant.path) for mutant in mutants}
        self._calls: dict[tuple[str, str], list[pytest.Item]] = defaultdict(list)
        self._seconds: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        started = time.monotonic()
        self._profile(session.items)
        self._judge_all()
        self.verdicts.seconds = time.monotonic() - started
        return True

    def _profile(self, items: list[pytest.Item]) -> None:
        """Which test calls which function, and how long it takes."""
        seconds = self._seconds
        calls: dict[str, set[tuple[str, str]]] = {}
        for item in items:
            seen: set[tuple[str, str]] = set()

            def note(frame: FrameType, event: str, _: object, seen: set = seen) -> None:
                if frame.f_code.co_filename in self._files:
                    seen.add((frame.f_code.co_filename, frame.f_code.co_qualname))

            begun = time.monotonic()
            sys.settrace(note)  # unlike a profiler, it is not called for what is written in C
            try:
                passed = _passes(item)
            finally:
                sys.settrace(None)
            seconds[item.nodeid] = time.monotonic() - begun
            if passed:
                calls[item.nodeid] = seen
            elif passed is False:
                self.verdicts.broken.append(item.nodeid)
        for item in sorted(items, key=lambda item: seconds[item.nodeid]):
            for call in calls.get(item.nodeid, ()):
                self._calls[call].append(item)

    def _tests_of(self, mutant: Mutant) -> list[pytest.Item]:
        return self._calls.get((str(mutant.path), mutant.function), [])

    def _judge_all(self) -> None:
        running: dict[int, tuple[Mutant, int]] = {}
        ahead = list(reversed(self.mutants))
        functions = _functions(self._files)
        while ahead or running:
            while ahead and len(running) < self.jobs:
                mutant = ahead.pop()
                tests = self._tests_of(mutant)
                if not tests:
                    self.verdicts.uncalled.append(mutant)
                    continue
                reader, pid = _fork(mutant, tests, functions, self._seconds)
                running[reader] = (mutant, pid)
            if not running:
                break  # no test calls what is left
            ready, _, _ = select.select(list(running), [], [])
            for reader in ready:
                mutant, pid = running.pop(reader)
                with open(reader) as pipe:
                    noticed_by = pipe.read()
                _, status = os.waitpid(pid, 0)
                if noticed_by.startswith(UNPLANTED) or status not in (0, signal.SIGALRM):
                    why = noticed_by or f"ended with status {status}"
                    self.verdicts.odd.append((mutant, why))
                elif noticed_by or status:
                    self.verdicts.killed.append((mutant, noticed_by or "ran in circles"))
                else:
                    self.verdicts.survived.append(mutant)


def _passes(item: pytest.Item) -> bool | None:
    """Whether a test passes; None when it is skipped."""
    with contextlib.redirect_stdout(io.StringIO()):
        reports = runtestprotocol(item, log=False, nextitem=None)
    if any(report.failed for report in reports):
        return False
    return None if any(report.skipped for report in reports) else True


def _functions(files: set[str]) -> dict[tuple[str, str], list[FunctionType]]:
    """The live functions of these files, with those that checks have been wrapped around."""
    found = defaultdict(list)
    for thing in gc.get_objects():
        # By type: asking an object what it is makes some of torch's warn that they are old.
        if type(thing) is FunctionType and thing.__code__.co_filename in files:
            found[thing.__code__.co_filename, thing.__code__.co_qualname].append(thing)
    return found


def _fork(
    mutant: Mutant,
    tests: list[pytest.Item],
    functions: dict[tuple[str, str], list[FunctionType]],
    seconds: dict[str, float],
) -> tuple[int, int]:
    """Start a child under the fault; it writes the first test that notices, or nothing."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    os.close(reader)
    said = UNPLANTED
    try:
        if not _plant(mutant, functions):
            said += "no live function has this code"
        else:
            _forget()
            said = next(_noticing(tests, seconds), "")
    except BaseException as error:
        said = f"{UNPLANTED}{type(error).__name__}: {error}"
    finally:
        os.write(writer, said.encode())
        os._exit(0)


def _plant(mutant: Mutant, functions: dict[tuple[str, str], list[FunctionType]]) -> bool:
    """Set the fault into every live copy of the function; whether there was one."""
    is_planted = False
    for name, code in mutant.code().items():
        for function in functions.get((str(mutant.path), name), []):
            if function.__code__.co_firstlineno == code.co_firstlineno:
                function.__code__ = code
                is_planted |= name == mutant.function
    return is_planted


def _forget() -> None:
    """Empty the caches of the library: what was kept there was computed without the fault."""
    for thing in gc.get_objects():
        if type(thing) is CACHE and str(thing.__module__).startswith("fromnoise"):
            thing.cache_clear()


def _noticing(tests: list[pytest.Item], seconds: dict[str, float]) -> Iterator[str]:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the child
    for item in tests:
        signal.alarm(max(SECONDS, int(10 * seconds[item.nodeid])))
        if _passes(item) is False:
            yield item.nodeid
    signal.alarm(0)


def judged(mutants: list[Mutant], tests: list[Path], jobs: int) -> Verdicts:
    """Run the tests once without a fault and once for each.

    Args:
        mutants: The faults.
        tests: Files of tests.
        jobs: Children at the same time.
    """
    judge = Judge(mutants, jobs)
    arguments = ["-q", "--no-header", "-p", "no:xdist", "-p", "no:cacheprovider"]
    arguments += ["--assert=plain", "-m", "not slow and not site and not browser"]
    pytest.main([*arguments, *map(str, tests)], plugins=[judge])
    return judge.verdicts
