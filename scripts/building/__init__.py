"""The parts of build_figures.py. None of them imports torch or matplotlib, except in a worker."""
