"""Every experiment of the book: its question, its figure, and what a rebuild from nothing costs."""

import html
from itertools import groupby

from book.errors import BookError
from book.results import manifest
from book.tables import breakable, table
from book.volume import Volume
from building.closure import Sources
from building.manifest import duration
from building.tree import BuildError, Experiment, experiments


def experiments_and_costs(volume: Volume) -> str:
    """A table for each chapter, and the sum over all."""
    sources = Sources(volume.root)
    parts, total, chapters = [], 0.0, []
    for chapter, found in groupby(experiments(volume.root), lambda e: e.name.partition("/")[0]):
        rows, seconds = [], 0.0
        for experiment in found:
            row, cost = _row(volume, experiment, sources)
            rows.append(row)
            seconds += cost
        title = title_of(volume, chapter)
        found_table = table(
            f"Experiments of {title}", ("Question", "Figure", "Size", "Seed", "Seconds"), rows
        )
        heading = f'<h2 id="experiments-{chapter}">{_link(volume, chapter, title)}</h2>'
        parts.append(f"{heading}{found_table}")
        chapters.append((title, chapter, len(rows), seconds))
        total += seconds
    lines = "".join(
        f'<tr><th scope="row"><a href="#experiments-{name}">{html.escape(title)}</a></th>'
        f"<td>{count}</td><td>{duration(seconds)}</td></tr>"
        for title, name, count, seconds in sorted(chapters, key=lambda c: place(volume, c[1]))
    )
    count = sum(count for _, _, count, _ in chapters)
    lines += f'<tr><th scope="row">All</th><td>{count}</td><td>{duration(total)}</td></tr>'
    totals = (
        '<table class="ledger totals"><thead><tr><th scope="col">Chapter</th>'
        '<th scope="col">Experiments</th><th scope="col">One core</th></tr></thead>'
        f"<tbody>{lines}</tbody></table>"
    )
    by_place = sorted(zip(chapters, parts, strict=True), key=lambda p: place(volume, p[0][1]))
    return f'<div class="ledger-all">{totals}{"".join(part for _, part in by_place)}</div>'


def _row(volume: Volume, experiment: Experiment, sources: Sources) -> tuple[str, float]:
    try:
        question = sources.experiment(experiment)[1].question
        made = manifest(volume.root, f"docs/figures/{experiment.name}.json")
        seconds = made["wall_s"] + made["draw_s"]
    except (BookError, BuildError, KeyError) as error:
        return f'<tr><td colspan="5">{html.escape(str(error))}</td></tr>', 0.0
    seeds = made["seed"] if isinstance(made["seed"], list) else [made["seed"]]
    shown = "none" if seeds == [None] else ", ".join(map(str, seeds))
    name = breakable(experiment.name)
    figure = volume.figures.get(experiment.name)
    if figure is not None:
        name = f'<a href="{volume.href(figure.page, figure.item.id)}">{name}</a>'
    return (
        f"<tr><td>{volume.with_marks(html.escape(question, quote=False))}</td><td>{name}</td>"
        f"<td>{made['size']}</td><td>{shown}</td><td>{duration(seconds)}</td></tr>",
        seconds,
    )


def _page(chapter: str) -> str:
    return "index.md" if chapter == "home" else f"chapters/{chapter}.md"


def title_of(volume: Volume, chapter: str) -> str:
    page = volume.pages.get(_page(chapter))
    return page.title if page else chapter


def _link(volume: Volume, chapter: str, title: str) -> str:
    page = _page(chapter)
    if page not in volume.pages:
        return html.escape(title)
    return f'<a href="{volume.href(page)}">{html.escape(title)}</a>'


def place(volume: Volume, chapter: str) -> int:
    page = _page(chapter)
    return volume.order.index(page) if page in volume.pages else len(volume.order)
