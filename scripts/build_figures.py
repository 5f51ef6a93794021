#!/usr/bin/env python
"""Train, measure and draw everything the site shows; say what is stale and why."""

import sys
from pathlib import Path

# This tree's package, whichever copy happens to be installed; workers read this line too.
ROOT = Path(__file__).resolve().parents[1]
for folder in ("scripts", "src"):
    if str(ROOT / folder) not in sys.path[:2]:
        sys.path.insert(0, str(ROOT / folder))

try:
    from building.command import program
except (ModuleNotFoundError, SyntaxError) as error:
    is_ours = str(getattr(error, "name", "")).partition(".")[0] in ("building", "fromnoise")
    if is_ours or (isinstance(error, SyntaxError) and sys.version_info >= (3, 11)):
        raise  # the tree itself is damaged
    print(
        "The packages are not installed in this Python; "
        "run `make site` once and use .venv/bin/python.",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    program()
