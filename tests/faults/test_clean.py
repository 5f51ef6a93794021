"""The clean book has no fault, and the command says so in its words and its status."""

import subprocess
import sys
from pathlib import Path

import pytest

import check_site

SCRIPT = Path(check_site.__file__)


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_clean_book_has_no_fault(book):
    assert check_site.faults(book) == []


@pytest.mark.parametrize(("tag", "clean"), [('template data-for="x"', True), ("div", False)])
def test_the_card_of_a_figure_elsewhere_is_neither_fetched_nor_unbound(book, tag, clean):
    page = book.site / "chapters/toy/index.html"
    card = '<figure><img src="../../figures/toy/line.svg" width="40" height="20" alt=""></figure>'
    card = f"<{tag}>{card}</{tag.split()[0]}>"
    page.write_text(page.read_text().replace("</main>", f"{card}</main>"))
    assert (check_site.faults(book) == []) == clean


def test_a_clean_site_ends_with_status_0_and_a_summary(book):
    done = command("--site", book.site, "--docs", book.docs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("No faults: 5 pages, 1 equations, 2 blocks, 1 figures")


def test_a_fault_is_one_line_with_path_line_code_and_sentence(book):
    page = book.site / "chapters/toy/index.html"
    page.write_text(page.read_text().replace("../../reference/toy/#", "../../reference/gone/#"))
    done = command("--site", book.site, "--docs", book.docs)
    assert done.returncode == 1
    first, summary = done.stdout.splitlines()
    path, line, code, sentence = first.split(": ", 2)[0].split(":") + first.split(": ", 2)[1:]
    assert path == "built/chapters/toy/index.html"
    assert "reference/gone" in page.read_text().splitlines()[int(line) - 1]
    assert code == "link-broken"
    assert "reference/gone" in sentence
    assert summary.startswith("1 fault (1 link-broken)")


def test_misuse_ends_with_status_2_and_one_sentence(book, tmp_path):
    for arguments, hint in (
        (("--site", tmp_path / "none", "--docs", book.docs), "make site"),
        (("--site", book.site, "--docs", tmp_path / "none"), "--docs"),
    ):
        done = command(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert hint in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert command("--nonsense").returncode == 2
