"""A break anywhere on the trail between a chapter and its figures is reported where it is."""

import pytest

import check_site
from checking import trail

CASES = {
    "chapter without module": ("src/fromnoise/toy.py", None, "has no module"),
    "chapter without test": ("tests/test_toy.py", None, "has no test"),
    "chapter without proofs": ("tests/equations/test_toy.py", None, "no file of equation checks"),
    "module without test": ("src/fromnoise/extra.py", '"""Extra."""\n', "module has no test"),
    "module without page": ("src/fromnoise/extra.py", '"""Extra."""\n', "no page of reference"),
    "page of reference without module": (
        "built/reference/old/index.html",
        "<h1>old</h1>",
        "for no module",
    ),
    "test of nothing": ("tests/test_old.py", "", "a test of no module"),
    "proofs of no chapter": ("tests/equations/test_old.py", "", "equations of no chapter"),
    "experiment of no chapter": ("scripts/experiments/old/x.py", '"""X?"""\n', "has no chapter"),
    "experiment on no page": ("scripts/experiments/toy/x.py", '"""X?"""\n', "no page shows"),
    "results of nothing": ("docs/figures/toy/old.json", "{}", "experiment that is gone"),
    "public function undocumented": (
        "src/fromnoise/toy.py",
        '"""Toys."""\n\n\ndef third(x):\n    """A third."""\n',
        "third is public and has no entry",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "_"))
def test_a_break_of_the_trail_is_caught(book, case):
    path, text, sentence = CASES[case]
    file = book.root / path
    if text is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = check_site.faults(book, ("trail",))
    assert any(fault.code == "trail" and sentence in fault.sentence for fault in found), found


@pytest.mark.parametrize(
    ("named", "faults"), [("toy", []), ("tot", ["it continues no chapter: tot"])]
)
def test_a_page_that_goes_on_with_a_chapter_shares_its_trail(book, named, faults):
    page = book.docs / "chapters/toy_too.md"
    page.write_text(f"---\ntitle: More toys\ncontinues: {named}\n---\n\n# More toys\n")
    found = [fault.sentence for fault in trail.from_chapters(book)]
    assert [sentence for sentence in found if "the chapter has no" not in sentence] == faults
    assert (found == []) == (named == "toy")


@pytest.fixture
def packaged(book):
    """The same book, with a package and a folder of tests in the place of the chapter's module."""
    for old, new in (
        ("src/fromnoise/toy.py", "src/fromnoise/toy/parts.py"),
        ("tests/test_toy.py", "tests/toy/test_parts.py"),
    ):
        (book.root / new).parent.mkdir()
        (book.root / old).rename(book.root / new)
    (book.root / "src/fromnoise/toy/__init__.py").write_text('"""Toys."""\n')
    return book


def test_a_package_of_a_chapters_name_serves_as_its_module(packaged):
    found = [fault.sentence for fault in trail.from_chapters(packaged)]
    assert found == []


def test_a_package_without_its_folder_of_tests_is_caught(packaged):
    (packaged.root / "tests/toy/test_parts.py").unlink()
    (packaged.root / "tests/toy").rmdir()
    found = [fault.sentence for fault in trail.from_chapters(packaged)]
    assert found == ["the chapter has no test: tests/toy"]
    found = [fault.sentence for fault in trail.from_modules(packaged)]
    assert found == ["the module has no test: tests/toy/test_parts.py"]
