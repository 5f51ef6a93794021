"""Lists that the build writes: the bibliography, the ledger, the modules, the notebooks."""

import html
from collections.abc import Callable, Iterable

from book import blocks, costs, exercises, guards, notebooks, reference, results, trained
from book.errors import BookError
from book.sources import Page
from book.tables import breakable, table
from book.volume import Volume


def bibliography(volume: Volume) -> str:
    """Every cited work, by label, with a link back to each place that cites it."""
    works = volume.works
    rows = []
    for key, places in sorted(volume.cited().items(), key=lambda item: _label(works, item[0])):
        if key not in works:
            continue
        links: list[str] = []
        for path in dict.fromkeys(path for path, _ in places):
            title = html.escape(volume.pages[path].title)
            ordinals = [n for page, n in places if page == path]
            href = volume.href(path, _anchor(key, ordinals[0]))
            first = f'<a class="backlink" href="{href}">{title}</a>'
            more = [
                f'<a class="backlink" href="{volume.href(path, _anchor(key, n))}" '
                f'aria-label="{title}, place {count}">{count}</a>'
                for count, n in enumerate(ordinals[1:], 2)
            ]
            links.append(", ".join([first, *more]))
        rows.append(
            f'<li id="{key}"><span class="work-label">{html.escape(works[key].label)}.</span> '
            f'{works[key].entry} <span class="backlinks">Cited in {"; ".join(links)}.</span></li>'
        )
    return (
        f'<ul class="bibliography">{"".join(rows)}</ul>' if rows else "<p>Nothing is cited yet.</p>"
    )


def _label(works: dict, key: str) -> str:
    return works[key].label.casefold() if key in works else key


def _anchor(key: str, ordinal: int) -> str:
    return f"cite-{key}-{ordinal}"


def ledger(volume: Volume) -> str:
    """Everything on the pages that is bound to something, and to what."""
    pages = [p for p in volume.pages.values() if p.equations or p.figures or p.numbers or p.fences]
    parts = [_totals(volume, pages)]
    for page in pages:
        rows = [
            table(
                f"Equations of {page.title}",
                ("Equation", "Guarded by", "Planted faults that must fail"),
                _equations(volume, page),
            ),
            table(
                f"Figures of {page.title}",
                ("Figure", "Experiment", "Made with"),
                _figures(volume, page),
            ),
            table(
                f"Code of {page.title}",
                ("Line of the source", "Shows", "Guarded by"),
                _blocks(volume, page),
            ),
            table(
                f"Measured numbers of {page.title}",
                ("Line of the source", "Shown", "Result"),
                _numbers(volume, page),
            ),
        ]
        found = "".join(rows)
        if found:
            link = f'<a href="{volume.href(page.path)}">{html.escape(page.title)}</a>'
            parts.append(f'<h2 id="ledger-{page.stem}">{link}</h2>{found}')
    return f'<div class="ledger-all">{"".join(parts)}</div>'


def _totals(volume: Volume, pages: list[Page]) -> str:
    equations = [e for page in pages for e in page.equations]
    checked = [e for e in equations if e.check]
    faults = 0
    for equation in checked:
        try:
            faults += len(guards.find_guard(volume.root, equation.check, equation.name).faults)
        except BookError:
            continue
    python = [f for page in pages for f in page.fences if blocks.is_python(f)]
    rows = (
        ("Displayed equations", len(equations)),
        ("of them definitions", len(equations) - len(checked)),
        ("of them checked numerically", len(checked)),
        ("Faults planted in those checks", faults),
        ("Figures, each drawn by its experiment", sum(len(page.figures) for page in pages)),
        ("Measured numbers, each read from a result", sum(len(page.numbers) for page in pages)),
        ("Python blocks, each run alone", len(python)),
        ("of them sections of the library", sum(bool(f.source) for f in python)),
        ("Citations", sum(len(page.citations) for page in volume.pages.values())),
        ("Works cited", len(volume.cited())),
    )
    body = "".join(f'<tr><th scope="row">{name}</th><td>{count}</td></tr>' for name, count in rows)
    return f'<table class="ledger totals"><tbody>{body}</tbody></table>'


def _equations(volume: Volume, page: Page) -> Iterable[str]:
    for equation in page.equations:
        number = volume.equations[equation.name].number
        href = volume.href(page.path, f"eq-{equation.name}")
        guard, faults = "definition", ""
        if equation.check:
            try:
                found = guards.find_guard(volume.root, equation.check, equation.name)
            except BookError as error:
                guard = f'<mark class="unresolved">{html.escape(str(error))}</mark>'
            else:
                guard = f"{html.escape(found.says)} {breakable(equation.check)}"
                faults = html.escape("; ".join(found.faults))
        yield (
            f'<tr id="ledger-eq-{equation.name}"><td><a href="{href}">{number} '
            f"{html.escape(equation.name)}</a></td><td>{guard}</td><td>{faults}</td></tr>"
        )


def _figures(volume: Volume, page: Page) -> Iterable[str]:
    for figure in page.figures:
        try:
            manifest = results.manifest(volume.root, figure.manifest)
            made = (
                f"seed {manifest['seed']}, size {manifest['size']}, {manifest['device']}, "
                f"code {_hash(manifest)}"
            )
        except (BookError, KeyError) as error:
            made = str(error)
        number = volume.figures[figure.name].number
        yield (
            f'<tr><td><a href="{volume.href(page.path, figure.id)}">{number}</a></td>'
            f"<td>{breakable(figure.experiment)}</td><td>{html.escape(made)}</td></tr>"
        )


def _hash(manifest: dict) -> str:
    from building.closure import combined

    return combined(manifest["run_code"])[:12]


def _blocks(volume: Volume, page: Page) -> Iterable[str]:
    for fence in page.fences:
        if blocks.is_python(fence):
            shows = breakable(fence.source) if fence.source else "a block of its own"
            guard = (
                "equals its section of the library, and runs alone"
                if fence.source
                else "runs alone"
            )
            where = breakable(f"{page.path}:{fence.place.line}")
            yield f"<tr><td>{where}</td><td>{shows}</td><td>{guard}</td></tr>"


def _numbers(volume: Volume, page: Page) -> Iterable[str]:
    for number in page.numbers:
        try:
            shown = results.bound_html(volume.root, number)
        except BookError as error:
            shown = f'<mark class="unresolved">{html.escape(str(error))}</mark>'
        where = breakable(f"{page.path}:{number.place.line}")
        source = breakable(f"{number.manifest}#{number.key}")
        yield f"<tr><td>{where}</td><td>{shown}</td><td>{source}</td></tr>"


def modules(volume: Volume) -> str:
    """Every module of the library with its first line."""
    rows = [
        f'<dt><a href="{volume.href(module.path)}"><code>fromnoise.{module.name}'
        f"</code></a></dt><dd>{volume.with_marks(html.escape(module.says, quote=False))}</dd>"
        for module in reference.modules(volume.root)
    ]
    return f'<dl class="modules">{"".join(rows)}</dl>'


def companions(volume: Volume) -> str:
    """Every companion notebook, to read and to download."""
    rows = []
    for path in notebooks.chapters_with_code(volume):
        page = volume.pages[path]
        source = f"notebooks/{page.stem}.ipynb"
        of_which = f'<span class="visually-hidden">the notebook of {html.escape(page.title)}</span>'
        file = volume.href(notebooks.download(volume, page.stem))
        ways = [f'<a href="{file}" download>download {of_which}</a>']
        if address := notebooks.colab(volume, page.stem):
            ways.append(f'<a href="{address}">open in Colab {of_which}</a>')
        rows.append(
            f'<li><a href="{volume.href(source)}">{html.escape(page.title)}</a> '
            f"({', '.join(ways)})</li>"
        )
    return f'<ul class="companions">{"".join(rows)}</ul>' if rows else "<p>None yet.</p>"


PARTS: dict[str, Callable[[Volume], str]] = {
    "bibliography": bibliography,
    "ledger": ledger,
    "experiments": costs.experiments_and_costs,
    "exercises": exercises.all_exercises,
    "trained": trained.trained_and_not_kept,
    "modules": modules,
    "companions": companions,
}
