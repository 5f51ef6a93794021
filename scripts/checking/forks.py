"""Runs scripts one after another, each in a fork of an interpreter that has read only libraries.

Started by `checking.blocks.Warm` as a program of its own, with the names of the libraries; every
line it is then given is the folder of a script called copied.py. It needs `os.fork`.
"""

import importlib
import os
import runpy
import signal
import sys
import traceback


def run(folder: str, seconds: float) -> None:
    """In the child: the script as `python copied.py` runs it, with its words in a file."""
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(1, 2)
    signal.setitimer(signal.ITIMER_REAL, seconds)  # the signal ends the process
    sys.argv[:] = ["copied.py"]
    sys.path[0] = folder
    status = 0
    try:
        runpy.run_path("copied.py", run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, _, folder = line.rstrip("\n").partition(" ")
        child = os.fork()
        if child == 0:
            run(folder, float(seconds))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
