"""Make the project's own environment, with whatever Python the machine has.

Even Python 2.7 must be able to parse this file, to be told that it is too old: no annotations and
no f-strings here. All else is in bootstrap_steps.py, which is imported after the check.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 -- the message is for exactly those
    sys.exit(
        "From Noise needs Python 3.11 or newer; this is Python {}.{}. "
        "Name another with: make PYTHON=python3.12 ...".format(*sys.version_info[:2])
    )

import bootstrap_steps

bootstrap_steps.main()
