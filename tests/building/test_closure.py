"""What an experiment stands on: prose moves no hash, code always does, drawing only redraws."""

import ast
from pathlib import Path

import pytest

from building.closure import Source, Sources
from building.syntax import canonical
from building.tree import BuildError, Experiment

NUMBERS = "src/fromnoise/numbers.py"
TWICE = "scripts/experiments/numbers/twice.py"


def code(project, size="full"):
    return Sources(project.root).code(Experiment("numbers/twice", project.root), size)


@pytest.mark.parametrize(
    "file, old, new",
    [
        (NUMBERS, "# not x * x", "# never x * x"),
        (NUMBERS, '"""Two of it."""', '"""Both of it, in other words.\n\n    At length."""'),
        (NUMBERS, '"""Arithmetic."""', ""),
        (NUMBERS, "return 2 * x", "return (2\n            * x)"),
        (TWICE, "What is twice the number?", "Another question?"),
        (TWICE, "seed: int = 0", 'seed: int = 0\n    "Why zero."'),
        (TWICE, "from fromnoise import numbers, figures", "from fromnoise import figures, numbers"),
    ],
)
def test_prose_and_style_move_no_hash(project, file, old, new):
    before = code(project)
    project.edit(file, old, new)
    assert code(project) == before


@pytest.mark.parametrize(
    "file, old, new",
    [
        (NUMBERS, "2 * x", "3 * x"),
        (NUMBERS, "twice(x)", "twice(y)"),
        (NUMBERS, "return 2 * x", "return +(2 * x)"),
        (TWICE, "number: float = 1.5", "number: float = 1.25"),
        (TWICE, '"full": Config()', '"full": Config(seed=1)'),
        (TWICE, "numbers.twice(config.number)", "config.number"),
        (TWICE, "[1, 2.5, [3]]", "[1, 2, [3]]"),
        ("src/fromnoise/__init__.py", "", "FLAG = 1"),
    ],
)
def test_an_edit_of_code_moves_the_run_hash(project, file, old, new):
    before = code(project)
    project.edit(file, old, new)
    assert code(project).run_hash != before.run_hash


@pytest.mark.parametrize(
    "file, old, new",
    [
        (TWICE, "return label(results)", "return label(results) * 2"),
        (TWICE, "twice is", "the double is"),
        ("src/fromnoise/figures.py", "STROKE = 1", "STROKE = 2"),
    ],
)
def test_an_edit_of_drawing_moves_the_draw_hash_alone(project, file, old, new):
    before = code(project)
    project.edit(file, old, new)
    after = code(project)
    assert after.run_hash == before.run_hash
    assert after.draw_hash != before.draw_hash


def test_another_size_may_change_alone(project):
    full, smoke = code(project, "full"), code(project, "smoke")
    assert full.run_hash != smoke.run_hash
    project.edit(TWICE, "Config(number=0.5)", "Config(number=0.25)")
    assert code(project, "full") == full
    assert code(project, "smoke").run_hash != smoke.run_hash


def test_a_helper_of_both_belongs_to_the_run(project):
    project.edit(TWICE, '"nested":', '"label": label({"twice": 1}), "nested":')
    before = code(project)
    project.edit(TWICE, "twice is", "the double is")
    assert code(project).run_hash != before.run_hash


def test_imports_are_followed_wherever_they_stand(project):
    project.write("src/fromnoise/deep/__init__.py", "from . import first")
    project.write("src/fromnoise/deep/first.py", "from .second import thing")
    project.write("src/fromnoise/deep/second.py", "def thing():\n    import fromnoise.last")
    project.write("src/fromnoise/last.py", "from ..nothing import there")
    project.edit("src/fromnoise/numbers.py", "    return", "    import fromnoise.deep\n    return")
    run = code(project).run
    for name in ("deep/__init__", "deep/first", "deep/second", "last"):
        assert f"src/fromnoise/{name}.py" in run


def test_a_shared_part_among_the_experiments_counts(project):
    project.write("scripts/experiments/numbers/_shared.py", "FACTOR = 3")
    project.edit(TWICE, "import numbers,", "import numbers\nfrom experiments.numbers._shared ")
    project.edit(TWICE, "_shared  figures", "_shared import FACTOR\nfrom fromnoise import figures")
    project.edit(TWICE, "config.number)", "config.number) * FACTOR")
    assert "scripts/experiments/numbers/_shared.py" in code(project).run


def test_only_data_that_the_code_names_is_recorded(project):
    hashes = 'DATA_HASHES = {"digits": "d1", "letters": "e2"}\ndef digits(): ...\n'
    project.write("src/fromnoise/datasets.py", hashes)
    project.edit(TWICE, "import numbers,", "import numbers, datasets,")
    project.edit(TWICE, "numbers.twice(config.number)", "datasets.digits()")
    assert code(project).data == {"digits": "d1"}


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("def draw(", "def paint(", "no function draw()"),
        ('"smoke": Config(number=0.5)', "", "no size 'smoke'"),
        ('"smoke"', '"tiny"', "no size 'smoke'"),
        ("SIZES = {", "SIZES = dict(a=1) or {", "written out"),
        ("@dataclass", "needs = other()\n@dataclass", "needs must be"),
        ("def run(", "def run((", "is not Python"),
    ],
)
def test_an_experiment_that_lacks_a_part_is_told_of_it(project, old, new, said):
    project.edit(TWICE, old, new)
    with pytest.raises(BuildError, match=r"twice\.py") as caught:
        code(project)
    assert said in str(caught.value)


def test_the_hash_does_not_depend_on_the_version_of_python():
    """Pinned: a manifest made with one version must be fresh with another."""
    text = (
        "import a.b as c, d\n"
        "@c.wrap(1, *d, k=None, **c)\n"
        "class A(B, m=C):\n    x: int = 0x10\n"
        "async def f(a, /, b: 'int' = 1_000, *, c=...) -> None:\n"
        "    '''Prose.'''\n"
        "    return [x async for x in f'{a!r:>{b}} and {c=}' if not x] or b'\\x00' + 1e-7j\n"
        "match f:\n    case {'k': [1, *_], **rest}: pass\n"
        "try:\n    pass\nexcept* (E, F) as e:\n    del e\n"
        "x = lambda *a, y=-1: (yield)\n"
    )
    source = Source("pinned", Path("pinned.py"), ast.parse(text))
    assert source.digest == "465cdf40963129b9f58028ae6180d7c48a22c41500be63cdcaa05f7a5daf30e4"


def test_canonical_tells_apart_what_differs():
    lines = ["x = 1", "x = 1.0", "x = True", "x = None", "x = '1'", "x = b'1'", "x: int = 1"]
    lines += ["return", "return None", "f()", "f(x)", "f(*x)", "f(x=x)", "def f(): pass", "x == 1"]
    assert len({canonical(ast.parse(line)) for line in lines}) == len(lines)
