"""What runs trained networks in the page: faults are told in words, memory is given back."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from drawing import CHAPTER, DONE, figure_of, finish, networks, number, start

Answer = Callable[[Route, Path], None]


def whole(site: Path, name: str) -> bytes:
    return (site / "assets" / "models" / name).read_bytes()


def answer(body: bytes) -> Answer:
    return lambda route, _: route.fulfill(body=body, content_type="application/gzip")


def status(code: int) -> Answer:
    return lambda route, _: route.fulfill(status=code, body="no")


def blocked(route: Route, site: Path) -> None:
    route.abort()


def without_webassembly(route: Route, site: Path) -> None:
    body = route.fetch().text()
    route.fulfill(body="delete self.WebAssembly;\n" + body, content_type="text/javascript")


def one_bit_off(route: Route, site: Path) -> None:
    """A sound file that is not the one."""
    content = bytearray(gzip.decompress(whole(site, "digits.onnx.gz")))
    content[len(content) // 2] ^= 1
    answer(gzip.compress(bytes(content)))(route, site)


def zeros_inside(route: Route, site: Path) -> None:
    content = whole(site, "digits.onnx.gz")
    answer(content[:99] + bytes(len(content)))(route, site)


def cut(name: str) -> Answer:
    def half(route: Route, site: Path) -> None:
        content = whole(site, name)
        answer(content[: len(content) // 2])(route, site)

    return half


MODEL, RUNTIME, LIST = "digits.onnx.gz", "runtime.wasm.gz", "manifest.json"
NO_MODELS = b'{"models": {}, "runtime": {"compressed": 1}}'
FAULTS: dict[str, tuple[str, Answer, str]] = {
    "model missing": (MODEL, status(404), r"network digits is missing: .* 404"),
    "model cut off": (MODEL, cut(MODEL), r"network digits was cut off: \d+ of \d+ bytes came"),
    "model with one bit changed": (
        MODEL,
        one_bit_off,
        r"is not the one that the book was built with: its SHA-256 begins [0-9a-f]{12}, not",
    ),
    "model that is a page": (MODEL, answer(b"<!doctype html>Log in"), r"is not the one that"),
    "model damaged inside": (MODEL, zeros_inside, r"network digits is damaged"),
    "runtime blocked": (RUNTIME, blocked, r"could not be fetched"),
    "runtime missing": (RUNTIME, status(404), r"that runs networks is missing: .* 404"),
    "runtime cut off": (RUNTIME, cut(RUNTIME), r"was cut off"),
    "no WebAssembly": ("worker.js", without_webassembly, r"WebAssembly is blocked or missing"),
    "worker missing": ("worker.js", status(404), r"cannot be started here"),
    "list missing": (LIST, status(404), r"list of trained networks is missing"),
    "list damaged": (LIST, answer(b'{"models": '), r"list of trained networks is damaged"),
    "list without the model": (LIST, answer(NO_MODELS), r"no trained network called digits"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_the_figure_stays_and_a_later_try_succeeds(visit, book, name):
    file, how, words = FAULTS[name]
    page = visit().open(CHAPTER)
    page.route(re.compile(re.escape(file)), lambda route: how(route, book.site))
    figure = figure_of(page)
    figure.locator(".widget-open").click()
    trouble = figure.locator(".widget-trouble")
    expect(trouble).to_contain_text(re.compile(words), timeout=DONE)
    assert trouble.text_content().endswith("The figure below shows what was measured.")
    expect(figure.locator(".drawing")).to_be_visible()
    assert page.evaluate("window.fromnoiseModels.state") == {"waiting": 0, "awake": False}
    page.unroute_all()
    figure.get_by_role("button", name="Reset").click()
    expect(figure.locator("data[data-key=calls]")).to_be_visible(timeout=DONE)
    assert number(finish(page), "calls") == 19


def test_a_host_that_unpacks_on_the_way_is_understood(visit, book):
    """Some send .gz files as packed on the way; the browser then hands over what was inside."""

    def unpacked(route: Route) -> None:
        name = route.request.url.rpartition("/")[2].partition("?")[0]
        route.fulfill(body=gzip.decompress(whole(book.site, name)))

    page = visit().open(CHAPTER)
    page.route(re.compile(r"\.gz"), unpacked)
    figure_of(page).locator(".widget-open").click()
    assert number(finish(page), "calls") == 19


def test_a_page_without_https_checks_the_hash_by_itself(visit):
    def insecure(route: Route) -> None:
        body = "Object.defineProperty(self, 'crypto', { value: {} });\n" + route.fetch().text()
        route.fulfill(body=body, content_type="text/javascript")

    page = visit().open(CHAPTER)
    page.route(re.compile(r"worker\.js"), insecure)
    figure_of(page).locator(".widget-open").click()
    assert number(finish(page), "calls") == 19


RUN = """
async ([n, asked]) => {
  const feeds = (seed) => ({
    x_t: { data: new Float32Array(32 * 64).fill(seed / 100), dims: [32, 1, 8, 8] },
    t: { data: new Float32Array(32).fill(0.5), dims: [32] },
    label: { data: Array(32).fill(asked), dims: [32] },
  });
  const models = window.fromnoiseModels;
  const out = [];
  for (let i = 0; i < n; i += 1) out.push((await models.run("digits", feeds(i))).output.data[7]);
  return out;
}
"""


REFUSED = """
([name, feeds]) => window.fromnoiseModels.run(name, feeds)
  .then(() => "no error", (error) => error.message)
"""


def test_wrong_numbers_are_refused_in_words_and_the_next_run_is_sound(visit):
    page = visit().open(CHAPTER)
    start(page)
    assert len(set(page.evaluate(RUN, [3, 4]))) == 3
    for name, feeds, words in (
        ("digits", {}, "needs x_t"),
        ("digits", {"x_t": {"data": [1], "dims": [1]}}, "must have the shape batch x 1"),
        ("nothing", {}, "no trained network called nothing"),
    ):
        said = page.evaluate(REFUSED, [name, feeds])
        assert words in said
    assert page.evaluate(RUN, [3, 4]) == page.evaluate(RUN, [3, 4])


def test_what_is_cancelled_never_answers_and_is_not_waited_for(visit, slowness):
    page = visit().open(CHAPTER)
    start(page)
    said = page.evaluate(
        """async () => {
          const models = window.fromnoiseModels;
          const one = {
            x_t: { data: new Float32Array(32 * 64), dims: [32, 1, 8, 8] },
            t: { data: new Float32Array(32), dims: [32] },
            label: { data: Array(32).fill(0), dims: [32] },
          };
          const abort = new AbortController();
          const told = (job) => job.then(() => "answer", (error) => error.name);
          const run = () => told(models.run("digits", one, abort.signal));
          const jobs = Array.from({ length: 200 }, run);
          const start = performance.now();
          abort.abort();
          const cancelled = await Promise.all(jobs);
          const after = await told(models.run("digits", one));
          return { cancelled: [...new Set(cancelled)], after, ms: performance.now() - start };
        }"""
    )
    assert said["cancelled"] == ["AbortError"]
    assert said["after"] == "answer"
    # All 200 would take 8 seconds where nothing else runs, and the one does not wait for them.
    assert said["ms"] < 4000 * slowness(page)
    assert page.evaluate("window.fromnoiseModels.state.waiting") == 0


class Heaps:
    """Bytes that scripts hold, of the page and of its worker, buffers included."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session = page.context.new_cdp_session(page)
        self.answers: dict[int, dict] = {}
        self.worker = ""
        self.session.on("Target.attachedToTarget", self._attached)
        self.session.on("Target.receivedMessageFromTarget", self._answered)
        self.session.send(
            "Target.setAutoAttach",
            {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False},
        )
        page.wait_for_timeout(200)
        assert self.worker

    def _attached(self, event: dict) -> None:
        if event["targetInfo"]["url"].endswith("widgets/worker.js"):
            self.worker = event["sessionId"]

    def _answered(self, event: dict) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self.answers[message["id"]] = message["result"]

    def _ask_worker(self, method: str) -> dict:
        number = len(self.answers) + 1
        message = json.dumps({"id": number, "method": method})
        self.session.send(
            "Target.sendMessageToTarget", {"sessionId": self.worker, "message": message}
        )
        for _ in range(100):
            if number in self.answers:
                return self.answers[number]
            self.page.wait_for_timeout(50)
        raise AssertionError(f"the worker does not answer {method}")

    def used(self) -> float:
        """Megabytes, after the collectors have been through."""
        total = 0.0
        for ask in (self.session.send, self._ask_worker):
            ask("HeapProfiler.collectGarbage")
            found = ask("Runtime.getHeapUsage")
            total += found["usedSize"] + found["backingStorageSize"]
        return total / 1e6


def leaking(route: Route) -> None:
    """A worker that keeps a copy of every answer: 8 kilobytes a run."""
    kept = "const post = self.postMessage.bind(self); self.kept = []; self.postMessage = "
    kept += "(said, moved) => { self.kept.push(structuredClone(said)); post(said, moved); };\n"
    route.fulfill(body=kept + route.fetch().text(), content_type="text/javascript")


@pytest.mark.parametrize("leaks", [False, True], ids=["as it is", "with a leak"])
def test_fifty_runs_keep_no_memory_and_a_leak_would_be_seen(visit, leaks):
    page = visit().open(CHAPTER)
    if leaks:
        page.route(re.compile(r"worker\.js"), leaking)
    start(page)
    heaps = Heaps(page)
    page.evaluate(RUN, [20, 1])  # until the compiler has seen it all
    before = heaps.used()
    page.evaluate(RUN, [50, 1])
    grown = heaps.used() - before
    print(f"grown by {grown:.3f} MB from {before:.1f}")
    assert (grown > 0.3) == leaks, f"grown by {grown:.3f} MB from {before:.1f}"


def test_back_and_forth_many_times_leaves_one_worker(visit):
    visited = visit()
    page = visited.open(CHAPTER)
    for _ in range(4):
        figure_of(page).locator(".widget-open").click()
        finish(page)
        assert len(networks(page)) == 1
        page.goto(visited.address + "chapters/information/")
        assert networks(page) == []
        page.go_back()
        # The address asks for the widget, or the browser kept the page as it was left.
        page.wait_for_load_state("networkidle")
        if "widget=" in page.url or figure_of(page).locator(".widget").count():
            finish(page)
            figure_of(page).get_by_role("button", name="Back to the figure").click()
    assert visited.problems == []
