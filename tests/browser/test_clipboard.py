"""What the copy button puts on the clipboard is, to the letter, what the block runner runs."""

import pytest

from checking import blocks


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_the_button_copies_what_is_run(visit, book, every):
    """The first and the last block of a chapter, and in the weekly run each."""
    visited = visit(permissions=["clipboard-read", "clipboard-write"])
    compared = 0
    for page in book.pages:
        wanted = blocks.of_page(page)
        if not (wanted and page.address.startswith("chapters/")):
            continue
        opened = visited.open(page.address)
        opened.evaluate("document.querySelectorAll('details').forEach((fold) => fold.open = true)")
        codes = page.all("//pre//code")
        for block in wanted if every else (wanted[0], wanted[-1]):
            code = opened.locator("pre code").nth(codes.index(block.element))
            code.scroll_into_view_if_needed()
            opened.evaluate("navigator.clipboard.writeText('nothing was copied')")
            holder = code.locator("xpath=ancestor::pre[1]/..")
            holder.hover()
            holder.locator("button[data-md-type=copy], button.md-clipboard").first.click()
            opened.wait_for_function(
                "navigator.clipboard.readText().then((text) => text !== 'nothing was copied')"
            )
            copied = opened.evaluate("navigator.clipboard.readText()")
            assert copied == block.text, block.name
            compared += 1
    if not book.chapters:
        pytest.skip("there is no chapter")
    assert compared >= len(book.chapters)
