"""Pieces of HTML that the generated pages share."""

import html
from collections.abc import Iterable


def table(caption: str, head: tuple[str, ...], rows: Iterable[str]) -> str:
    body = "".join(rows)
    if not body:
        return ""
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        f'<div class="table-wrap" role="region" aria-label="{html.escape(caption)}" tabindex="0">'
        f'<table class="ledger"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def breakable(text: str) -> str:
    """A path that may break after each part."""
    broken = (
        html.escape(text).replace("/", "/<wbr>").replace("::", "::<wbr>").replace("#", "#<wbr>")
    )
    return f"<code>{broken}</code>"
