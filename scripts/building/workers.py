"""Order the experiments, keep the processes busy, and end them whole when told to stop."""

import contextlib
import graphlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from building import fonts, freshness, outputs
from building.closure import Sources
from building.freshness import State
from building.progress import Display, time_left
from building.tree import BuildError, Experiment
from building.worker import ALLOCATOR, N_THREADS, THREAD_VARIABLES, Order, Outcome, work

PATIENCE_S = 5.0
PRELOADED = (
    "torch",
    "torch._dynamo",  # the first optimizer imports it, and that takes as long as torch itself
    "numpy",
    "scipy.stats",
    "sklearn.datasets",
    "matplotlib.figure",
)


@dataclass(frozen=True)
class Task:
    """One experiment at one size, with what it waits for."""

    experiment: Experiment
    size: str
    needs: frozenset["Task"] = frozenset()

    @property
    def label(self) -> str:
        return self.experiment.name + ("" if self.size == "full" else f" ({self.size})")


@dataclass
class Job:
    """A task at work."""

    task: Task
    process: BaseProcess
    answer: connection.Connection
    cost: float | None
    started: float = field(default_factory=time.monotonic)


@dataclass
class Summary:
    """What a build did."""

    made: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """One sentence each."""


def tasks(chosen: Iterable[Experiment], size: str, sources: Sources) -> dict[Task, set[Task]]:
    """The chosen experiments and all that they need, as a graph.

    Raises:
        BuildError: Experiments need each other in a circle, or one needs what does not exist.
    """
    made: dict[tuple[str, str], Task] = {}

    def task(experiment: Experiment, size: str, above: tuple[str, ...]) -> Task:
        if experiment.name in above:
            circle = " needs ".join([*above[above.index(experiment.name) :], experiment.name])
            raise BuildError(f"experiments cannot wait for each other: {circle}")
        key = (experiment.name, size)
        if key not in made:
            needs = freshness.needed(experiment, size, sources)
            others = {
                task(Experiment(name, sources.root), needed_size, (*above, experiment.name))
                for name, needed_size in needs.items()
            }
            made[key] = Task(experiment, size, frozenset(others))
        return made[key]

    for experiment in chosen:
        task(experiment, size, ())
    return {one: set(one.needs) for one in made.values()}


def build(
    graph: dict[Task, set[Task]],
    sources: Sources,
    device: str,
    n_jobs: int,
    display: Display,
    force: frozenset[str] = frozenset(),
) -> Summary:
    """Bring every task up to date, longest first, `n_jobs` at a time.

    Args:
        graph: Tasks and what each waits for.
        sources: The project's files.
        device: `cpu` or `cuda`.
        n_jobs: Processes at a time.
        display: Told what happens.
        force: Names of experiments to run although they are fresh.
    """
    for task in graph:
        outputs.clear_staging(task.experiment, task.size)
    # Read by the libraries of a worker when they start, so they must be set before it does.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(N_THREADS)), PYTHONHASHSEED="0")
    os.environ.update(ALLOCATOR)
    order = graphlib.TopologicalSorter(graph)
    order.prepare()
    waiting: list[tuple[Task, State]] = []
    running: list[Job] = []
    summary = Summary()
    # Judged once here for the display, and again when its turn comes: a needed result may change.
    ahead = {task: freshness.judge(task.experiment, task.size, sources) for task in graph}
    n_ahead = sum(not s.is_fresh or task.experiment.name in force for task, s in ahead.items())
    for size in {task.size for task in graph} if n_ahead else ():
        fonts.make(sources.root, size)
    display.begin(n_ahead)
    try:
        while True:
            waiting += _ready(order, sources, force, summary)
            waiting.sort(key=lambda item: -_expected(item[1]))
            while waiting and len(running) < n_jobs:
                task, state = waiting.pop(0)
                running.append(_start(task, state, device, force))
                display.started(task.label, state.reason, running[-1].cost)
            if not running:
                break
            display.tick(_time_left(running, waiting, n_jobs))
            ended = connection.wait(
                [end for job in running for end in (job.process.sentinel, job.answer)], timeout=0.5
            )
            for job in [j for j in running if j.process.sentinel in ended or j.answer in ended]:
                running.remove(job)
                display.tick(_time_left(running, waiting, n_jobs))
                _finish(job, order, summary, display)
    finally:
        _end(running)
        display.end()
    done = {*summary.made, *summary.fresh}
    failed = {sentence.split()[0].rstrip(":") for sentence in summary.failed}
    for task in graph:
        if task.label not in done and task.experiment.name not in failed:
            names = ", ".join(sorted(need.label for need in task.needs))
            summary.failed.append(f"{task.label} was not run: it needs {names}")
    return summary


def _ready(
    order: graphlib.TopologicalSorter, sources: Sources, force: frozenset[str], summary: Summary
) -> list[tuple[Task, State]]:
    """Tasks whose needs are met and that are not fresh; fresh ones are ticked off."""
    found = []
    while ready := order.get_ready():
        for task in ready:
            state = freshness.judge(task.experiment, task.size, sources)
            if state.is_fresh and task.experiment.name not in force:
                summary.fresh.append(task.label)
                order.done(task)
            else:
                found.append((task, state))
    return found


def _start(task: Task, state: State, device: str, force: frozenset[str]) -> Job:
    only_draw = state.state == "redraw" and task.experiment.name not in force
    job = Order(task.experiment, task.size, device, only_draw)
    context = _context()
    answer, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(job, theirs), name=task.label)
    process.start()
    theirs.close()
    return Job(task, process, answer, 1.0 if only_draw else state.cost)


def _context() -> multiprocessing.context.BaseContext:
    """Processes that inherit nothing from this one, but do not each import torch anew.

    A server imports the large libraries once, computes nothing, and forks: each worker is as fresh
    as a spawned one and starts three seconds sooner.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _finish(
    job: Job, order: graphlib.TopologicalSorter, summary: Summary, display: Display
) -> None:
    try:
        outcome: Outcome = job.answer.recv()
    except EOFError:
        outcome = Outcome(time.monotonic() - job.started, _death(job))
    job.process.join(PATIENCE_S)
    _end([job])
    display.finished(job.task.label, outcome.seconds, outcome.sentence)
    if outcome.sentence:
        summary.failed.append(outcome.sentence)
    else:
        summary.made.append(job.task.label)
        order.done(job.task)


def _death(job: Job) -> str:
    """Words for a process that ended without an answer."""
    job.process.join(PATIENCE_S)
    code = job.process.exitcode
    log = job.task.experiment.log(job.task.size).relative_to(job.task.experiment.root)
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            hint = " (did memory run out?)" if name == "SIGKILL" else ""
            return f"{job.task.experiment.name} was ended by {name}{hint}; see {log}"
    return f"{job.task.experiment.name} ended without an answer, exit status {code}; see {log}"


def _end(jobs: list[Job]) -> None:
    for job in jobs:
        if job.process.is_alive():
            job.process.terminate()
    for job in jobs:
        job.process.join(PATIENCE_S)
        if job.process.is_alive():
            job.process.kill()
            job.process.join()
        job.answer.close()


def _time_left(running: list[Job], waiting: list[tuple[Task, State]], n_jobs: int) -> float | None:
    now = [(job.cost, time.monotonic() - job.started) for job in running]
    return time_left(now, [state.cost for _, state in waiting], n_jobs)


def _expected(state: State) -> float:
    """Cost for ordering: what never ran may be long, so it goes first; a drawing is short."""
    if state.state == "redraw":
        return 0.0
    return float("inf") if state.cost is None else state.cost
