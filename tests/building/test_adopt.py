"""Outputs of another machine are taken in only if this tree would have made them."""

import json
import shutil

import pytest

TWICE = "scripts/experiments/numbers/twice.py"


@pytest.fixture
def elsewhere(built, tmp_path):
    """The same tree on another machine, with a finished `gpu` run."""
    built.edit(TWICE, 'SIZES = {"full"', 'SIZES = {"gpu": Config(number=9.0), "full"')
    far = type(built)(tmp_path / "far", like=built)
    far.build("--size", "gpu", "--device", "cpu")
    return far


def test_matching_outputs_are_registered(built, elsewhere):
    done = built.call("adopt", elsewhere.figures)
    assert done.returncode == 0, done.stderr
    assert "adopted numbers/twice at size gpu" in done.stdout
    assert built.files() == elsewhere.files()
    assert "numbers/twice.gpu.json" in built.files()
    assert "2 figures are fresh" in built.call("check").stdout


@pytest.mark.parametrize(
    "file, old, new, said",
    [
        ("src/fromnoise/numbers.py", "2 * x", "3 * x", "made from other code: src/fromnoise/numb"),
        (TWICE, "number=9.0", "number=8.0", "SIZES[gpu] changed"),
        ("src/fromnoise/figures.py", "STROKE = 1", "STROKE = 2", "drawn by other code"),
    ],
)
def test_outputs_of_other_code_are_refused(built, elsewhere, file, old, new, said):
    before = built.files()
    built.edit(file, old, new)
    done = built.call("adopt", elsewhere.figures)
    assert done.returncode == 1
    assert "numbers/twice.gpu.json" in done.stderr
    assert said in done.stderr
    assert built.files() == before


def _resigned(path, **changes):
    """A manifest changed by someone who also mends its hash."""
    from building.manifest import _sha

    entries = {**json.loads(path.read_text()), **changes}
    del entries["sha256"]
    path.write_text(json.dumps({**entries, "sha256": _sha(entries)}))


def test_outputs_that_are_not_what_was_drawn_are_refused(built, elsewhere):
    before = built.files()
    figure = elsewhere.figures / "numbers/twice.gpu.dark.svg"
    content = figure.read_bytes()
    figure.write_bytes(content + b" ")
    assert "twice.gpu.dark.svg is not the file" in built.call("adopt", elsewhere.figures).stderr
    figure.unlink()
    assert "twice.gpu.dark.svg cannot be read" in built.call("adopt", elsewhere.figures).stderr
    figure.write_bytes(content)

    record = elsewhere.figures / "numbers/twice.gpu.json"
    good = record.read_bytes()
    record.write_bytes(good.replace(b"18.0", b"19.0"))
    assert "changed after it was written" in built.call("adopt", elsewhere.figures).stderr
    for changes, said in [
        ({"experiment": "numbers/thrice"}, "no experiment 'numbers/thrice'"),
        ({"experiment": "numbers/../numbers/twice"}, "no experiment"),
        ({"size": "smoke"}, "not for the site"),
        ({"size": "full"}, "its name should be twice.json"),
        ({"outputs": {"../../../stolen.svg": "0" * 64}}, "the manifest lists"),
        ({"data": {"digits": "0" * 64}}, "no longer uses data set digits"),
    ]:
        record.write_bytes(good)
        _resigned(record, **changes)
        done = built.call("adopt", elsewhere.figures)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    # The sound `full` beside it was taken each time; nothing of `gpu` ever was.
    assert built.files() == before


def test_one_refusal_does_not_stop_the_others(built, elsewhere):
    shutil.copy(elsewhere.figures / "numbers/twice.json", elsewhere.figures / "numbers/odd.json")
    done = built.call("adopt", elsewhere.figures)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "its name should be twice.json" in done.stderr
    assert "numbers/twice.gpu.json" in built.files()


def test_a_folder_without_manifests_is_refused(built, tmp_path):
    for folder, said in [(tmp_path / "none", "no folder"), (tmp_path / "e", "holds no manifest")]:
        (tmp_path / "e").mkdir(exist_ok=True)
        done = built.call("adopt", folder)
        assert done.returncode == 2
        assert said in done.stderr


def test_the_figures_of_this_tree_are_not_taken_for_another_machines(built):
    for folder in ("docs", "docs/figures", "docs/figures/numbers", "."):
        done = built.call("adopt", folder)
        assert done.returncode == 2
        assert f"{folder} holds this tree's own figures" in done.stderr
        assert done.stdout == ""
