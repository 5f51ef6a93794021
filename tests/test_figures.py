"""Figures: colors keep apart, settings are put back, files are exact."""

import base64
import io
import itertools
import re

import matplotlib as mpl
import numpy as np
import pytest

from fromnoise import figures

MODES = ("light", "dark")
MEANINGS = ("data", "model", "noise", "broken")
# What a reader without one kind of cone sees, in linear RGB (Machado and others 2009, severity 1).
VISION = {
    "full": np.eye(3),
    "no red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue cones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear_rgb(hex_color: str) -> np.ndarray:
    values = np.array([int(hex_color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    dim, bright = sorted(linear_rgb(c) @ [0.2126, 0.7152, 0.0722] for c in (first, second))
    return (bright + 0.05) / (dim + 0.05)


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponents = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return opponents @ np.cbrt(cones @ np.clip(rgb, 0, 1))


def apart(first: str, second: str, vision: str) -> float:
    seen = [oklab(np.array(VISION[vision]) @ linear_rgb(c)) for c in (first, second)]
    return float(np.linalg.norm(seen[0] - seen[1]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("role", [*MEANINGS, "ink", "muted"])
def test_every_color_can_be_read_as_text_on_the_page(mode, role):
    palette = figures.PALETTE[mode]
    assert contrast(palette[role], palette["paper"]) >= 4.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("vision", VISION)
def test_no_two_meanings_look_alike_whatever_cones_the_reader_has(mode, vision):
    palette = figures.PALETTE[mode]
    # 0.02 is a just noticeable difference in OKLab; 0.05 is seen at a glance on a thin line.
    for first, second in itertools.combinations(MEANINGS, 2):
        assert apart(palette[first], palette[second], vision) >= 0.05, (first, second)


def test_the_color_blind_check_refuses_red_against_green():
    assert apart("#8f6d1e", "#5f7a2a", "no red cones") < 0.05 < apart("#8f6d1e", "#5f7a2a", "full")


def test_dashes_and_markers_tell_meanings_apart_in_gray():
    assert len({str(figures.dash(role)) for role in MEANINGS}) == len(MEANINGS)
    assert len({figures.marker(role) for role in MEANINGS}) == len(MEANINGS)


@pytest.mark.parametrize("mode", MODES)
def test_theme_chooses_colors_and_puts_every_setting_back(mode):
    before = dict(mpl.rcParams)
    light = figures.color("ink")
    with figures.theme(mode):
        assert figures.color("ink") == figures.PALETTE[mode]["ink"]
        assert mpl.rcParams["text.color"] == figures.PALETTE[mode]["ink"]
        assert mpl.rcParams["figure.facecolor"] == "none"
    assert dict(mpl.rcParams) == before
    assert figures.color("ink") == light


def test_theme_puts_settings_back_after_an_error():
    before = dict(mpl.rcParams)
    with pytest.raises(ZeroDivisionError), figures.theme("dark"):
        _ = 1 / 0
    assert dict(mpl.rcParams) == before
    assert figures.color("ink") == figures.PALETTE["light"]["ink"]


def test_theme_ignores_the_settings_of_the_machine():
    with mpl.rc_context({"lines.linewidth": 9.0, "axes.grid": True}), figures.theme("light"):
        assert mpl.rcParams["lines.linewidth"] == 1.6
        assert mpl.rcParams["axes.grid"] is False


def test_a_missing_font_is_refused_when_strict_and_said_when_not(tmp_path, monkeypatch, caplog):
    from matplotlib import font_manager

    others = [f for f in font_manager.fontManager.ttflist if f.name != figures.FONT]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", others)
    with (
        pytest.raises(FileNotFoundError, match="Source Sans 3"),
        figures.theme("light", strict=True, font_dir=tmp_path),
    ):
        pass
    with figures.theme("light", font_dir=tmp_path):
        assert mpl.rcParams["font.family"] == ["DejaVu Sans"]
    assert "Source Sans 3" in caplog.text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.color("red"), "role must be one of data, model"),
        (lambda: figures.dash("grid"), "role must be one of"),
        (lambda: figures.marker(""), "role must be one of"),
        (lambda: figures.shades("data", 0), "n must be at least 1"),
        (lambda: figures.column_width(1.5), r"fraction must lie in \(0, 1\]"),
        (lambda: figures.figure(0), r"height must lie in \(0, 12\]"),
        (lambda: figures.theme("sepia").__enter__(), "mode must be"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def draw_one():
    figure, ax = figures.figure(2.0)
    (line,) = ax.plot([0, 1, 2], [0, 1, 4], **figures.line_style("model"))
    figures.label_line(line, "model")
    ax.set_xlabel("time")
    return figure


def test_the_same_figure_and_salt_give_the_same_bytes(tmp_path):
    for name in ("first.svg", "second.svg"):
        with figures.theme("light"):
            figures.save(draw_one(), tmp_path / name, salt="a/b")
    with figures.theme("light"):
        figures.save(draw_one(), tmp_path / "other.svg", salt="a/c")
    first, second, other = (
        (tmp_path / name).read_bytes() for name in ("first.svg", "second.svg", "other.svg")
    )
    assert first == second != other


def test_a_saved_figure_has_page_width_no_date_no_address_and_no_ground(tmp_path):
    from xml.etree import ElementTree

    with figures.theme("dark"):
        figures.save(draw_one(), tmp_path / "one.svg", salt="a/b")
    text = (tmp_path / "one.svg").read_text()
    root = ElementTree.fromstring(text)
    assert float(root.get("width")) == figures.COLUMN_PX
    assert float(root.get("height")) == pytest.approx(2.0 / 6.4 * figures.COLUMN_PX, rel=1e-4)
    # Namespace names are not addresses; nothing else may point outside.
    assert not re.findall(r"https?://(?!www\.w3\.org/(?:2000/svg|1999/xlink))", text)
    assert "date" not in text.lower()
    assert "<text" not in text, "text must be outlines: the reader may not have the font"
    assert figures.PALETTE["dark"]["model"] in text
    assert figures.PALETTE["dark"]["paper"] not in re.sub(r"stroke: #15171b", "", text)


def test_save_refuses_other_formats(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.svg"):
        figures.save(draw_one(), tmp_path / "one.png", salt="a")


def test_small_multiples_share_the_axis_of_the_quantity():
    _, axes = figures.figure(2.0, ncols=2)
    axes[0].set_ylim(0, 7)
    assert axes[1].get_ylim() == (0, 7)
    _, stacked = figures.figure(2.0, nrows=2)
    stacked[0].set_xlim(0, 3)
    assert stacked[1].get_xlim() == (0, 3)


def test_a_label_stands_at_the_end_of_its_line_or_on_it():
    _, ax = figures.figure(2.0)
    (line,) = ax.plot([0, 2, 4, 5], [0, 4, 8, np.nan])
    assert figures.label_line(line, "end").xy == (4, 8)
    middle = figures.label_line(line, "middle", x=1.0)
    assert middle.xy == (1.0, 2.0)
    assert middle.get_color() == line.get_color()
    (empty,) = ax.plot([], [])
    with pytest.raises(ValueError, match="at least one finite point"):
        figures.label_line(empty, "nothing")


@pytest.mark.parametrize("mode", MODES)
def test_image_pixels_reach_the_file_exactly(mode, tmp_path):
    from PIL import Image

    levels = np.arange(4 * 3 * 2).reshape(4, 3, 2) % 17
    with figures.theme(mode):
        figure, ax = figures.figure(2.0)
        figures.image_grid(ax, levels.tolist(), levels=(0, 16), ncols=3, gap=1)
        figures.save(figure, tmp_path / "grid.svg", salt="grid")
        ink = [int(figures.color("ink")[i : i + 2], 16) for i in (1, 3, 5)]
    text = (tmp_path / "grid.svg").read_text()
    assert "image-rendering:pixelated" in text.replace(" ", "")
    png = re.search(r"data:image/png;base64,\s*([^\"]+)", text)[1]
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(png))))
    # The y axis of the file may run either way; the transform on the element undoes it.
    expected = np.zeros((7, 8))
    for i, (top, left) in enumerate([(0, 0), (0, 3), (0, 6), (4, 0)]):
        expected[top : top + 3, left : left + 2] = 255 * (0.06 + 0.94 * levels[i] / 16)
    alpha = pixels[..., 3].astype(float)
    assert min(np.abs(a - expected).max() for a in (alpha, alpha[::-1])) <= 1.0
    assert (pixels[alpha > 60][:, :3] == ink).all()


@pytest.mark.parametrize(
    ("images", "levels", "message"),
    [
        (np.zeros((2, 2)), (0, 1), "images must have shape"),
        (np.zeros((0, 8, 8)), (0, 1), "images must have shape"),
        (np.zeros((2, 8, 8)), (1, 1), "levels must be"),
    ],
)
def test_image_grid_names_what_is_wrong(images, levels, message):
    _, ax = figures.figure(1.0)
    with pytest.raises(ValueError, match=message):
        figures.image_grid(ax, images, levels=levels)


@pytest.mark.parametrize("mode", MODES)
def test_shades_run_toward_the_full_color_and_all_can_be_seen(mode):
    with figures.theme(mode):
        steps = figures.shades("data", 5)
        paper = figures.color("paper")
        assert steps[-1] == figures.color("data")
    contrasts = [contrast(step, paper) for step in steps]
    assert contrasts == sorted(contrasts)
    assert contrasts[0] >= 1.6


@pytest.mark.parametrize("mode", MODES)
def test_the_style_sheet_of_the_page_holds_the_same_colors(mode):
    sheet = (figures.FONT_DIR.parents[1] / "docs/assets/stylesheets/tokens.css").read_text()
    scheme = {"light": "default", "dark": "slate"}[mode]
    block = re.search(rf'\[data-md-color-scheme="{scheme}"\] {{(.*?)}}', sheet, re.S)[1]
    on_page = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
    for role in (*MEANINGS, "ink", "muted", "paper"):
        assert on_page[role] == figures.PALETTE[mode][role], role
    # The same block again, for readers without scripts.
    if mode == "dark":
        for name, value in on_page.items():
            assert sheet.count(f"--{name}: {value};") == 2, name
