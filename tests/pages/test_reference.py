"""A module's page of reference, as the build finishes it."""

from pathlib import Path

import yaml

from book import reference

ROOT = Path(__file__).resolve().parents[2]


def test_every_public_module_has_a_page_with_title_and_description():
    found = reference.modules(ROOT)
    assert {"schedules", "samplers", "vae"} <= {module.name for module in found}
    for module in found:
        page = reference.page(module, module.says)
        _, front, body = page.split("---\n", 2)
        meta = yaml.safe_load(front)
        assert meta["title"] == f"fromnoise.{module.name}"
        assert module.says in meta["description"]
        assert body.strip() == f"::: fromnoise.{module.name}"


def test_a_package_in_the_package_is_a_folder_of_pages():
    paths = {module.name: module.path for module in reference.modules(ROOT)}
    assert paths["vae"] == "reference/vae.md"
    assert paths["families.autoregressive"] == "reference/families/autoregressive.md"
    assert "families" not in paths


def test_shapes_have_one_kind_of_quotes():
    one = """<span class="n">Tensor</span><span class="p">,</span> <span class="s1">'*b d'</span>"""
    assert '<span class="s2">"*b d"</span>' in reference.tidy(one)
    two = """<code><a href="#">Float</a>[<span>Tensor</span>, '*b d']</code>"""
    assert """Tensor</span>, "*b d"]""" in reference.tidy(two)


def test_a_source_is_a_section_and_no_marker_is_shown():
    shown = reference.tidy(
        '<details class="source" open>\n<summary>Source</summary>\n<p>Ho et al.</p></details>'
        '<details class="mkdocstrings-source"><pre>x\n'
        '<span class="w">    </span><span class="c1"># --8&lt;-- [end:x]</span>\ny</pre></details>'
    )
    assert '<span class="doc-section-title">Source:</span></p>\n<p>Ho et al.</p></div>' in shown
    assert "8&lt;" not in shown
    assert "x\n\ny" in shown
    assert '<details class="mkdocstrings-source" data-search-exclude>' in shown
