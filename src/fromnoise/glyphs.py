r"""Images of characters whose every cause is known.

A photograph of a digit comes without the reasons for its looks. A glyph is drawn here from seven
reasons, chosen independently of each other: the character, the family and weight of its font, its
slant, size and position, and how far a pen thickens its outline. So questions that have no
checkable answer on photographs have one here: did a model keep a factor apart from the others,
which characters does it never draw, how far is a restored image from what was there?

The outlines are those of the fonts that ship with Matplotlib, so the set needs no network. An
image is the share of each pixel that the ink covers.

Source:
    The book's own.
"""

import functools
import string
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

CHARACTERS = string.digits + string.ascii_uppercase
"""The characters drawn unless others are asked for; `Factors.character` counts along them."""

FAMILIES = {
    "sans": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    "serif": ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    "mono": ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
    "stix": ("STIXGeneral.ttf", "STIXGeneralBol.ttf"),
    "modern": ("cmr10.ttf", "cmb10.ttf"),
}
"""Each family's regular and bold font file, in the order that `Factors.family` counts."""

RANGES = {
    "slant": (-0.25, 0.25),
    "scale": (0.34, 0.43),
    "position": (-0.05, 0.05),
    "thickness": (0.0, 0.04),
}
"""What `draw_factors` draws uniformly; at no corner does ink leave the image."""


class Factors(NamedTuple):
    """Why `n` images look as they do."""

    character: Int[Tensor, " n"]
    """Index into the characters."""
    family: Int[Tensor, " n"]
    """Index into `FAMILIES`."""
    weight: Int[Tensor, " n"]
    """0 regular, 1 bold."""
    slant: Float[Tensor, " n"]
    """How far the top leans to the right for each unit of height: the tangent of the angle."""
    scale: Float[Tensor, " n"]
    """Height of the capital H, as a share of the image's side."""
    position: Float[Tensor, "n 2"]
    """Shift to the right and down from the center, as a share of the image's side."""
    thickness: Float[Tensor, " n"]
    """Width of the pen that follows the outline, as a share of the image's side."""


class Glyphs(NamedTuple):
    """Images in [-1, 1], -1 paper and 1 ink, and the causes of each."""

    images: Float[Tensor, "n 1 size size"]
    factors: Factors


# --8<-- [start:glyphs]
def glyphs(
    n: int, generator: torch.Generator, size: int = 28, *, characters: str = CHARACTERS
) -> Glyphs:
    """Images with factors that are uniform over `RANGES` and independent of each other.

    Args:
        n: Number of images.
        generator: Source of the factors; drawing the images uses no randomness.
        size: Side of an image in pixels, at least 8.
        characters: What may be drawn, each equally often in the mean.

    Raises:
        ValueError: A count or a size is out of range, or a font lacks a character.
    """
    factors = draw_factors(n, generator, n_characters=len(characters))
    return Glyphs(render(factors, size, characters=characters), factors)


def draw_factors(
    n: int, generator: torch.Generator, *, n_characters: int = len(CHARACTERS)
) -> Factors:
    """Causes drawn uniformly and independently, before any image exists.

    Args:
        n: Number of images.
        generator: Source of randomness.
        n_characters: The character's index is below it.

    Raises:
        ValueError: `n` is negative, or there is no character to draw.
    """
    if n < 0:
        raise ValueError(f"the number of images must be at least 0, got {n}")
    if n_characters < 1:
        raise ValueError(f"there must be at least one character, got {n_characters}")

    def uniform(name: str, *shape: int) -> Tensor:
        low, high = RANGES[name]
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    def index(below: int) -> Tensor:
        return torch.randint(below, (n,), generator=generator)

    return Factors(
        character=index(n_characters),
        family=index(len(FAMILIES)),
        weight=index(2),
        slant=uniform("slant", n),
        scale=uniform("scale", n),
        position=uniform("position", n, 2),
        thickness=uniform("thickness", n),
    )


# --8<-- [end:glyphs]


def render(
    factors: Factors, size: int = 28, *, characters: str = CHARACTERS
) -> Float[Tensor, "n 1 size size"]:
    """Draw each image from its causes: the same factors always give the same pixels.

    To ask what one factor does, change it and leave the others: `factors._replace(slant=...)`.

    Args:
        factors: One entry for each image; values outside `RANGES` are allowed, and ink that then
            leaves the image is lost.
        size: Side of an image in pixels, at least 8.
        characters: What `factors.character` counts along.

    Raises:
        ValueError: The factors differ in number, an index points nowhere, a value is not finite, a
            size is not positive, or a font lacks a character.
    """
    _check(factors, size, characters)
    fonts = list(FAMILIES.values())
    images = np.empty((len(factors.character), 1, size, size), dtype=np.float32)
    for i, image in enumerate(images):
        file = fonts[int(factors.family[i])][int(factors.weight[i])]
        outline = _outline(characters[int(factors.character[i])], file)
        points = np.asarray(outline.vertices) * (float(factors.scale[i]) * size)
        points[:, 0] += float(factors.slant[i]) * points[:, 1]
        # Agg counts y from the bottom, the image's rows from the top.
        right, down = (float(value) * size for value in factors.position[i])
        points += np.array([size / 2 + right, size / 2 - down])
        image[0] = _ink(type(outline)(points, outline.codes), size, float(factors.thickness[i]))
    return torch.from_numpy(images * 2 - 1)


_FINER = 8


def _check(factors: Factors, size: int, characters: str) -> None:
    if size < 8:
        raise ValueError(f"the side of an image must be at least 8 pixels, got {size}")
    n = len(factors.character)
    for name, value in factors._asdict().items():
        expected = (n, 2) if name == "position" else (n,)
        if tuple(value.shape) != expected:
            raise ValueError(f"{name} must have shape {expected}, got {tuple(value.shape)}")
    limits = {"character": len(characters), "family": len(FAMILIES), "weight": 2}
    for name, limit in limits.items():
        value = getattr(factors, name)
        if n and not (value.min() >= 0 and value.max() < limit):
            wrong = f"{int(value.min())}..{int(value.max())}"
            raise ValueError(f"{name} must lie in 0..{limit - 1}, got {wrong}")
    for name in RANGES:
        value = getattr(factors, name)
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} holds a value that is infinite or not a number")
    if n and not factors.scale.min() > 0:
        raise ValueError(f"scale must be positive, got {float(factors.scale.min())}")
    if n and not factors.thickness.min() >= 0:
        raise ValueError(f"thickness must be at least 0, got {float(factors.thickness.min())}")


@functools.cache
def _outline(character: str, file: str) -> Any:
    """The character's outline, centered, in units of the height of the font's capital H."""
    from matplotlib import get_data_path
    from matplotlib.font_manager import FontProperties, get_font
    from matplotlib.path import Path as Outline
    from matplotlib.textpath import text_to_path

    path = Path(get_data_path(), "fonts", "ttf", file)
    if not get_font(str(path)).get_char_index(ord(character)):
        raise ValueError(f"the font {file} has no character {character!r}")
    font = FontProperties(fname=str(path))
    points, codes = text_to_path.get_text_path(font, "H")
    unit = Outline(points, codes).get_extents().height
    points, codes = text_to_path.get_text_path(font, character)
    if not len(points):
        raise ValueError(f"{character!r} leaves no ink")
    outline = Outline(points, codes)
    box = outline.get_extents()
    center = np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2
    return Outline((np.asarray(points) - center) / unit, outline.codes)


def _ink(outline: Any, size: int, thickness: float) -> NDArray[np.float32]:
    """Share of each pixel that is covered."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.transforms import Affine2D

    # Agg draws a curve as a few chords, up to a seventh of a pixel off: so the pixels are made
    # small and then joined.
    side = size * _FINER
    renderer = RendererAgg(side, side, dpi=72)  # at 72 dots an inch a point is a pixel
    pen = renderer.new_gc()
    pen.set_linewidth(thickness * side)
    pen.set_joinstyle("round")
    pen.set_snap(False)
    renderer.draw_path(pen, outline, Affine2D().scale(_FINER), (0.0, 0.0, 0.0))
    cover = np.asarray(renderer.buffer_rgba())[..., 3].astype(np.float32) / 255
    return cover.reshape(size, _FINER, size, _FINER).mean((1, 3), dtype=np.float32)
