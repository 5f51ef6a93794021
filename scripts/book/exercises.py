"""Every exercise of the book on one page: its number, its title, and the way to its solution."""

import html

from book.sources import Page
from book.volume import Volume


def number_of(volume: Volume, page: Page, place: int) -> str:
    """What the exercise at this place of its page is called, such as 9.2."""
    chapter = volume.chapter_number(page.path)
    return f"{chapter}.{place}" if chapter else str(place)


def anchor(number: str) -> str:
    """Where the exercise of this number stands on its page."""
    return f"exercise-{number.replace('.', '-')}"


def all_exercises(volume: Volume) -> str:
    """A heading for each chapter, and under it a line for each of its exercises."""
    parts = []
    for path in volume.chapters:
        page = volume.pages[path]
        titles = [block.argument for block in page.blocks if block.name == "exercise"]
        lines = [
            _line(volume, page, number_of(volume, page, place), title)
            for place, title in enumerate(titles, start=1)
        ]
        if lines:
            heading = f'<h2 id="exercises-{page.stem}">{html.escape(page.title)}</h2>'
            parts.append(f'{heading}<ul class="exercises-all">{"".join(lines)}</ul>')
    return "".join(parts)


def _line(volume: Volume, page: Page, number: str, title: str) -> str:
    said = volume.with_marks(html.escape(title or "Without a title", quote=False))
    address = volume.href(page.path, anchor(number))
    return f'<li><a href="{address}">{number} {said}</a></li>'
