"""What Chromium leaves open in a PDF: its bookmarks, its dates, and its size."""

import datetime
import io
import os

import pikepdf

from printing.headings import Heading

EPOCH = 1_767_225_600  # the first second of 2026, unless SOURCE_DATE_EPOCH says otherwise


def finish(document: pikepdf.Pdf, headings: list[Heading], title: str, about: str) -> bytes:
    """Add bookmarks; with one date and no random id, the same book makes the same bytes."""
    _bookmarks(document, headings)
    document.Root.PageMode = pikepdf.Name.UseOutlines
    moment = datetime.datetime.fromtimestamp(
        int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH), datetime.UTC
    )
    stamp = moment.strftime("D:%Y%m%d%H%M%SZ")
    producer = str(document.docinfo.get("/Producer", ""))
    for name in list(document.docinfo.keys()):
        del document.docinfo[name]
    for name, value in {
        "/Title": title,
        "/Subject": about,
        "/Producer": producer,
        "/CreationDate": stamp,
        "/ModDate": stamp,
    }.items():
        document.docinfo[name] = value
    written = io.BytesIO()
    # The tags for those who listen are many small objects; packed, they take a third.
    document.save(
        written,
        object_stream_mode=pikepdf.ObjectStreamMode.generate,
        deterministic_id=True,
    )
    return written.getvalue()


def _bookmarks(document: pikepdf.Pdf, headings: list[Heading]) -> None:
    """Chromium's own repeat the words of a heading that moved to the next page."""
    places = document.Root.Dests
    with document.open_outline() as outline:
        above: list[pikepdf.OutlineItem] = []
        for heading in headings:
            place = places[f"/{heading.place}"]
            item = pikepdf.OutlineItem(heading.numbered, destination=place)
            item.is_closed = True
            del above[heading.depth :]
            (above[-1].children if above else outline.root).append(item)
            above.append(item)
