#!/usr/bin/env python
"""Train, measure and draw everything the site shows; say what is stale and why."""

import sys
from pathlib import Path

# This tree's package, whichever copy happens to be installed; workers read this line too.
ROOT = Path(__file__).resolve().parents[1]
for folder in ("scripts", "src"):
    if str(ROOT / folder) not in sys.path[:2]:
        sys.path.insert(0, str(ROOT / folder))

from building.command import program  # noqa: E402

if __name__ == "__main__":
    program()
