"""What the cards of a page need from other pages: equations and figures that it speaks of.

A reference to something on the same page is answered by a copy of it. For the few that lead
elsewhere the page carries the formula, or the caption and the address of the drawing, in a
`template`, which browsers neither draw nor load from until it is asked for.
"""

import html
import re

from book import figures
from book.edits import applied, inline_edits
from book.errors import BookError
from book.sources import Page, parse
from book.volume import Numbered, Volume, relative


def templates(volume: Volume, page: Page) -> str:
    """One template for each equation and figure of another page that this one refers to."""
    volume.current = page.path
    made = []
    for kind, name in sorted({(part.kind, part.name) for part in page.references}):
        known = volume.equations if kind == "eq" else volume.figures
        found = known.get(name)
        if found is None or found.page == page.path:
            continue
        try:
            content = _equation(volume, found) if kind == "eq" else _figure(volume, found)
        except BookError:
            continue  # reported with the page it stands on
        anchor = f"eq-{name}" if kind == "eq" else found.item.id
        made.append(f'<template data-for="{anchor}" data-search-exclude>{content}</template>')
    return "".join(made)


def _equation(volume: Volume, found: Numbered) -> str:
    formula = volume.formulas.mark(found.item.tex, True, found.item.place)
    return (
        f'<p class="card-label">Equation ({found.number}) of {_chapter(volume, found)}</p>'
        f'<div class="equation-body">{formula}</div>'
    )


def _figure(volume: Volume, found: Numbered) -> str:
    light, dark, _ = volume.figure_files(found.item)
    width, height = figures.size(volume.docs / light)
    here = volume.urls.get(volume.current, volume.current)
    images = "".join(
        f'<img class="{mode}" src="{relative(path, here)}" alt="{html.escape(found.item.alt)}" '
        f'width="{width}" height="{height}">'
        for mode, path in (("light", light), ("dark", dark))
    )
    label = f"Figure {found.number} of {_chapter(volume, found)}"
    return (
        f'<figure><p class="card-label">{label}</p><div class="drawing">{images}</div>'
        f"<figcaption><p>{_caption(volume, found)}</p></figcaption></figure>"
    )


def _chapter(volume: Volume, found: Numbered) -> str:
    return html.escape(volume.pages[found.page].title)


def _caption(volume: Volume, found: Numbered) -> str:
    """The caption as plain words and formulas."""
    part = parse(found.item.caption, found.page, front_matter=False)
    edits = sorted(inline_edits(volume, part, lambda *_: ""))
    text = volume.with_marks(applied(part.text, edits, 0, len(part.text)))
    text = re.sub(r"\[([^\[\]]+)\](?:\([^()\s]+\)|\[[^\[\]]+\])", r"\1", text)
    return html.escape(re.sub(r"[*`]", "", " ".join(text.split())), quote=False)
