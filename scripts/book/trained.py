"""A short card, made from its record, for every model that one figure needed and nobody kept."""

import html
from itertools import groupby

from book.costs import place, title_of
from book.errors import BookError
from book.results import manifest
from book.tables import breakable, table
from book.volume import Volume
from building.closure import Sources
from building.tree import BuildError, Experiment, experiments


def trained_and_not_kept(volume: Volume) -> str:
    """A table for each chapter: for what, on which data, of what size, by which choices."""
    sources = Sources(volume.root)
    parts = []
    for chapter, found in groupby(experiments(volume.root), lambda e: e.name.partition("/")[0]):
        rows = []
        for experiment in found:
            try:
                rows += _rows(volume, experiment, sources)
            except (BookError, BuildError, KeyError) as error:
                rows.append(f'<tr><td colspan="5">{html.escape(str(error))}</td></tr>')
        if rows:
            title = title_of(volume, chapter)
            head = ("For", "Figure", "Data files", "Parameters", "Choices")
            made_table = table(f"Models trained for figures of {title}", head, rows)
            heading = f'<h3 id="trained-{chapter}">{html.escape(title)}</h3>'
            parts.append((place(volume, chapter), f"{heading}{made_table}"))
    return f'<div class="ledger-all">{"".join(part for _, part in sorted(parts))}</div>'


def _rows(volume: Volume, experiment: Experiment, sources: Sources) -> list[str]:
    """The line of an experiment; none where nothing was trained, or what was trained is kept."""
    name = experiment.name
    if not (volume.root / f"docs/figures/{name}.json").exists():
        return []  # the figure itself says that it is missing
    made = manifest(volume.root, f"docs/figures/{name}.json")
    says = sources.experiment(experiment)[1]
    if says.publishes or not made["trained"]:
        return []
    shown = breakable(name)
    figure = volume.figures.get(name)
    if figure is not None:
        shown = f'<a href="{volume.href(figure.page, figure.item.id)}">{shown}</a>'
    question = volume.with_marks(html.escape(says.question, quote=False))
    data = ", ".join(made["data"]) or "none"
    sizes = ", ".join(f"{size:,}" for size in made["trained"])
    choices = ", ".join(
        f"{html.escape(key)}&nbsp;{html.escape(str(value))}"
        for key, value in made["config"].items()
        if value is not None
    )
    return [
        f"<tr><td>{question}</td><td>{shown}</td><td>{html.escape(data)}</td>"
        f"<td>{sizes}</td><td>{choices}</td></tr>"
    ]
