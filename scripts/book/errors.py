"""What is wrong, and where: one sentence with the page and the line."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Place:
    """A line of a source."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, order=True)
class Problem:
    """One sentence about one place."""

    place: Place
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}"


class BookError(Exception):
    """Raised where the caller must know at once; carries sentences, not a traceback."""
