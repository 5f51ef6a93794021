"""Each factor does to the ink what its name says, by an amount known beforehand."""

import itertools
import re

import pytest
import torch

from chance import gate, mean_gap
from fromnoise.glyphs import CHARACTERS, FAMILIES, RANGES, Factors, draw_factors, glyphs, render

SIZE = 64
# A curve is drawn as chords: see `fromnoise.glyphs._ink`.
COVER = 0.01
HALVES = slice(0, SIZE // 2), slice(SIZE // 2, SIZE)


def plain(letter: str = "H", n: int = 1, **values: torch.Tensor) -> Factors:
    """An upright glyph in the middle, with no pen; some of its factors replaced."""
    zeros = torch.zeros(n, dtype=torch.float64)
    index = torch.zeros(n, dtype=torch.long)
    upright = Factors(
        character=index + CHARACTERS.index(letter),
        family=index,
        weight=index,
        slant=zeros,
        scale=zeros + 0.4,
        position=zeros[:, None].expand(n, 2),
        thickness=zeros,
    )
    return upright._replace(**values)


def ink(factors: Factors, size: int = SIZE) -> torch.Tensor:
    return (render(factors, size)[:, 0].double() + 1) / 2


def center(cover: torch.Tensor) -> torch.Tensor:
    """Center of the ink, right and down, as a share of the side."""
    n = cover.shape[-1]
    along = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    total = cover.sum((1, 2))
    right = (cover.sum(1) * along).sum(1) / total
    down = (cover.sum(2) * along).sum(1) / total
    return torch.stack([right, down], dim=1)


def test_position_moves_the_ink_by_as_much():
    shift = torch.tensor([[0.0, 0.0], [0.05, 0.0], [0.0, 0.05], [-0.031, 0.017]])
    moved = center(ink(plain("R", 4, position=shift.double())))
    assert (moved - moved[0] - shift).abs().max() < COVER / SIZE
    assert (moved - moved[0] + shift).abs().max() > 0.05  # the wrong sign is seen


def test_scale_is_the_height_of_the_capital_h_in_every_font():
    for family, weight, scale in itertools.product(range(len(FAMILIES)), (0, 1), (0.34, 0.43)):
        factors = plain("H", family=torch.tensor([family]), weight=torch.tensor([weight]))
        cover = ink(factors._replace(scale=torch.tensor([scale])), 256)[0]
        # A row at either edge counts by the share of it that is covered.
        height = (cover.amax(1) / cover.max()).sum() / 256
        assert abs(height - scale) < COVER


def test_the_ink_grows_with_the_square_of_the_scale():
    small, large = ink(plain("S", 2, scale=torch.tensor([0.2, 0.4]))).sum((1, 2))
    assert abs(large / small - 4) < 4 * COVER
    assert abs(large / small - 2) > 1


def test_a_slant_keeps_the_area_and_leans_the_top_to_the_right():
    upright, leaning = ink(plain("I", 2, slant=torch.tensor([0.0, 0.25])))
    assert abs(leaning.sum() / upright.sum() - 1) < COVER
    along = (torch.arange(SIZE) + 0.5) / SIZE
    rows = (leaning * along).sum(1), leaning.sum(1)
    top, bottom = (rows[0][part].sum() / rows[1][part].sum() for part in HALVES)
    # The centers of the halves lie half the letter's height apart, and lean by a quarter of that.
    assert abs((top - bottom) - 0.25 * 0.2) < COVER


def test_a_pen_widens_a_stem_by_its_width():
    factors = plain("I", 2, thickness=torch.tensor([0.0, 0.04]))
    middle = ink(factors)[:, SIZE // 2].sum(1) / SIZE
    assert abs(middle[1] - middle[0] - 0.04) < COVER
    assert middle[0] > 0.02


def test_bold_has_more_ink_than_regular_in_every_family():
    for family in range(len(FAMILIES)):
        both = plain("B", 2, family=torch.tensor([family] * 2), weight=torch.tensor([0, 1]))
        regular, bold = ink(both).sum((1, 2))
        assert bold > 1.15 * regular


def test_a_pixel_is_the_mean_of_the_four_that_it_becomes_at_twice_the_size():
    factors = draw_factors(40, torch.Generator().manual_seed(0))
    factors = factors._replace(thickness=torch.zeros(40))
    coarse, fine = ink(factors, 16), ink(factors, 32)
    pooled = torch.nn.functional.avg_pool2d(fine[:, None], 2)[:, 0]
    assert (pooled - coarse).abs().max() < 0.02
    assert (pooled.flip(2) - coarse).abs().max() > 0.5


def test_at_no_corner_of_the_ranges_does_ink_leave_the_image():
    corners = list(itertools.product((0, 1), repeat=3))
    for family, weight in itertools.product(range(len(FAMILIES)), (0, 1)):
        n = len(CHARACTERS) * len(corners)
        pick = torch.tensor(corners * len(CHARACTERS))
        factors = Factors(
            character=torch.arange(len(CHARACTERS)).repeat_interleave(len(corners)),
            family=torch.full((n,), family),
            weight=torch.full((n,), weight),
            slant=torch.tensor(RANGES["slant"])[pick[:, 0]],
            scale=torch.full((n,), RANGES["scale"][1]),
            position=torch.tensor(RANGES["position"])[pick[:, 1:]],
            thickness=torch.full((n,), RANGES["thickness"][1]),
        )
        cover = ink(factors, 28)
        edge = torch.stack([cover[:, 0], cover[:, -1], cover[:, :, 0], cover[:, :, -1]])
        assert edge.max() == 0


def test_factors_are_uniform_and_independent():
    """40,000 draws see a mean that is off by 0.06 spreads, and a correlation of 0.06."""
    n = 40_000
    factors = draw_factors(n, torch.Generator().manual_seed(1))
    columns = torch.stack(
        [
            *(value.double() for value in factors[:5]),
            *factors.position.T,
            factors.thickness,
        ]
    )
    spread = columns - columns.mean(1, keepdim=True)
    correlation = torch.corrcoef(columns) - torch.eye(len(columns), dtype=torch.float64)
    assert correlation.abs().max() < gate(correlation.numel()) / n**0.5
    limits = [(0, len(CHARACTERS) - 1), (0, len(FAMILIES) - 1), (0, 1)]
    limits += [RANGES[name] for name in ("slant", "scale", "position", "position", "thickness")]
    for column, (low, high) in zip(columns, limits, strict=True):
        assert low <= column.min() <= column.max() <= high
        middle = (low + high) / 2
        assert mean_gap(column, middle) < 1 < mean_gap(column + 0.06 * (high - low), middle)
    # What the instrument detects: a twentieth of one factor mixed into another.
    unit = spread / spread.std(1, keepdim=True)
    tied = torch.corrcoef(torch.stack([unit[3], unit[4] + 0.05 * unit[3]]))[0, 1]
    assert tied > gate() / n**0.5


def test_the_same_factors_give_the_same_pixels():
    first = glyphs(6, torch.Generator().manual_seed(3))
    again = glyphs(6, torch.Generator().manual_seed(3))
    assert torch.equal(first.images, again.images)
    assert torch.equal(render(first.factors), first.images)
    assert first.images.shape == (6, 1, 28, 28)
    assert first.images.dtype == torch.float32
    assert first.images.min() == -1
    assert first.images.max() > 0.9


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (plain(character=torch.tensor([36])), "character must lie in 0..35, got 36..36"),
        (plain(family=torch.tensor([-1])), "family must lie in 0..4, got -1..-1"),
        (plain(weight=torch.tensor([2])), "weight must lie in 0..1, got 2..2"),
        (plain(scale=torch.tensor([0.0])), "scale must be positive, got 0.0"),
        (plain(thickness=torch.tensor([-0.5])), "thickness must be at least 0, got -0.5"),
        (plain(slant=torch.tensor([float("nan")])), "slant holds a value"),
        (plain(position=torch.zeros(1)), "position must have shape (1, 2), got (1,)"),
        (plain(scale=torch.ones(2)), "scale must have shape (1,), got (2,)"),
    ],
)
def test_factors_out_of_range_are_refused_by_name(factors, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        render(factors)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 8 pixels, got 7"):
        render(plain(), 7)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        glyphs(-1, torch.Generator())
    with pytest.raises(ValueError, match="at least one character, got 0"):
        glyphs(1, torch.Generator(), characters="")
    with pytest.raises(ValueError, match="has no character '語'"):
        glyphs(1, torch.Generator(), characters="語")
    with pytest.raises(ValueError, match="leaves no ink"):
        glyphs(1, torch.Generator(), characters=" ")
    assert glyphs(0, torch.Generator()).images.shape == (0, 1, 28, 28)


def test_the_box_of_a_glyph_stands_in_the_middle():
    for letter in "RJLP":
        cover = ink(plain(letter))[0]
        for along in (0, 1):
            # The last row or column on each side counts by the share of it that is covered.
            reach = cover.amax(along)
            inside = (reach > 0).nonzero().ravel()
            low = inside[0] + 1 - reach[inside[0]] / reach.max()
            high = inside[-1] + reach[inside[-1]] / reach.max()
            assert abs((low + high) / 2 / SIZE - 0.5) < COVER


def test_a_broad_pen_is_as_broad_as_it_says_and_ink_is_full():
    middle = ink(plain("I", 2, thickness=torch.tensor([0.0, 0.3])))[:, SIZE // 2]
    # A stem's edges are straight: the pixels' own 1 / 255 is all that is lost.
    assert abs((middle[1] - middle[0]).sum() / SIZE - 0.3) < 1e-3
    assert middle.max() == 1


def test_the_smallest_image_is_allowed():
    assert render(plain(), 8).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"character": torch.tensor([0, -1])}, "character must lie in"),
        ({"family": torch.tensor([0, len(FAMILIES)])}, r"family must lie in 0..\d, got 0.."),
        ({"weight": torch.tensor([-1, 1])}, "weight must lie in 0..1, got -1..1"),
        ({"scale": torch.tensor([0.4, -1.0])}, "scale must be positive, got -1"),
        ({"thickness": torch.tensor([0.1, -1.0])}, "thickness must be at least 0, got -1"),
    ],
)
def test_one_bad_factor_among_good_ones_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        render(plain("H", 2, **changed))
