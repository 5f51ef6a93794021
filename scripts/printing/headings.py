"""The headings of the book, for its contents and its bookmarks."""

from dataclasses import dataclass

from printing.assemble import place
from printing.pages import Part, plain


@dataclass(frozen=True)
class Heading:
    """A part of the book, at depth 0, or a section of it, at depth 1."""

    place: str
    title: str
    depth: int
    number: int | None = None

    @property
    def numbered(self) -> str:
        """The title after the number of its chapter, if it has one."""
        return f"{self.number}  {self.title}" if self.number else self.title


def headings(parts: list[Part]) -> list[Heading]:
    """All of them, in the order of the book."""
    found: list[Heading] = []
    for part in parts:
        found.append(Heading(part.name, part.title, 0, part.number))
        found.extend(
            Heading(place(part.name, heading.get("id")), plain(heading), 1)
            for heading in part.article.xpath(".//h2[@id]")
        )
    return found
