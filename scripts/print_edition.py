"""Print the built site as one PDF: a cover, a table of contents, the chapters and what follows.

Reads the site, not its sources, and needs a Chromium. Exit status: 0 when the file is written, 1
when a link leads nowhere or something is too wide for the paper, 2 when what it needs is missing.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from checking.book import Book
    from printing import assemble, edition, press
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] in ("checking", "printing"):
        raise  # the tree itself is damaged
    sys.exit(
        f"The package {error.name} is not installed in this Python; "
        "run `make install` once and use .venv/bin/python."
    )


def main(arguments: list[str] | None = None) -> int:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="the built site")
    parser.add_argument("--out", type=Path, help="the file to write (from-noise.pdf in the site)")
    parser.add_argument("--only", nargs="*", default=[], help="pages to print, as in chapters/vae")
    options = parser.parse_args(arguments)
    site = options.site.resolve()
    out = options.out or site / "from-noise.pdf"
    if not (site / "index.html").is_file():
        print(f"Nothing to print: {site} holds no site; run: make site", file=sys.stderr)
        return 2
    start = time.monotonic()
    book = Book(root=ROOT, docs=ROOT / "docs", site=site)
    try:
        document = edition.make(book, options.only)
    except press.NoBrowser as error:
        print(error, file=sys.stderr)
        return 2
    except (assemble.DanglingLink, edition.Unsettled, press.TooWide) as error:
        print(error, file=sys.stderr)
        return 1
    out.write_bytes(document.data)
    print(
        f"{out}: {document.n_pages} pages, {len(document.data) / 1e6:.1f} MB, "
        f"in {time.monotonic() - start:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
