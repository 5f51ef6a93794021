"""The failures of the book: each break has an address, and one page tells all their stories."""

from typing import TYPE_CHECKING

from markdown.extensions.toc import slugify

from book.errors import BookError, Problem
from book.sources import INLINE, NUMBER, Block

if TYPE_CHECKING:
    from book.volume import Volume

FILE = "failures.md"


def anchor(block: Block) -> str:
    """Where a break stands on its page: its title, without formulas and numbers."""
    words = NUMBER.sub("", INLINE.sub("", block.argument))
    return f"break-{slugify(words, '-')}"


def breaks(volume: "Volume") -> dict[str, tuple[str, Block]]:
    """Page and block of every break of the chapters, by address such as `vae#drop-the-kl`."""
    found: dict[str, tuple[str, Block]] = {}
    for path in volume.chapters:
        page = volume.pages[path]
        for block in page.blocks:
            if block.name == "break":
                address = f"{page.stem}#{anchor(block).removeprefix('break-')}"
                found.setdefault(address, (path, block))
    return found


def find(volume: "Volume", address: str) -> tuple[str, Block]:
    """The break that a card tells of.

    Raises:
        BookError: There is none at this address.
    """
    known = breaks(volume)
    if address not in known:
        chapter = address.partition("#")[0]
        near = [name for name in known if name.startswith(f"{chapter}#")]
        listed = f"; {chapter} has {', '.join(near)}" if near else ""
        raise BookError(f"there is no break {address}{listed}")
    return known[address]


def problems(volume: "Volume") -> list[Problem]:
    """Breaks without a card, cards without a break, two of either with one address."""
    found = []
    told: set[str] = set()
    page = volume.pages.get(FILE)
    for block in page.blocks if page else ():
        if block.name != "failure":
            continue
        try:
            find(volume, block.argument)
        except BookError as error:
            found.append(Problem(block.place, str(error)))
        if block.argument in told:
            found.append(Problem(block.place, f"{block.argument} has two cards"))
        told.add(block.argument)
    known = breaks(volume)
    homes = {id(block) for _, block in known.values()}
    found += [
        Problem(block.place, f"two breaks are called {block.argument}")
        for path in volume.chapters
        for block in volume.pages[path].blocks
        if block.name == "break" and id(block) not in homes
    ]
    if page:
        found += [
            Problem(block.place, f"{FILE} has no card for {address}")
            for address, (_, block) in known.items()
            if address not in told
        ]
    return found
