"""The try of another generator prepares the sources, and says truthfully what did not work."""

import sys
from pathlib import Path

import pytest
import yaml

import exit as way_out

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


class Plain(yaml.SafeLoader):
    """YAML that passes over tags."""


Plain.add_multi_constructor("!", lambda loader, suffix, node: None)


def test_without_hooks_only_what_depends_on_them_is_changed():
    before = yaml.load(SETTINGS, Plain)
    text = way_out.without_hooks(SETTINGS, ["reference/a.md", "reference/b/c.md"])
    after = yaml.load(text, Plain)
    assert before.pop("hooks")
    assert "hooks" not in after
    assert before["theme"].pop("custom_dir")
    assert after["theme"].pop("variant") == "classic"
    assert after["markdown_extensions"].pop(0) == "book.standalone"
    (pages,) = (part["Reference"] for part in after["nav"] if "Reference" in part)
    assert pages == ["reference/index.md", "reference/a.md", "reference/b/c.md"]
    del pages[1:]
    assert after == before


def test_settings_that_have_changed_shape_are_not_passed_over():
    with pytest.raises(ValueError, match=r"0 places in mkdocs\.yml match"):
        way_out.without_hooks(SETTINGS.replace("hooks:", "hook:"), [])


def test_an_older_version_is_tried_where_a_newer_one_cannot_be_had(monkeypatch, capsys, tmp_path):
    def environment(generator, version):
        if version == "2":
            raise way_out.NotInstalled(f"{generator} {version} cannot be installed: no wheel")
        return tmp_path

    monkeypatch.setattr(way_out, "environment", environment)
    monkeypatch.setattr(way_out, "GENERATORS", {"other": ("2", "1")})
    assert way_out.newest("other") == ("1", tmp_path)
    assert "other 2 cannot be installed: no wheel" in capsys.readouterr().err
    monkeypatch.setattr(way_out, "GENERATORS", {"other": ("2",)})
    with pytest.raises(way_out.NotInstalled, match="no version of other"):
        way_out.newest("other")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise RuntimeError('no hooks here')", "RuntimeError: no hooks here"),
        ("import sys; sys.exit('two\\nlines')", "two\nlines"),
        ("pass", "it ended with status 0 and no word"),
    ],
)
def test_a_build_that_fails_is_told_in_its_last_words(tmp_path, program, said):
    assert way_out.build([sys.executable, "-c", program], tmp_path / "site", tmp_path) == said


def test_a_build_that_made_a_site_is_no_failure(tmp_path):
    program = "import os, pathlib; pathlib.Path('index.html').write_text(os.environ['PYTHONPATH'])"
    made = way_out.build([sys.executable, "-c", program], tmp_path, tmp_path, (tmp_path,))
    assert made == ""
    assert (tmp_path / "index.html").read_text() == str(tmp_path)
