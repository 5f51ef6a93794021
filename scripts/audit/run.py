"""Lighthouse on every kind of page, on a phone and on a desktop.

Accessibility, best practices and search must be 100. Performance depends on the machine, so it is
the median of several runs (`--runs 5`), and judged only with `--judge-performance`: at least 90 on
a phone and 98 on a desktop. The load of the machine is printed with it. Exit status: 0 when what is
judged is reached, 1 when something is not, 2 when it cannot run.
"""

import argparse
import functools
import gzip
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("FROMNOISE_SITE") or ROOT / "site")
HERE = Path(__file__).resolve().parent
# Installed out of the tree of sources, where `make clean` finds it.
INSTALLED = ROOT / ".build" / "audit"
LIGHTHOUSE = INSTALLED / "node_modules" / "lighthouse" / "cli" / "index.js"
JUDGED = ("accessibility", "best-practices", "seo")
CATEGORIES = ("performance", *JUDGED)
FORMS = ("mobile", "desktop")
FAST = {"mobile": 0.90, "desktop": 0.98}
CHROME = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
COMPRESSED = (".html", ".css", ".js", ".mjs", ".json", ".svg", ".txt", ".xml")


class CannotRun(Exception):
    """Something is missing; told in one sentence."""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site compressed, as any host does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        file = path / "index.html" if path.is_dir() else path
        if not file.is_file() or file.suffix not in COMPRESSED:
            super().do_GET()
            return
        content = gzip.compress(file.read_bytes(), mtime=0)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """The report is the only output."""


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Address of the site while it is served."""
    handler = functools.partial(Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def tool(name: str) -> str:
    """A program of the project's own environment, or of the machine."""
    own = Path(sys.executable).with_name(name)
    found = str(own) if own.exists() else shutil.which(name)
    if not found:
        raise CannotRun(f"there is no {name}: run make install")
    return found


def chrome() -> str:
    """The browser that Lighthouse drives."""
    named = os.environ.get("CHROME_PATH")
    choices = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = named or next(filter(None, map(shutil.which, choices)), None)
    if not found:
        raise CannotRun("there is no Chromium: install one, or name it in CHROME_PATH")
    return found


def install() -> None:
    """Install Lighthouse from its lock file, once per lock file."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "package-lock.json").read_bytes()
    stamp = INSTALLED / "installed.json"
    if LIGHTHOUSE.is_file() and stamp.is_file() and stamp.read_bytes() == lock:
        return
    print("Installing Lighthouse ...", flush=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, INSTALLED / name)
    command = [tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.call(command, cwd=INSTALLED, env=environment(), stdout=subprocess.DEVNULL):
        raise CannotRun("npm could not install Lighthouse; its message stands above")
    stamp.write_bytes(lock)


def environment() -> dict[str, str]:
    """The project's node first on the path."""
    own = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', '')}"}


def kinds(site: Path) -> list[str]:
    """Home, a chapter, a page of reference, a notebook, the ledger: the largest of each kind."""
    pages = [""]
    for folder in ("chapters", "reference", "notebooks"):
        found = sorted((site / folder).glob("*/index.html"), key=lambda page: page.stat().st_size)
        pages += [f"{folder}/{found[-1].parent.name}/"] if found else []
    return pages + (["ledger/"] if (site / "ledger" / "index.html").is_file() else [])


def audit(address: str, form: str) -> dict:
    """Lighthouse's report on one page."""
    output = INSTALLED / "report.json"
    output.unlink(missing_ok=True)
    command = [
        *(tool("node"), str(LIGHTHOUSE), address, "--quiet", "--output=json"),
        *(f"--output-path={output}", f"--only-categories={','.join(CATEGORIES)}"),
        *("--no-enable-error-reporting", f"--chrome-flags={CHROME}"),
        *(["--preset=desktop"] if form == "desktop" else []),
    ]
    done = subprocess.run(
        command,
        env={**environment(), "CHROME_PATH": chrome()},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if not output.is_file():
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise CannotRun(f"Lighthouse gave no report on {address}: {last[0]}")
    report = json.loads(output.read_text(encoding="utf-8"))
    if "runtimeError" in report:
        raise CannotRun(f"Lighthouse failed on {address}: {report['runtimeError']['message']}")
    return report


def faults(report: dict) -> list[str]:
    """Each audit of a judged category that is not perfect, with the first thing it found."""
    lines = []
    for category in JUDGED:
        for reference in report["categories"][category]["auditRefs"]:
            found = report["audits"][reference["id"]]
            if reference["weight"] and found["score"] is not None and found["score"] < 1:
                items = found.get("details", {}).get("items", [])
                first = json.dumps(items[0])[:240] if items else ""
                lines.append(f"    {category}: {found['title']} {first}")
    return lines


def middle(reports: list[dict]) -> dict:
    """The report whose performance is the median."""
    ordered = sorted(reports, key=lambda report: report["categories"]["performance"]["score"] or 0)
    return ordered[statistics.median_low(range(len(ordered)))]


def fallen_short(scores: dict[str, float], form: str, fast: bool) -> list[str]:
    """Categories that do not reach what they must."""
    short = [name for name in JUDGED if scores[name] < 1]
    return short + (["performance"] if fast and scores["performance"] < FAST[form] else [])


def main(arguments: list[str] | None = None) -> int:
    """Audit the pages that the command line names, or one of every kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", help="paths in the site, as in chapters/elbo/")
    parser.add_argument("--form", choices=FORMS, help="only on a phone, or only on a desktop")
    parser.add_argument("--runs", type=int, default=1, help="runs of each page; the median counts")
    parser.add_argument("--judge-performance", action="store_true", help="let slow pages fail")
    options = parser.parse_args(arguments)
    try:
        if not (SITE / "index.html").is_file():
            raise CannotRun("the site is not built: run make site")
        chrome()
        install()
        failed = 0
        print(f"{'page':32} {'':8} {' '.join(f'{name:>15}' for name in CATEGORIES)}")
        with served(SITE) as address:
            for page in options.pages or kinds(SITE):
                for form in [options.form] if options.form else FORMS:
                    reports = [audit(address + page, form) for _ in range(max(options.runs, 1))]
                    report = middle(reports)
                    scores = {c: report["categories"][c]["score"] or 0 for c in CATEGORIES}
                    shown = " ".join(f"{round(100 * score):15d}" for score in scores.values())
                    load = f"load {os.getloadavg()[0]:.1f}"
                    print(f"{page or 'home':32} {form:8} {shown}  {load}", flush=True)
                    imperfect = fallen_short(scores, form, options.judge_performance)
                    failed += bool(imperfect)
                    if imperfect:
                        print("\n".join(faults(report)), flush=True)
    except (CannotRun, subprocess.TimeoutExpired) as error:
        print(f"The audit cannot run: {error}", file=sys.stderr)
        return 2
    print(f"{failed} of the audits fell short." if failed else "All that is judged is reached.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
