"""The command line: list, run, check, adopt."""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from building import adoption, lock, selection, workers
from building.closure import Sources
from building.freshness import State, states, states_of
from building.manifest import duration
from building.progress import display
from building.tree import DEVICES, ROOT, SIZES, BuildError, UsageError

FAILED, INTERRUPTED = 1, 130
VERBS = ("list", "run", "check", "adopt")
VALUES = {
    "--size": f"one of {', '.join(SIZES)}",
    "--device": f"one of {', '.join(DEVICES)}",
    "--jobs": "a whole number",
}


def program() -> NoReturn:
    """Run the command line of this process, and end it."""
    signal.signal(signal.SIGTERM, _interrupt)
    gc.disable()  # many syntax trees that live to the end: searching them costs a third of a check
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run a command and give its exit status; one sentence on stderr when it cannot be done.

    Args:
        arguments: The command line without the program's name.
        root: The tree to work in.
    """
    try:
        if not arguments:
            raise UsageError("say what to do: list, run, check or adopt")
        if not arguments[0].startswith("-"):
            selection.one_of(arguments[0], VERBS, "command")
        chosen = _parser().parse_args(arguments)
        return chosen.verb(chosen, Sources(root))
    except BuildError as error:
        return _say(str(error), error.status)
    except KeyboardInterrupt:
        return _say(
            "stopped; what was finished is kept, and a training goes on from its last checkpoint",
            INTERRUPTED,
        )
    except BrokenPipeError:  # `list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        where = error.filename2 or error.filename or "a file"
        return _say(f"cannot use {where}: {error.strerror}", FAILED)


def list_(chosen: argparse.Namespace, sources: Sources) -> int:
    size = selection.one_of(chosen.size, SIZES, "size") if chosen.size else None
    rows = _states(chosen.patterns, sources, size)
    names = [row.name + ("" if row.size == "full" else f" ({row.size})") for row in rows]
    width = max(map(len, names), default=0)
    for name, row in zip(names, rows, strict=True):
        cost = "" if row.cost is None else duration(row.cost)
        print(f"{name:{width}}  {row.state:8} {cost:>7}  {row.reason}".rstrip())
    return 0


def check(chosen: argparse.Namespace, sources: Sources) -> int:
    rows = _states(chosen.patterns, sources, None)
    bad = [row for row in rows if row.is_failure]
    for row in rows:
        if not row.is_fresh:
            print(f"{row.name} ({row.size}) is {row.state}: {row.reason}")
    if bad:
        return _say(f"{_figures(len(bad))} not fresh; {_remedy(bad)}", FAILED)
    print(f"{_figures(sum(row.is_fresh for row in rows))} fresh.")
    return 0


def run(chosen: argparse.Namespace, sources: Sources) -> int:
    size = selection.one_of(chosen.size, SIZES, "size")
    selection.one_of(chosen.device, DEVICES, "device")
    named = bool(chosen.patterns)
    experiments = selection.matching(chosen.patterns, sources)
    experiments = selection.with_size(experiments, size, sources, named)
    device = selection.device_for(chosen.device, size)
    # Several experiments on one GPU only wait for each other.
    n_jobs = chosen.jobs or (1 if device == "cuda" else _n_cores())
    broken = [row for e in experiments for row in states_of(e, sources) if row.state == "broken"]
    for row in broken:
        _say(row.reason, FAILED)
    unread = {row.name for row in broken}
    experiments = [e for e in experiments if e.name not in unread]
    graph = workers.tasks(experiments, size, sources)
    locks = {task.experiment.lock(task.size) for task in graph}
    with lock.held(sources.root, locks, wait=not chosen.no_wait):
        sources = Sources(sources.root)  # the other build, or its user, may have changed things
        graph = workers.tasks(experiments, size, sources)
        forced = frozenset(e.name for e in experiments) if chosen.force else frozenset()
        done = workers.build(graph, sources, device, n_jobs, display(), forced)
    for sentence in done.failed:
        _say(sentence, FAILED)
    count = f"{len(done.made)} made, {len(done.fresh)} fresh"
    n_failed = len(done.failed) + len(broken)
    print(f"{count}, {n_failed} failed." if n_failed else f"{count}.")
    return FAILED if n_failed else 0


def adopt(chosen: argparse.Namespace, sources: Sources) -> int:
    refusals = adoption.adopt(chosen.folder, sources, wait=not chosen.no_wait)
    for sentence in refusals:
        _say(sentence, FAILED)
    return FAILED if refusals else 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        option = message.removeprefix("argument ").partition(":")[0]
        if option in VALUES and message.endswith("expected one argument"):
            message = f"{option} needs {VALUES[option]}"
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="build_figures.py", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    parts = {
        "list": (list_, "each experiment, its state and why, and what it took last time"),
        "run": (run, "run what is stale"),
        "check": (check, "fail if a figure is not fresh"),
        "adopt": (adopt, "register outputs made on another machine, if they match this tree"),
    }
    made = {}
    for verb, (function, text) in parts.items():
        made[verb] = verbs.add_parser(verb, help=text, description=text, allow_abbrev=False)
        made[verb].set_defaults(verb=function)
    for verb in ("list", "run", "check"):
        made[verb].add_argument(
            "patterns", nargs="*", metavar="PATTERN", help="a name, a chapter, or vae/b*; or all"
        )
    made["list"].add_argument("--size", help="smoke, full or gpu; full and gpu by default")
    made["run"].add_argument("--size", default="full", help="smoke, full (default) or gpu")
    made["run"].add_argument("--device", default="auto", help="auto (default), cpu or cuda")
    made["run"].add_argument(
        "--jobs", type=_n_jobs, help="processes at a time; one per core if absent"
    )
    made["run"].add_argument("--force", action="store_true", help="run although fresh")
    made["adopt"].add_argument("folder", type=Path, help="holds manifests beside their figures")
    for verb in ("run", "adopt"):
        made[verb].add_argument(
            "--no-wait", action="store_true", help="fail if another build is at work"
        )
    return parser


def _states(patterns: list[str], sources: Sources, size: str | None) -> list[State]:
    if not patterns:
        return states(sources.root, size)
    chosen = selection.matching(patterns, sources)
    return [row for experiment in chosen for row in states_of(experiment, sources, size)]


def _figures(n: int) -> str:
    return f"{n} figure{' is' if n == 1 else 's are'}"


def _remedy(bad: Sequence[State]) -> str:
    """What to do about figures that are not fresh."""
    states = {row.state for row in bad}
    remedies = {
        "mend what is broken": "broken" in states,
        "remove what belongs to no experiment": "orphan" in states,
        "run `python scripts/build_figures.py run`": bool(states - {"broken", "orphan"}),
    }
    return ", then ".join(remedy for remedy, is_due in remedies.items() if is_due)


def _n_jobs(text: str) -> int:
    try:
        n = int(text)
    except ValueError:
        raise UsageError(f"--jobs must be a whole number, got {text!r}") from None
    if n < 1:
        raise UsageError(f"--jobs must be at least 1, got {n}")
    return n


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _say(sentence: str, status: int) -> int:
    print(f"build_figures: {sentence}", file=sys.stderr, flush=True)
    return status


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
