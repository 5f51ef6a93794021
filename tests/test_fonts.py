"""Fonts: faces hold what the page asks for, fallbacks keep the metrics, bytes repeat."""

import io
import re

import pytest
from fontTools.ttLib import TTFont

from book import fonts

pytestmark = pytest.mark.skipif(
    not (fonts.ROOT / fonts.PACKAGES).exists(), reason="node packages are not installed"
)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return fonts.site_files(frozenset("Łx"))


def opened(data: bytes) -> TTFont:
    return TTFont(io.BytesIO(data))


@pytest.mark.parametrize("face", fonts.FACES, ids=lambda face: face.name)
def test_a_face_keeps_only_the_axes_it_promises(face, files):
    font = opened(files[f"assets/fonts/{face.name}.woff2"])
    axes = (
        {a.axisTag: (a.minValue, a.maxValue) for a in font["fvar"].axes} if "fvar" in font else {}
    )
    promised = {tag: span for tag, span in face.limits.items() if isinstance(span, tuple)}
    assert axes == promised


@pytest.mark.parametrize("name", ["serif", "display", "sans", "code"])
def test_a_face_draws_english_text(name, files):
    glyphs = opened(files[f"assets/fonts/{name}.woff2"]).getBestCmap()
    assert set(map(ord, "The quick brown fox, 0123456789 (x = y) “quotes” – − × é ü")) <= set(
        glyphs
    )


def test_fonts_of_one_page_stay_light(files):
    first = sum(len(files[path]) for path in fonts.preloads())
    assert first < 75_000
    assert max(len(data) for data in files.values()) < 40_000


def test_a_face_asked_for_ahead_has_what_the_site_says_and_no_more(files):
    source = fonts.cut(fonts.FACES[0])
    rare = "ÿ"
    assert ord(rare) in source.getBestCmap()
    assert ord(rare) not in opened(files["assets/fonts/serif.woff2"]).getBestCmap()
    with_rare = fonts.narrowed(source, frozenset(rare))
    assert ord(rare) in with_rare.getBestCmap()
    widths = [font["hmtx"][font.getBestCmap()[ord(rare)]] for font in (with_rare, source)]
    assert widths[0] == widths[1]


def test_letters_keep_their_kerning_when_the_face_is_cut():
    cut = fonts.narrowed(fonts.cut(fonts.FACES[0]), frozenset())
    features = {record.FeatureTag for record in cut["GPOS"].table.FeatureList.FeatureRecord}
    assert "kern" in features


@pytest.mark.parametrize("family", fonts.FALLBACKS)
def test_the_fallback_fills_the_same_lines(family, files):
    css = files["assets/stylesheets/fonts.css"].decode()
    rule = re.search(rf'"{family} Fallback";.*?}}', css)[0]
    size, ascent, descent = (
        float(re.search(rf"{name}:([\d.]+)%", rule)[1]) / 100
        for name in ("size-adjust", "ascent-override", "descent-override")
    )
    face = next(face for face in fonts.FACES if face.family == family)
    font = opened(files[f"assets/fonts/{face.name}.woff2"])
    em = font["head"].unitsPerEm
    # A browser multiplies the overrides by size-adjust; two decimals are printed.
    assert size * ascent == pytest.approx(font["hhea"].ascent / em, abs=2e-4)
    assert size * descent == pytest.approx(-font["hhea"].descent / em, abs=2e-4)
    _, fallback_width = fonts.FALLBACKS[family]
    assert size * fallback_width == pytest.approx(fonts.mean_width(font), abs=1e-4)


def test_equal_inputs_give_equal_bytes():
    face = fonts.FACES[0]
    first, second = (fonts.written(fonts.cut(face), "woff2") for _ in range(2))
    assert first == second


def test_the_style_sheet_names_only_files_of_the_site(files):
    css = files["assets/stylesheets/fonts.css"].decode()
    urls = re.findall(r'url\("\.\./([^"]+)"\)', css)
    assert urls
    assert {f"assets/{url}" for url in urls} <= set(files)
    assert "//" not in css.replace("/* ", "").replace(" */", "")


def test_figures_are_drawn_with_the_page_s_sans():
    from fromnoise import figures

    folder = fonts.figure_fonts()
    assert folder == figures.FONT_DIR
    with figures.theme("light", strict=True):
        import matplotlib as mpl

        assert mpl.rcParams["font.family"][0] == figures.FONT


def test_a_missing_package_is_named(tmp_path):
    with pytest.raises(fonts.FontError, match="source-serif-4"):
        fonts.cut(fonts.FACES[0], tmp_path)
