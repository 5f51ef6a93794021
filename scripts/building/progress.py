"""What a build says while it works: a live display on a terminal, plain lines elsewhere."""

import statistics
import sys
from collections.abc import Sequence
from typing import Protocol

from building.manifest import duration


class Display(Protocol):
    """Told what happens."""

    def begin(self, n_tasks: int) -> None: ...
    def started(self, name: str, reason: str, cost: float | None) -> None: ...
    def finished(self, name: str, seconds: float, failure: str) -> None: ...
    def tick(self, seconds_left: float | None) -> None: ...
    def end(self) -> None: ...


def time_left(
    running: Sequence[tuple[float | None, float]], waiting: Sequence[float | None], n_jobs: int
) -> float | None:
    """Seconds left by the costs of last time; None when no cost is known.

    Args:
        running: Last cost and seconds so far of what is at work.
        waiting: Last cost of what is not.
        n_jobs: Processes at a time.
    """
    known = [cost for cost in (*(c for c, _ in running), *waiting) if cost is not None]
    if not known:
        return None
    typical = statistics.mean(known)
    rest = [max(0.0, (typical if c is None else c) - elapsed) for c, elapsed in running]
    rest += [typical if cost is None else cost for cost in waiting]
    return max(sum(rest) / n_jobs, *rest)


def in_words(seconds_left: float | None) -> str:
    """The time left, or nothing when it is not known."""
    if seconds_left is None:
        return ""
    return f"about {duration(seconds_left)} left" if seconds_left >= 0.05 else "any moment now"


class Lines:
    """One line per event, for logs."""

    def __init__(self) -> None:
        self.n_tasks = self.n_done = 0
        self.left: float | None = None

    def begin(self, n_tasks: int) -> None:
        self.n_tasks = n_tasks

    def started(self, name: str, reason: str, cost: float | None) -> None:
        last = "" if cost is None else f", about {duration(cost)}"
        print(f"{name}: started ({reason or 'asked for'}{last})", flush=True)

    def finished(self, name: str, seconds: float, failure: str) -> None:
        self.n_done += 1
        self.n_tasks = max(self.n_tasks, self.n_done)
        left = f", {words}" if (words := in_words(self.left)) else ""
        end = "failed" if failure else "done"
        count = f"[{self.n_done}/{self.n_tasks}]"
        print(f"{count} {name}: {end} in {duration(seconds)}{left}", flush=True)

    def tick(self, seconds_left: float | None) -> None:
        self.left = seconds_left

    def end(self) -> None: ...


class Live:
    """A bar for the whole and a line for each experiment at work."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.rows: dict[str, int] = {}

    def begin(self, n_tasks: int) -> None:
        self.progress.start()
        self.whole = self.progress.add_task(f"{n_tasks} experiments", total=n_tasks, note="")

    def started(self, name: str, reason: str, cost: float | None) -> None:
        note = "" if cost is None else f"about {duration(cost)}"
        self.rows[name] = self.progress.add_task(name, total=None, note=note)

    def finished(self, name: str, seconds: float, failure: str) -> None:
        self.progress.remove_task(self.rows.pop(name))
        mark = "[red]failed[/]" if failure else "done"
        self.progress.console.print(f"{name}: {mark} in {duration(seconds)}")
        self.progress.advance(self.whole)

    def tick(self, seconds_left: float | None) -> None:
        self.progress.update(self.whole, note=in_words(seconds_left))

    def end(self) -> None:
        self.progress.stop()


def display() -> Display:
    """The live display where there is a terminal and rich, plain lines otherwise."""
    if sys.stdout.isatty():
        try:
            return Live()
        except ImportError:
            pass
    return Lines()
