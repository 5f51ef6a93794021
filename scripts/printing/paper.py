"""What a PDF says of itself: its places, its links, its bookmarks, and where there is ink."""

from collections.abc import Iterator

import pikepdf
import pypdfium2

MILLIMETER = 72 / 25.4  # in points, and in dots of the pages drawn here
TEXT = (24.0, 24.0, 190.0, 275.0)
"""Where text may stand, as left, top, right, bottom in millimeters: the margins of edition.css."""
FAINT = 235  # of 255; lighter than this is paper


def places(document: pikepdf.Pdf) -> dict[str, int]:
    """Every named place and the number of its page, from 1."""
    pages = {page.objgen: number for number, page in enumerate(document.pages, start=1)}
    found = document.Root.get("/Dests", {})
    return {
        name.removeprefix("/"): pages[place[0].objgen]
        for name, place in found.items()
        if place[0].objgen in pages
    }


def links(document: pikepdf.Pdf) -> Iterator[tuple[int, str]]:
    """Each link: the number of its page, and the place (with a #) or the address it names."""
    for number, page in enumerate(document.pages, start=1):
        for note in page.get("/Annots", []):
            if note.get("/Subtype") != "/Link":
                continue
            action = note.get("/A", {})
            place = note.get("/Dest", action.get("/D"))
            if place is not None:
                yield number, "#" + str(place).removeprefix("/")
            else:
                yield number, str(action.get("/URI", ""))


def ink(data: bytes) -> Iterator[float]:
    """For each page the share of the text's area that is not paper, as an eye would see it."""
    left, top, right, bottom = (round(edge * MILLIMETER) for edge in TEXT)
    with pypdfium2.PdfDocument(data) as document:
        for page in document:
            drawn = page.render(scale=1, grayscale=True).to_numpy().squeeze() < FAINT
            yield float(drawn[top:bottom, left:right].mean())
