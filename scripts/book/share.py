"""The picture that stands beside a link to the book: noise, digits, and digits gone wrong."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from book import results
from fromnoise.figures import color

RESULTS = "docs/figures/home/from_noise.json"
SIZE = (1200, 630)
PIXEL = 12
GAP = 14


def picture(root: Path) -> bytes:
    """A PNG in the colors of the book: the first sheet of noise, and both ends of its walk."""
    found = results.manifest(root, RESULTS)["results"]
    rows = [
        ([path[0] for path in found["whole"]], "noise"),
        ([path[-1] for path in found["whole"]], "ink"),
        ([path[-1] for path in found["broken"]], "broken"),
    ]
    low, high = found["levels"]
    paper = np.array(ImageColor.getrgb(color("paper")))
    image = Image.new("RGB", SIZE, tuple(paper))
    tile = len(rows[0][0][0]) * PIXEL
    columns = len(rows[0][0])
    left = (SIZE[0] - columns * tile - (columns - 1) * GAP) // 2
    top = (SIZE[1] - len(rows) * tile - (len(rows) - 1) * 3 * GAP) // 2
    for down, (sheets, role) in enumerate(rows):
        ink = np.array(ImageColor.getrgb(color(role)))
        for right, sheet in enumerate(sheets):
            share = np.clip((np.array(sheet, dtype=float) - low) / (high - low), 0, 1)
            share = np.kron(0.06 + 0.94 * share, np.ones((PIXEL, PIXEL)))[..., None]
            pixels = np.round(share * ink + (1 - share) * paper).astype(np.uint8)
            at = (left + right * (tile + GAP), top + down * (tile + 3 * GAP))
            image.paste(Image.fromarray(pixels), at)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
