"""What a reader does with the widget that draws digits, in a browser."""

from playwright.sync_api import Locator, Page, Worker, expect

CHAPTER = "chapters/training/index.html"
DONE = 90_000  # a busy machine compiles the runtime in many seconds


def figure_of(page: Page) -> Locator:
    return page.locator("figure[data-widget=digit_sampler]")


def finish(page: Page) -> Locator:
    """Wait until what was asked for is drawn."""
    figure = figure_of(page)
    expect(figure.locator(".widget")).not_to_have_attribute("aria-busy", "true", timeout=DONE)
    expect(figure.locator(".widget-trouble")).to_be_hidden()
    return figure


def start(page: Page) -> Locator:
    figure_of(page).locator(".widget-open").click()
    return finish(page)


def number(figure: Locator, key: str) -> float:
    return float(figure.locator(f"data[data-key={key}]").get_attribute("value") or "nan")


def networks(page: Page) -> list[Worker]:
    """The workers that run networks; the search has one as well."""
    return [worker for worker in page.workers if worker.url.endswith("widgets/worker.js")]
